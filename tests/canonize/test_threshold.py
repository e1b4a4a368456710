"""A normalization in front of a ReLU becomes a thresholded ReLU, its scale and shift go behind."""

from functools import partial

import keras
import numpy as np
import pytest
from explained import run
from keras import layers

from lrpkeras import rules
from lrpkeras.canonize import canonize, drop_inert, fold_right
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.nodes import Gate, Linear, Shift, Threshold

pytestmark = pytest.mark.usefixtures("float64")

BN = layers.BatchNormalization
fold = partial(fold_right, thresholds=True)


def chain(shape, *stack):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


def of_kind(kind, graph):
    return [node for node in graph if isinstance(node, kind)]


def conv(*args, **kwargs):
    return lambda: layers.Conv2D(*args, **kwargs)


PATHS = {
    "conv": ((6, 6, 3), [conv(2, 3)]),
    "same": ((6, 6, 3), [conv(2, 3, padding="same")]),
    "same strided": ((7, 6, 3), [conv(2, 3, strides=2, padding="same")]),
    "dilated": ((7, 7, 3), [conv(2, 3, dilation_rate=2, padding="same")]),
    "padded before": ((6, 6, 3), [lambda: layers.ZeroPadding2D((2, 1)), conv(2, 3, strides=2)]),
    "cropped before": ((6, 6, 3), [lambda: layers.Cropping2D(1), conv(2, 3, padding="same")]),
    "no bias": ((6, 6, 5), [conv(2, 3, use_bias=False)]),
    "grouped": ((6, 6, 4), [conv(6, 3, groups=2, padding="same")]),
    "1d causal": ((8, 3), [lambda: layers.Conv1D(2, 3, padding="causal")]),
    "3d": ((4, 5, 4, 2), [lambda: layers.Conv3D(2, 2, padding="same")]),
    "depthwise": ((6, 6, 3), [lambda: layers.DepthwiseConv2D(3, padding="same")]),
    "separable": ((6, 6, 3), [lambda: layers.SeparableConv2D(4, 3, padding="same")]),
    "transposed": ((4, 4, 3), [lambda: layers.Conv2DTranspose(2, 3, strides=2)]),
    "dense": ((5,), [lambda: layers.Dense(3)]),
    "flatten": ((4, 4, 3), [layers.Flatten, lambda: layers.Dense(2)]),
    "global average": ((4, 4, 3), [layers.GlobalAveragePooling2D, lambda: layers.Dense(2)]),
    "average": ((6, 6, 3), [lambda: layers.AveragePooling2D(2), conv(2, 2)]),
    "average, padded": (
        (7, 7, 3),
        [lambda: layers.AveragePooling2D(3, 2, padding="same"), conv(2, 3, padding="same")],
    ),
    "upsampled": ((3, 3, 3), [lambda: layers.UpSampling2D(2), conv(2, 3, padding="same")]),
    "permuted": ((4, 5, 3), [lambda: layers.Permute((2, 1, 3)), conv(2, 3)]),
    "dropout": ((5,), [lambda: layers.Dropout(0.5), lambda: layers.Dense(3)]),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_function_stays_whatever_lies_behind_the_relu(name, rewritten, norms):
    shape, makers = PATHS[name]
    model = chain(shape, BN(name="norm"), layers.ReLU(), *(make() for make in makers))
    graph = rewritten(model, drop_inert, fold)
    assert not norms(graph)
    assert not of_kind(Gate, graph)
    (thresholded,) = of_kind(Threshold, graph)
    assert thresholded.name == "norm"


# Products with gammas beyond these leave float64 or are not normal in it.
GAMMAS = [-2.0, 0.0, 3.0, 1e-30, -1e-160, 1e-300, 5e-324]


def signs(randomize, gammas=GAMMAS):
    """A normalization of every sign of gamma and beta, a ReLU and a convolution that pads."""
    gammas, betas = np.meshgrid(gammas, [-1.0, 0.0, 1.0])
    norm = BN(name="norm")
    end = layers.Conv2D(2, 3, padding="same", name="end")
    model = randomize(chain((5, 4, gammas.size), norm, layers.ReLU(), end))
    norm.gamma.assign(gammas.ravel())
    norm.beta.assign(betas.ravel())
    norm.moving_mean.assign(np.zeros(gammas.size))
    return model


def test_every_sign_and_size_of_gamma_is_exact(rewritten, norms, randomize):
    graph = rewritten(signs(randomize), fold, fill=lambda model: model)
    assert not norms(graph)


def test_gammas_that_decayed_to_subnormal_numbers_are_exact_in_float32(randomize):
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    model = signs(randomize, [1.0, 1e-18, 1e-20, -1e-37, 1e-39, 1e-44])
    graph = with_facts(canonize(keras_reader.read(model), thresholds=True))
    assert graph.dtype == "float32"
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 18)).astype("float32")
    done = run(graph, rules.Epsilon(), x, vanishes=False)
    expected = np.asarray(model(x))
    # 162 products each; a channel that is off by its shift is off by 0.1.
    assert np.abs(done.output - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.isfinite(done.back(np.ones((1, *expected.shape)))[0]).all()


def test_the_thresholded_relu_is_as_published_and_zero_where_gamma_is(randomize):
    model = signs(randomize, [-2.0, 0.0, 3.0])
    gamma, beta, _, variance = model.get_layer("norm").get_weights()
    scale = gamma / np.sqrt(variance + model.get_layer("norm").epsilon)
    graph = with_facts(canonize(keras_reader.read(model), thresholds=True))
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 9))
    (thresholded,) = of_kind(Threshold, graph)
    got = run(graph, rules.Epsilon(), x, vanishes=False).value(thresholded.name)
    for channel, (s, t) in enumerate(zip(scale, beta, strict=True)):
        u = got[..., channel]
        if s == 0:
            assert not u.any()
            continue
        opened = s * x[..., channel] + t > 0
        np.testing.assert_allclose(u, np.where(opened, x[..., channel], -t / s), rtol=1e-14)


