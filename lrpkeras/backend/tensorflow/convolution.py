"""Convolution and its written-out adjoint.

The adjoint of a 2-D convolution that keeps the size is a convolution with the turned kernel; where
oneDNN convolves, TensorFlow's adjoint is as fast, and needs no second kernel. Where TensorFlow on
CPU has no kernel for the adjoint of a 2-D convolution:

- with strides and some groups, each group is a convolution of its own (measured two to six times
  faster than the next, which multiplies the zeros that it puts between the values of s);
- with groups or dilation else, it is the forward convolution of the spread-out s with the flipped
  kernel (measured two to five times faster than the next).

In three dimensions, groups and dilation go tap by tap.
"""

from __future__ import annotations

import importlib
from functools import cache

import tensorflow as tf

from lrpkeras.backend.tensorflow import winograd
from lrpkeras.backend.tensorflow.arrays import (
    Sizes,
    Tensor,
    size_of,
    spatial_of,
    turned,
    with_static,
)
from lrpkeras.backend.tensorflow.depthwise import convolve_channels, convolve_channels_adjoint
from lrpkeras.backend.tensorflow.geometry import Geometry, Padding, crop, pad_or_crop, spread_out
from lrpkeras.backend.tensorflow.narrow import in_kernel_type
from lrpkeras.backend.tensorflow.products import mix
from lrpkeras.backend.tensorflow.taps import over_taps, over_taps_adjoint

# More groups than ResNeXt has are not worth that many ops in the graph.
_MOST_GROUPS = 32


@in_kernel_type
def convolve(
    x: Tensor,
    kernel: Tensor,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """Cross-correlate `x` with `kernel`, in 1, 2 or 3 dimensions.

    Parameters
    ----------
    x : (batch, *spatial, in)
    kernel : (*window, in // groups, out)
    strides, dilation : one int per spatial dimension
    padding : one (low, high) per spatial dimension, or "same" (TensorFlow's rule, for the sizes
        that come at run time)

    Returns
    -------
    (batch, *out_spatial, out)
    """
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    geometry = Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation)
    if groups > 1 and kernel.shape[-2] == 1:
        return convolve_channels(x, _per_channel(kernel, groups), geometry)
    if geometry.rank == 1:
        return tf.squeeze(_conv2d(tf.expand_dims(x, 1), kernel[None], geometry.lift()), 1)
    if geometry.rank == 2:
        return _conv2d(x, kernel, geometry)
    if groups == 1 and geometry.is_dense:
        return _conv3d(x, kernel, geometry)
    return over_taps(x, kernel, geometry, lambda part, weights: mix(part, weights, groups))


def convolve_adjoint(
    s: Tensor,
    kernel: Tensor,
    spatial: Sizes,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """Apply the adjoint of `convolve` with respect to `x`.

    Parameters
    ----------
    s : (batch, *out_spatial, out)
    kernel, strides, padding, dilation, groups : as given to `convolve`
    spatial : the spatial sizes of x, ints or scalar int tensors

    Returns
    -------
    (batch, *spatial, in)
    """
    geometry, spatial = (
        Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation),
        tuple(spatial),
    )
    swapped = geometry.swapped()
    turns = isinstance(kernel, tf.Variable) and geometry.rank == 2 and groups == 1
    if turns and swapped and not convolves_with_onednn():
        # The same work as the forward convolution, whose kernels are 1.1 to 3 times faster than
        # those for adjoints.
        x = convolve(
            s, turned(kernel), strides=strides, padding=swapped, dilation=dilation, groups=1
        )
        return with_static(x, (s.shape[0], *spatial, kernel.shape[-2]))
    return _convolve_adjoint(s, kernel, spatial, geometry, groups)


@cache
def convolves_with_onednn() -> bool:
    """Whether convolutions are oneDNN's, whose adjoints take no longer than they do themselves.

    TensorFlow decides by the processor and by TF_ENABLE_ONEDNN_OPTS, and does not say so publicly.
    """
    port = importlib.import_module("tensorflow.python.util._pywrap_util_port")
    return bool(getattr(port, "IsMklEnabled", lambda: False)())


@in_kernel_type
def _convolve_adjoint(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry, groups: int
) -> Tensor:
    if groups > 1 and kernel.shape[-2] == 1:
        return convolve_channels_adjoint(s, _per_channel(kernel, groups), spatial, geometry)
    if geometry.rank == 1:
        s, kernel = tf.expand_dims(s, 1), kernel[None]
        return tf.squeeze(_conv2d_adjoint(s, kernel, (1, *spatial), geometry.lift(), groups), 1)
    if geometry.rank == 2:
        return _conv2d_adjoint(s, kernel, spatial, geometry, groups)
    if groups == 1 and geometry.is_dense:
        return _conv3d_adjoint(s, kernel, spatial, geometry)
    weights = _swap_per_group(kernel, groups)
    return over_taps_adjoint(s, weights, spatial, geometry, lambda part, w: mix(part, w, groups))


