"""`fold_batch_norm`: a plain Keras model that predicts the same with fewer normalizations."""

import keras
import linear_layers
import numpy as np
import pytest
from keras import layers

import lrpkeras
from lrpkeras.errors import ModelError, UnsupportedLayerError
from lrpkeras.graph.walk import functional

BN = layers.BatchNormalization
CONV = {"padding": "same", "use_bias": False}


def chain(shape, *stack, name=None):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x, name=name)


def structure(model):
    """The inputs of a model, nested as it takes them."""
    return functional(model)._inputs_struct


def norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, BN)]


def names(model):
    return [layer.name for layer in model.layers]


def state(model):
    """All that a user could find changed: weights, configuration, calls, flags."""
    parts = list(model._flatten_layers())
    functionals = [p._functional if isinstance(p, keras.Sequential) else p for p in parts]
    operations = [
        operation for model in functionals for operation in getattr(model, "operations", ())
    ]
    calls = [len(operation._inbound_nodes) for operation in (*parts, *operations)]
    calls += [len(operation._outbound_nodes) for operation in (*parts, *operations)]
    flags = [(p.trainable, p.dtype_policy.name, p.built, p.name) for p in parts]
    weights = [np.asarray(keras.ops.convert_to_numpy(v)).tobytes() for v in model.variables]
    return weights, model.to_json(), calls, flags


@pytest.fixture
def folded(batch, close, randomize):
    """Fold a model and check what holds for every one; return the new model."""

    def fold(model, tolerance=1e-12):
        randomize(model)
        inputs = keras.tree.pack_sequence_as(structure(model), batch(model, (7, 6)))
        expected = model(inputs, training=False)
        before = state(model)
        new = lrpkeras.fold_batch_norm(model)
        assert state(model) == before
        output = new(inputs, training=False)
        keras.tree.assert_same_structure(output, expected)
        for actual, wanted in zip(
            keras.tree.flatten(output), keras.tree.flatten(expected), strict=True
        ):
            close(actual, wanted, tolerance)
        keras.tree.assert_same_structure(structure(new), structure(model))
        assert new.name == model.name
        assert not {id(v) for v in new.variables} & {id(v) for v in model.variables}
        return new

    return fold


@pytest.fixture
def reloaded(tmp_path, batch, close):
    """Save a model and load it again: it must predict the same."""

    def check(model):
        model.save(tmp_path / "folded.keras")
        again = keras.models.load_model(tmp_path / "folded.keras")
        inputs = keras.tree.pack_sequence_as(structure(model), batch(model, (7, 6)))
        pairs = zip(
            keras.tree.flatten(again(inputs)), keras.tree.flatten(model(inputs)), strict=True
        )
        for actual, wanted in pairs:
            close(actual, wanted, 1e-15)

    return check


float64 = pytest.mark.usefixtures("float64")

