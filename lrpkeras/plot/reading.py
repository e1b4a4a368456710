"""Maps of images, of arrays or explanations, and the images of their samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, finite, read_channels, repeated
from lrpkeras.plot.explained import Shown
from lrpkeras.plot.views import is_picture


def read_images(
    shown: Shown, what: str = "relevance", *, has_photo: bool = False
) -> tuple[Maps, bool]:
    """Return relevance (n, height, width, channels), and whether it is a batch.

    Maps of two axes may be of series. A photo that comes with them tells that they are not.

    Raises
    ------
    lrpkeras.errors.InputError
        Where it is not of images.
    """
    if shown.samples is None:
        return read_channels(shown.relevance, what)
    rank = shown.relevance.ndim
    is_plane = rank == 3 and (has_photo or is_picture(*shown.relevance.shape[1:]))
    if rank != 4 and not is_plane:
        others = "volume" if rank > 4 else "series or tokens"
        raise InputError(
            f"{what} is of no images: each map has shape {shown.relevance.shape[1:]}. Hand the "
            f"explanation to lrpkeras.plot.{others}."
        )
    if is_plane:
        return read_channels(shown.relevance[..., np.newaxis], what)
    return read_channels(_channels_last(shown.relevance), what)


def of_samples(images: ArrayLike | None, shown: Shown, times: int) -> Any:
    """Return each image of an explanation's samples repeated; for an array, what was given."""
    if shown.samples is None:
        return images
    if images is None:
        return None
    finite(images, "image")
    sizes = _channels_last(shown.relevance).shape[1:3]
    return repeated(_channels_last(np.asarray(images)), shown.samples, times, sizes)


def _channels_last(images: NDArray[Any]) -> NDArray[Any]:
    """Return images with their channels last, where these stand first, as `views.view` tells."""
    if images.ndim == 4 and images.shape[1] in (1, 3) and is_picture(*images.shape[2:]):
        return np.moveaxis(images, 1, -1)
    return images
