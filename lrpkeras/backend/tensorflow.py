"""Linear maps and their written-out adjoints, pooling, and compiling, on TensorFlow.

All arrays are channels-last, `(batch, *spatial, channels)`; batch and spatial sizes may be
unknown while tracing. An adjoint is the transposed linear map, for all x and s
`<convolve(x), s> = <x, convolve_adjoint(s)>`. Where TensorFlow on CPU has no kernel:

- the adjoint of a grouped or dilated 2-D convolution is the forward one of the spread-out s with
  the flipped kernel (measured two to five times faster than the next);
- 3-D with groups or dilation, and depthwise with dilation or unequal strides, are written as what
  a convolution is: a sum over the taps of its window, each a strided slice of the input times one
  matrix. That costs the same multiply-adds and holds for every geometry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from lrpkeras.errors import InputError

Tensor: TypeAlias = Any
Size: TypeAlias = Any  # an int where it is known while tracing, else a scalar int32 tensor
Sizes: TypeAlias = tuple[Size, ...]
Padding: TypeAlias = "tuple[tuple[int, int], ...] | Literal['same']"

_traced_for_xla: ContextVar[bool] = ContextVar("traced_for_xla", default=False)


# Shapes and values


def shape(x: Tensor) -> Sizes:
    """Return the sizes of `x`: ints where known while tracing, scalar int32 tensors elsewhere."""
    x = tf.convert_to_tensor(x)
    return tuple(_size(x, axis) for axis in range(len(x.shape)))


def _size(x: Tensor, axis: int) -> Size:
    size = x.shape[axis]
    return tf.shape(x)[axis] if size is None else int(size)


def _spatial(x: Tensor) -> Sizes:
    return tuple(_size(x, axis) for axis in range(1, len(x.shape) - 1))


def merge_leading(x: Tensor) -> Tensor:
    """`(k, n, ...) -> (k * n, ...)`; free when k is 1."""
    k, n, *rest = shape(x)
    if isinstance(k, int) and k == 1:
        return tf.squeeze(x, 0)
    return _reshape(x, (k * n, *rest))


def split_leading(x: Tensor, k: int) -> Tensor:
    """`(k * n, ...) -> (k, n, ...)` for a static `k`; free when k is 1."""
    if k == 1:
        return tf.expand_dims(x, 0)
    n, *rest = shape(x)
    return _reshape(x, (k, n // k, *rest))


def _reshape(x: Tensor, sizes: Sizes) -> Tensor:
    """Reshape without a computed shape where one unknown size can be left to TensorFlow."""
    if sum(not isinstance(n, int) for n in sizes) == 1:
        sizes = tuple(n if isinstance(n, int) else -1 for n in sizes)
    return tf.reshape(x, sizes)


def constant(array: Any, dtype: str | None = None) -> Tensor:
    """Return `array` as a tensor, of type `dtype` if one is given."""
    if tf.is_tensor(array):
        return array if dtype is None else tf.cast(array, dtype)
    return tf.constant(array, dtype)


def to_numpy(tensor: Any) -> np.ndarray:
    """Return the value of an eager tensor, a variable or an array-like as an array of its own."""
    if isinstance(tensor, keras.Variable):
        tensor = tensor.value
    return tensor.numpy() if tf.is_tensor(tensor) else np.array(tensor)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor or variable of this backend."""
    return bool(tf.is_tensor(x))


def variable(array: Any, name: str) -> Tensor:
    """Create a variable that nothing trains and no Keras layer tracks."""
    with tf.init_scope():
        return tf.Variable(array, trainable=False, name=name)


def assign(variable: Tensor, array: Any) -> None:
    """Overwrite the value of `variable`; shape and dtype stay."""
    variable.assign(array)


# Matrix products


def matmul(x: Tensor, kernel: Tensor) -> Tensor:
    """`(..., in) @ (in, out) -> (..., out)`, in one matrix product."""
    return _matmul(x, kernel, transpose_b=False)