EINSUM = layers.EinsumDense
LAYERS = {
    "dense": ((5,), lambda b: layers.Dense(4, use_bias=b)),
    "conv1d": ((9, 3), lambda b: layers.Conv1D(4, 3, strides=2, use_bias=b)),
    "conv2d": ((7, 6, 4), lambda b: layers.Conv2D(6, 3, groups=2, use_bias=b)),
    "conv2d-relu": ((7, 6, 4), lambda b: layers.Conv2D(6, 3, activation="relu", use_bias=b)),
    "conv3d": ((4, 5, 4, 2), lambda b: layers.Conv3D(3, 2, use_bias=b)),
    "depthwise1d": ((9, 3), lambda b: layers.DepthwiseConv1D(3, use_bias=b)),
    "depthwise2d": ((7, 6, 3), lambda b: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=b)),
    "separable1d": ((9, 3), lambda b: layers.SeparableConv1D(4, 3, use_bias=b)),
    "separable2d": ((7, 6, 3), lambda b: layers.SeparableConv2D(4, 3, use_bias=b)),
    "einsum": ((5, 3), lambda b: EINSUM("abc,cd->abd", (5, 4), bias_axes="d" if b else None)),
    "einsum-dots": ((5, 3), lambda b: EINSUM("...x,xy->...y", 4, bias_axes="y" if b else None)),
}
BEHIND_ONLY = {
    "conv2d-same": ((7, 6, 3), lambda b: layers.Conv2D(4, 3, padding="same", use_bias=b)),
    "conv1d-causal": ((9, 3), lambda b: layers.Conv1D(4, 3, padding="causal", use_bias=b)),
    "separable-same": (
        (7, 6, 3),
        lambda b: layers.SeparableConv2D(4, 3, padding="same", use_bias=b),
    ),
    "transposed1d": ((5, 3), lambda b: layers.Conv1DTranspose(4, 3, strides=2, use_bias=b)),
    "transposed2d": ((5, 4, 3), lambda b: layers.Conv2DTranspose(4, 3, strides=2, use_bias=b)),
    "transposed3d": ((3, 3, 3, 2), lambda b: layers.Conv3DTranspose(3, 2, use_bias=b)),
    "einsum-axes": (
        (5, 3),
        lambda b: EINSUM("abc,cde->abde", (5, 2, 4), bias_axes="e" if b else None),
    ),
}


@float64
@pytest.mark.parametrize("name", sorted({*LAYERS, *BEHIND_ONLY} - {"conv2d-relu"}))
def test_every_linear_layer_takes_the_norm_behind_it(name, folded):
    shape, make = (LAYERS | BEHIND_ONLY)[name]
    inputs, both = keras.Input(shape), (make(True), make(False))
    new = folded(keras.Model(inputs, [BN()(layer(inputs)) for layer in both]))
    assert not norms(new)
    assert [(type(x), x.name) for x in new.layers[1:]] == [(type(x), x.name) for x in both]


@float64
@pytest.mark.parametrize("name", LAYERS)
def test_every_linear_layer_without_padding_takes_the_norm_in_front_of_it(name, folded):
    shape, make = LAYERS[name]
    inputs = keras.Input(shape)
    outputs = [make(use_bias)(BN()(layers.ReLU()(inputs))) for use_bias in (True, False)]
    assert not norms(folded(keras.Model(inputs, outputs)))


@float64
@pytest.mark.parametrize("name", BEHIND_ONLY)
def test_a_norm_that_would_need_a_bias_map_or_has_no_layer_stays(name, folded):
    shape, make = BEHIND_ONLY[name]
    new = folded(chain(shape, BN(name="norm"), make(False)))
    assert names(new)[1] == "norm"


STAYS = {
    "before-relu": [lambda: BN(), lambda: layers.ReLU(), lambda: layers.Conv2D(4, 3)],
    "before-padding": [lambda: BN(), lambda: layers.ZeroPadding2D(1), lambda: layers.Conv2D(4, 3)],
    "at-the-output": [lambda: layers.ReLU(), lambda: BN()],
    "behind-a-fused-relu": [lambda: layers.Conv2D(4, 3, activation="relu"), lambda: BN()],
}


@float64
@pytest.mark.parametrize("name", STAYS)
def test_what_plain_layers_cannot_hold_stays(name, folded):
    assert len(norms(folded(chain((7, 6, 3), *(make() for make in STAYS[name]))))) == 1


@float64
def test_the_fold_goes_through_what_moves_and_averages(folded):
    stack = BN(), layers.Dropout(0.5), layers.AveragePooling2D(2), layers.Flatten()
    new = folded(chain((6, 6, 3), *stack, layers.Dense(4, use_bias=False)))
    assert not norms(new)
    assert len(new.layers) == 5


