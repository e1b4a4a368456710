"""`zero` is input x gradient, and the gradient presets are the tape's: float64 on both sides.

LRP-0 with the bias in the denominator multiplies out to input x gradient wherever every node is
linear in its input or homogeneous, f(x) = f'(x) x: linear and affine layers, ReLU and its leaky
kin, pooling, moves, sums, extrema. It does not for saturated, smooth or shifted functions and for
products; there the gradient presets alone are compared.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import LAYERS, float64, lazy, randomized

from lrpkeras import Analyzer, presets

# Where the numbers are equal on paper, float64 leaves rounding only, up to cancellation.
TOLERANCE = 1e-8


def gradient(model: keras.Model, x: np.ndarray, target: int | None = None) -> np.ndarray:
    """The tape's gradient of one logit of each sample, or of the sum over all of them."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=False)
        logit = tf.reduce_sum(y if target is None else y[:, target])
    return tape.gradient(logit, x).numpy()


def explained(model: keras.Model, preset: str, x: np.ndarray, target: int) -> np.ndarray:
    """What the preset gives for one logit, step by step and without tracing."""
    rules = presets.get(preset)
    made = run(rewritten(model), rules, x)
    start = np.zeros((1, *made.output.shape))
    start[..., target] = 1
    return made.back(start, "R" if rules.seed == "gradient" else "ratio")[0][0]


def analyzed(model: keras.Model, preset: str, x: np.ndarray, target: int) -> np.ndarray:
    """What users get."""
    return np.asarray(Analyzer(model, preset)(x, target=target))


def relus(y):
    """The ReLU family, one behind the other, each where the last one left something negative."""
    y = layers.LeakyReLU(negative_slope=0.3)(y)
    y = layers.PReLU(shared_axes=[1, 2])(y)
    y = layers.BatchNormalization()(y)
    return layers.Activation("relu")(y)


def residual(y):
    branch = layers.BatchNormalization()(layers.Conv2D(2, 3, padding="same", use_bias=False)(y))
    return layers.ReLU()(layers.Add()([branch, y]))


def preactivated(y):
    """Normalization, ReLU, convolution, as in ResNet V2 and DenseNet, behind a concatenation."""
    branch = layers.Conv2D(3, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(y)))
    y = layers.Concatenate()([y, branch])
    y = layers.AveragePooling2D(2)(
        layers.Conv2D(2, 1)(layers.ReLU()(layers.BatchNormalization()(y)))
    )
    return layers.ReLU()(layers.BatchNormalization()(y))


def unfolded(y):
    """A normalization between pooling and a sum: it cannot be folded."""
    normed = layers.BatchNormalization()(layers.MaxPooling2D(3, 1, padding="same")(y))
    return layers.Subtract()([normed, y]) * 0.5 + layers.Average()([y, normed])


def moved(y):
    y = layers.ZeroPadding2D(((1, 0), (0, 2)))(layers.UpSampling2D(2)(y))
    y = layers.Permute((2, 1, 3))(layers.Cropping2D(1)(y))
    return y[:, ::-1, 1:] - 1.5


def extrema(y):
    other = layers.Conv2D(2, 1)(y)
    return layers.Minimum()([layers.Maximum()([y, other]), 0.2 * other])


def chain(*makers: Callable) -> Callable:
    """Layers one behind the other, each made when the net is: in float64, and anew each time."""

    def build(y):
        for make in makers:
            y = make()(y)
        return y

    return build


NETS: dict[str, Callable] = {
    "the ReLU family": relus,
    "residual": residual,
    "pre-activated": preactivated,
    "unfolded normalization": unfolded,
    "moves": moved,
    "extrema": extrema,
    "max pooling": chain(
        lazy(layers.MaxPooling2D, 3, 2, padding="same"), lazy(layers.Conv2D, 2, 2)
    ),
    "average pooling": chain(
        lazy(layers.AveragePooling2D, (2, 3), 1, padding="same"), lazy(layers.Conv2D, 2, 2)
    ),
    "global max": chain(lazy(layers.GlobalMaxPooling2D)),
    "global average": chain(lazy(layers.GlobalAveragePooling2D, keepdims=True)),
    "separable": chain(
        lazy(layers.SeparableConv2D, 3, 3, padding="same"),
        lazy(layers.BatchNormalization),
        lazy(layers.ReLU),
    ),
    "rescaled": chain(
        lazy(layers.Rescaling, 0.5, -0.1), lazy(layers.Conv2D, 2, 2, activation="leaky_relu")
    ),
}


def net(middle: Callable) -> keras.Model:
    """An input, a convolution, what is tested, and a dense head."""
    with float64():
        x = keras.Input((6, 5, 2), dtype="float64")
        y = middle(layers.Conv2D(2, 2, activation="relu")(x))
        model = keras.Model(x, layers.Dense(3)(layers.Flatten()(y)))
    return randomized(model)


