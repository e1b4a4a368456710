"""SavedModels, concrete functions and subclassed models are explained as Keras models are."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications, layers
from linear_layers import float64

import lrpkeras
from lrpkeras.errors import ModelError, RuleError, UnsupportedLayerError

RNG = np.random.default_rng(0)


def randomized(model):
    """Gammas of both signs, and every other constant that a layer adds or divides by."""
    rng = np.random.default_rng(1)
    for variable in model.variables:
        name = variable.name
        if name == "gamma":
            sign = rng.choice([-1, 1], variable.shape)
            variable.assign(sign * rng.uniform(0.5, 1.5, variable.shape))
        elif name == "moving_variance":
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif name in ("beta", "bias", "moving_mean", "alpha"):
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def small():
    """Every way in which Keras spells its layers on TensorFlow, in little."""
    inputs = keras.Input((12, 12, 3), name="image")
    x = layers.ZeroPadding2D(1, name="pad")(inputs)
    x = layers.Conv2D(4, 3, strides=2, use_bias=False, name="conv")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    block = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.SeparableConv2D(4, 3, padding="same", name="separable"),
         layers.BatchNormalization(name="inner_norm"), layers.Activation("gelu", name="gelu")],
        name="block",
    )  # fmt: skip
    x = layers.Add(name="add")([x, block(x), block(layers.LayerNormalization(name="ln")(x))])
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Dense(5, activation="relu", name="reduce")(gate)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="atrous")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Reshape((9, 4), name="rows")(x)
    x = layers.Conv1D(5, 2, activation="relu", name="conv1d")(x)
    x = layers.Dense(6, activation="silu", name="dense")(x)
    x = layers.AveragePooling1D(2, name="pool1d")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="top")(x))


def unet():
    inputs = keras.Input((16, 16, 2), name="image")
    down = layers.Conv2D(4, 3, padding="same", activation="relu", name="down")(inputs)
    low = layers.MaxPooling2D(name="pool")(down)
    low = layers.Conv2D(6, 3, padding="same", activation="relu", name="low")(low)
    up = layers.Conv2DTranspose(4, 2, strides=2, activation="relu", name="up")(low)
    near = layers.UpSampling2D(2, name="near")(low)
    x = layers.Concatenate(name="skip")([down, up, near])
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="out")(x)
    return keras.Model(inputs, layers.Conv2D(1, 1, name="mask")(x))


def signal():
    """What Keras spells by way of another rank, or of several operations."""
    inputs = keras.Input((6, 3), name="steps")
    x = layers.Conv1DTranspose(4, 3, strides=2, padding="same", name="wider")(inputs)
    x = layers.PReLU(shared_axes=[1], name="prelu")(x)
    x = layers.Conv1DTranspose(4, 4, strides=3, activation="relu", name="widest")(x)
    x = layers.LayerNormalization(name="ln")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.PReLU(name="prelus")(layers.Conv1D(3, 2, padding="causal", name="causal")(x))
    x = layers.EinsumDense("btc,cd->bdt", (5, 37), bias_axes="d", name="einsum")(x)
    x = layers.ReLU(negative_slope=0.1, threshold=0.2, name="bent")(x)
    x = layers.Average(name="average")([x, x[:, ::-1], layers.Dense(37, name="mixed")(x)])
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(2, name="top")(x))


def network(make, size):
    return lambda: make(weights=None, input_shape=(size, size, 3), classes=7)


SAVED = {
    "export": lambda model, path: model.export(path, verbose=False),
    "save": lambda model, path: tf.saved_model.save(model, path),
}
NETWORKS = {
    "small": small,
    "unet": unet,
    "signal": signal,
    **{
        name: network(getattr(applications, name), 48)
        for name in ("VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "MobileNetV2",
                     "EfficientNetB0", "ConvNeXtTiny")
    },
}  # fmt: skip
QUICK = (("small", "save"), ("unet", "export"), ("signal", "export"))
# Saved either way they have the same operations, as these show.
BOTH_WAYS = (*(name for name, _ in QUICK), "VGG16")


CASES = [
    pytest.param(name, way, marks=[] if (name, way) in QUICK else [pytest.mark.slow])
    for name in NETWORKS
    for way in SAVED
    if way == "export" or name in BOTH_WAYS or os.environ.get("LRPKERAS_ALL")
]


def folded(graph):
    return sum("folded" in note for node in graph for note in node.notes)


def relevance(analyzer, x):
    return np.asarray(analyzer(x))


def assert_near(got, expected, tolerance=1e-4):
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def assert_saved_as_kept(model, way, folder, tolerance):
    """Both readers give the same relevance, folds and names."""
    x = RNG.normal(size=(2, *model.input_shape[1:])).astype(model.input.dtype)
    if "rescaling" in {layer.name for layer in model.layers}:
        x = np.clip(128 + 60 * x, 0, 255)
    SAVED[way](model, str(folder / "model"))
    keras_analyzer, saved = lrpkeras.Analyzer(model), lrpkeras.Analyzer(folder / "model")
    assert_near(relevance(saved, x), relevance(keras_analyzer, x), tolerance)
    assert folded(saved.graph) == folded(keras_analyzer.graph)
    assert saved.check(x).closes
    names = {path.split("/")[-1].partition("#")[0] for path in saved._source.read().places}
    assert {x.name for x in model._flatten_layers() if leaves_a_trace(x)} <= names


def leaves_a_trace(layer):
    """What acts in training alone does not; inputs have the signature's names."""
    if isinstance(layer, layers.Activation):
        return layer.activation is not keras.activations.linear
    return not isinstance(
        layer, (keras.Model, layers.InputLayer, layers.Dropout, layers.SpatialDropout2D)
    )