@float64
def test_norms_in_a_row_all_fold(folded):
    assert not norms(folded(chain((6, 6, 3), layers.Conv2D(4, 3), BN(), BN(), layers.ReLU())))
    assert not norms(folded(chain((6, 6, 3), layers.ReLU(), BN(), BN(), layers.Conv2D(4, 3))))


@float64
def test_both_sides_fold_into_one_convolution(folded):
    new = folded(chain((6, 6, 3), BN(), layers.Conv2D(4, 3, use_bias=False, name="conv"), BN()))
    assert names(new)[1:] == ["conv"]


@float64
def test_a_sequential_model_stays_sequential(folded, reloaded):
    stack = [layers.Conv2D(4, 3, **CONV), BN(), layers.ReLU(), layers.Flatten(), layers.Dense(2)]
    new = folded(keras.Sequential([keras.Input((6, 6, 3)), *stack], name="net"))
    assert type(new) is keras.Sequential
    assert not norms(new)
    assert len(new.layers) == 4
    reloaded(new)


@float64
def test_a_sequential_model_built_by_its_first_call_folds(randomize, batch, close):
    model = keras.Sequential([layers.Conv2D(4, 3), BN(), layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3))
    model(x)
    randomize(model)
    new = lrpkeras.fold_batch_norm(model)
    assert not norms(new)
    close(new(x), model(x))


@float64
def test_nested_models_stay_nested_at_any_depth(folded, reloaded):
    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 3, **CONV), BN()], name="in")
    middle = chain((6, 6, 3), inner, layers.ReLU(), layers.Conv2D(3, 3, **CONV), name="middle")
    outer = chain((6, 6, 3), middle, BN(), layers.ReLU(), layers.Flatten(), layers.Dense(2))
    new = folded(outer)
    assert not norms(new)
    assert names(new)[1] == "middle"
    assert names(new.get_layer("middle"))[1] == "in"
    reloaded(new)


@float64
def test_a_norm_alone_in_a_nested_model_folds_outside(folded, reloaded):
    for nested in (
        keras.Sequential([keras.Input((6, 6, 3)), BN()], name="nested"),
        chain((6, 6, 3), BN(), name="nested"),
    ):
        new = folded(chain((6, 6, 3), layers.ReLU(), nested, layers.Conv2D(4, 3)))
        assert not norms(new)
        reloaded(new)


def test_what_folding_leaves_empty_keeps_its_type(folded):
    with linear_layers.float64(inputs=True):
        nested = keras.Sequential([keras.Input((6, 6, 3)), BN()], name="nested")
        model = chain((6, 6, 3), layers.ReLU(), nested, layers.Conv2D(4, 3))
    folded(model)


@float64
def test_a_norm_inside_folds_into_a_convolution_outside_on_either_side(folded):
    nested = chain((6, 6, 3), BN(), layers.ReLU(), BN())
    model = chain((6, 6, 3), layers.Conv2D(3, 3, **CONV), nested, layers.Conv2D(2, 3))
    assert not norms(folded(model))


@float64
@pytest.mark.parametrize("shared_norm", [True, False])
def test_a_shared_convolution_with_a_norm_at_each_call(shared_norm, folded, reloaded):
    inputs = keras.Input((6, 6, 3))
    conv = layers.Conv2D(3, 3, name="conv", **CONV)
    first = BN()
    second = first if shared_norm else BN()
    x = second(conv(layers.ReLU()(first(conv(inputs)))))
    new = folded(keras.Model(inputs, x))
    assert not norms(new)
    convolutions = [layer.name for layer in new.layers if isinstance(layer, layers.Conv2D)]
    assert convolutions == (["conv"] if shared_norm else ["conv", "conv_2"])
    reloaded(new)


@float64
def test_a_shared_convolution_with_a_norm_at_one_call_only(folded, reloaded):
    inputs = keras.Input((6, 6, 3))
    conv = layers.Conv2D(3, 3, name="conv", **CONV)
    taken = layers.Dense(3, name="conv_2")
    x = taken(conv(layers.ReLU()(BN()(conv(inputs)))))
    new = folded(keras.Model(inputs, x))
    assert not norms(new)
    assert {"conv", "conv_2", "conv_3"} <= set(names(new))
    reloaded(new)


