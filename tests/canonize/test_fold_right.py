"""A normalization in front of linear layers becomes part of all of them, or of none."""

import keras
import numpy as np
import pytest
from keras import layers

from lrpkeras import Analyzer
from lrpkeras.canonize import absorb_padding, canonize, drop_inert, fold_right, merge_affine
from lrpkeras.graph import keras_reader
from lrpkeras.graph.nodes import Affine, Linear

pytestmark = pytest.mark.usefixtures("float64")

BN = layers.BatchNormalization
VECTOR, MAP = 1, 3


def chain(shape, *stack):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


def linear(graph):
    return [node for node in graph if isinstance(node, Linear)]


ENDS = {
    "dense": ((5,), lambda: layers.Dense(4), VECTOR),
    "dense-of-positions": ((3, 5), lambda: layers.Dense(4), VECTOR),
    "conv1d": ((9, 3), lambda: layers.Conv1D(4, 3, strides=2), VECTOR),
    "conv1d-causal": ((9, 3), lambda: layers.Conv1D(4, 3, padding="causal"), 2),
    "conv2d": ((8, 7, 3), lambda: layers.Conv2D(4, 3), VECTOR),
    "conv2d-no-bias": ((8, 7, 3), lambda: layers.Conv2D(4, 3, use_bias=False), VECTOR),
    "conv2d-relu": ((8, 7, 3), lambda: layers.Conv2D(4, 3, activation="relu"), VECTOR),
    "conv2d-grouped": ((8, 7, 4), lambda: layers.Conv2D(6, 3, groups=2), VECTOR),
    "conv2d-dilated": ((8, 7, 3), lambda: layers.Conv2D(4, 2, dilation_rate=2), VECTOR),
    "conv2d-same": ((8, 7, 3), lambda: layers.Conv2D(4, 3, padding="same"), MAP),
    "conv2d-same-no-bias": (
        (8, 7, 3),
        lambda: layers.Conv2D(4, 3, padding="same", use_bias=False),
        MAP,
    ),
    "conv2d-same-1x1": ((8, 7, 3), lambda: layers.Conv2D(4, 1, padding="same"), VECTOR),
    "conv2d-same-grouped": (
        (8, 7, 4),
        lambda: layers.Conv2D(6, 3, strides=2, groups=2, padding="same"),
        MAP,
    ),
    "conv3d": ((5, 6, 4, 2), lambda: layers.Conv3D(3, 2), VECTOR),
    "conv3d-same": ((5, 6, 4, 2), lambda: layers.Conv3D(3, 2, padding="same"), 4),
    "depthwise1d": ((9, 3), lambda: layers.DepthwiseConv1D(3), VECTOR),
    "depthwise2d": ((8, 7, 3), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), VECTOR),
    "depthwise2d-same": ((8, 7, 3), lambda: layers.DepthwiseConv2D(3, padding="same"), MAP),
    "separable1d": ((9, 3), lambda: layers.SeparableConv1D(4, 3), VECTOR),
    "separable2d": ((8, 7, 3), lambda: layers.SeparableConv2D(4, 3), VECTOR),
    "separable2d-same": ((8, 7, 3), lambda: layers.SeparableConv2D(4, 3, padding="same"), MAP),
    "transposed1d": ((5, 3), lambda: layers.Conv1DTranspose(4, 3, strides=2), 2),
    "transposed2d": ((5, 4, 3), lambda: layers.Conv2DTranspose(4, 3, strides=2), MAP),
    "transposed2d-same": (
        (5, 4, 3),
        lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
        MAP,
    ),
    "transposed3d": ((3, 3, 3, 2), lambda: layers.Conv3DTranspose(3, 2), 4),
    "einsum": ((5, 3), lambda: layers.EinsumDense("abc,cd->abd", (5, 4), bias_axes="d"), VECTOR),
    "einsum-of-positions": ((5, 3), lambda: layers.EinsumDense("abc,bcd->abd", (5, 4)), 2),
    "einsum-to-one": ((5, 3), lambda: layers.EinsumDense("abc,bcd->ad", (4,)), VECTOR),
    "einsum-to-axes": ((5, 3), lambda: layers.EinsumDense("abc,cde->abde", (5, 4, 2)), 3),
    "einsum-bias-map": (
        (5, 3),
        lambda: layers.EinsumDense("abc,cde->abde", (5, 4, 2), bias_axes="de"),
        3,
    ),
    "einsum-turned": ((5, 3), lambda: layers.EinsumDense("abc,cd->adb", (4, 5)), 2),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_linear_layer_takes_the_norm_in_front_of_it(name, rewritten, norms):
    shape, make, rank = ENDS[name]
    graph = rewritten(chain(shape, BN(), make()), fold_right)
    assert not norms(graph)
    first = linear(graph)[0]
    assert first.bias.ndim == rank
    assert first.notes == (f"{first.layers[-1]} folded",)