# Deep networks with random weights amplify the rounding of float32 until ReLUs open that were
# closed; in float64 nothing but the reading can make a difference.
@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_saved_model_is_explained_as_the_keras_model_was(name, way, tmp_path):
    with float64(inputs=True):
        assert_saved_as_kept(randomized(NETWORKS[name]()), way, tmp_path, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("way", SAVED)
@pytest.mark.parametrize("name", [name for name, _ in QUICK])
def test_a_saved_float32_model_differs_by_rounding(name, way, tmp_path):
    assert_saved_as_kept(randomized(NETWORKS[name]()), way, tmp_path, 1e-4)


def test_a_dense_layer_at_a_single_place_keeps_its_bias(tmp_path):
    """It is a product between two reshapes, and the bias comes behind the second."""
    inputs = keras.Input((4, 4, 3), name="image")
    x = layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    x = layers.Flatten()(layers.Dense(6, activation="relu", name="dense")(x))
    model = randomized(keras.Model(inputs, layers.Dense(2, name="top")(x)))
    model.export(str(tmp_path / "model"), verbose=False)
    x = RNG.normal(size=(2, 4, 4, 3)).astype("float32")
    rules = {"Linear": lrpkeras.rules.ZPlus()}
    got, expected = (
        lrpkeras.Analyzer(m, "epsilon", rules=rules) for m in (tmp_path / "model", model)
    )
    assert [x.kind for x in got.graph] == [x.kind for x in expected.graph]
    assert_near(relevance(got, x), relevance(expected, x), 1e-5)


def test_presets_and_layers_go_by_the_names_of_the_layers(tmp_path):
    model = randomized(small())
    model.export(str(tmp_path / "model"), verbose=False)
    x = RNG.normal(size=(2, 12, 12, 3)).astype("float32")
    rules = {"block/*": lrpkeras.rules.Gamma(0.5), "conv": lrpkeras.rules.ZPlus()}
    wanted = ["norm", "block/separable", "block#2/gelu"]
    got = lrpkeras.Analyzer(tmp_path / "model", "epsilon", rules=rules).explain(x, layers=wanted)
    expected = lrpkeras.Analyzer(model, "epsilon", rules=rules).explain(x, layers=wanted)
    assert_near(got.relevance, expected.relevance)
    for name in wanted:
        assert_near(got.layers[name], expected.layers[name])
    with pytest.raises(RuleError, match="did you mean.*'conv'"):
        lrpkeras.Analyzer(tmp_path / "model", rules={"convv": lrpkeras.rules.ZPlus()})


def test_local_response_normalization_is_found_in_a_graph(tmp_path):
    normalization = lrpkeras.layers.LocalResponseNormalization(2, 1.5, 0.3, 0.7, name="lrn")
    model = keras.Sequential([keras.Input((4, 4, 6)), normalization, layers.Dense(2)])
    model.export(str(tmp_path / "model"), verbose=False)
    graph = lrpkeras.Analyzer(tmp_path / "model").graph
    assert [node.kind for node in graph] == ["Input", "LocalNormalize", "Linear"]
    node = graph["lrn"]
    got = node.depth_radius, node.bias, node.alpha, node.beta
    assert got == pytest.approx((2, 1.5, 0.3, 0.7))


class Plain(tf.Module):
    """A network of `tf.nn`, without Keras; two signatures."""

    def __init__(self):
        super().__init__()
        draw = np.random.default_rng(5).normal
        self.kernel = tf.Variable(draw(size=(3, 3, 2, 4)), dtype="float32", name="kernel")
        self.bias = tf.Variable(draw(size=(4,)), dtype="float32", name="bias")
        self.matrix = tf.Variable(draw(size=(4, 3)), dtype="float32", name="matrix")

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 2), name="image")])
    def logits(self, image):
        y = tf.nn.conv2d(image, self.kernel, 2, "SAME")
        y = tf.nn.relu(tf.nn.bias_add(y, self.bias))
        y = tf.nn.max_pool2d(y, 2, 2, "VALID")
        return {"logits": tf.reduce_mean(y, [1, 2]) @ self.matrix}

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 2), name="image")])
    def features(self, image):
        return {"features": tf.nn.conv2d(image, self.kernel, 1, "VALID") + self.bias}