@float64
def test_a_norm_shared_by_two_calls_stays_where_it_cannot_fold(folded, reloaded):
    inputs = keras.Input((6, 6, 3))
    norm = BN(name="norm")
    x = norm(layers.Conv2D(3, 3, **CONV)(inputs))
    new = folded(keras.Model(inputs, norm(layers.ReLU()(x))))
    assert names(new)[-1] == "norm"
    assert len(new.get_layer("norm")._inbound_nodes) == 1
    reloaded(new)


@float64
def test_a_nested_model_called_twice_stays_one_where_both_calls_agree(folded, reloaded):
    stack = [keras.Input((6, 6, 3)), layers.Conv2D(3, 3, **CONV), BN(), layers.ReLU()]
    tower = keras.Sequential(stack, name="tower")
    inputs = keras.Input((6, 6, 3))
    new = folded(keras.Model(inputs, tower(tower(inputs))))
    assert not norms(new)
    assert names(new)[1:] == ["tower"]
    reloaded(new)


@float64
def test_a_nested_model_called_twice_becomes_two_where_the_calls_differ(folded, reloaded):
    kept = layers.Conv2D(3, 3, name="kept", **CONV)
    last = layers.Conv2D(3, 3, name="last", **CONV)
    tower = chain((6, 6, 3), kept, layers.ReLU(), last, name="tower")
    inputs = keras.Input((6, 6, 3))
    new = folded(keras.Model(inputs, tower(BN()(tower(inputs)))))
    assert not norms(new)
    assert names(new)[1:] == ["tower", "tower_2"]
    first, second = (new.get_layer(name) for name in ("tower", "tower_2"))
    assert names(first)[1:] == names(second)[1:] == names(tower)[1:]
    reloaded(new)


@float64
def test_a_convolution_read_twice_keeps_its_norm(folded):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 3, **CONV)(inputs)
    assert len(norms(folded(keras.Model(inputs, layers.Add()([BN()(x), x]))))) == 1


@float64
def test_several_convolutions_take_a_norm_together_or_not_at_all(folded):
    inputs = keras.Input((6, 6, 3))
    x = BN()(inputs)
    both = [layers.Conv2D(3, 3)(x), layers.Dense(2)(x)]
    assert not norms(folded(keras.Model(inputs, both)))
    x = BN()(inputs)
    one = [layers.Conv2D(3, 3)(x), layers.Conv2D(3, 3, padding="same")(x)]
    assert len(norms(folded(keras.Model(inputs, one)))) == 1


@float64
@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "single-in-a-list"])
def test_structures_of_inputs_and_outputs_stay(kind, folded, reloaded):
    a, b = keras.Input((6, 6, 3), name="a"), keras.Input((6, 6, 3), name="b")
    x = layers.ReLU()(BN()(layers.Conv2D(4, 3)(layers.Add()([a, b]) if kind[0] != "s" else a)))
    y = BN()(layers.Dense(2)(layers.Flatten()(x)))
    inputs = {"list": [a, b], "dict": {"a": a, "b": b}, "tuple": (a, b), "single-in-a-list": [a]}
    outputs = {"list": [x, y], "dict": {"maps": x, "logits": y}, "tuple": (x, y)}
    new = folded(keras.Model(inputs[kind], outputs.get(kind, [y])))
    assert not norms(new)
    reloaded(new)


