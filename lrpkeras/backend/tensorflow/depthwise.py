"""Convolution of each channel on its own, and its adjoint.

On CPU, TensorFlow has kernels in two dimensions, without dilation and with equal strides; the
others go tap by tap.
"""

from __future__ import annotations

import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import (
    Sizes,
    Tensor,
    reshape,
    shape,
    size_of,
    spatial_of,
    with_static,
)
from lrpkeras.backend.tensorflow.geometry import Geometry, Padding
from lrpkeras.backend.tensorflow.taps import over_taps, over_taps_adjoint


def depthwise(
    x: Tensor,
    kernel: Tensor,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> Tensor:
    """Convolve each channel on its own: `(batch, *spatial, in) -> (batch, *out_spatial, in * m)`.

    The kernel is `(*window, in, m)`; output channel `c * m + j` comes from input channel `c`, as
    in Keras. Otherwise as `convolve`.
    """
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    geometry = Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation)
    return convolve_channels(x, kernel, geometry)


def depthwise_adjoint(
    s: Tensor,
    kernel: Tensor,
    spatial: Sizes,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> Tensor:
    """The adjoint of `depthwise`: `(batch, *out_spatial, in * m) -> (batch, *spatial, in)`."""
    s, kernel = tf.convert_to_tensor(s), tf.convert_to_tensor(kernel)
    geometry = Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation)
    return convolve_channels_adjoint(s, kernel, tuple(spatial), geometry)


def convolve_channels(x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    """As `depthwise`, for tensors and a `Geometry`."""
    if geometry.rank == 1 and geometry.is_dense:
        return tf.squeeze(convolve_channels(tf.expand_dims(x, 1), kernel[None], geometry.lift()), 1)
    if not _has_depthwise_kernel(geometry):
        return over_taps(x, kernel, geometry, _spread)
    padding, _ = geometry.native(spatial_of(x))
    if padding == "EXPLICIT":
        # Fusing the op with a bias and a ReLU, TensorFlow forgets explicit paddings, and aborts.
        x, padding = tf.pad(x, ((0, 0), *geometry.pads(spatial_of(x)), (0, 0))), "VALID"
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x, filter=kernel, strides=[1, *geometry.strides, 1], padding=padding
    )


def convolve_channels_adjoint(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry
) -> Tensor:
    """As `depthwise_adjoint`, for tensors and a `Geometry`."""
    if geometry.rank == 1 and geometry.is_dense:
        s, kernel = tf.expand_dims(s, 1), kernel[None]
        return tf.squeeze(convolve_channels_adjoint(s, kernel, (1, *spatial), geometry.lift()), 1)
    if not _has_depthwise_kernel(geometry):
        return over_taps_adjoint(s, kernel, spatial, geometry, _gather)
    padding, explicit = geometry.native(spatial)
    sizes = (size_of(s, 0), *spatial, kernel.shape[-2])
    x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=s,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )
    return with_static(x, sizes)


def _has_depthwise_kernel(geometry: Geometry) -> bool:
    return geometry.rank == 2 and geometry.is_dense and len(set(geometry.strides)) == 1


def _spread(x: Tensor, weights: Tensor) -> Tensor:
    """`(..., in)` with `(in, m)` -> `(..., in * m)`: one tap of a depthwise convolution."""
    return reshape(x[..., None] * weights, (*shape(x)[:-1], weights.shape[0] * weights.shape[1]))


def _gather(s: Tensor, weights: Tensor) -> Tensor:
    """`(..., in * m)` with `(in, m)` -> `(..., in)`: the adjoint of `_spread`."""
    return tf.reduce_sum(reshape(s, (*shape(s)[:-1], *weights.shape)) * weights, -1)
