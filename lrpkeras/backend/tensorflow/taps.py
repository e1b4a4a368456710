"""Convolution as a sum over the taps of its window, for where TensorFlow has no kernel.

Each tap is a strided slice of the input times one matrix. That costs the multiply-adds of the
convolution and holds for every geometry.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Sizes, Tensor, spatial_of, with_static
from lrpkeras.backend.tensorflow.geometry import Geometry, crop, pad_or_crop, spread_out


def over_taps(x: Tensor, kernel: Tensor, geometry: Geometry, mix: Callable) -> Tensor:
    """Return the sum over the taps t of `mix(what t reads of x, kernel[t])`."""
    spatial = spatial_of(x)
    pads = geometry.pads(spatial)
    x = tf.pad(x, ((0, 0), *pads, (0, 0)))
    total: Tensor = 0
    for tap in np.ndindex(*geometry.window):
        total = total + mix(read_tap(x, tap, spatial, geometry), kernel[tap])
    return total


def over_taps_adjoint(
    s: Tensor, kernel: Tensor, spatial: Sizes, geometry: Geometry, mix: Callable
) -> Tensor:
    """Return the sum over the taps t of `mix(s, kernel[t])`, put back where t reads."""
    total: Tensor = 0
    for tap in np.ndindex(*geometry.window):
        total = total + put_back(mix(s, kernel[tap]), tap, spatial, geometry)
    x = crop(total, geometry.pads(spatial))
    return with_static(x, (s.shape[0], *spatial, total.shape[-1]))


def read_tap(padded: Tensor, tap: tuple[int, ...], spatial: Sizes, geometry: Geometry) -> Tensor:
    """Return what a tap reads of the padded input, one value per output position."""
    cuts = map(slice, *_reads(tap, spatial, geometry), geometry.strides)
    return padded[(slice(None), *cuts, slice(None))]


def put_back(part: Tensor, tap: tuple[int, ...], spatial: Sizes, geometry: Geometry) -> Tensor:
    """The adjoint of `read_tap`: `part` where the tap reads the padded input, zero elsewhere."""
    part = spread_out(part, geometry.strides)
    begin, _ = _reads(tap, spatial, geometry)
    ends = (
        low + size + high - start - spread
        for (low, high), size, start, spread in zip(
            geometry.pads(spatial), spatial, begin, spatial_of(part), strict=True
        )
    )
    return pad_or_crop(part, tuple(zip(begin, ends, strict=True)))


def _reads(tap: tuple[int, ...], spatial: Sizes, geometry: Geometry) -> tuple[Sizes, Sizes]:
    """Return the begin and end, per dimension, of what a tap reads of the padded input."""
    begin = tuple(t * d for t, d in zip(tap, geometry.dilation, strict=True))
    end = []
    for i, (low, high) in enumerate(geometry.pads(spatial)):
        room, stride = low + spatial[i] + high - geometry.reach[i], geometry.strides[i]
        end.append(begin[i] + room // stride * stride + 1)
    return begin, tuple(end)