@float64
def test_operations_between_layers_are_kept(folded, reloaded):
    inputs = keras.Input((6, 6, 3))
    x = BN()(layers.Conv2D(4, 3, **CONV)(inputs * 2.0 - 1.0))
    x = keras.ops.concatenate([x[:, 1:, ::2], keras.ops.relu(x)[:, 1:, ::2]], axis=-1)
    x = keras.ops.reshape(x, (-1, 5, 24))
    new = folded(keras.Model(inputs, keras.ops.mean(BN()(layers.Dense(3)(x)), axis=1)))
    assert not norms(new)
    reloaded(new)


@float64
def test_unknown_sizes_fold(folded):
    stack = layers.Conv2D(4, 3, strides=2, **CONV), BN(), layers.ReLU(), BN(), layers.Conv2D(2, 1)
    new = folded(chain((None, None, 3), *stack))
    assert not norms(new)
    assert new.input.shape == (None, None, None, 3)


def test_float32_is_close_and_policies_and_flags_stay(folded, reloaded):
    conv = layers.Conv2D(4, 3, name="conv", trainable=False, **CONV)
    frozen = keras.Sequential(
        [keras.Input((7, 6, 4)), layers.Conv2D(4, 3, **CONV), BN(), layers.ReLU()], name="frozen"
    )
    frozen.trainable = False
    frozen.layers[2].trainable = True
    half = layers.Activation("relu", dtype="float16", name="half")
    wide = layers.Dense(3, dtype="float64", name="wide")
    stack = conv, BN(), frozen, layers.Activation("relu", dtype="float32"), half
    model = chain((7, 6, 3), *stack, layers.Flatten(), layers.Dense(5), wide)
    new = folded(model, tolerance=1e-3)  # half precision on the way
    assert not new.get_layer("conv").trainable
    assert not new.get_layer("frozen").trainable
    inside = new.get_layer("frozen").layers
    assert [layer.trainable for layer in inside] == [False, True]
    assert new.get_layer("half").dtype_policy.name == "float16"
    assert new.get_layer("wide").dtype_policy.name == "float64"
    reloaded(new)


def test_float32_predictions_agree_to_1e_5(folded):
    stack = layers.Conv2D(8, 3, **CONV), BN(), layers.ReLU(), layers.SeparableConv2D(8, 3), BN()
    folded(chain((9, 9, 3), *stack, layers.Flatten(), layers.Dense(4)), tolerance=1e-5)


def test_mixed_precision_folds(folded):
    policy = {"dtype": "mixed_float16"}
    stack = layers.Conv2D(8, 3, **policy), BN(**policy), layers.Flatten(), layers.Dense(4, **policy)
    new = folded(chain((9, 9, 3), *stack), tolerance=2e-2)
    assert not norms(new)
    assert new.layers[1].dtype_policy.name == "mixed_float16"


@float64
def test_layers_that_cannot_be_explained_do_not_stop_the_others(folded, reloaded):
    inputs = keras.Input((9, 3))
    x = layers.ReLU()(BN()(layers.Conv1D(8, 3)(inputs)))
    x = layers.LayerNormalization()(x)
    x = BN(name="kept")(layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(4))(BN(name="too")(x))
    x = layers.Softmax()(x) * x
    new = folded(keras.Model(inputs, layers.Dense(2)(BN()(layers.ReLU()(x)))))
    assert [norm.name for norm in norms(new)] == ["kept", "too"]
    reloaded(new)


@float64
def test_norms_called_in_training_stay(folded):
    inputs = keras.Input((6, 6, 3))
    x = BN(name="live")(layers.Conv2D(4, 3)(inputs), training=True)
    stack = [keras.Input((4, 4, 4)), layers.Conv2D(4, 3), BN(name="inside")]
    x = layers.ReLU()(keras.Sequential(stack, name="tower")(x, training=True))
    new = folded(keras.Model(inputs, layers.Dense(2)(BN()(x))))
    assert {norm.name for norm in norms(new)} == {"live", "inside"}
    (call,) = new.get_layer("tower")._inbound_nodes
    assert call.arguments.kwargs == {"training": True}