def test_the_folded_weights_are_those_of_the_paper(randomize):
    # Guillemot et al. 2020, equations 13 and 14.
    conv, norm = layers.Conv2D(4, 3), BN()
    model = randomize(chain((8, 8, 3), norm, conv))
    (folded,) = linear(fold_right(keras_reader.read(model)))
    gamma, beta, mean, variance = norm.get_weights()
    kernel, bias = conv.get_weights()
    s = gamma / np.sqrt(variance + norm.epsilon)
    np.testing.assert_allclose(folded.kernel, kernel * s[:, None], rtol=1e-14)
    shifts = (beta - mean * s) @ kernel.sum(axis=(0, 1))
    np.testing.assert_allclose(folded.bias, bias + shifts, rtol=1e-12)


def test_the_bias_map_counts_the_shift_only_where_the_window_has_pixels():
    norm = BN(epsilon=0.0, center=True, scale=False)
    conv = layers.Conv2D(1, 3, padding="same", kernel_initializer="ones")
    model = chain((4, 5, 1), norm, conv)
    norm.beta.assign([2.0])
    (folded,) = linear(fold_right(keras_reader.read(model)))
    rows, columns = np.array([2, 3, 3, 2]), np.array([2, 3, 3, 3, 2])
    np.testing.assert_allclose(folded.bias[..., 0], 2.0 * np.outer(rows, columns))


THROUGH = {
    "flatten": ((4, 4, 3), [layers.Flatten, lambda: layers.Dense(2)], VECTOR),
    "global-average": ((4, 4, 3), [layers.GlobalAveragePooling2D, lambda: layers.Dense(2)], VECTOR),
    "global-average-kept": (
        (4, 4, 3),
        [lambda: layers.GlobalAveragePooling2D(keepdims=True), lambda: layers.Conv2D(2, 1)],
        VECTOR,
    ),
    "average": (
        (6, 6, 3),
        [lambda: layers.AveragePooling2D(2), lambda: layers.Conv2D(2, 2)],
        VECTOR,
    ),
    "average-same": (
        (5, 5, 3),
        [lambda: layers.AveragePooling2D(3, 2, padding="same"), lambda: layers.Conv2D(2, 2)],
        VECTOR,
    ),
    "average-flatten": (
        (6, 6, 3),
        [lambda: layers.AveragePooling2D(2), layers.Flatten, lambda: layers.Dense(2)],
        VECTOR,
    ),
    "cropping": (
        (6, 6, 3),
        [lambda: layers.Cropping2D(((1, 0), (0, 2))), lambda: layers.Conv2D(2, 2)],
        VECTOR,
    ),
    "reshape": (
        (4, 4, 3),
        [lambda: layers.Reshape((2, 8, 3)), lambda: layers.Conv2D(2, 2)],
        VECTOR,
    ),
    "permute": (
        (4, 5, 3),
        [lambda: layers.Permute((2, 1, 3)), lambda: layers.Conv2D(2, 2)],
        VECTOR,
    ),
    "channels-to-positions-and-back": (
        (4, 5, 3),
        [
            lambda: layers.Permute((3, 1, 2)),
            lambda: layers.Permute((2, 3, 1)),
            lambda: layers.Conv2D(2, 2),
        ],
        VECTOR,
    ),
    "upsampling": ((3, 3, 2), [layers.UpSampling2D, lambda: layers.Conv2D(2, 2)], VECTOR),
    "repeat": ((3,), [lambda: layers.RepeatVector(4), lambda: layers.Conv1D(2, 2)], VECTOR),
    "slice": (
        (6, 6, 3),
        [lambda: lambda x: x[:, ::2, 1:, 1:], lambda: layers.Conv2D(2, 2)],
        VECTOR,
    ),
    "padding": ((4, 4, 3), [lambda: layers.ZeroPadding2D(1), lambda: layers.Conv2D(2, 3)], MAP),
    "padding-flatten": (
        (4, 4, 3),
        [lambda: layers.ZeroPadding2D(1), layers.Flatten, lambda: layers.Dense(2)],
        VECTOR,
    ),
    "padding-average": (
        (4, 4, 3),
        [
            lambda: layers.ZeroPadding2D(1),
            lambda: layers.AveragePooling2D(2),
            lambda: layers.Conv2D(2, 2),
        ],
        MAP,
    ),
    "dropout": ((4, 4, 3), [lambda: layers.Dropout(0.5), lambda: layers.Conv2D(2, 2)], VECTOR),
}


