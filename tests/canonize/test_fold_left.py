"""A normalization behind a linear layer becomes part of it."""

import keras
import numpy as np
import pytest
from keras import layers

from lrpkeras.canonize import canonize, drop_inert, fold_left, fold_right
from lrpkeras.graph import keras_reader
from lrpkeras.graph.nodes import Linear

pytestmark = pytest.mark.usefixtures("float64")

BN = layers.BatchNormalization
LINEAR = {
    "dense": ((5,), lambda **k: layers.Dense(4, **k)),
    "dense-of-positions": ((3, 5), lambda **k: layers.Dense(4, **k)),
    "conv1d": ((9, 3), lambda **k: layers.Conv1D(4, 3, strides=2, **k)),
    "conv1d-causal": ((9, 3), lambda **k: layers.Conv1D(4, 3, padding="causal", **k)),
    "conv2d": ((8, 7, 3), lambda **k: layers.Conv2D(4, 3, **k)),
    "conv2d-same": ((8, 7, 3), lambda **k: layers.Conv2D(4, 3, strides=2, padding="same", **k)),
    "conv2d-grouped": ((8, 7, 4), lambda **k: layers.Conv2D(6, 3, groups=2, **k)),
    "conv2d-dilated": ((8, 7, 3), lambda **k: layers.Conv2D(4, 2, dilation_rate=2, **k)),
    "conv3d": ((5, 6, 4, 2), lambda **k: layers.Conv3D(3, 2, padding="same", **k)),
    "depthwise1d": ((9, 3), lambda **k: layers.DepthwiseConv1D(3, depth_multiplier=2, **k)),
    "depthwise2d": ((8, 7, 3), lambda **k: layers.DepthwiseConv2D(3, depth_multiplier=2, **k)),
    "separable1d": ((9, 3), lambda **k: layers.SeparableConv1D(4, 3, **k)),
    "separable2d": ((8, 7, 3), lambda **k: layers.SeparableConv2D(4, 3, padding="same", **k)),
    "transposed1d": ((5, 3), lambda **k: layers.Conv1DTranspose(4, 3, strides=2, **k)),
    "transposed2d": (
        (5, 4, 3),
        lambda **k: layers.Conv2DTranspose(4, 3, strides=2, padding="same", **k),
    ),
    "transposed3d": ((3, 3, 3, 2), lambda **k: layers.Conv3DTranspose(3, 2, **k)),
}


def chain(shape, *stack):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("name", LINEAR)
def test_every_linear_layer_takes_the_norm_behind_it(name, rewritten, norms):
    shape, make = LINEAR[name]
    inputs = keras.Input(shape)
    outputs = [BN()(make(use_bias=use_bias)(inputs)) for use_bias in (True, False)]
    graph = rewritten(keras.Model(inputs, outputs), fold_left)
    assert not norms(graph)
    assert all("batch_normalization" in graph[output].notes[-1] for output in graph.outputs)


@pytest.mark.parametrize("bias_axes", [None, "d"])
@pytest.mark.parametrize("equation", ["abc,cd->abd", "abc,bcd->abd", "abc,bcd->ad"])
def test_einsum_layers_take_the_norm_behind_them(equation, bias_axes, rewritten, norms):
    shape = (5, 4) if equation.endswith("abd") else (4,)
    layer = layers.EinsumDense(equation, shape, bias_axes=bias_axes)
    assert not norms(rewritten(chain((5, 3), layer, BN()), fold_left))


def test_several_output_axes_take_the_norm_of_the_last(rewritten, norms):
    layer = layers.EinsumDense("abc,cde->abde", (5, 2, 4))
    assert not norms(rewritten(chain((5, 3), layer, BN()), fold_left))


@pytest.mark.parametrize(
    ("equation", "shape", "bias_axes"),
    [
        ("abc,cd->adb", (4, 5), "d"),
        ("abc,cd->adb", (4, 5), None),
        ("abc,bd->adc", (4, 3), None),
    ],
)
def test_a_norm_along_no_axis_of_the_kernel_stays(equation, shape, bias_axes, rewritten, norms):
    layer = layers.EinsumDense(equation, shape, bias_axes=bias_axes)
    assert len(norms(rewritten(chain((5, 3), layer, BN()), fold_left))) == 1


def test_a_norm_behind_a_bias_map_stays(rewritten, norms):
    layer = layers.EinsumDense("abc,cde->abde", (5, 2, 4), bias_axes="de")
    assert len(norms(rewritten(chain((5, 3), layer, BN()), fold_left))) == 1


@pytest.mark.parametrize(
    "settings",
    [{"center": False}, {"scale": False}, {"center": False, "scale": False}, {"epsilon": 0.5}],
    ids=str,
)
def test_norms_without_center_or_scale_fold(settings, rewritten, norms):
    graph = rewritten(chain((8, 8, 3), layers.Conv2D(4, 3), BN(**settings)), fold_left)
    assert not norms(graph)