def by_tape(function, x, target):
    """Input x gradient, of which `zero` is the same on a piecewise linear network."""
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        value = function(tensor)[..., target]
    return x * tape.gradient(value, tensor).numpy()


@pytest.fixture
def module():
    return Plain()


def test_a_plain_module_is_explained(module, tmp_path):
    module.bias.assign(tf.zeros(4))
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.logits})
    x = RNG.normal(size=(3, 8, 8, 2)).astype("float32")
    analyzer = lrpkeras.Analyzer(tmp_path, "zero")
    expected = by_tape(lambda image: module.logits(image)["logits"], x, 1)
    assert_near(np.asarray(analyzer(x, 1)), expected)
    explained = analyzer.explain(x)
    np.testing.assert_allclose(explained.output, module.logits(x)["logits"], rtol=1e-4, atol=1e-5)


def test_of_several_signatures_one_is_chosen(module, tmp_path):
    both = {"logits": module.logits, "features": module.features}
    tf.saved_model.save(module, str(tmp_path), signatures=both)
    with pytest.raises(ModelError, match=r"2 signatures \['features', 'logits'\].*loaded"):
        lrpkeras.Analyzer(tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    with pytest.raises(ModelError, match="one of its functions"):
        lrpkeras.Analyzer(loaded)
    x = RNG.normal(size=(2, 8, 8, 2)).astype("float32")
    for name in both:
        analyzer = lrpkeras.Analyzer(loaded.signatures[name], "gradient")
        target = 2 if name == "logits" else np.ones((2, 6, 6, 4), "float32")
        assert np.asarray(analyzer(x, target)).shape == x.shape


def test_concrete_functions_are_explained_and_tf_functions_say_what_they_need(module):
    function = tf.function(lambda image: module.logits(image)["logits"])
    with pytest.raises(ModelError, match="get_concrete_function"):
        lrpkeras.Analyzer(function)
    concrete = function.get_concrete_function(tf.TensorSpec((None, 8, 8, 2)))
    x = RNG.normal(size=(2, 8, 8, 2)).astype("float32")
    relevance = np.asarray(lrpkeras.Analyzer(concrete, "input_x_gradient")(x, 0))
    assert_near(relevance, by_tape(function, x, 0))


def test_a_frozen_graph_is_explained(module):
    """As tf.compat.v1 wrote them: variables made constants, one flat graph."""
    from tensorflow.python.framework import convert_to_constants

    concrete = module.logits.get_concrete_function()
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
    definition = frozen.graph.as_graph_def()
    source, result = frozen.inputs[0].name, frozen.outputs[0].name
    imported = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(definition, name=""), []
    )
    pruned = imported.prune(
        imported.graph.get_tensor_by_name(source), imported.graph.get_tensor_by_name(result)
    )
    x = RNG.normal(size=(2, 8, 8, 2)).astype("float32")
    got = np.asarray(lrpkeras.Analyzer(pruned, "gradient")(x, 1))
    expected = np.asarray(lrpkeras.Analyzer(concrete, "gradient")(x, 1))
    assert_near(got, expected, 1e-6)