def _conv2d(x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    if kernel.shape[-2] == x.shape[-1] and _by_tiles(x, kernel, geometry):
        return winograd.convolve(x, kernel, geometry)
    padding, explicit = geometry.native(spatial_of(x))
    return tf.raw_ops.Conv2D(
        input=x,
        filter=kernel,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
        dilations=[1, *geometry.dilation, 1],
    )


def _by_tiles(x: Tensor, kernel: Tensor, geometry: Geometry) -> bool:
    """Whether to convolve by tiles: without oneDNN, matrix products are slower, too."""
    return convolves_with_onednn() and winograd.pays(x, kernel, geometry)


def _conv2d_adjoint(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry, groups: int
) -> Tensor:
    is_strided = max(geometry.strides) > 1
    if 1 < groups <= _MOST_GROUPS and is_strided and geometry.is_dense:
        return _conv2d_adjoint_by_group(s, kernel, spatial, geometry, groups)
    if groups > 1 or not geometry.is_dense:
        return _conv2d_flipped(s, kernel, spatial, geometry, groups)
    if _by_tiles(s, kernel, geometry):
        return winograd.convolve_adjoint(s, kernel, geometry)
    padding, explicit = geometry.native(spatial)
    sizes = (size_of(s, 0), *spatial, kernel.shape[-2])
    x = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=s,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )
    return with_static(x, sizes)


def _conv2d_adjoint_by_group(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry, groups: int
) -> Tensor:
    parts = zip(tf.split(s, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([_conv2d_adjoint(part, k, spatial, geometry, 1) for part, k in parts], -1)


def _conv2d_flipped(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry, groups: int
) -> Tensor:
    """The adjoint as a forward convolution: x[p] sums s[q] kernel[t] over p = q stride + t step."""
    s = spread_out(s, geometry.strides)
    pads = tuple(
        (reach - 1 - low, low + size - spread)
        for reach, (low, _), size, spread in zip(
            geometry.reach, geometry.pads(spatial), spatial, spatial_of(s), strict=True
        )
    )
    weights = tf.reverse(_swap_per_group(kernel, groups), (0, 1))
    if not all(isinstance(n, int) and n >= 0 for pair in pads for n in pair):
        s, pads = pad_or_crop(s, pads), ((0, 0), (0, 0))
    x = _conv2d(s, weights, Geometry(geometry.window, (1, 1), pads, geometry.dilation))
    return with_static(x, (s.shape[0], *spatial, weights.shape[-1]))


def _conv3d(x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    spatial = spatial_of(x)
    padding, _ = geometry.native(spatial)
    if padding == "EXPLICIT":
        x, padding = tf.pad(x, ((0, 0), *geometry.pads(spatial), (0, 0))), "VALID"
    strides = [1, *geometry.strides, 1]
    return tf.raw_ops.Conv3D(input=x, filter=kernel, strides=strides, padding=padding)


def _conv3d_adjoint(s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry) -> Tensor:
    padding, _ = geometry.native(spatial)
    pads = geometry.pads(spatial) if padding == "EXPLICIT" else ((0, 0),) * geometry.rank
    padded = tuple(low + size + high for size, (low, high) in zip(spatial, pads, strict=True))
    sizes = (size_of(s, 0), *padded, kernel.shape[-2])
    x = tf.raw_ops.Conv3DBackpropInputV2(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=s,
        strides=[1, *geometry.strides, 1],
        padding="VALID" if padding == "EXPLICIT" else padding,
    )
    return crop(with_static(x, sizes), pads)


def _per_channel(kernel: Tensor, groups: int) -> Tensor:
    """A grouped kernel `(*window, 1, out)` of one channel a group, as `depthwise` takes it."""
    return tf.reshape(kernel, (*kernel.shape[:-2], groups, kernel.shape[-1] // groups))


def _swap_per_group(kernel: Tensor, groups: int) -> Tensor:
    """`(*window, in // groups, out) -> (*window, out // groups, in)`, transposing every group."""
    *window, inputs, outputs = kernel.shape
    each = tf.reshape(kernel, (*window, inputs, groups, outputs // groups))
    each = tf.einsum("...igo->...ogi", each)
    return tf.reshape(each, (*window, outputs // groups, groups * inputs))