def test_the_linear_layer_takes_the_scale_and_the_shift_is_a_map_where_it_pads(randomize):
    model = signs(randomize, [-2.0, 0.0, 3.0])
    gamma, beta, _, variance = model.get_layer("norm").get_weights()
    scale = gamma / np.sqrt(variance + model.get_layer("norm").epsilon)
    kernel, bias = model.get_layer("end").get_weights()
    end = canonize(keras_reader.read(model), thresholds=True)["end"]
    assert isinstance(end, Linear)
    np.testing.assert_allclose(end.kernel, kernel * scale[:, None], rtol=1e-14)
    shift = np.where(scale == 0, np.maximum(beta, 0), beta)
    expected = np.zeros((5, 4, 2)) + bias
    for row in range(5):
        for column in range(4):
            for a in range(3):
                for b in range(3):
                    if 0 <= row + a - 1 < 5 and 0 <= column + b - 1 < 4:
                        expected[row, column] += shift @ kernel[a, b]
    np.testing.assert_allclose(end.bias, expected, rtol=1e-12, atol=1e-12)


def test_the_structure_does_not_depend_on_the_values_of_gamma(randomize):
    def structure(gammas):
        graph = canonize(keras_reader.read(signs(randomize, gammas)), thresholds=True)
        return [
            (type(n), len(n.inputs), {k: a.shape for k, a in n.parameters.items()}) for n in graph
        ]

    assert structure([1.0, -1.0, 2.0]) == structure([0.0, 1e-300, 0.0])


@pytest.mark.parametrize("sizes", [(4, 5), (7, 6)])
def test_unknown_sizes_with_same_padding(sizes, rewritten, norms):
    stack = BN(), layers.ReLU(), layers.Conv2D(2, 3, strides=2, padding="same")
    model = chain((None, None, 3), *stack, layers.GlobalAveragePooling2D(), layers.Dense(2))
    graph = rewritten(model, fold, sizes=sizes)
    assert not norms(graph)
    assert of_kind(Threshold, graph)
    assert of_kind(Shift, graph)


