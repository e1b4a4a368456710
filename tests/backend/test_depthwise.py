"""Depthwise convolution against loops in NumPy, and its adjoint against the definition."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from window_loops import (
    PADS,
    SIZES,
    STRIDES,
    WINDOW,
    assert_adjoint,
    geometry,
    loop_convolve,
    normal,
)

from lrpkeras import backend


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("padding", PADS)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("rank", [1, 2])
def test_depthwise_is_a_convolution_of_one_channel_a_group(
    rank, stride, dilation, padding, multiplier
):
    options = geometry(rank, stride, dilation, padding)
    x, kernel = normal(2, *SIZES["mixed"][:rank], 3), normal(*WINDOW[:rank], 3, multiplier)
    grouped = kernel.reshape(*WINDOW[:rank], 1, 3 * multiplier)
    y = backend.depthwise(x, kernel, **options)
    np.testing.assert_allclose(y, loop_convolve(x, grouped, **options, groups=3), atol=1e-12)
    s = normal(*y.shape)
    back = backend.depthwise_adjoint(s, kernel, x.shape[1:-1], **options)
    assert_adjoint(x, y, s, back)


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (2, {"padding": "same", "strides": 2}),
        (2, {"padding": "valid", "depth_multiplier": 3}),
        (2, {"padding": "same", "dilation_rate": 2, "depth_multiplier": 2}),
        (1, {"padding": "same", "strides": 2, "depth_multiplier": 2}),
        (1, {"padding": "valid", "dilation_rate": 2}),
    ],
)
def test_depthwise_equals_the_keras_layer(rank, options):
    layer = getattr(keras.layers, f"DepthwiseConv{rank}D")(3, use_bias=False, **options)
    x = normal(2, *SIZES["mixed"][:rank], 4, dtype="float32")
    expected = layer(x)
    actual = backend.depthwise(
        x,
        layer.kernel.numpy(),
        strides=layer.strides[:rank],
        padding="same" if options["padding"] == "same" else ((0, 0),) * rank,
        dilation=layer.dilation_rate[:rank],
    )
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_a_traced_depthwise_convolution_has_no_explicit_paddings():
    """With oneDNN, TensorFlow forgets them when it fuses a bias and a ReLU, and aborts."""
    layer, pad = keras.layers.DepthwiseConv2D(3, 2, use_bias=False), keras.layers.ZeroPadding2D(1)
    x = normal(2, 8, 8, 4, dtype="float32")
    expected = tf.nn.relu6(layer(pad(x)) + 1)
    kernel = layer.kernel.numpy()
    options = {"strides": (2, 2), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}

    @tf.function
    def fused(x):
        y = backend.depthwise(x, kernel, **options)
        return tf.nn.relu6(tf.nn.bias_add(y, np.ones(4, "float32")))

    traced = fused.get_concrete_function(tf.TensorSpec((None, 8, 8, 4)))
    found = [op for op in traced.graph.get_operations() if op.type == "DepthwiseConv2dNative"]
    assert [op.get_attr("padding") for op in found] == [b"VALID"]
    np.testing.assert_allclose(fused(x), expected, atol=1e-5)