def test_refresh_reads_the_variables_again(module):
    concrete = module.logits.get_concrete_function()
    analyzer = lrpkeras.Analyzer(concrete)
    x = RNG.normal(size=(2, 8, 8, 2)).astype("float32")
    before = np.asarray(analyzer(x, 0))
    module.kernel.assign(-module.kernel)
    np.testing.assert_array_equal(analyzer(x, 0), before)
    analyzer.refresh()
    np.testing.assert_array_equal(analyzer(x, 0), lrpkeras.Analyzer(concrete)(x, 0))
    assert np.abs(np.asarray(analyzer(x, 0)) - before).max() > 0


def test_a_function_that_changes_what_it_reads_is_refused():
    count = tf.Variable(1.0, name="count")

    @tf.function(input_signature=[tf.TensorSpec((None, 6))])
    def function(x):
        count.assign_add(1.0)
        return x * count

    with pytest.raises(UnsupportedLayerError, match="changes variables that it reads: 'count'"):
        lrpkeras.Analyzer(function.get_concrete_function())


def test_every_unknown_operation_is_named_with_its_place():
    @tf.function(input_signature=[tf.TensorSpec((None, 6))])
    def function(x):
        with tf.name_scope("first"):
            y = tf.sort(x)
        with tf.name_scope("second"):
            z = tf.cumsum(x, 1)
        with tf.name_scope("third"):
            return y + z + (x + tf.random.normal((6,)))

    with pytest.raises(UnsupportedLayerError) as error:
        lrpkeras.Analyzer(function.get_concrete_function())
    text = str(error.value)
    words = ("'first:TopKV2'", "'second:Cumsum'", "'third:AddV2'", "random")
    assert all(word in text for word in words), text


def test_a_folder_that_is_broken_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="could not be loaded"):
        lrpkeras.Analyzer(tmp_path)
    (tmp_path / "saved_model.pb").unlink()
    with pytest.raises(ModelError, match="nor the folder of a SavedModel"):
        lrpkeras.Analyzer(tmp_path)


def test_loading_a_saved_model_runs_no_python_of_it(tmp_path):
    """A Lambda layer's Python stays in the .keras file; its graph is all that is saved."""
    calls = []

    def noted(x):
        calls.append(x)
        return 2 * x

    model = keras.Sequential([keras.Input((4,)), layers.Lambda(noted), layers.Dense(2)])
    model.export(str(tmp_path / "model"), verbose=False)
    calls.clear()
    x = RNG.normal(size=(3, 4)).astype("float32")
    relevance = np.asarray(lrpkeras.Analyzer(tmp_path / "model", "zero")(x, 0))
    assert not calls
    assert_near(relevance, 2 * x * np.asarray(model.layers[-1].kernel)[:, 0], 1e-5)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(4, 3, use_bias=False, name="conv")
        self.norm = layers.BatchNormalization(name="norm")
        self.top = layers.Dense(3, name="top")

    def call(self, image, training=False):
        y = tf.nn.relu(self.norm(self.conv(image), training=training))
        return self.top(tf.reduce_mean(y, axis=(1, 2)))