@float64
def test_masks_are_kept(folded, reloaded):
    stack = layers.Masking(), layers.Dense(4), BN(), layers.ReLU(), layers.LSTM(3), layers.Dense(2)
    model = chain((5, 3), *stack)
    new = folded(model)
    assert not norms(new)
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    x[:, 3:] = 0.0
    np.testing.assert_allclose(new(x), model(x), rtol=1e-12)
    reloaded(new)


@float64
def test_statistics_of_normalization_are_copied(randomize, batch, close):
    model = chain((6, 6, 3), layers.Normalization(name="scale"), layers.Conv2D(4, 3), BN())
    randomize(model)
    model.get_layer("scale").adapt(np.random.default_rng(0).normal(2.0, 3.0, size=(20, 6, 6, 3)))
    new = lrpkeras.fold_batch_norm(model)
    (x,) = batch(model)
    close(new(x), model(x))


@float64
def test_a_low_rank_update_is_part_of_the_folded_kernel(folded, reloaded):
    updated = layers.Dense(4, use_bias=False)
    updated.build((None, 5))
    updated.enable_lora(2)
    untouched = layers.Dense(3)
    untouched.build((None, 4))
    untouched.enable_lora(2)
    new = folded(chain((5,), updated, BN(), layers.PReLU(), untouched))
    assert not norms(new)
    assert not new.layers[1].lora_enabled
    assert new.layers[-1].lora_enabled
    reloaded(new)


@float64
def test_a_subclass_that_computes_otherwise_keeps_its_norm(folded):
    @keras.saving.register_keras_serializable()
    class Doubled(layers.Dense):
        def call(self, inputs):
            return 2.0 * super().call(inputs) + keras.ops.square(inputs)

    assert len(norms(folded(chain((4,), Doubled(4), BN(), layers.ReLU())))) == 1


@float64
def test_a_subclass_that_computes_the_same_folds(folded):
    class Named(layers.Dense):
        pass

    new = folded(chain((4,), Named(4), BN(), layers.ReLU()))
    assert not norms(new)
    assert type(new.layers[1]) is Named


@float64
def test_a_layer_that_cannot_be_made_again_is_named():
    class Odd(layers.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, x):
            return self.factor * x

        def get_config(self):
            return {"name": self.name}

    model = chain((4,), Odd(2.0, name="strange"), layers.Dense(3), BN())
    with pytest.raises(UnsupportedLayerError, match=r"'strange' \(Odd\) cannot be made again"):
        lrpkeras.fold_batch_norm(model)


@float64
def test_a_model_without_norms_is_copied(folded):
    model = chain((6, 6, 3), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2))
    assert names(folded(model)) == names(model)


@float64
def test_a_second_fold_changes_nothing(folded):
    model = chain((6, 6, 3), layers.Conv2D(4, 3), BN(), layers.ReLU(), BN(), layers.ReLU())
    once = folded(model)
    assert folded(once).to_json() == once.to_json()


@float64
def test_an_analyzer_of_the_folded_model_agrees(folded, batch, close):
    stack = layers.Conv2D(4, 3, **CONV), BN(), layers.ReLU(), layers.Flatten(), layers.Dense(3)
    model = chain((6, 6, 3), *stack)
    new = folded(model)
    (x,) = batch(model)
    analyzers = [lrpkeras.Analyzer(m, "epsilon_plus") for m in (model, new)]
    first, second = (analyzer(x) for analyzer in analyzers)
    close(second, first, 1e-9)


def test_what_is_no_built_model_is_refused():
    with pytest.raises(ModelError, match="is not built"):
        lrpkeras.fold_batch_norm(keras.Sequential([layers.Dense(3), BN()]))
    with pytest.raises(ModelError, match=r"a keras\.Model is needed"):
        lrpkeras.fold_batch_norm(layers.Dense(3))


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UnsupportedLayerError, match="subclassed"):
        lrpkeras.fold_batch_norm(Own())