def matmul_adjoint(s: Tensor, kernel: Tensor) -> Tensor:
    """`(..., out) -> (..., in)`: the adjoint of `matmul` with respect to `x`."""
    return _matmul(s, kernel, transpose_b=True)


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Einstein summation, as `numpy.einsum`."""
    return tf.einsum(equation, *operands)


def _matmul(x: Tensor, kernel: Tensor, transpose_b: bool) -> Tensor:
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    if len(x.shape) == 2:
        return tf.matmul(x, kernel, transpose_b=transpose_b)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    out = tf.matmul(rows, kernel, transpose_b=transpose_b)
    return _reshape(out, (*shape(x)[:-1], out.shape[-1]))


# Convolution


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
    geometry = _Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation)
    if groups > 1 and kernel.shape[-2] == 1:
        return _depthwise(x, _per_channel(kernel, groups), geometry)
    if geometry.rank == 1:
        return tf.squeeze(_conv2d(tf.expand_dims(x, 1), kernel[None], geometry.lift()), 1)
    if geometry.rank == 2:
        return _conv2d(x, kernel, geometry)
    if groups == 1 and geometry.is_dense:
        return _conv3d(x, kernel, geometry)
    return _taps(x, kernel, geometry, lambda part, weights: _mix(part, weights, groups))


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
    s, kernel = tf.convert_to_tensor(s), tf.convert_to_tensor(kernel)
    spatial = tuple(spatial)
    geometry = _Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation)
    if groups > 1 and kernel.shape[-2] == 1:
        return _depthwise_adjoint(s, _per_channel(kernel, groups), spatial, geometry)
    if geometry.rank == 1:
        s, kernel = tf.expand_dims(s, 1), kernel[None]
        return tf.squeeze(_conv2d_adjoint(s, kernel, (1, *spatial), geometry.lift(), groups), 1)
    if geometry.rank == 2:
        return _conv2d_adjoint(s, kernel, spatial, geometry, groups)
    if groups == 1 and geometry.is_dense:
        return _conv3d_adjoint(s, kernel, spatial, geometry)
    weights = _swap_per_group(kernel, groups)
    return _taps_adjoint(s, weights, spatial, geometry, lambda part, w: _mix(part, w, groups))


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
    return _depthwise(x, kernel, _Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation))


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
    geometry = _Geometry(tuple(kernel.shape[:-2]), strides, padding, dilation)
    return _depthwise_adjoint(s, kernel, tuple(spatial), geometry)


@dataclass(frozen=True)
class _Geometry:
    """Where a window reads: one entry per spatial dimension."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.window)

    @property
    def is_dense(self) -> bool:
        return all(step == 1 for step in self.dilation)

    @property
    def reach(self) -> tuple[int, ...]:
        """From the first to the last input that a window reads."""
        pairs = zip(self.window, self.dilation, strict=True)
        return tuple((width - 1) * step + 1 for width, step in pairs)

    def lift(self) -> _Geometry:
        """Rank 1 as rank 2 with height 1; equal strides, as the depthwise kernel demands them."""
        padding = self.padding if self.padding == "same" else ((0, 0), *self.padding)
        return _Geometry((1, *self.window), self.strides * 2, padding, (1, *self.dilation))

    def pads(self, spatial: Sizes) -> tuple[tuple[Size, Size], ...]:
        """Return (low, high) per dimension; "same" is resolved by TensorFlow's rule."""
        if self.padding != "same":
            return tuple((int(low), int(high)) for low, high in self.padding)
        return tuple(map(_same, spatial, self.window, self.strides, self.dilation))

    def native(self, spatial: Sizes) -> tuple[str, list[int]]:
        """Return `padding` and `explicit_paddings` of TensorFlow's two-dimensional ops."""
        if self.padding == "same":
            return "SAME", []
        pads = self.pads(spatial)
        if not any(map(any, pads)):
            return "VALID", []
        known = all(isinstance(size, int) for size in spatial)
        if known and pads == _Geometry(self.window, self.strides, "same", self.dilation).pads(
            spatial
        ):
            return "SAME", []
        return "EXPLICIT", [0, 0, *(n for pair in pads for n in pair), 0, 0]


