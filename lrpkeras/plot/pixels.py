"""Pictures of relevance as pixels, by looking colours up: no figure, a few milliseconds.

For what is drawn often or many at a time: in training, in notebooks, as the reader looks.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrpkeras.plot.arrays import Maps
from lrpkeras.plot.scale import Scale
from lrpkeras.plot.views import View

Pixels = NDArray[np.uint8]

LEVELS = 255  # odd, so that zero has the centre's own; one byte holds them, and AXIS
AXIS = 255
GREY = (150, 150, 150)  # of the axis of bars


def levels(values: Maps, scale: Scale) -> Pixels:
    """Return the number of each value's colour in `palette`; beyond the limits, that of the end.

    Examples
    --------
    >>> from lrpkeras.plot.scale import read_scale
    >>> levels(np.array([[-2.0, 0.0, 1.0]]), read_scale([-2.0, 2.0])).tolist()
    [[0, 127, 190]]
    """
    low, high = scale.limits
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.rint(share * (LEVELS - 1)).astype(np.uint8)


def palette(scale: Scale) -> Pixels:
    """Return the colours `(256, 3)` of a scale, lowest first; the last is for axes."""
    colours = scale.cmap(np.linspace(0, 1, LEVELS), bytes=True)[:, :3]
    return np.vstack([colours, GREY]).astype(np.uint8)


def painted(values: Maps, scale: Scale, grey: Maps | None = None, alpha: float = 0.6) -> Pixels:
    """Return a map `(height, width)` in colours, `(height, width, 3)`, or as large as the image.

    Parameters
    ----------
    values
        Relevance.
    scale
        Its colours.
    grey
        An image in [0, 1], `(height, width)`, to lie below; the smaller one is stretched.
    alpha
        The opacity of the map over it.
    """
    colours = palette(scale)[levels(values, scale)]
    if grey is None:
        return colours
    # Nothing of the map is lost over a photo that is smaller.
    size = np.maximum(grey.shape, values.shape)
    over, below = stretched(colours, *size), stretched(grey, *size)
    return np.rint(alpha * over + (1 - alpha) * 255 * below[..., np.newaxis]).astype(np.uint8)


def stretched(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return a picture in another size, each pixel that of the nearest place."""
    rows = (np.arange(height) * 2 + 1) * array.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * array.shape[1] // (2 * width)
    return array[rows][:, columns]


def enlarged(array: NDArray[Any], side: int) -> NDArray[Any]:
    """Return a picture whose pixels are whole blocks, as large as its longer side allows."""
    times = max(1, side // max(array.shape[:2]))
    return array.repeat(times, axis=0).repeat(times, axis=1)


def bars(values: NDArray[np.float64], scale: Scale, height: int, width: int) -> Pixels:
    """Return a line `(n,)` as bars from zero up and down, in numbers of `palette`.

    Where there are more values than pixels, a column reaches from the smallest to the largest of
    its values.
    """
    columns = min(len(values), width)
    starts = np.arange(columns) * len(values) // columns
    low, high = scale.limits
    at = np.linspace(high, low, height)[:, np.newaxis]  # the value at the middle of each row
    above = np.maximum(np.maximum.reduceat(values, starts), 0)
    below = np.minimum(np.minimum.reduceat(values, starts), 0)
    picture = np.full((height, columns), levels(np.zeros(1), scale)[0])
    picture[(at > 0) & (at <= above)] = LEVELS - 1
    picture[(at < 0) & (at >= below)] = 0
    picture = picture.repeat(max(1, width // columns), axis=1)
    if width // columns > 3:  # a gap between bars
        picture[:, :: width // columns] = levels(np.zeros(1), scale)[0]
    picture[np.abs(at[:, 0]).argmin()] = AXIS
    return picture


def drawn(seen: View, scale: Scale, side: int) -> Pixels:
    """Return a view in numbers of `palette`, about `side` pixels wide: a map, or bars."""
    if seen.is_plane:
        return enlarged(levels(seen.values, scale), side)
    return bars(seen.values, scale, side // 2, side)


def as_png(pixels: Pixels, colours: Pixels | None = None) -> bytes:
    """Return a picture `(height, width, 3)`, or numbers of `colours`, as a PNG file."""
    image = Image.fromarray(pixels)
    if colours is not None:
        image.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return buffer.getvalue()