def test_a_subclassed_model_is_explained_as_its_functional_twin():
    model = Subclassed()
    x = RNG.normal(size=(2, 9, 9, 2)).astype("float32")
    with pytest.raises(ModelError, match="call it once on data"):
        lrpkeras.Analyzer(model)
    model(x)
    randomized(model)
    inputs = keras.Input((9, 9, 2))
    y = layers.ReLU()(model.norm(model.conv(inputs)))
    twin = keras.Model(inputs, model.top(layers.GlobalAveragePooling2D()(y)))
    got = lrpkeras.Analyzer(model)
    assert_near(np.asarray(got(x)), np.asarray(lrpkeras.Analyzer(twin)(x)), 1e-6)
    assert {"conv", "norm", "top"} <= got.graph.places.keys(), list(got.graph.places)


def test_several_inputs_and_outputs_go_by_name(tmp_path):
    one, two = keras.Input((4,), name="one"), keras.Input((3,), name="two")
    y = layers.Concatenate()([one, layers.Dense(2)(two)])
    model = keras.Model([one, two], [layers.Dense(2, name="a")(y), layers.Dense(1, name="b")(y)])
    model.export(str(tmp_path / "model"), verbose=False)
    data = [RNG.normal(size=(3, 4)).astype("float32"), RNG.normal(size=(3, 3)).astype("float32")]
    with pytest.raises(ModelError, match="2 outputs"):
        lrpkeras.Analyzer(tmp_path / "model")
    analyzer = lrpkeras.Analyzer(tmp_path / "model", "zero", output="a")
    named = dict(zip([spec.name for spec in analyzer._source.inputs], data, strict=True))
    expected = lrpkeras.Analyzer(model, "zero", output="a")(data, 1)
    got = analyzer(named, 1)
    for name, value in zip(named, expected, strict=True):
        assert_near(np.asarray(got[name]), np.asarray(value), 1e-5)


def test_tensors_that_are_handed_on_under_other_names_are_read_by_all():
    kernel, shift = RNG.normal(size=(4, 3)), RNG.normal(size=3)

    def function(x):
        y = x @ kernel
        return (tf.identity(y) + shift) * tf.sigmoid(y) + tf.identity(y)

    x = RNG.normal(size=(2, 4))
    analyzer = lrpkeras.Analyzer(concrete(function, 4), "input_x_gradient")
    assert_near(np.asarray(analyzer(x, 0)), by_tape(function, x, 0), 1e-12)


def concrete(function, *shapes):
    specs = [tf.TensorSpec((None, *np.atleast_1d(shape)), tf.float64) for shape in shapes]
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def test_inputs_go_by_name_in_whatever_order_the_function_takes_them():
    kernel = RNG.normal(size=(4, 3))
    one, two = RNG.normal(size=(2, 2, 4))
    analyzer = lrpkeras.Analyzer(concrete(lambda zz, aa: zz @ kernel + aa**2 @ kernel, 4, 4))
    expected = one @ kernel + two**2 @ kernel
    for given in ([one, two], {"aa": two, "zz": one}, {"zz": one, "aa": two}):
        assert_near(analyzer.explain(given).output, expected, 1e-12)


def test_weights_of_one_and_zero_leave_their_nodes():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5), layers.LayerNormalization(), layers.Dense(2)]
    )
    analyzer = lrpkeras.Analyzer(traced(model), "epsilon")
    x = RNG.normal(size=(2, 4)).astype("float32")
    assert_near(relevance(analyzer, x), relevance(lrpkeras.Analyzer(model, "epsilon"), x))
    model.layers[1].gamma.assign(np.zeros(5))
    lrpkeras.Analyzer(traced(model))
    randomized(model)
    analyzer.refresh()
    assert_near(relevance(analyzer, x), relevance(lrpkeras.Analyzer(model, "epsilon"), x))


def traced(model):
    spec = tf.TensorSpec((None, *model.input_shape[1:]))
    function = tf.function(lambda x: model(x, training=False))
    return function.get_concrete_function(spec)


