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
from lrpkeras.plot.arrays import finite, read_pictures, repeated
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
        A photo for each sample, of any size.
    values
        Or numbers, `(samples, channels, steps)`.
    """

    pictures: Sequence[Image.Image] | None = None
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
    if place.kind != "image":
        values = finite(images, "images")
        steps = place.full[1]
        if values.shape[:2] != (samples, steps) or values.ndim > 3:
            raise InputError(
                f"images of {place.name!r} has shape {values.shape}: what is explained there is "
                f"({samples}, {steps}) or ({samples}, {steps}, channels)."
            )
        return Shown(values=values.reshape(samples, steps, -1).swapaxes(1, 2))
    sizes = {np.shape(image) for image in images}
    if len(sizes) > 1:
        found = [one for image in images for one in read_pictures(image)]
    else:
        batch = repeated(images, samples, 1, place.full)
        assert batch is not None
        found = read_pictures(batch)
    if len(found) not in (1, samples):
        raise InputError(f"{len(found)} images for {samples} samples: give one for each.")
    eight = [Image.fromarray(np.rint(one * 255).astype("uint8")) for one in found]
    return Shown(pictures=eight * (samples if len(eight) == 1 else 1))


def photo(image: Image.Image, side: int) -> str:
    """Return a photo as a data URI, with at most `side` pixels a side."""
    image = image.copy()
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