def test_the_folded_weights_are_those_of_the_paper(randomize):
    # Guillemot et al. 2020, equations 10 and 11.
    conv, norm = layers.Conv2D(4, 3), BN()
    model = randomize(chain((8, 8, 3), conv, norm))
    (linear,) = (n for n in fold_left(keras_reader.read(model)) if isinstance(n, Linear))
    gamma, beta, mean, variance = norm.get_weights()
    kernel, bias = conv.get_weights()
    s = gamma / np.sqrt(variance + norm.epsilon)
    np.testing.assert_allclose(linear.kernel, kernel * s, rtol=1e-14)
    np.testing.assert_allclose(linear.bias, (bias - mean) * s + beta, rtol=1e-12)


def test_any_gamma_and_any_variance_fold(rewritten, norms, randomize):
    norm = BN()

    def fill(model):
        randomize(model)
        norm.gamma.assign([0.0, -1.5, 1e-30, 1.0])
        norm.moving_variance.assign([1.0, 1e-36, 1e10, 0.0])

    model = chain((8, 8, 3), layers.Conv2D(4, 3), norm)
    assert not norms(rewritten(model, fold_left, fill=fill))


STAYS = {
    "norm-of-another-axis": lambda: chain((8, 8, 3), layers.Conv2D(8, 1), BN(axis=1)),
    "fused-activation": lambda: chain((8, 8, 3), layers.Conv2D(4, 3, activation="relu"), BN()),
    "norm-after-the-input": lambda: chain((8, 8, 3), BN()),
    "norm-after-a-pool": lambda: chain((8, 8, 3), layers.Conv2D(4, 3), layers.MaxPooling2D(), BN()),
}


@pytest.mark.parametrize("name", STAYS)
def test_other_norms_stay(name, rewritten, norms):
    assert len(norms(rewritten(STAYS[name](), fold_left))) == 1


def test_a_convolution_that_something_else_reads_keeps_its_kernel(rewritten, norms):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, layers.Add()([BN()(x), x]))
    assert len(norms(rewritten(model, fold_left))) == 1


def test_a_convolution_with_two_norms_keeps_its_kernel(rewritten, norms):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, layers.Concatenate()([BN()(x), BN()(x)]))
    assert len(norms(rewritten(model, fold_left))) == 2


def test_a_convolution_that_is_an_output_keeps_its_kernel(rewritten, norms):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    assert len(norms(rewritten(keras.Model(inputs, [BN()(x), x]), fold_left))) == 1


@pytest.mark.parametrize("shared_norm", [True, False])
def test_each_call_of_a_shared_convolution_takes_its_own_norm(shared_norm, rewritten, norms):
    inputs = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    first = BN()
    second = first if shared_norm else BN()
    x = second(conv(layers.ReLU()(first(conv(inputs)))))
    graph = rewritten(keras.Model(inputs, x), fold_left)
    assert not norms(graph)
    same = np.array_equal(graph["conv"].kernel, graph["conv#2"].kernel)
    assert same == shared_norm


def test_a_norm_behind_a_nested_model_folds_into_its_last_layer(rewritten, norms):
    tower = chain((8, 8, 3), layers.Conv2D(4, 3), layers.ReLU(), layers.Conv2D(4, 3, name="last"))
    inputs = keras.Input((8, 8, 3))
    graph = rewritten(keras.Model(inputs, BN()(tower(inputs))), fold_left)
    assert not norms(graph)
    assert graph.outputs[0].endswith("/last")


def test_a_nested_model_called_twice_folds_at_each_call(rewritten, norms):
    tower = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same"), BN(), layers.ReLU()]
    )
    inputs = keras.Input((8, 8, 3))
    graph = rewritten(keras.Model(inputs, tower(tower(inputs))), fold_left)
    assert not norms(graph)
    assert sum(isinstance(node, Linear) for node in graph) == 2


def test_left_comes_before_right(rewritten, norms):
    stack = layers.Conv2D(4, 3, name="first"), BN(name="norm"), layers.Conv2D(2, 3, name="second")
    graph = rewritten(chain((8, 8, 3), *stack), canonize)
    assert "norm" in graph["first"].layers
    assert "norm" not in graph["second"].layers
    assert graph["second"].bias.ndim == 1


def test_both_sides_may_fold_into_one_convolution(rewritten, norms):
    stack = BN(name="before"), layers.Conv2D(4, 3, name="conv"), BN(name="behind")
    graph = rewritten(chain((8, 8, 3), *stack), drop_inert, fold_left, fold_right)
    assert not norms(graph)
    assert {"before", "conv", "behind"} == set(graph["conv"].layers)


def test_channels_first_convolutions_take_the_norm_of_axis_1(rewritten, norms):
    conv = layers.Conv2D(4, 3, data_format="channels_first")
    graph = rewritten(chain((3, 8, 8), conv, BN(axis=1)), fold_left, runs=False)
    assert not norms(graph)
    assert graph.outputs == (conv.name,)


def test_the_folded_layers_stay_findable(randomize):
    model = randomize(chain((8, 8, 3), layers.Conv2D(4, 3, name="conv"), BN(name="norm")))
    graph = fold_left(keras_reader.read(model))
    assert graph.places["norm"] == graph.places["conv"] == "conv"
    assert graph.folded == {"conv"}