def test_a_tape_through_a_function_changes_nothing():
    kernel = tf.Variable(RNG.normal(size=(4, 3)))
    function = concrete(lambda x: tf.nn.relu(x @ kernel) * 2.0, 4)
    x = RNG.normal(size=(2, 4))
    analyzer = lrpkeras.Analyzer(function)
    expected = relevance(analyzer, x)
    with tf.GradientTape() as tape:
        y = function(tf.constant(x))
    tape.gradient(y, kernel)
    analyzer.refresh()
    assert_near(relevance(analyzer, x), expected, 1e-12)
    assert_near(relevance(lrpkeras.Analyzer(function), x), expected, 1e-12)


def test_no_variable_changes_when_an_analyzer_is_built():
    count = tf.Variable(0.0)
    kernel = RNG.normal(size=(4, 3))

    def counting(x):
        count.assign_add(1.0)
        return x @ kernel

    x = RNG.normal(size=(2, 4))
    assert_near(lrpkeras.Analyzer(concrete(counting, 4)).explain(x).output, x @ kernel, 1e-12)
    assert count.numpy() == 0


CHANGES = {
    "scatter": lambda v: v.scatter_nd_update([[0]], [5.0]),
    "slice": lambda v: v[:1].assign([5.0]),
    "in a branch": lambda v: tf.cond(v[0] > 0, lambda: v[:1].assign([5.0])[0], lambda: v[0]),
    "by another name": lambda v: tf.raw_ops.AssignAddVariableOp(
        resource=tf.identity(v.handle), value=tf.ones(3, tf.float64)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_variable_that_is_read_is_refused(change):
    scale = tf.Variable([1.0, 2.0, 3.0], dtype=tf.float64)

    def changing(x):
        CHANGES[change](scale)
        return x * scale

    with pytest.raises(UnsupportedLayerError, match="changes variables that it reads"):
        lrpkeras.Analyzer(concrete(changing, 3))
    assert scale.numpy()[0] == 1


def test_reading_is_no_change():
    scale, count = tf.Variable([1.0, 2.0, 3.0], dtype=tf.float64), tf.Variable(0)

    def reading(x):
        tf.cond(scale[0] > 5, lambda: tf.print(scale), lambda: tf.print("", end=""))
        count.assign_add(1)
        return x * scale.read_value_no_copy()

    x = RNG.normal(size=(2, 3))
    assert_near(lrpkeras.Analyzer(concrete(reading, 3)).explain(x).output, x * [1, 2, 3], 1e-12)


def test_slopes_are_weights_whatever_their_value():
    inputs = keras.Input((4, 3))
    x = layers.PReLU(name="each")(layers.PReLU(shared_axes=[1, 2], name="one")(inputs))
    model = keras.Model(inputs, layers.Flatten()(x))
    x = RNG.normal(size=(2, 4, 3)).astype("float32")
    analyzer = lrpkeras.Analyzer(traced(model), "gradient")
    for value in (0.0, 0.5, 2.0):
        for variable in model.variables:
            variable.assign(np.full(variable.shape, value))
        analyzer.refresh()
        assert_near(relevance(analyzer, x), relevance(lrpkeras.Analyzer(model, "gradient"), x))
    assert [n.function.name for n in analyzer.graph if n.kind == "Activation"] == ["prelu"] * 2


def test_none_among_outputs_is_nothing():
    kernel = RNG.normal(size=(4, 3))
    x = RNG.normal(size=(2, 4))
    for function in (
        lambda x: (None, x @ kernel),
        lambda x: {"a": None, "y": x @ kernel},
        lambda x: {"a": (x, x), "y": x @ kernel},
    ):
        analyzer = lrpkeras.Analyzer(concrete(function, 4), output=-1)
        assert_near(analyzer.explain(x).output, x @ kernel, 1e-12)


@pytest.mark.parametrize(
    ("equation", "shape", "axes"),
    [("abc,cde->abde", (5, 3, 4), "de"), ("abc,cde->abde", (5, 3, 4), "e"),
     ("abc,cd->abd", (5, 3), "b"), ("abc,cd->adb", (3, 5), "d")],
)  # fmt: skip
def test_an_einsum_keeps_its_bias(equation, shape, axes, tmp_path):
    with float64(inputs=True):
        inputs = keras.Input((5, 8))
        x = layers.EinsumDense(equation, shape, bias_axes=axes, activation="relu")(inputs)
        model = randomized(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
        assert_saved_as_kept(model, "export", tmp_path, 1e-9)


def test_a_bias_that_widens_is_none():
    kernel, shift = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))

    def function(x):
        return tf.reduce_sum(tf.nn.relu(tf.einsum("bti,io->bto", x, kernel) + shift), 1)

    x = RNG.normal(size=(2, 1, 4))
    analyzer = lrpkeras.Analyzer(concrete(function, (1, 4)), "input_x_gradient")
    assert_near(np.asarray(analyzer(x, 0)), by_tape(function, x, 0), 1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.where(x > 0, x, 0.01 * x),
        lambda x: x * tf.sigmoid(1.702 * x),
        lambda x: tf.nn.relu(x) + 0.008 * tf.tanh(x),
        lambda x: tf.nn.relu(x - 0.008),
    ],
)
def test_half_precision_tells_functions_apart(function):
    made = tf.function(lambda x: tf.cast(function(tf.cast(x, "bfloat16")), "float32"))
    analyzer = lrpkeras.Analyzer(
        made.get_concrete_function(tf.TensorSpec((None, 3))), "gradient", verify=False
    )
    x = np.array([[-2.0, 0.5, 3.0], [-0.25, 1.0, -7.0]], "float32")
    got = analyzer(x, lambda y: y > -1e9).numpy()
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        value = tf.reduce_sum(function(tensor))
    np.testing.assert_allclose(got, tape.gradient(value, tensor), atol=4e-3)