def _same(size: Size, window: int, stride: int, dilation: int) -> tuple[Size, Size]:
    """Return TensorFlow's SAME padding: output size ceil(size / stride), the odd one at the end."""
    excess = (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size
    total = _positive(excess)
    return total // 2, total - total // 2


def _conv2d(x: Tensor, kernel: Tensor, geometry: _Geometry) -> Tensor:
    padding, explicit = geometry.native(_spatial(x))
    return tf.raw_ops.Conv2D(
        input=x,
        filter=kernel,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
        dilations=[1, *geometry.dilation, 1],
    )


def _conv2d_adjoint(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: _Geometry, groups: int
) -> Tensor:
    if groups > 1 or not geometry.is_dense:
        return _conv2d_flipped(s, kernel, spatial, geometry, groups)
    padding, explicit = geometry.native(spatial)
    sizes = (_size(s, 0), *spatial, kernel.shape[-2])
    x = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=s,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )
    return _with_static(x, sizes)


def _conv2d_flipped(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: _Geometry, groups: int
) -> Tensor:
    """The adjoint as a forward convolution: x[p] sums s[q] kernel[t] over p = q stride + t step."""
    s = _spread_out(s, geometry.strides)
    pads = tuple(
        (reach - 1 - low, low + size - spread)
        for reach, (low, _), size, spread in zip(
            geometry.reach, geometry.pads(spatial), spatial, _spatial(s), strict=True
        )
    )
    weights = tf.reverse(_swap_per_group(kernel, groups), (0, 1))
    if not all(isinstance(n, int) and n >= 0 for pair in pads for n in pair):
        s, pads = _pad_or_crop(s, pads), ((0, 0), (0, 0))
    x = _conv2d(s, weights, _Geometry(geometry.window, (1, 1), pads, geometry.dilation))
    return _with_static(x, (s.shape[0], *spatial, weights.shape[-1]))


def _conv3d(x: Tensor, kernel: Tensor, geometry: _Geometry) -> Tensor:
    spatial = _spatial(x)
    padding, _ = geometry.native(spatial)
    if padding == "EXPLICIT":
        x, padding = tf.pad(x, ((0, 0), *geometry.pads(spatial), (0, 0))), "VALID"
    strides = [1, *geometry.strides, 1]
    return tf.raw_ops.Conv3D(input=x, filter=kernel, strides=strides, padding=padding)


def _conv3d_adjoint(s: Tensor, kernel: Tensor, spatial: Sizes, geometry: _Geometry) -> Tensor:
    padding, _ = geometry.native(spatial)
    pads = geometry.pads(spatial) if padding == "EXPLICIT" else ((0, 0),) * geometry.rank
    padded = tuple(low + size + high for size, (low, high) in zip(spatial, pads, strict=True))
    sizes = (_size(s, 0), *padded, kernel.shape[-2])
    x = tf.raw_ops.Conv3DBackpropInputV2(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=s,
        strides=[1, *geometry.strides, 1],
        padding="VALID" if padding == "EXPLICIT" else padding,
    )
    return _crop(_with_static(x, sizes), pads)


def _depthwise(x: Tensor, kernel: Tensor, geometry: _Geometry) -> Tensor:
    if geometry.rank == 1 and geometry.is_dense:
        return tf.squeeze(_depthwise(tf.expand_dims(x, 1), kernel[None], geometry.lift()), 1)
    if not _has_depthwise_kernel(geometry):
        return _taps(x, kernel, geometry, _spread)
    padding, explicit = geometry.native(_spatial(x))
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x,
        filter=kernel,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )


def _depthwise_adjoint(s: Tensor, kernel: Tensor, spatial: Sizes, geometry: _Geometry) -> Tensor:
    if geometry.rank == 1 and geometry.is_dense:
        s, kernel = tf.expand_dims(s, 1), kernel[None]
        return tf.squeeze(_depthwise_adjoint(s, kernel, (1, *spatial), geometry.lift()), 1)
    if not _has_depthwise_kernel(geometry):
        return _taps_adjoint(s, kernel, spatial, geometry, _gather)
    padding, explicit = geometry.native(spatial)
    sizes = (_size(s, 0), *spatial, kernel.shape[-2])
    x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=s,
        strides=[1, *geometry.strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )
    return _with_static(x, sizes)


def _has_depthwise_kernel(geometry: _Geometry) -> bool:
    return geometry.rank == 2 and geometry.is_dense and len(set(geometry.strides)) == 1


def _per_channel(kernel: Tensor, groups: int) -> Tensor:
    """A grouped kernel `(*window, 1, out)` of one channel a group, as `depthwise` takes it."""
    return tf.reshape(kernel, (*kernel.shape[:-2], groups, kernel.shape[-1] // groups))


def _with_static(x: Tensor, sizes: Sizes) -> Tensor:
    x.set_shape([size if isinstance(size, int) else None for size in sizes])
    return x


def _crop(x: Tensor, pads: tuple[tuple[Size, Size], ...]) -> Tensor:
    """Undo padding by `pads`."""
    return _pad_or_crop(x, tuple((-low, -high) for low, high in pads))


def _pad_or_crop(x: Tensor, amounts: tuple[tuple[Size, Size], ...]) -> Tensor:
    """Add (low, high) zeros per spatial dimension; negative amounts are cut off."""
    pads = [tuple(map(_positive, pair)) for pair in amounts]
    cuts = [tuple(_positive(-n) for n in pair) for pair in amounts]
    if not _all_zero(cuts):
        ends = (size - high for size, (_, high) in zip(_spatial(x), cuts, strict=True))
        x = x[(slice(None), *map(slice, (low for low, _ in cuts), ends), slice(None))]
    return x if _all_zero(pads) else tf.pad(x, ((0, 0), *pads, (0, 0)))


def _all_zero(amounts: Any) -> bool:
    return all(isinstance(n, int) and n == 0 for pair in amounts for n in pair)


def _positive(n: Size) -> Size:
    return max(n, 0) if isinstance(n, int) else tf.maximum(n, 0)


def _spread_out(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Put stride - 1 zeros behind every value, per spatial dimension."""
    for axis, stride in enumerate(strides, start=1):
        if stride == 1:
            continue
        sizes = [stride * size if i == axis else size for i, size in enumerate(shape(x))]
        zeros = [(0, stride - 1) if i == axis + 1 else (0, 0) for i in range(len(sizes) + 1)]
        x = _reshape(tf.pad(tf.expand_dims(x, axis + 1), zeros), tuple(sizes))
    return x


# Convolution as a sum over the taps of its window


def _taps(x: Tensor, kernel: Tensor, geometry: _Geometry, mix: Callable) -> Tensor:
    """Return the sum over the taps t of `mix(what t reads of x, kernel[t])`."""
    spatial = _spatial(x)
    pads = geometry.pads(spatial)
    x = tf.pad(x, ((0, 0), *pads, (0, 0)))
    total: Tensor = 0
    for tap in np.ndindex(*geometry.window):
        total = total + mix(_read(x, tap, spatial, geometry), kernel[tap])
    return total


def _taps_adjoint(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: _Geometry, mix: Callable
) -> Tensor:
    """Return the sum over the taps t of `mix(s, kernel[t])`, put back where t reads."""
    total: Tensor = 0
    for tap in np.ndindex(*geometry.window):
        total = total + _put_back(mix(s, kernel[tap]), tap, spatial, geometry)
    x = _crop(total, geometry.pads(spatial))
    return _with_static(x, (s.shape[0], *spatial, total.shape[-1]))


def _put_back(part: Tensor, tap: tuple[int, ...], spatial: Sizes, geometry: _Geometry) -> Tensor:
    """The adjoint of `_read`: `part` where the tap reads the padded input, zero elsewhere."""
    part = _spread_out(part, geometry.strides)
    begin, _ = _reads(tap, spatial, geometry)
    ends = (
        low + size + high - start - spread
        for (low, high), size, start, spread in zip(
            geometry.pads(spatial), spatial, begin, _spatial(part), strict=True
        )
    )
    return _pad_or_crop(part, tuple(zip(begin, ends, strict=True)))


def _read(padded: Tensor, tap: tuple[int, ...], spatial: Sizes, geometry: _Geometry) -> Tensor:
    cuts = map(slice, *_reads(tap, spatial, geometry), geometry.strides)
    return padded[(slice(None), *cuts, slice(None))]


def _reads(tap: tuple[int, ...], spatial: Sizes, geometry: _Geometry) -> tuple[Sizes, Sizes]:
    """Return the begin and end, per dimension, of what a tap reads of the padded input."""
    begin = tuple(t * d for t, d in zip(tap, geometry.dilation, strict=True))
    end = []
    for i, (low, high) in enumerate(geometry.pads(spatial)):
        room, stride = low + spatial[i] + high - geometry.reach[i], geometry.strides[i]
        end.append(begin[i] + room // stride * stride + 1)
    return begin, tuple(end)


def _mix(x: Tensor, weights: Tensor, groups: int) -> Tensor:
    """`(..., in)` with `(in // groups, out)` -> `(..., out)`, each group on its own channels."""
    if groups == 1:
        return matmul(x, weights)
    rows = tf.transpose(tf.reshape(x, (-1, groups, weights.shape[0])), (1, 0, 2))
    each = tf.transpose(tf.reshape(weights, (weights.shape[0], groups, -1)), (1, 0, 2))
    out = tf.transpose(tf.matmul(rows, each), (1, 0, 2))
    return _reshape(out, (*shape(x)[:-1], weights.shape[1]))


def _swap_per_group(kernel: Tensor, groups: int) -> Tensor:
    """`(*window, in // groups, out) -> (*window, out // groups, in)`, transposing every group."""
    *window, inputs, outputs = kernel.shape
    each = tf.reshape(kernel, (*window, inputs, groups, outputs // groups))
    each = tf.einsum("...igo->...ogi", each)
    return tf.reshape(each, (*window, outputs // groups, groups * inputs))


def _spread(x: Tensor, weights: Tensor) -> Tensor:
    """`(..., in)` with `(in, m)` -> `(..., in * m)`: one tap of a depthwise convolution."""
    return _reshape(x[..., None] * weights, (*shape(x)[:-1], weights.shape[0] * weights.shape[1]))


def _gather(s: Tensor, weights: Tensor) -> Tensor:
    """`(..., in * m)` with `(in, m)` -> `(..., in)`: the adjoint of `_spread`."""
    return tf.reduce_sum(_reshape(s, (*shape(s)[:-1], *weights.shape)) * weights, -1)


# Pooling


def max_pool(
    x: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Literal["valid", "same"],
) -> Tensor:
    """Return the maximum of each window, in 1, 2 or 3 dimensions; padding never wins."""
    x = tf.convert_to_tensor(x)
    if len(window) == 1:
        return tf.squeeze(
            _max_pool_2d(tf.expand_dims(x, 1), (1, *window), (1, *strides), padding), 1
        )
    if len(window) == 2:
        return _max_pool_2d(x, window, strides, padding)
    planes = _max_pool_planes(x, window, strides, padding)
    lines = _max_pool_2d(_as_lines(planes), (window[0], 1), (strides[0], 1), padding)
    return _from_lines(lines, shape(planes)[2:4])


def max_pool_adjoint(
    x: Tensor,
    y: Tensor,
    s: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Literal["valid", "same"],
) -> Tensor:
    """Send each `s` to the maximum of its window: the adjoint of `max_pool`, linearized at `x`.

    All of `s` goes to one input: of several equal maxima the first in row-major order (by
    TensorFlow's own op in a graph for CPU without XLA, tap by tap where that op breaks ties
    differently: in what `compile` traces for XLA, and on GPU).

    Parameters
    ----------
    x : (batch, *spatial, channels)
    y : (batch, *out_spatial, channels), what `max_pool` gave for x
    s : like y
    """
    x, y, s = map(tf.convert_to_tensor, (x, y, s))
    if len(window) == 1:
        x, y, s = (tf.expand_dims(each, 1) for each in (x, y, s))
        return tf.squeeze(_max_pool_2d_adjoint(x, y, s, (1, *window), (1, *strides), padding), 1)
    if len(window) == 2:
        return _max_pool_2d_adjoint(x, y, s, window, strides, padding)
    # The first depth that has the maximum, then the first place in that plane: row-major order.
    planes = _max_pool_planes(x, window, strides, padding)
    lines = (_as_lines(planes), _as_lines(y), _as_lines(s))
    s = _max_pool_2d_adjoint(*lines, (window[0], 1), (strides[0], 1), padding)
    s = _from_lines(s, shape(planes)[2:4])
    merged = (merge_leading(x), merge_leading(planes), merge_leading(s))
    out = _max_pool_2d_adjoint(*merged, window[1:], strides[1:], padding)
    return _reshape(out, shape(x))


def average_pool(
    x: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Literal["valid", "same"],
) -> Tensor:
    """Return the mean of each window, in 1, 2 or 3 dimensions; padding is not counted."""
    x = tf.convert_to_tensor(x)
    if len(window) == 1:
        x = tf.expand_dims(x, 1)
        return tf.squeeze(_average_pool_2d(x, (1, *window), (1, *strides), padding), 1)
    if len(window) == 2:
        return _average_pool_2d(x, window, strides, padding)
    planes = _average_pool_2d(merge_leading(x), window[1:], strides[1:], padding)
    planes = _reshape(planes, (*shape(x)[:2], *shape(planes)[1:]))
    lines = _average_pool_2d(_as_lines(planes), (window[0], 1), (strides[0], 1), padding)
    return _from_lines(lines, shape(planes)[2:4])


def average_pool_adjoint(
    s: Tensor,
    spatial: Sizes,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Literal["valid", "same"],
) -> Tensor:
    """Apply the adjoint of `average_pool`: `(batch, *out_spatial, c) -> (batch, *spatial, c)`."""
    s, spatial = tf.convert_to_tensor(s), tuple(spatial)
    if len(window) == 1:
        s, spatial = tf.expand_dims(s, 1), (1, *spatial)
        return tf.squeeze(
            _average_pool_2d_adjoint(s, spatial, (1, *window), (1, *strides), padding), 1
        )
    if len(window) == 2:
        return _average_pool_2d_adjoint(s, spatial, window, strides, padding)
    batch, _, height, width, channels = shape(s)
    lines = (spatial[0], height * width)
    planes = _average_pool_2d_adjoint(_as_lines(s), lines, (window[0], 1), (strides[0], 1), padding)
    planes = merge_leading(_from_lines(planes, (height, width)))
    out = _average_pool_2d_adjoint(planes, spatial[1:], window[1:], strides[1:], padding)
    return _reshape(out, (batch, *spatial, channels))


def _max_pool_2d(x: Tensor, window: Any, strides: Any, padding: str) -> Tensor:
    ksize, steps = [1, *window, 1], [1, *strides, 1]
    return tf.raw_ops.MaxPool(input=x, ksize=ksize, strides=steps, padding=padding.upper())


def _max_pool_2d_adjoint(
    x: Tensor, y: Tensor, s: Tensor, window: Any, strides: Any, padding: str
) -> Tensor:
    if _traced_for_xla.get() or tf.config.list_physical_devices("GPU"):
        return _first_winner(x, y, s, _Geometry(window, strides, _pool_padding(padding), (1, 1)))
    return tf.raw_ops.MaxPoolGrad(
        orig_input=x,
        orig_output=y,
        grad=s,
        ksize=[1, *window, 1],
        strides=[1, *strides, 1],
        padding=padding.upper(),
    )


def _first_winner(x: Tensor, y: Tensor, s: Tensor, geometry: _Geometry) -> Tensor:
    """`max_pool_adjoint` tap by tap.

    Only on CPU does TensorFlow's own op promise the first of equal maxima: XLA takes another one
    next to uneven padding, and is slower than this.
    """
    spatial = _spatial(x)
    pads = geometry.pads(spatial)
    x = tf.pad(x, ((0, 0), *pads, (0, 0)), constant_values=np.nan)  # equals nothing: never wins
    open_windows, total = tf.ones_like(y, bool), 0
    for tap in np.ndindex(*geometry.window):
        is_maximum = _read(x, tap, spatial, geometry) == y
        won = tf.where(open_windows & is_maximum, s, tf.zeros_like(s))
        total = total + _put_back(won, tap, spatial, geometry)
        open_windows &= ~is_maximum
    return _crop(total, pads)


def _pool_padding(padding: str) -> Padding:
    return "same" if padding == "same" else ((0, 0), (0, 0))


def _max_pool_planes(x: Tensor, window: Any, strides: Any, padding: str) -> Tensor:
    """Pool `(batch, depth, height, width, c)` over height and width only."""
    planes = _max_pool_2d(merge_leading(x), window[1:], strides[1:], padding)
    return _reshape(planes, (*shape(x)[:2], *shape(planes)[1:]))


def _average_pool_2d(x: Tensor, window: Any, strides: Any, padding: str) -> Tensor:
    ksize, steps = [1, *window, 1], [1, *strides, 1]
    return tf.raw_ops.AvgPool(value=x, ksize=ksize, strides=steps, padding=padding.upper())


def _average_pool_2d_adjoint(
    s: Tensor, spatial: Sizes, window: Any, strides: Any, padding: str
) -> Tensor:
    sizes = (_size(s, 0), *spatial, s.shape[-1])
    x = tf.raw_ops.AvgPoolGrad(
        orig_input_shape=sizes,
        grad=s,
        ksize=[1, *window, 1],
        strides=[1, *strides, 1],
        padding=padding.upper(),
    )
    return _with_static(x, sizes)


def _as_lines(x: Tensor) -> Tensor:
    """`(batch, depth, height, width, c) -> (batch, depth, height * width, c)`."""
    batch, depth, height, width, channels = shape(x)
    return _reshape(x, (batch, depth, height * width, channels))


def _from_lines(x: Tensor, plane: Sizes) -> Tensor:
    """`(batch, depth, height * width, c) -> (batch, depth, height, width, c)`."""
    batch, depth, _, channels = shape(x)
    return _reshape(x, (batch, depth, *plane, channels))


# Compiling


@dataclass(frozen=True)
class Spec:
    """Shape (None where any size goes) and dtype of one array that a compiled function takes."""

    shape: tuple[int | None, ...]
    dtype: str


class Compiled:
    """A function traced once for every batch size, on the first call; safe from any thread.

    It keeps `function` alive, and with it the variables that the traced graph reads.
    """

    def __init__(self, function: Callable, signature: Any, jit_compile: bool) -> None:
        self.trace_count = 0
        self._function = function
        self._signature = tuple(signature) if isinstance(signature, list | tuple) else (signature,)
        self._graphs: dict[int | None, Any] = {}
        self._lock = threading.RLock()
        self._jit_compile = jit_compile

    def __call__(self, *arguments: Any) -> Any:
        """Call with one value (nested as the signature is) per positional argument."""
        graph = self.graph()
        leaves = keras.tree.map_structure_up_to(
            self._signature, _as_spec, self._signature, arguments
        )
        return graph(*keras.tree.pack_sequence_as(self._signature, keras.tree.flatten(leaves)))

    def graph(self, batch_size: int | None = None) -> Any:
        """Return the traced concrete function, for one batch size or (None) for any."""
        with self._lock:
            if batch_size not in self._graphs:
                specs = keras.tree.map_structure(
                    lambda spec: _tensor_spec(spec, batch_size), self._signature
                )
                # A function of its own, or TensorFlow would serve 5 with the graph for any size.
                traceable = tf.function(self._trace, jit_compile=self._jit_compile, autograph=False)
                self._graphs[batch_size] = traceable.get_concrete_function(*specs)
            return self._graphs[batch_size]

    def _trace(self, *arguments: Any) -> Any:
        self.trace_count += 1
        token = _traced_for_xla.set(self._jit_compile)
        try:
            return self._function(*arguments)
        finally:
            _traced_for_xla.reset(token)


def compile(
    function: Callable, signature: Any, *, jit_compile: bool | Literal["auto"] = "auto"
) -> Compiled:
    """Return `function` as one graph that serves every batch size.

    Parameters
    ----------
    function : takes and returns tensors, or nested structures of them
    signature : a tuple or list with one entry per positional argument, each a `Spec` or a nested
        structure of them
    jit_compile : use XLA; "auto" does where a GPU is visible
    """
    if jit_compile == "auto":
        jit_compile = bool(tf.config.list_physical_devices("GPU"))
    return Compiled(function, signature, jit_compile)


def concrete(compiled: Compiled, batch_size: int | None = None) -> Any:
    """Return the concrete function of `compiled`, for one batch size or (None) for any.

    It lives as long as `compiled` does.
    """
    return compiled.graph(batch_size)


def trace_count(compiled: Compiled) -> int:
    """How many times `compiled` has been traced."""
    return compiled.trace_count


def _as_spec(spec: Spec, value: Any) -> Tensor:
    return constant(value, spec.dtype)


def _tensor_spec(spec: Spec, batch_size: int | None) -> Any:
    first, *rest = spec.shape or (None,)
    if spec.shape and first is None:
        return tf.TensorSpec((batch_size, *rest), spec.dtype)
    return tf.TensorSpec(spec.shape, spec.dtype)


# Data


def is_dataset(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`."""
    return isinstance(data, tf.data.Dataset)


def count(data: Any, batch_size: int) -> int | None:
    """Return how many batches `batches` will yield, or None where a dataset does not know."""
    if is_dataset(data):
        number = int(data.cardinality())
        return number if number >= 0 else None
    return -(-_length(data) // batch_size)


def batches(data: Any, batch_size: int) -> Iterator[Any]:
    """Iterate over `data` in batches.

    Parameters
    ----------
    data : an array or tensor, or a nested dict, list or tuple of them, cut along the first axis;
        or a `tf.data.Dataset`, whose elements are taken as they come. An element that is a tuple
        of one to three is (inputs, targets, sample weights), as in `keras.Model.fit`: only the
        inputs are kept
    batch_size : int > 0; not used for datasets

    Raises
    ------
    InputError
        If arrays have no first axis, or first axes of different sizes.
    """
    if is_dataset(data):
        return (_inputs_of(element) for element in data)
    starts = range(0, _length(data), batch_size)
    return (
        keras.tree.map_structure(lambda x, i=start: x[i : i + batch_size], _as_arrays(data))
        for start in starts
    )


def _inputs_of(element: Any) -> Any:
    is_sample = type(element) is tuple and 1 <= len(element) <= 3
    return element[0] if is_sample else element


def _as_arrays(data: Any) -> Any:
    return keras.tree.map_structure(lambda x: x if tf.is_tensor(x) else np.asarray(x), data)


def _length(data: Any) -> int:
    arrays = keras.tree.flatten(_as_arrays(data))
    if not arrays or any(len(x.shape) == 0 for x in arrays):
        raise InputError("Every array to explain needs a first axis that counts the samples.")
    lengths = {int(x.shape[0]) for x in arrays}
    if len(lengths) > 1:
        raise InputError(
            f"The inputs hold different numbers of samples: {sorted(lengths)}. "
            "Give every input the same number."
        )
    return lengths.pop()
