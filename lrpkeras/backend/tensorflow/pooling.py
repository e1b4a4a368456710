"""Maximum and average pooling, and their written-out adjoints.

Pooling in three dimensions is pooling of planes, then of what is left along the depth.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import (
    Sizes,
    Tensor,
    merge_leading,
    reshape,
    shape,
    size_of,
    spatial_of,
    with_static,
)
from lrpkeras.backend.tensorflow.compiling import traced_for_xla
from lrpkeras.backend.tensorflow.geometry import Geometry, Padding, crop
from lrpkeras.backend.tensorflow.taps import put_back, read_tap


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
    return reshape(out, shape(x))


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
    planes = reshape(planes, (*shape(x)[:2], *shape(planes)[1:]))
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
    return reshape(out, (batch, *spatial, channels))


def _max_pool_2d(x: Tensor, window: Any, strides: Any, padding: str) -> Tensor:
    ksize, steps = [1, *window, 1], [1, *strides, 1]
    return tf.raw_ops.MaxPool(input=x, ksize=ksize, strides=steps, padding=padding.upper())


def _max_pool_2d_adjoint(
    x: Tensor, y: Tensor, s: Tensor, window: Any, strides: Any, padding: str
) -> Tensor:
    if traced_for_xla.get() or tf.config.list_physical_devices("GPU"):
        return _first_winner(x, y, s, Geometry(window, strides, _pool_padding(padding), (1, 1)))
    return tf.raw_ops.MaxPoolGrad(
        orig_input=x,
        orig_output=y,
        grad=s,
        ksize=[1, *window, 1],
        strides=[1, *strides, 1],
        padding=padding.upper(),
    )


def _first_winner(x: Tensor, y: Tensor, s: Tensor, geometry: Geometry) -> Tensor:
    """`max_pool_adjoint` tap by tap.

    Only on CPU does TensorFlow's own op promise the first of equal maxima: XLA takes another one
    next to uneven padding, and is slower than this.
    """
    spatial = spatial_of(x)
    pads = geometry.pads(spatial)
    x = tf.pad(x, ((0, 0), *pads, (0, 0)), constant_values=np.nan)  # equals nothing: never wins
    open_windows, total = tf.ones_like(y, bool), 0
    for tap in np.ndindex(*geometry.window):
        is_maximum = tf.equal(read_tap(x, tap, spatial, geometry), y)
        won = tf.where(open_windows & is_maximum, s, tf.zeros_like(s))
        total = total + put_back(won, tap, spatial, geometry)
        open_windows &= ~is_maximum
    return with_static(crop(total, pads), (s.shape[0], *spatial, s.shape[-1]))


def _pool_padding(padding: str) -> Padding:
    return "same" if padding == "same" else ((0, 0), (0, 0))


def _max_pool_planes(x: Tensor, window: Any, strides: Any, padding: str) -> Tensor:
    """Pool `(batch, depth, height, width, c)` over height and width only."""
    planes = _max_pool_2d(merge_leading(x), window[1:], strides[1:], padding)
    return reshape(planes, (*shape(x)[:2], *shape(planes)[1:]))


def _average_pool_2d(x: Tensor, window: Any, strides: Any, padding: str) -> Tensor:
    ksize, steps = [1, *window, 1], [1, *strides, 1]
    return tf.raw_ops.AvgPool(value=x, ksize=ksize, strides=steps, padding=padding.upper())


def _average_pool_2d_adjoint(
    s: Tensor, spatial: Sizes, window: Any, strides: Any, padding: str
) -> Tensor:
    sizes = (size_of(s, 0), *spatial, s.shape[-1])
    x = tf.raw_ops.AvgPoolGrad(
        orig_input_shape=sizes,
        grad=s,
        ksize=[1, *window, 1],
        strides=[1, *strides, 1],
        padding=padding.upper(),
    )
    return with_static(x, sizes)


def _as_lines(x: Tensor) -> Tensor:
    """`(batch, depth, height, width, c) -> (batch, depth, height * width, c)`."""
    batch, depth, height, width, channels = shape(x)
    return reshape(x, (batch, depth, height * width, channels))


def _from_lines(x: Tensor, plane: Sizes) -> Tensor:
    """`(batch, depth, height * width, c) -> (batch, depth, height, width, c)`."""
    batch, depth, _, channels = shape(x)
    return reshape(x, (batch, depth, *plane, channels))
