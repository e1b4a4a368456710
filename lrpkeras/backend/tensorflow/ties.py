"""All maxima of pooling windows, not the first alone; tap by tap, in 1, 2 or 3 dimensions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import (
    Tensor,
    merge_leading,
    spatial_of,
    split_leading,
    with_static,
)
from lrpkeras.backend.tensorflow.geometry import Geometry, Padding, crop
from lrpkeras.backend.tensorflow.taps import put_back, read_tap


def max_pool_ties_adjoint(
    x: Tensor,
    y: Tensor,
    s: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Literal["valid", "same"],
) -> Tensor:
    """Send each `s` to every maximum of its window: `sum_j 1[x_i = y_j] s_j`.

    Parameters
    ----------
    x : (batch, *spatial, channels)
    y : (batch, *out_spatial, channels), what `max_pool` gave for x
    s : (k, batch, *out_spatial, channels)

    Returns
    -------
    (k, batch, *spatial, channels)
    """
    x, y, s = map(tf.convert_to_tensor, (x, y, s))
    geometry, spatial = _geometry(window, strides, padding), spatial_of(x)
    padded = _padded(x, geometry)
    total: Tensor = 0
    for tap in np.ndindex(*window):
        wins = tf.cast(tf.equal(read_tap(padded, tap, spatial, geometry), y), s.dtype)
        total = total + put_back(merge_leading(s * wins), tap, spatial, geometry)
    merged = crop(total, geometry.pads(spatial))
    return split_leading(with_static(merged, (None, *spatial, s.shape[-1])), s.shape[0])


def max_pool_ties_sum(
    x: Tensor,
    y: Tensor,
    v: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Literal["valid", "same"],
) -> Tensor:
    """Add up `v` over every window's maxima: `sum_i 1[x_i = y_j] v_i`; ones count the ties.

    Parameters
    ----------
    x, v : (batch, *spatial, channels)
    y : (batch, *out_spatial, channels), what `max_pool` gave for x

    Returns
    -------
    like y
    """
    x, y, v = map(tf.convert_to_tensor, (x, y, v))
    geometry, spatial = _geometry(window, strides, padding), spatial_of(x)
    padded, values = _padded(x, geometry), tf.pad(v, ((0, 0), *geometry.pads(spatial), (0, 0)))
    total: Tensor = 0
    for tap in np.ndindex(*window):
        wins = tf.cast(tf.equal(read_tap(padded, tap, spatial, geometry), y), v.dtype)
        total = total + wins * read_tap(values, tap, spatial, geometry)
    return total


def _geometry(window: tuple[int, ...], strides: tuple[int, ...], padding: str) -> Geometry:
    pads: Padding = "same" if padding == "same" else ((0, 0),) * len(window)
    return Geometry(window, strides, pads, (1,) * len(window))


def _padded(x: Tensor, geometry: Geometry) -> Tensor:
    """Pad with what equals nothing, and so never wins."""
    pads = geometry.pads(spatial_of(x))
    return tf.pad(x, ((0, 0), *pads, (0, 0)), constant_values=np.nan)