@pytest.mark.parametrize("name", THROUGH)
def test_the_fold_goes_through_what_moves_and_averages(name, rewritten, norms):
    shape, makers, rank = THROUGH[name]
    model = chain(shape, BN(), *(make() for make in makers))
    graph = rewritten(model, drop_inert, fold_right)
    assert not norms(graph)
    assert linear(graph)[0].bias.ndim == rank


def test_an_absorbed_padding_makes_the_bias_a_map(rewritten, norms):
    model = chain((5, 5, 3), BN(), layers.ZeroPadding2D(1), layers.Conv2D(2, 3))
    graph = rewritten(model, absorb_padding, fold_right)
    assert not norms(graph)
    assert linear(graph)[0].bias.shape == (5, 5, 2)


def test_several_convolutions_take_the_fold_together(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = BN()(inputs)
    outputs = [
        layers.Conv2D(2, 3)(x),
        layers.Conv2D(2, 3, padding="same")(x),
        layers.Dense(2)(layers.Flatten()(x)),
        layers.SeparableConv2D(2, 3)(layers.AveragePooling2D(2)(x)),
    ]
    graph = rewritten(keras.Model(inputs, outputs), fold_right)
    assert not norms(graph)
    assert sum("folded" in str(node.notes) for node in linear(graph)) == 4


STAYS = {
    "a-pool": (lambda x: layers.MaxPooling2D()(x), "MaxPool"),
    "a-sum": (lambda x: layers.Add()([x, x]), "Sum"),
    "a-concatenation": (lambda x: layers.Concatenate()([x, x]), "Route"),
    "another-activation": (lambda x: layers.Activation("tanh")(x), "Activation"),
    "a-gate": (lambda x: layers.Multiply()([x, x]), "Product"),
    "the-output": (lambda x: x, "is an output"),
}


@pytest.mark.parametrize("name", STAYS)
def test_one_consumer_in_the_way_keeps_the_norm_whole(name, rewritten, norms):
    other, why = STAYS[name]
    inputs = keras.Input((6, 6, 3))
    x = BN()(inputs)
    model = keras.Model(inputs, [layers.Conv2D(2, 3)(x), other(x)])
    graph = rewritten(model, fold_right)
    (norm,) = norms(graph)
    assert norm.notes[0].startswith("not folded: ")
    assert why in norm.notes[0]
    assert not any(node.notes for node in linear(graph))


def test_mixed_channels_keep_the_norm(rewritten, norms):
    stack = BN(), layers.Reshape((4, 12)), layers.Conv1D(2, 2)
    assert len(norms(rewritten(chain((4, 4, 3), *stack), fold_right))) == 0
    # A channel of the convolution here is several of the normalization's.
    stack = BN(), layers.Reshape((8, 6)), layers.Permute((2, 1)), layers.Dense(2)
    graph = rewritten(chain((4, 4, 3), *stack), fold_right)
    (norm,) = norms(graph)
    assert "channels" in norm.notes[0]


def test_averaging_over_channels_keeps_the_norm(rewritten, norms):
    stack = BN(), layers.Permute((3, 1, 2)), layers.AveragePooling2D((3, 1)), layers.Conv2D(2, 1)
    graph = rewritten(chain((4, 4, 3), *stack), fold_right)
    (norm,) = norms(graph)
    assert "mixes" in norm.notes[0]


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_a_norm_of_any_axis_folds_through_flatten(axis, rewritten, norms):
    model = chain((4, 5, 3), BN(axis=axis), layers.Flatten(), layers.Dense(2))
    assert not norms(rewritten(model, fold_right))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_norm_of_axis_1_folds_into_channels_first(padding, rewritten, norms):
    conv = layers.Conv2D(4, 3, padding=padding, data_format="channels_first")
    graph = rewritten(chain((3, 8, 8), BN(axis=1), conv), fold_right, runs=False)
    assert not norms(graph)
    assert graph[conv.name].bias.shape == ((4,) if padding == "valid" else (4, 8, 8))


def test_a_norm_of_another_axis_stays(rewritten, norms):
    model = chain((5, 5, 3), BN(axis=1), layers.Conv2D(2, 3))
    assert len(norms(rewritten(model, fold_right))) == 1


@pytest.mark.parametrize("settings", [{"center": False}, {"scale": False}], ids=str)
def test_norms_without_center_or_scale_fold(settings, rewritten, norms):
    model = chain((6, 6, 3), BN(**settings), layers.Conv2D(2, 3, padding="same"))
    assert not norms(rewritten(model, fold_right))


def test_norms_in_a_row_fold_as_one(rewritten, norms):
    model = chain((6, 6, 3), BN(), BN(), layers.Conv2D(2, 3, padding="same"))
    graph = rewritten(model, merge_affine, fold_right)
    assert not norms(graph)


def test_a_rescaling_is_no_normalization_and_stays(rewritten):
    graph = rewritten(chain((6, 6, 3), layers.Rescaling(0.5, 1.0), layers.Conv2D(2, 3)), fold_right)
    assert sum(isinstance(node, Affine) for node in graph) == 1


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("sizes", [(4, 5), (7, 6)])
def test_unknown_sizes_fold_and_hold_at_any_size(padding, sizes, rewritten, norms):
    model = chain((None, None, 3), BN(), layers.Conv2D(2, 3, strides=2, padding=padding))
    assert not norms(rewritten(model, fold_right, sizes=sizes))


def test_unknown_sizes_fold_through_pools(rewritten, norms):
    pool = layers.AveragePooling2D(2, padding="same")
    stack = BN(), layers.ZeroPadding2D(1), pool, layers.Conv2DTranspose(2, 3)
    assert not norms(rewritten(chain((None, None, 3), *stack), fold_right, sizes=(5, 6)))


def test_a_norm_in_a_nested_model_folds_into_a_layer_outside(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    nested = chain((6, 6, 3), layers.ReLU(), BN())
    model = keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(nested(inputs)))
    assert not norms(rewritten(model, fold_right))


def test_a_shared_convolution_takes_the_norm_of_each_call(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    x = conv(BN()(layers.ReLU()(conv(BN()(inputs)))))
    graph = rewritten(keras.Model(inputs, x), fold_right)
    assert not norms(graph)
    assert not np.array_equal(graph["conv"].kernel, graph["conv#2"].kernel)


def test_what_the_norm_held_is_verified_and_its_relevance_can_be_read(randomize):
    norm = BN(name="norm")
    stack = norm, layers.Dropout(0.5, name="drop"), layers.Conv2D(2, 3), layers.Flatten()
    model = randomize(chain((6, 6, 3), *stack))
    analyzer = Analyzer(model, "epsilon")
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3))
    explanation = analyzer.explain(x, layers=["norm", "drop"])
    np.testing.assert_array_equal(explanation.layers["norm"], explanation.relevance)
    np.testing.assert_array_equal(explanation.layers["drop"], explanation.relevance)


def test_every_pass_leaves_the_function_unchanged(rewritten, norms):
    stack = BN(), layers.ZeroPadding2D(1), layers.Conv2D(3, 3), BN(), BN(), layers.ReLU()
    stack += BN(), layers.GlobalAveragePooling2D(), layers.Dense(4)
    assert not norms(rewritten(chain((6, 6, 3), *stack), canonize))
