"""What is drawn of one sample where nobody says how: its shape decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import LUMINANCE, Maps, finite, read_pictures

SMALLEST_SIDE = 5  # of a plane: what is narrower is a series with a few channels
LONGEST_SIDE = 4  # of a plane, in units of the other one: what is longer is a series


@dataclass(frozen=True)
class View:
    """Relevance as a plane or a line.

    Attributes
    ----------
    values
        A plane `(height, width)`, drawn as a map, or a line `(n,)`, drawn as bars.
    note
        What was done to have it, if a reader would not expect it; else empty.
    """

    values: NDArray[np.float64]
    note: str = ""

    @property
    def is_plane(self) -> bool:
        """Whether it is drawn as a map."""
        return self.values.ndim == 2


def view(relevance: ArrayLike) -> View:
    """Return what to draw of the relevance of one sample.

    Parameters
    ----------
    relevance
        Without an axis for samples: `(height, width, channels)` (or channels first, if those are
        1 or 3) is a map, and so is `(height, width)`, unless it is so narrow that it is a series
        `(steps, channels)`. Of a volume `(depth, height, width, channels)` the slice with the
        largest sum of absolute values is shown. Channels are summed.

    Raises
    ------
    lrpkeras.errors.InputError
        Where it has more axes, is empty, or holds values that are not finite.

    Examples
    --------
    >>> view(np.ones((8, 8, 3))).values.shape
    (8, 8)
    >>> view(np.ones((100, 12)))
    View(values=array([12., ...]), note='sum over 12 channels')
    """
    array = finite(relevance, "relevance")
    if array.ndim > 4:
        raise InputError(f"relevance of shape {array.shape} has too many axes for a picture")
    return _BY_RANK[array.ndim](array)


def _line(array: NDArray[Any]) -> View:
    return View(array.reshape(-1))


def _two(array: NDArray[Any]) -> View:
    steps, channels = array.shape
    if is_picture(steps, channels):
        return View(array)
    note = f"sum over {channels} channels" if channels > 1 else ""
    return View(array.sum(axis=-1), note)


def _three(array: NDArray[Any]) -> View:
    first, second, last = array.shape
    if first in (1, 3) and is_picture(second, last):
        return View(array.sum(axis=0), "channels first")
    plane = array.sum(axis=-1)
    if plane.size == 1:
        return _line(array)  # pooled over all places
    return View(plane) if min(plane.shape) > 1 else _line(plane)


def _four(array: NDArray[Any]) -> View:
    volume = array.sum(axis=-1)
    chosen = int(np.abs(volume).sum(axis=(1, 2)).argmax())
    return View(volume[chosen], f"slice {chosen + 1} of {len(volume)}, the one with the most")


_BY_RANK = {0: _line, 1: _line, 2: _two, 3: _three, 4: _four}


def is_picture(height: int, width: int) -> bool:
    """Return whether two axes of such sizes are taken for height and width."""
    short, long = sorted((height, width))
    return short >= SMALLEST_SIDE and long <= LONGEST_SIDE * short


def photo(sample: NDArray[Any]) -> Maps | None:
    """Return a model's input as an image in [0, 1]; None if its shape is not that of an image.

    Parameters
    ----------
    sample
        `(height, width, 1 or 3)`, channels first, or `(height, width)`.

    Returns
    -------
    `(height, width)` or `(height, width, 3)`, scaled as `lrpkeras.plot.heatmap` scales images.

    Examples
    --------
    >>> photo(np.ones((3, 8, 9))).shape
    (8, 9, 3)
    >>> photo(np.ones((100, 3))) is None
    True
    """
    if sample.ndim == 3 and sample.shape[0] in (1, 3) and sample.shape[-1] not in (1, 3):
        sample = np.moveaxis(sample, 0, -1)
    is_photo = is_picture(*sample.shape) if sample.ndim == 2 else sample.shape[2:] in ((1,), (3,))
    return read_pictures(sample)[0] if is_photo else None


def grey(image: Maps | None) -> Maps | None:
    """Return an image in grey, `(height, width)`; None of none."""
    return image if image is None or image.ndim == 2 else image @ LUMINANCE
