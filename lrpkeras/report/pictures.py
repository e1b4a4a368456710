"""What was explained, as a page shows it: photos as JPEG or PNG, series and vectors as numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Range, black_and_white, finite
from lrpkeras.report.places import Place

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


def read_shown(images: Any, inputs: Sequence[Place]) -> dict[str, Shown]:
    """Return what is shown at each input, by its name.

    Parameters
    ----------
    images
        None; of a model with one input an array or a list, one entry for each sample; of one with
        several a list or dict of such, nested like the inputs, with None for what is not shown.
    inputs
        All inputs that are drawn.

    Raises
    ------
    InputError
        If numbers or shapes do not fit.
    """
    if images is None:
        return {}
    if len(inputs) == 1 and not isinstance(images, Mapping):
        given = {inputs[0].name: images}
    else:
        given = _by_name(images, inputs)
    places = {place.name: place for place in inputs}
    return {name: _shown(array, places[name]) for name, array in given.items() if array is not None}


def _by_name(images: Any, inputs: Sequence[Place]) -> dict[str, Any]:
    """Return what is given for several inputs, by the names of these."""
    names = [place.name for place in inputs]
    pairs = images.items() if isinstance(images, Mapping) else enumerate(images)
    found = {f"input {key}" if isinstance(key, int) else str(key): one for key, one in pairs}
    strange = [name for name in found if name not in names]
    if strange:
        raise InputError(
            f"images has an entry for {strange[0]!r}; the inputs that are drawn are "
            f"{', '.join(map(repr, names))}: give a list or dict with one for each, or None."
        )
    return found


def _shown(images: Any, place: Place) -> Shown:
    samples = len(place.maps)
    if place.kind == "image":
        pictures = _pictures(images, samples, place.full)
        low, high = min(map(np.min, pictures)), max(map(np.max, pictures))
        if not np.isfinite((low, high)).all():
            raise InputError(f"images of {place.name!r} hold NaN or infinite values.")
        return Shown(pictures, black_and_white(low, high))
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