def test_class_numbers_beside_logits_are_left_out():
    kernel = RNG.normal(size=(4, 3))
    function = concrete(lambda x: {"class": tf.argmax(x @ kernel, -1), "y": x @ kernel}, 4)
    x = RNG.normal(size=(2, 4))
    assert_near(lrpkeras.Analyzer(function).explain(x).output, x @ kernel, 1e-12)


def table():
    pairs = tf.lookup.KeyValueTensorInitializer([0, 1], tf.constant([1.0, 2.0], tf.float64))
    return tf.lookup.StaticHashTable(pairs, tf.constant(0.0, tf.float64))


def of_two(x):
    return tf.reshape(x, (1, 4)) * 2.0


def exactly_two():
    return tf.function(of_two).get_concrete_function(tf.TensorSpec((1, 4)))


def with_table():
    values = table()
    return concrete(lambda x: x * values.lookup(tf.constant([0, 1])), 2)


def with_a_switch():
    spec = tf.TensorSpec((None, 2)), tf.TensorSpec((), tf.bool)
    return tf.function(lambda x, on: tf.where(on, x, 0.0)).get_concrete_function(*spec)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (exactly_two, ModelError, "batches of exactly 1: trace"),
        (with_table, UnsupportedLayerError, "a table, or another resource"),
        (with_a_switch, ModelError, "is one number, not a batch"),
        (lambda: concrete(lambda x: tf.argmax(x, -1), 3), ModelError, "floating type"),
        (lambda: concrete(lambda x: tf.nn.softmax(x) * 2.0, 3), UnsupportedLayerError,
         "'[^']*': softmax inside the network"),
    ],
)  # fmt: skip
def test_what_a_function_may_not_be_is_said(make, error, message):
    with pytest.raises(error, match=message):
        lrpkeras.Analyzer(make())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_explained_with_the_weights_as_they_are_kept(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((6, 6, 3))
        x = layers.LayerNormalization()(layers.Conv2D(4, 3, padding="same")(inputs))
        x = layers.Lambda(tf.nn.gelu, name="own")(layers.BatchNormalization()(x))
        x = layers.Activation("hard_silu")(layers.Conv2D(3, 3)(x))
        model = randomized(
            keras.Model(inputs, layers.Dense(2, dtype="float32")(layers.Flatten()(x)))
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert_saved_as_kept(model, "export", tmp_path, 1e-5)
