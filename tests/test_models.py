"""Whole models of every make: `zero` is input x gradient, and ledgers close."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import rewritten, run
from keras import layers, ops
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras.errors import VerificationError


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


def bilinear_u_net():
    """Decoders that interpolate, in the middle and to the size of the input."""
    inputs = image(8, 8, 2)
    down = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    deep = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.AveragePooling2D(2)(down))
    up = layers.UpSampling2D(interpolation="bilinear")(deep)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Concatenate()([down, up])))
    x = layers.Resizing(4, 6)(layers.Conv2D(3, 3, padding="same")(x))
    return inputs, layers.Resizing(8, 8, interpolation="bicubic")(x)


def steps():
    """A network at every step in time, its features read by a series."""
    inputs = image(5, 6, 6, 2)
    step_input = image(6, 6, 2)
    x = layers.Conv2D(3, 3, padding="same", activation="relu")(step_input)
    x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    tower = keras.Model(step_input, layers.GlobalAveragePooling2D()(x))
    x = layers.TimeDistributed(layers.Dense(4, "relu"))(layers.TimeDistributed(tower)(inputs))
    return inputs, layers.Dense(3)(layers.Flatten()(layers.Conv1D(4, 3)(x)))


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
    for f in (
        conv1d,
        conv3d,
        u_net,
        bilinear_u_net,
        steps,
        pre_activated,
        separable,
        rescaled,
        operators,
        shared,
    )
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


# Of float32, after a few layers. Keras interpolates in it, whatever it is given.
SINGLE = 1e-5
TOLERANCES = {"bilinear_u_net": SINGLE}


@pytest.mark.parametrize("name", MODELS)
def test_zero_is_input_x_gradient(name):
    model = made(MODELS[name])
    x = batch_for(model)
    got = lrpkeras.Analyzer(model, "zero")(x, 1)
    close(got, input_x_gradient(model, [x], 1)[0], TOLERANCES.get(name, 1e-8))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat"])
def test_the_ledger_closes_and_the_forward_pass_is_the_models(name, preset):
    model = made(MODELS[name])
    check = lrpkeras.Analyzer(model, preset).check(batch_for(model), 2)
    assert check.closes, str(check)
    assert check.fidelity < TOLERANCES.get(name, 1e-12)
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


@pytest.mark.parametrize("name", ["u_net", "bilinear_u_net"])
def test_a_mask_of_pixels_is_explained_as_the_sum_of_these_pixels(name):
    """What a segmentation says of one object: an array on the output, zero elsewhere."""
    model = made(MODELS[name])
    x = batch_for(model)
    mask = np.zeros((3, 8, 8, 3))
    mask[:, 2:5, 3:7, 1] = 1.0
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        masked = tf.reduce_sum(model(tensor) * mask)
    expected = x * tape.gradient(masked, tensor).numpy()
    close(lrpkeras.Analyzer(model, "zero")(x, mask), expected, TOLERANCES.get(name, 1e-8))
    analyzer = lrpkeras.Analyzer(model, "epsilon_plus_flat")
    parts = [analyzer(x, mask * part) for part in (mask[:, ::-1], mask - mask[:, ::-1])]
    close(analyzer(x, mask), parts[0] + parts[1], 1e-12)


def test_a_u_net_of_any_size_is_explained():
    with float64():
        inputs = image(None, None, 2)
        x = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
        deep = layers.Conv2D(3, 3, padding="same", activation="relu")(layers.MaxPooling2D()(x))
        ups = [layers.UpSampling2D(interpolation=name)(deep) for name in ("nearest", "bilinear")]
        x = layers.Concatenate()([x, *ups, layers.Conv2DTranspose(2, 2, strides=2)(deep)])
        model = randomized(keras.Model(inputs, layers.Conv2D(3, 1)(x)))
    analyzer = lrpkeras.Analyzer(model, "zero", verify=False)
    for size in ((8, 8), (6, 10)):
        x = np.random.default_rng(0).normal(size=(2, *size, 2))
        close(analyzer(x, 1), input_x_gradient(model, [x], 1)[0], SINGLE)


def test_a_pretrained_network_under_a_new_head_is_explained():
    """Transfer learning: the network is one layer of a Sequential model.

    Its own input is of float32 whatever the policy, and so is the tape's gradient.
    """
    with float64():
        base = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
        head = [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(3)]
        model = keras.Sequential([base, *head])
    x = np.random.default_rng(1).normal(size=(1, 32, 32, 3)).astype("float32")
    graph = rewritten(model)
    assert "resnet50/conv2_block1_1_conv" in graph.nodes
    assert not [node for node in graph if node.kind == "Affine"]
    (got,) = run(graph, lrpkeras.presets.get("zero"), x).back(np.eye(3)[None, [1]], "ratio")
    close(got[0], input_x_gradient(model, [x.astype("float64")], 1)[0], SINGLE)


@pytest.mark.parametrize("output", ["classes", "size"])
def test_each_of_several_outputs_is_explained(output):
    with float64():
        inputs = image(6, 6, 2)
        x = layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(inputs))
        heads = [
            layers.Dense(3, name="classes", activation="softmax"),
            layers.Dense(1, name="size"),
        ]
        model = randomized(keras.Model(inputs, [head(x) for head in heads]))
        logits = keras.Model(inputs, model.get_layer(output).input)
    head, x = model.get_layer(output), batch_for(model)
    kernel = head.kernel.numpy()[:, 0]
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = tf.reduce_sum(tf.linalg.matvec(logits(tensor), kernel))
    expected = x * tape.gradient(value, tensor).numpy()
    close(lrpkeras.Analyzer(model, "zero", output=output)(x, 0), expected)


def one_unit(activation):
    with float64():
        inputs = image(6)
        x = layers.Dense(5, activation="relu", use_bias=False)(inputs)
        head = layers.Dense(1, activation=activation, use_bias=False)
        return randomized(keras.Model(inputs, head(x)))


@pytest.mark.parametrize("preset", ["epsilon", "zero", "z_plus"])
def test_a_regression_is_explained_by_parts_that_add_up_to_its_value(preset):
    """Without biases, `z_plus` conserves where a unit has a positive part."""
    model = one_unit(None)
    model.layers[-1].kernel.assign(np.abs(model.layers[-1].kernel))
    x = batch_for(model)
    got = lrpkeras.Analyzer(model, preset)(x)
    np.testing.assert_allclose(got.numpy().sum(axis=1), model(x).numpy()[:, 0], rtol=1e-5)


def test_a_binary_head_is_explained_from_its_logit():
    model, x = one_unit("sigmoid"), batch_for(one_unit("sigmoid"))
    probability = model(x).numpy()[:, 0]
    logits = np.log(probability / (1 - probability))
    explanation = lrpkeras.Analyzer(model, "zero").explain(x, 0, verbose=0)
    np.testing.assert_allclose(explanation.output[:, 0], logits)
    np.testing.assert_allclose(explanation.relevance.sum(axis=1), logits)


def test_words_are_explained_one_by_one():
    with float64():
        inputs = keras.Input((5,), dtype="int32")
        x = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(inputs))
        model = randomized(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)))
    words = np.random.default_rng(0).integers(0, 9, (3, 5))
    table, (kernel, _) = model.layers[1].get_weights()[0], model.layers[-1].get_weights()
    expected = np.einsum("nld,d->nl", table[words], kernel[:, 1]) / 5
    close(lrpkeras.Analyzer(model, "zero")(words, 1), expected, 1e-12)


def channels(order, *, convolution):
    """The same network with its channels first or last.

    No width is the number of channels: Keras' addition then takes a bias for one of the widths.
    """
    settings = {"data_format": f"channels_{order}"}
    axis = 1 if order == "first" else -1
    inputs = image(*((2, 8, 7) if order == "first" else (8, 7, 2)))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, **settings)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(axis=axis)(x))
    if convolution:
        x = layers.Conv2D(3, 3, padding="same", activation="relu", **settings)(x)
    x = layers.AveragePooling2D(3, 2, "same", **settings)(layers.MaxPooling2D(2, 1, **settings)(x))
    x = layers.UpSampling2D(2, interpolation="bilinear", **settings)(x)
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling2D(**settings)(x))


def first_and_last(convolution):
    with float64():
        orders = ("first", "last")
        first, last = (keras.Model(*channels(order, convolution=convolution)) for order in orders)
    randomized(last)
    first.set_weights(last.get_weights())
    return first, last


def runs_channels_first(layer):
    """Whether Keras and TensorFlow run a float64 convolution here: versions and oneDNN differ."""
    try:
        layer(1, data_format="channels_first", dtype="float64")(np.zeros((1, 1, 2, 2)))
    except Exception:
        return False
    return True


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "zero"])
def test_channels_first_is_channels_last_transposed(preset):
    first, last = first_and_last(convolution=False)
    x = batch_for(last)
    expected = lrpkeras.Analyzer(last, preset)(x, 1).numpy()
    verify = runs_channels_first(layers.DepthwiseConv2D)
    got = lrpkeras.Analyzer(first, preset, verify=verify)(np.moveaxis(x, -1, 1), 1)
    close(got, np.moveaxis(expected, -1, 1), 1e-10)


def test_a_model_that_cannot_run_here_says_so_and_is_explained_unverified():
    """TensorFlow has no such convolution for CPUs; the rewritten graph does without."""
    first, last = first_and_last(convolution=True)
    x = batch_for(last)
    if not runs_channels_first(partial(layers.Conv2D, 1)):
        with pytest.raises(VerificationError, match=r"does not run.*verify=False.*Conv2D"):
            lrpkeras.Analyzer(first)
    expected = lrpkeras.Analyzer(last)(x, 1).numpy()
    got = lrpkeras.Analyzer(first, verify=False)(np.moveaxis(x, -1, 1), 1)
    close(got, np.moveaxis(expected, -1, 1), 1e-10)


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


def in_policy(policy, build):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return randomized(build())
    finally:
        keras.config.set_dtype_policy(before)


def test_a_mixed_precision_model_is_explained_in_float32():
    head = [keras.Input((4,)), layers.Dense(3, use_bias=False)]
    model = in_policy("mixed_bfloat16", lambda: keras.Sequential(head))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    got = lrpkeras.Analyzer(model, "zero")(x, 1)
    assert got.dtype == "float32"
    close(got, x * model.layers[-1].get_weights()[0][:, 1], 1e-6)


def small_cnn():
    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inputs)))
    x = layers.UpSampling2D(interpolation="bilinear")(layers.MaxPooling2D()(x))
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
    head = "float64" if keras.config.dtype_policy().name == "float64" else "float32"
    return keras.Model(inputs, layers.Activation("softmax", dtype=head)(x))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_model_of_another_policy_is_explained_as_one_of_float32(policy):
    """The weights are the same; what is computed with them is in float32, or wider."""
    model = in_policy(policy, small_cnn)
    plain = in_policy("float32", small_cnn)
    plain.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    got, expected = (lrpkeras.Analyzer(m, "epsilon_plus_flat")(x, 1) for m in (model, plain))
    assert got.dtype == ("float64" if policy == "float64" else "float32")
    close(got, expected.numpy(), 1e-4)
