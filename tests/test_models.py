"""Whole models of every make, in float64: `zero` is input x gradient, and ledgers close."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from linear_layers import float64, randomized

import lrpkeras


def image(*shape):
    return keras.Input(shape, dtype="float64")


def conv1d():
    inputs = image(12, 3)
    x = layers.Conv1D(4, 3, padding="causal", activation="relu")(inputs)
    x = layers.BatchNormalization()(layers.Conv1D(4, 3, strides=2, padding="same")(x))
    x = layers.MaxPooling1D()(layers.ReLU()(x))
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))


def conv3d():
    inputs = image(5, 6, 5, 2)
    x = layers.Conv3D(3, 2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv3D(3, 2, strides=(2, 2, 1), activation="relu")(x)
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling3D()(x))


def u_net():
    inputs = image(8, 8, 2)
    down = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    deep = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.MaxPooling2D()(down))
    up = layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu")(deep)
    x = layers.Concatenate()([down, up, layers.UpSampling2D()(deep)])
    return inputs, layers.Conv2D(3, 1)(layers.BatchNormalization()(layers.ReLU()(x)))


def pre_activated():
    """BatchNormalization after a sum, folded through its ReLU into what follows."""
    inputs = image(6, 6, 3)
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same")(y)])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))


def separable():
    """Separable and grouped convolutions, `same` pooling, a sum that no ReLU follows."""
    inputs = image(7, 6, 4)
    x = layers.SeparableConv2D(6, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.MaxPooling2D(3, 2, padding="same")(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Add()([y, layers.Conv2D(6, 1, strides=2, groups=2, padding="same")(x)])
    return inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(x))


def rescaled():
    inputs = image(6, 6, 3)
    x = layers.Rescaling(0.5, offset=-0.3)(inputs)
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(layers.ZeroPadding2D()(x))
    return inputs, layers.Dense(3)(layers.Flatten()(layers.Cropping2D(((0, 1), (1, 0)))(x)))


def operators():
    """Operators between layers, branches by slicing, maximum of two branches."""
    inputs = image(6, 4)
    left, right = inputs[:, :, :2], inputs[:, :, 2:] * 2.0 - 1.0
    x = ops.maximum(layers.Dense(4)(left), layers.Dense(4)(right)) + layers.Dense(4)(inputs) / 3.0
    x = ops.transpose(ops.relu(x), (0, 2, 1))
    return inputs, layers.Dense(3)(ops.reshape(x, (-1, 24)))


def shared():
    """A layer called three times, once on its own output."""
    inputs = image(6)
    layer = layers.Dense(6, activation="relu")
    return inputs, layers.Dense(3)(layers.Add()([layer(layer(inputs)), layer(inputs)]))


MODELS = {
    f.__name__: f
    for f in (conv1d, conv3d, u_net, pre_activated, separable, rescaled, operators, shared)
}


def made(function):
    with float64():
        return randomized(keras.Model(*function()))


def batch_for(model, count=3):
    shape = (count, *model.inputs[0].shape[1:])
    return np.random.default_rng(5).normal(size=shape)


def input_x_gradient(model, inputs, target):
    tensors = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        explained = tf.reduce_sum(model(tensors if len(tensors) > 1 else tensors[0])[..., target])
    return [x * g.numpy() for x, g in zip(inputs, tape.gradient(explained, tensors), strict=True)]


def close(got, want, tolerance=1e-8):
    assert tuple(got.shape) == tuple(want.shape)
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


@pytest.mark.parametrize("name", MODELS)
def test_zero_is_input_x_gradient(name):
    model = made(MODELS[name])
    x = batch_for(model)
    close(lrpkeras.Analyzer(model, "zero")(x, 1), input_x_gradient(model, [x], 1)[0])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat"])
def test_the_ledger_closes_and_the_forward_pass_is_the_models(name, preset):
    model = made(MODELS[name])
    check = lrpkeras.Analyzer(model, preset).check(batch_for(model), 2)
    assert check.closes, str(check)
    assert check.fidelity < 1e-12
    assert check.start == pytest.approx(check.inputs + sum(check.sinks.values()), rel=1e-9)


def siamese():
    a, b = image(6, 6, 1), image(6, 6, 1)
    tower_input = image(6, 6, 1)
    x = layers.Conv2D(3, 3, use_bias=False)(tower_input)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    tower = keras.Model(tower_input, layers.Flatten()(x), name="tower")
    return [a, b], layers.Dense(2)(layers.Subtract()([tower(a), tower(b)])), tower


def test_towers_that_share_weights_each_get_the_relevance_of_their_input():
    with float64():
        inputs, outputs, _ = siamese()
        model = randomized(keras.Model(inputs, outputs))
    x = [batch_for(model), batch_for(model)[::-1]]
    for got, want in zip(
        lrpkeras.Analyzer(model, "zero")(x, 0), input_x_gradient(model, x, 0), strict=True
    ):
        close(got, want)


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon"])
def test_shared_towers_are_as_two_towers_of_equal_weights(preset):
    with float64():
        inputs, outputs, tower = siamese()
        model = randomized(keras.Model(inputs, outputs))
        (a, b), twins = inputs, [keras.models.clone_model(tower) for _ in range(2)]
        for index, twin in enumerate(twins):
            twin.set_weights(tower.get_weights())
            twin.name = f"twin{index}"
        head = layers.Dense(2)
        split = keras.Model(inputs, head(layers.Subtract()([twins[0](a), twins[1](b)])))
        head.set_weights(model.layers[-1].get_weights())
    x = [batch_for(model), batch_for(model)[::-1]]
    explained = [lrpkeras.Analyzer(m, preset)(x, 1) for m in (model, split)]
    for got, want in zip(*explained, strict=True):
        close(got, want.numpy(), 1e-12)


def blocks(nest):
    """Two blocks and a head, each block flat or a model of its own, one inside the other."""

    def block(x, filters, inner=None):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        return x if inner is None else inner(x)

    def second(x):
        return block(x, 4) if nest == "flat" else nested((6, 6, 3), lambda y: block(y, 4))(x)

    def nested(shape, function):
        if nest == "sequential":
            return keras.Sequential([image(*shape), keras.Model(*_in_out(shape, function))])
        return keras.Model(*_in_out(shape, function))

    def _in_out(shape, function):
        x = image(*shape)
        return x, function(x)

    inputs = image(6, 6, 2)
    first = lambda x: block(x, 3, second)  # noqa: E731 - handed on, never named in a traceback
    x = first(inputs) if nest == "flat" else nested((6, 6, 2), first)(inputs)
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("nest", ["functional", "sequential"])
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat"])
def test_nested_models_are_explained_as_the_flat_one(nest, preset):
    with float64():
        flat, deep = (keras.Model(*blocks(kind)) for kind in ("flat", nest))
    randomized(flat)
    deep.set_weights(flat.get_weights())
    x = batch_for(flat)
    close(deep(x).numpy(), flat(x).numpy(), 1e-12)
    got, want = (lrpkeras.Analyzer(m, preset).check(x, 1) for m in (deep, flat))
    assert [e.incoming for e in got.entries] == pytest.approx([e.incoming for e in want.entries])
    close(lrpkeras.Analyzer(deep, preset)(x, 1), lrpkeras.Analyzer(flat, preset)(x, 1), 1e-12)


def test_images_of_any_size_are_explained_by_one_trace():
    with float64():
        inputs = image(None, None, 3)
        x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
        x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(
            layers.MaxPooling2D()(x)
        )
        model = randomized(keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    analyzer = lrpkeras.Analyzer(model, "zero")
    for size in ((12, 12), (9, 14)):
        x = np.random.default_rng(0).normal(size=(2, *size, 3))
        close(analyzer(x, 1), input_x_gradient(model, [x], 1)[0])
    assert analyzer.concrete_function().structured_input_signature[0][0][0].shape[1] is None


def test_a_float64_model_of_a_float32_input_passes_its_own_check():
    """The policy alone was set: the model itself rounds its input to float32."""
    with float64():
        model = randomized(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    assert model.inputs[0].dtype == "float32"
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    got = lrpkeras.Analyzer(model, "zero")(x, 1)
    close(got, x * model.layers[-1].get_weights()[0][:, 1])


def test_a_mixed_precision_model_is_explained_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomized(keras.Sequential([keras.Input((4,)), layers.Dense(3, use_bias=False)]))
    finally:
        keras.config.set_dtype_policy(before)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    got = lrpkeras.Analyzer(model, "zero")(x, 1)
    assert got.dtype == "float32"
    close(got, x * model.layers[-1].get_weights()[0][:, 1], 1e-6)
