"""What cannot be explained is refused before any work, in words that say what to do."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import lrpkeras
from lrpkeras.errors import InputError, LrpError, ModelError, RuleError, UnsupportedLayerError
from lrpkeras.rules import Box, Epsilon, ZPlus

X = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool")(layers.Conv2D(4, 3, activation="relu", name="conv2")(x))
    return keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))


@pytest.fixture(scope="module")
def analyzer(model):
    return lrpkeras.Analyzer(model)


@pytest.fixture(scope="module")
def of_two():
    a, b = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    return lrpkeras.Analyzer(keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b]))))


def with_one(value):
    bad = X.copy()
    bad[1, 2, 3, 0] = value
    return bad


INPUTS = [
    (X[0], r"'image' has shape \(8, 8, 3\).*\(samples, 8, 8, 3\).*batch axis"),
    (X[None], r"has shape \(1, 3, 8, 8, 3\)"),
    (np.float32(3), r"has shape \(\)"),
    (X[:, :7], r"has shape \(3, 7, 8, 3\).*Resize"),
    (X[..., :1], r"has shape \(3, 8, 8, 1\)"),
    (X.astype(str), "numbers are needed"),
    (X.astype("complex64"), "complex64; numbers are needed"),
    (X.astype(object), "object; numbers are needed"),
    (np.full(3, np.datetime64("2020-01-01")), "numbers are needed"),
    (tf.constant(["a", "b"]), "numbers are needed"),
    (tf.constant(X, "complex64"), "numbers are needed"),
    ("photo.jpg", "numbers are needed"),
    (None, "numbers are needed"),
    ((x for x in X), r"is a generator.*read once: give an array.*from_generator"),
    ([X[0], X[1, :4]], "rows differ in length"),
    (with_one(np.nan), "holds 1 NaN or infinite"),
    (with_one(np.inf), "holds 1 NaN or infinite"),
    (tf.constant(with_one(-np.inf)), "holds 1 NaN or infinite"),
    (np.full((1, 8, 8, 3), 1e300), "192 .*in float32"),
    (with_one(np.nan).astype("float16"), "holds 1 NaN or infinite"),
    (tf.cast(with_one(np.nan), "bfloat16"), "holds 1 NaN or infinite"),
    (X[:0], "'image' is empty"),
    ({"photo": X}, "named 'image'; the dict has 'photo'"),
    ({}, "the dict has nothing"),
    ([X, X], "has shape|rows differ"),
]


@pytest.mark.parametrize(("x", "words"), INPUTS)
@pytest.mark.parametrize("way", ["__call__", "explain", "check"])
def test_input_that_does_not_fit_is_refused(analyzer, x, words, way):
    with pytest.raises(InputError, match=words):
        getattr(analyzer, way)(x)


@pytest.mark.parametrize("way", ["__call__", "check"])
def test_datasets_are_sent_to_explain(analyzer, way):
    with pytest.raises(InputError, match=r"analyzer\.explain\(dataset\)"):
        getattr(analyzer, way)(tf.data.Dataset.from_tensors(X))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X, r"takes 2 inputs \(left, right\)"),
        ([X], "takes 2 inputs"),
        ([np.ones((4, 3)), np.ones((5, 2))], r"different numbers of samples: \[4, 5\]"),
        ([np.ones((4, 3)), np.ones((4, 3))], r"'right' has shape \(4, 3\)"),
        ([np.ones((4, 2)), np.ones((4, 3))], r"'left' has shape \(4, 2\)"),
        ({"left": np.ones((4, 3))}, "named 'left', 'right'; the dict has 'left'"),
        ([np.ones((4, 3)), np.full((4, 2), np.nan)], "'right' holds 8 NaN"),
    ],
)
def test_several_inputs_that_do_not_fit_are_refused_by_name(of_two, x, words):
    with pytest.raises(InputError, match=words):
        of_two(x)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tf.data.Dataset.from_tensor_slices(X), r"has shape \(8, 8, 3\).*\.batch"),
        (tf.data.Dataset.from_tensor_slices(X[:0]).batch(2), "dataset is empty"),
        (tf.data.Dataset.from_tensor_slices(with_one(np.nan)).batch(2), "NaN"),
        (tf.data.Dataset.from_tensor_slices(X[:, :5]).batch(2), r"has shape \(2, 5, 8, 3\)"),
    ],
)
def test_datasets_that_do_not_fit_are_refused(analyzer, data, words):
    with pytest.raises(InputError, match=words):
        analyzer.explain(data, verbose=0)


def test_input_outside_of_the_stated_range_is_refused(model):
    analyzer = lrpkeras.Analyzer(model, input_range=(0, 1))
    with pytest.raises(InputError, match=r"outside of input_range=\(0.*rescale it"):
        analyzer(np.abs(X) * 255)
    assert np.isfinite(analyzer(np.clip(X, 0, 1))).all()


def test_whole_numbers_are_needed_where_the_model_takes_such():
    inputs = keras.Input((2,), dtype="uint8", name="image")
    model = keras.Model(inputs, layers.Dense(2)(layers.Rescaling(1 / 255)(inputs)))
    analyzer = lrpkeras.Analyzer(model, verify=False)
    for wrong in ([[0.5, 1]], [[-1, 0]], [[256, 0]]):
        with pytest.raises(InputError, match="'image' is of type uint8.*whole"):
            analyzer(np.array(wrong, "float32"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"preset": "epsilon_pluss"},
            "Unknown preset 'epsilon_pluss'; did you mean 'epsilon_plus'",
        ),
        ({"preset": "lrp"}, "Unknown preset 'lrp'.*Known: .*epsilon_plus_flat"),
        ({"preset": 3}, "a name or a Preset"),
        ({"preset": "epsilon_plus_box"}, r"needs low and high.*input_range=\(low, high\)"),
        ({"preset": "epsilon_plus_box", "input_range": (1, 0)}, "low < high"),
        ({"input_range": (0, 0)}, "low < high"),
        ({"input_range": 255}, "low < high"),
        ({"input_range": ("black", "white")}, "low < high"),
        ({"input_range": (0, np.inf)}, "input_range"),
        ({"input_range": (np.nan, 1)}, "low < high"),
        ({"rules": {"first": Box(1.0, 0.0)}}, "low must not be greater than high"),
        ({"rules": {"conv2": Box(0.0, 1.0)}}, "'conv2'.*put it at 'first'"),
        ({"rules": {"first": Box(np.zeros(5), 1.0)}}, r"shape \(5,\) do not broadcast"),
        ({"rules": {"conv3": ZPlus()}}, "'conv3'.*did you mean .*'conv2'"),
        ({"rules": {"frist": ZPlus()}}, "'frist'.*did you mean 'first'"),
        ({"rules": {layers.Conv3D: ZPlus()}}, "matches no layer"),
        ({"rules": {"pool": ZPlus()}}, "'pool'.*MaxPool"),
        ({"rules": {"conv1": "z_plus"}}, "'z_plus', not a rule"),
        ({"rules": {"conv1": ZPlus}}, "not a rule"),
        ({"rules": {0: ZPlus()}}, "0 is no place for a rule"),
        ({"rules": {("conv1", "conv2"): ZPlus()}}, "is no place for a rule"),
        ({"rules": "epsilon"}, r"list of pairs \(where, rule\)"),
        ({"rules": Epsilon()}, r"list of pairs \(where, rule\)"),
        ({"rules": {(0.9, 0.2): ZPlus()}}, "0 <= low <= high <= 1"),
        ({"batch_norm": "foo"}, "batch_norm='foo' is not known.*'fold'"),
        ({"initial": "foo"}, "initial='foo' is not known.*'contrast'"),
        ({"bias": "foo"}, "bias='foo' is not known"),
        ({"precision": "int8"}, "precision='int8' is not known"),
        ({"jit_compile": "yes"}, "jit_compile='yes' is not known"),
        ({"verify": "twice"}, "verify='twice' is not known"),
        ({"output": "conv3"}, "'conv3' names no layer.*did you mean .*'conv2'"),
        ({"output": 1}, "output=1, but the model has 1 output"),
        ({"output": 1.5}, "output=1.5"),
        ({"output": ["head"]}, "output="),
    ],
)
def test_options_that_mean_nothing_are_refused_with_those_that_do(model, options, words):
    with pytest.raises((RuleError, InputError), match=words):
        lrpkeras.Analyzer(model, **options)


class Doubled(layers.Dense):
    """Inherits everything from Dense but what it computes."""

    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs)


class Sorted(layers.Dense):
    def call(self, inputs):
        return tf.sort(super().call(inputs))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def of(function, shape=(4, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def quantized():
    model = of(layers.Dense(4, name="dense"))
    model.get_layer("dense").quantize("int8")
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: keras.Sequential([layers.Dense(3)]), r"not built.*keras\.Input"),
        (lambda: Subclassed(), "call it once on data"),
        (lambda: layers.Dense(3), r"keras\.Model"),
        (lambda: None, r"keras\.Model"),
        (lambda: of(layers.Lambda(tf.sort, name="mine")), "'mine'.*Lambda.*TopKV2"),
        (lambda: of(Sorted(3, name="mine")), r"'mine'.*`call`.*TopKV2.*register_layer\(Sorted"),
        (quantized, "'dense'.*quantized"),
        (
            lambda: of(lambda x: layers.Dropout(0.5, name="d")(x, training=True)),
            "'d'.*training=True",
        ),
        (
            lambda: of(lambda x: layers.BatchNormalization(name="bn")(x, training=True)),
            "'bn'.*training=True",
        ),
        (
            lambda: of(lambda x: layers.GlobalAveragePooling1D(name="mean")(layers.Masking()(x))),
            "'mean'.*mask",
        ),
        (
            lambda: of(lambda x: layers.MultiHeadAttention(1, 2, name="look")(x, x)),
            "'look'.*attention",
        ),
        (
            lambda: of(lambda x: layers.Dense(2)(layers.Softmax(name="soft")(x))),
            "'soft'.*softmax inside",
        ),
    ],
)
def test_models_that_cannot_be_read_are_refused_by_layer(make, words):
    with pytest.raises((ModelError, UnsupportedLayerError), match=words):
        lrpkeras.Analyzer(make())


def test_everything_in_the_way_is_named_in_one_error():
    def function(x):
        x = layers.Lambda(tf.sort, name="one")(x)
        x = Sorted(3, name="two")(layers.Dense(4)(x))
        return layers.Dropout(0.5, name="three")(x, training=True)

    with pytest.raises(LrpError) as error:
        lrpkeras.Analyzer(of(function))
    assert all(f"'{name}'" in str(error.value) for name in ("one", "two", "three"))


def test_a_layer_that_was_registered_is_explained_by_what_it_was_said_to_be():
    before = dict(lrpkeras.graph.lower.LOWERINGS)
    model = of(Doubled(2, use_bias=False, name="mine"), (3,))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    lrpkeras.register_layer(
        Doubled,
        lower=lambda layer, x: x.then(
            lrpkeras.graph.nodes.Linear,
            operation=lrpkeras.graph.operations.Dense(),
            kernel=3.0 * ops.convert_to_numpy(layer.kernel),
        ),
    )
    try:
        relevance = lrpkeras.Analyzer(model, "zero", verify=False)(x, 1)
    finally:
        lrpkeras.graph.lower.LOWERINGS.clear()
        lrpkeras.graph.lower.LOWERINGS.update(before)
    weights = model.get_layer("mine").get_weights()[0][:, 1]
    np.testing.assert_allclose(relevance, 3 * x * weights, rtol=1e-5)
    # Not registered, it is traced.
    traced = lrpkeras.Analyzer(model, "zero")(x, 1)
    np.testing.assert_allclose(traced, 2 * x * weights, rtol=1e-5)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy, copy.copy])
def test_an_analyzer_is_neither_pickled_nor_copied(analyzer, copied):
    with pytest.raises(TypeError, match=r"compiled graphs.*from_config\(config, model\)"):
        copied(analyzer)