def data(shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (count, *shape))


@pytest.mark.parametrize("name", NETS)
def test_zero_is_input_times_gradient(name):
    model = net(NETS[name])
    x = data((6, 5, 2))
    slope = gradient(model, x, 1)
    assert np.abs(slope).max() > 0
    assert_close(explained(model, "zero", x, 1), x * slope, TOLERANCE)
    assert_close(explained(model, "gradient", x, 1), slope, TOLERANCE)


@pytest.mark.parametrize("name", ["pre-activated", "unfolded normalization"])
def test_an_analyzer_gives_the_same_three_numbers(name):
    model = net(NETS[name])
    x = data((6, 5, 2))
    slope = gradient(model, x, 1)
    assert_close(analyzed(model, "zero", x, 1), x * slope, TOLERANCE)
    assert_close(analyzed(model, "gradient", x, 1), slope, TOLERANCE)
    assert_close(analyzed(model, "input_x_gradient", x, 1), x * slope, TOLERANCE)


# With channels first, Keras itself does not run on a CPU.
@pytest.mark.parametrize("name", [name for name in LAYERS if "channels first" not in name])
def test_zero_is_input_times_gradient_for_every_linear_layer(name):
    make, shape = LAYERS[name]
    with float64():
        x = keras.Input(shape, dtype="float64")
        y = layers.Reshape((-1,))(layers.LeakyReLU()(make()(x)))
        model = randomized(keras.Model(x, layers.Dense(2)(y)))
    x = data(shape)
    slope = gradient(model, x, 1)
    assert_close(explained(model, "zero", x, 1), x * slope, TOLERANCE)


def squeezed(y):
    gate = layers.Dense(2, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    return layers.Multiply()([y, gate])


CURVED: dict[str, Callable] = {
    **{
        name: chain(lazy(layers.Conv2D, 2, 2), lazy(layers.Activation, name))
        for name in (
            "sigmoid", "tanh", "gelu", "silu", "elu", "selu", "softplus", "relu6", "exponential",
            "hard_sigmoid", "hard_silu", "mish", "softsign", "celu", "log_sigmoid", "tanh_shrink",
            "soft_shrink", "hard_shrink", "squareplus", "sparse_plus",
        )
    },
    "shifted relu": chain(lazy(layers.Conv2D, 2, 2), lazy(layers.ReLU, 2.0, 0.1, 0.3)),
    "squeeze and excitation": squeezed,
    "product": lambda y: layers.Multiply()([y, layers.Conv2D(2, 1)(y), layers.Conv2D(2, 1)(y)]),
    "square": lambda y: y * y,
}  # fmt: skip


@pytest.mark.parametrize("name", CURVED)
def test_the_gradient_presets_are_the_tapes_where_zero_is_not(name):
    model = net(CURVED[name])
    x = data((6, 5, 2))
    slope = gradient(model, x, 1)
    assert np.abs(slope).max() > 0
    assert_close(explained(model, "gradient", x, 1), slope, TOLERANCE)


@pytest.mark.parametrize("name", ["gelu", "squeeze and excitation"])
def test_input_x_gradient_is_the_tapes_gradient_times_the_input(name):
    model = net(CURVED[name])
    x = data((6, 5, 2))
    expected = x * gradient(model, x, 1)
    assert_close(analyzed(model, "input_x_gradient", x, 1), expected, TOLERANCE)


def test_the_gradient_of_all_outputs_is_the_sum_over_them():
    model = net(residual)
    x = data((6, 5, 2))
    got = Analyzer(model, "gradient")(x, target=np.ones(3))
    assert_close(np.asarray(got), gradient(model, x), TOLERANCE)


# The smallest inputs that each network takes without its head, plus a few pixels.
APPLICATIONS = {
    "VGG16": (keras.applications.VGG16, 33),
    "ResNet50": (keras.applications.ResNet50, 37),
    "ResNet50V2": (keras.applications.ResNet50V2, 37),
    "DenseNet121": (keras.applications.DenseNet121, 37),
    "Xception": (keras.applications.Xception, 71),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_zero_is_input_times_gradient_on_the_networks_of_the_field(name):
    build, size = APPLICATIONS[name]
    with float64(inputs=True):
        model = build(
            weights=None,
            input_shape=(size, size, 3),
            classes=10,
            classifier_activation=None,
        )
    unsettle(model)
    x = data((size, size, 3), 1)
    slope = gradient(model, x, 3)
    assert np.abs(slope).max() > 0
    assert_close(analyzed(model, "zero", x, 3), x * slope, TOLERANCE)


def unsettle(model: keras.Model) -> None:
    """Give normalizations random statistics, shifts and scales of both signs; biases some values.

    Kernels keep their initial values, whose scale carries a signal through a hundred layers.
    """
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.3, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, shape))
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape))
            if layer.center:
                layer.beta.assign(rng.normal(0, 0.3, shape))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