def test_channels_first(rewritten, norms):
    end = layers.Conv2D(2, 3, padding="same", data_format="channels_first")
    graph = rewritten(chain((3, 6, 6), BN(axis=1), layers.ReLU(), end), fold, runs=False)
    assert not norms(graph)
    assert of_kind(Threshold, graph)


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}])
def test_a_norm_without_gamma_or_beta(settings, rewritten, norms):
    stack = BN(**settings), layers.ReLU(), layers.Conv2D(2, 3, padding="same")
    assert not norms(rewritten(chain((6, 6, 3), *stack), fold))


def test_two_convolutions_behind_one_relu_share_its_threshold(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = layers.ReLU()(BN()(inputs))
    outputs = [layers.Conv2D(2, 3, padding="same")(x), layers.Conv2D(2, 1, strides=2)(x)]
    graph = rewritten(keras.Model(inputs, outputs), fold)
    assert not norms(graph)
    assert len(of_kind(Threshold, graph)) == 1


@pytest.mark.parametrize("second", [lambda x: x, layers.ReLU()], ids=["plain", "another ReLU"])
def test_a_norm_read_in_more_ways_than_through_one_relu_stays_a_gate(second, rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = BN()(inputs)
    outputs = [layers.Conv2D(2, 3)(layers.ReLU()(x)), layers.Conv2D(2, 3)(second(x))]
    graph = rewritten(keras.Model(inputs, outputs), fold)
    assert not norms(graph)
    assert of_kind(Gate, graph)
    assert not of_kind(Threshold, graph)


@pytest.mark.parametrize("activation", ["relu6", "leaky_relu", "gelu", "sigmoid"])
def test_other_functions_are_not_thresholded(activation, rewritten, norms):
    model = chain((6, 6, 3), BN(), layers.Activation(activation), layers.Conv2D(2, 3))
    graph = rewritten(model, fold)
    assert len(norms(graph)) == 1
    assert not of_kind(Threshold, graph)


def test_a_norm_behind_the_relu_of_another_folds_with_it(rewritten, norms):
    model = chain((6, 6, 3), BN(), layers.ReLU(), BN(), layers.Conv2D(2, 3, padding="same"))
    graph = rewritten(model, fold)
    assert not norms(graph)
    assert len(of_kind(Threshold, graph)) == 1


def preactivated_block(x, width):
    """One residual block as in ResNetV2: norm and ReLU, then the branches."""
    ready = layers.ReLU()(BN()(x))
    shortcut = layers.MaxPooling2D(1, strides=2)(x)
    x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(ready)
    x = layers.Conv2D(width, 3, padding="same")(layers.ReLU()(BN()(x)))
    return layers.Add()([layers.Conv2D(width, 1)(shortcut), x])


def dense_block(x, growth):
    """Two layers of DenseNet, each output beside its input, and the pooling transition."""
    for _ in range(2):
        y = layers.Conv2D(2 * growth, 1, use_bias=False)(layers.ReLU()(BN()(x)))
        y = layers.Conv2D(growth, 3, padding="same", use_bias=False)(layers.ReLU()(BN()(y)))
        x = layers.Concatenate()([x, y])
    x = layers.Conv2D(growth, 1, use_bias=False)(layers.ReLU()(BN()(x)))
    return layers.AveragePooling2D(2)(x)


@pytest.mark.parametrize("block", [preactivated_block, dense_block])
def test_networks_that_normalize_first_have_thresholds_only(block, rewritten, norms):
    x = inputs = keras.Input((9, 8, 3))
    for _ in range(2):
        x = block(x, 4)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(BN()(x)))
    model = keras.Model(inputs, layers.Dense(5)(x))
    graph = rewritten(model, partial(canonize, thresholds=True))
    assert not norms(graph)
    assert not of_kind(Gate, graph)
    assert of_kind(Threshold, graph)
