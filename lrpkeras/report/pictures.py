"""What was explained, as a page shows it: photos as JPEG or PNG, series and vectors as numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Range, black_and_white, finite
from lrpkeras.report.places import Place, input_name

SMALL = 96  # pixels a side: a PNG of so few is small, and has no artefacts
QUALITY = 82  # of JPEG
DIGITS = 4  # of the values of series and vectors


@dataclass(frozen=True)
class Shown:
    """What was explained at one input.

    Attributes
    ----------
    pictures
        A photo for each sample, of any size and range.
    ends
        The values that are black and white in these.
    values
        Or numbers, `(samples, channels, steps)`.
    """

    pictures: Sequence[NDArray] | None = None
    ends: Range = (0.0, 1.0)
    values: NDArray | None = None


def read_shown(images: Any, relevance: Any, inputs: Sequence[Place]) -> dict[str, Shown]:
    """Return what is shown at each input, by its name.

    Parameters
    ----------
    images
        None; of a model with one input an array or a list, one entry for each sample; of one with
        several a list or dict of such, nested like the inputs, with None for what is not shown.
    relevance
        Of all inputs, nested like them.
    inputs
        Those that are drawn; what is given for others is shown nowhere.

    Raises
    ------
    InputError
        If numbers or shapes do not fit.
    """
    if images is None:
        return {}
    given = dict(_by_name(images, relevance))
    known = [place for place in inputs if given.get(place.name) is not None]
    return {place.name: _shown(given[place.name], place) for place in known}


def _by_name(images: Any, relevance: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield what is given for each input, and its name."""
    if images is None:
        return
    if isinstance(relevance, Mapping | list | tuple):
        every = relevance if isinstance(relevance, Mapping) else dict(enumerate(relevance))
        given = _entries(images, every, path)
        for key, one in every.items():
            yield from _by_name(given.get(key), one, (*path, key))
    elif isinstance(images, Mapping):
        known = input_name(path)
        raise InputError(
            f"images has an entry for {next(iter(images), None)!r} where there is one input, "
            f"{known!r}: give its images alone."
        )
    else:
        yield input_name(path), images


def _entries(images: Any, inputs: Mapping[Any, Any], path: tuple[Any, ...]) -> Mapping[Any, Any]:
    """Return what is given for several inputs, by their keys."""
    if isinstance(images, Mapping):
        given, is_whole = images, True
    elif len(inputs) == 1 and not _is_one_of(images):
        return dict.fromkeys(inputs, images)
    else:
        given = dict(enumerate(images)) if isinstance(images, list | tuple) else {}
        is_whole = len(given) == len(inputs)
    if not is_whole or not set(given) <= set(inputs):
        names = ", ".join(repr(input_name((*path, key))) for key in inputs)
        entries = ", ".join(repr(str(key)) for key in given) or f"none ({type(images).__name__})"
        raise InputError(
            f"The inputs are {names}; images has entries {entries}: nest it like the inputs, with "
            "None for what is not to be shown."
        )
    return given


def _is_one_of(images: Any) -> bool:
    """Whether a list stands for inputs, of which there is one, rather than for samples."""
    return isinstance(images, list | tuple) and len(images) == 1 and np.ndim(images[0]) > 3


def _shown(images: Any, place: Place) -> Shown:
    samples = len(place.maps)
    if place.kind == "image":
        pictures = _pictures(images, samples, place.full)
        low, high = min(map(np.min, pictures)), max(map(np.max, pictures))
        if not np.isfinite((low, high)).all():
            raise InputError(f"images of {place.name!r} hold NaN or infinite values.")
        of_bytes = all(one.dtype == np.uint8 for one in pictures)
        return Shown(pictures, (0.0, 255.0) if of_bytes else black_and_white(low, high))
    values = finite(images, "images")
    steps = place.full[1]
    if values.shape[:2] != (samples, steps) or values.ndim > 3:
        raise InputError(
            f"images of {place.name!r} has shape {values.shape}: what is explained there is "
            f"({samples}, {steps}) or ({samples}, {steps}, channels)."
        )
    return Shown(values=values.reshape(samples, steps, -1).swapaxes(1, 2))


def _pictures(images: Any, samples: int, size: tuple[int, int]) -> list[NDArray]:
    """Return an image for each sample, as it was given: copies of all might not fit in memory."""
    shape = tuple(getattr(images, "shape", ()))
    if not shape and not isinstance(images, list | tuple):
        raise InputError(f"images is an array or a list of pictures, not {images!r}.")
    has_channels = len(shape) == 3 and shape[2] in (1, 3) and shape != (samples, *size)
    is_one = len(shape) == 2 or has_channels
    pictures = [np.asarray(image) for image in ([images] if is_one else images)]
    for one in pictures:
        is_picture = one.ndim == 2 or (one.ndim == 3 and one.shape[2] in (1, 3))
        if not is_picture or one.dtype.kind not in "buif" or not one.size:
            raise InputError(
                f"An image has shape {one.shape} and type {one.dtype}; a picture is (height, "
                "width) or (height, width, 1 or 3)."
            )
    if len({one.dtype.kind == "f" for one in pictures}) > 1:
        raise InputError(
            "images are whole numbers and fractions mixed, which have not one range: give all as "
            "uint8, or all as floats."
        )
    if len(pictures) not in (1, samples):
        raise InputError(f"{len(pictures)} images for {samples} samples: give one for each.")
    return pictures * (samples if len(pictures) == 1 else 1)


def photo(picture: NDArray, ends: Range, side: int) -> str:
    """Return a photo as a data URI.

    Parameters
    ----------
    picture
        `(height, width)` or `(height, width, 1 or 3)`.
    ends
        The values that are black and white.
    side
        Pixels of the longer side, at most.
    """
    black, white = ends
    unit = ((picture.astype("float32") - black) / (white - black)).clip(0, 1)
    image = Image.fromarray(np.rint(255 * unit).astype("uint8").squeeze())
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer, is_small = io.BytesIO(), max(image.size) <= SMALL
    if is_small:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{'png' if is_small else 'jpeg'};base64,{text}"


def numbers(values: NDArray, steps: int) -> list[list[float]]:
    """Return values `(channels, steps)` with few digits, at the ends and between of `steps`."""
    chosen = np.linspace(0, values.shape[1] - 1, steps).round().astype(int)
    return [[float(f"{value:.{DIGITS}g}") for value in row[chosen]] for row in values]
