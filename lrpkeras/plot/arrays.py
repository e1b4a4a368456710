"""What is drawn: relevance as maps (n, height, width), images in [0, 1], and their ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError

Maps = NDArray[np.float64]
Range = tuple[float, float]

# Beyond these, matplotlib replaces limits or overflows in the ticks of the colour bar.
SMALLEST, LARGEST = 1e-280, 1e280
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
ROUNDING = 1e-3  # of white: what resized photos may lie outside


def symmetric_limits(relevance: ArrayLike, clip: float | None = None) -> Range:
    """Return the range (-m, m): m is the largest absolute relevance, or its percentile `clip`.

    Percentiles are taken of the nonzero values, so that a sparse map keeps a range. Where all
    relevance is zero (below 1e-280) the range is (-1, 1): never of zero width.

    Parameters
    ----------
    relevance
        Of any shape.
    clip
        A percentile in (0, 100]; None is the largest.

    Returns
    -------
    tuple of float
        Lower and upper end.

    Raises
    ------
    lrpkeras.errors.InputError
        Where `relevance` is empty or not finite, or `clip` is not in (0, 100].

    Examples
    --------
    >>> symmetric_limits([-3.0, 0.0, 1.0])
    (-3.0, 3.0)
    """
    if clip is not None and (not _is_number(clip) or not 0 < clip <= 100):
        raise InputError(f"clip is a percentile above 0 and at most 100, not {clip!r}")
    size = np.abs(finite(relevance, "relevance"))
    size = size[size > SMALLEST]
    if size.size == 0:
        return -1.0, 1.0
    limit = float(size.max() if clip is None else np.percentile(size, clip))
    return -limit, limit


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def read_maps(relevance: ArrayLike, what: str = "relevance") -> tuple[Maps, bool]:
    """Return maps (n, height, width), channels summed, and whether they came as a batch."""
    maps, is_batch = read_channels(relevance, what)
    return maps.sum(axis=-1), is_batch


def read_channels(relevance: ArrayLike, what: str = "relevance") -> tuple[Maps, bool]:
    """Return maps (n, height, width, channels), and whether they came as a batch."""
    array = finite(relevance, what)
    if array.ndim not in (2, 3, 4):
        raise InputError(
            f"{what} has shape {array.shape}; a heatmap takes (height, width), "
            "(height, width, channels) or (n, height, width, channels). "
            "Of several targets, choose one: relevance[:, k]"
        )
    if array.ndim == 4:
        return array, True
    return (array if array.ndim == 3 else array[..., np.newaxis])[np.newaxis], False


def smoothed(maps: Maps, sigma: float | None) -> Maps:
    """Return maps (n, height, width) blurred by a Gaussian that keeps the sum of each.

    Each pixel's relevance is spread over its surroundings within the map.

    Raises
    ------
    lrpkeras.errors.InputError
        Where `sigma`, in pixels of the map, is not a number above 0.
    """
    if sigma is None:
        return maps
    if not _is_number(sigma) or not 0 < sigma < math.inf:
        raise InputError(f"smooth is a standard deviation in pixels above 0, not {sigma!r}")
    down, across = (_spread(size, float(sigma)) for size in maps.shape[1:])
    return down @ maps @ across.T


def blurred(what: str, sigma: float | None) -> str:
    """Return what maps are of, and that they are smoothed if they are."""
    return what if sigma is None else f"{what}, smoothed over {sigma:g} pixels"


def _spread(size: int, sigma: float) -> Maps:
    """Return the share of each pixel (columns) that every pixel (rows) gets."""
    at = np.arange(size)
    weights = np.exp(-0.5 * ((at[:, np.newaxis] - at) / sigma) ** 2)
    return weights / weights.sum(axis=0)


def read_pictures(images: ArrayLike) -> list[Maps]:
    """Return images with values in [0, 1], each (height, width) or (height, width, 3)."""
    array = finite(images, "image")
    if array.ndim not in (2, 3, 4) or (array.ndim > 2 and array.shape[-1] not in (1, 3)):
        raise InputError(
            f"image has shape {array.shape}; a picture is (height, width) or "
            "(height, width, 1 or 3), alone or in a batch"
        )
    ends = (0.0, 255.0) if is_bytes(images) else None
    batch = unit(array if array.ndim == 4 else array[np.newaxis], ends)
    return list(batch[..., 0] if batch.ndim == 4 and batch.shape[-1] == 1 else batch)


def read_photos(photos: Sequence[ArrayLike], count: int) -> Iterator[Maps]:
    """Yield a picture in [0, 1] for each of `count` images, `(height, width)` or with 3 channels.

    Raises
    ------
    lrpkeras.errors.InputError
        Where there are more or fewer, or one is no picture.
    """
    if len(photos) != count:
        raise InputError(f"{len(photos)} photos for {count} images: give one for each image.")
    for number, photo in enumerate(photos):
        pictures = read_pictures(photo)
        if len(pictures) != 1:
            raise InputError(f"photos[{number}] is a batch of {len(pictures)}: give one picture.")
        yield pictures[0]


def read_greys(image: ArrayLike | None, count: int) -> list[Maps] | None:
    """Return a grey image for each map; a single one serves all."""
    if image is None:
        return None
    greys = [one @ LUMINANCE if one.ndim == 3 else one for one in read_pictures(image)]
    if len(greys) not in (1, count):
        raise InputError(f"{len(greys)} images for {count} maps: give one, or one for each")
    return greys * count if len(greys) == 1 else greys


def repeated(
    images: NDArray[Any], samples: int, times: int, sizes: tuple[int, ...]
) -> NDArray[Any]:
    """Return a batch with each image of `samples` repeated; a single image stays as it is.

    A batch without channels is one whose images have the height and width `sizes`.
    """
    array = images[..., np.newaxis] if images.shape == (samples, *sizes) else images
    if array.ndim != 4 or len(array) == 1:
        return array
    if len(array) != samples:
        raise InputError(f"{len(array)} images for {samples} samples: give one, or one for each")
    return np.repeat(array, times, axis=0)


def is_bytes(images: ArrayLike) -> bool:
    """Return whether images are of bytes, whose white is 255 however dark they are."""
    return bool(np.asarray(images).dtype == np.uint8)


def unit(images: Maps, ends: Range | None = None) -> Maps:
    """Bring images to [0, 1]: from black and white if known, else as `black_and_white` finds."""
    black, white = ends or black_and_white(images.min(), images.max())
    return ((images - black) / (white - black)).clip(0, 1)


def black_and_white(low: float, high: float) -> Range:
    """Return what is black and what is white in images with values from `low` to `high`.

    Examples
    --------
    >>> black_and_white(0, 0.5), black_and_white(0, 200), black_and_white(-1, 3)
    ((0.0, 1.0), (0.0, 255.0), (-1.0, 3.0))
    """
    for white in (1.0, 255.0):
        if low >= -ROUNDING * white and high <= (1 + ROUNDING) * white:
            return 0.0, white
    # An image of one value is grey.
    return (float(low), float(high)) if high > low else (float(low) - 1, float(high) + 1)


def finite(values: ArrayLike, what: str) -> Maps:
    """Return `values` as float64, or refuse what is no array of finite real numbers."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is not one array: {error}") from error
    if array.dtype.kind in "OSUcmM":
        raise InputError(
            f"{what} is not an array of real numbers ({array.dtype}); "
            "draw the relevance of several inputs one at a time"
        )
    if array.size == 0:
        raise InputError(f"{what} is empty: its shape is {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{what} holds NaN or infinite values; look for the layer they come from")
    if np.abs(array).max() > LARGEST:
        raise InputError(f"{what} goes beyond {LARGEST:g}, too large to draw; scale it down first")
    return array
