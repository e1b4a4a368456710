"""Maps of images, of arrays or explanations, and the images of their samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, read_channels, repeated
from lrpkeras.plot.explained import Shown


def read_images(shown: Shown, what: str = "relevance") -> tuple[Maps, bool]:
    """Return relevance (n, height, width, channels), and whether it is a batch.

    Raises
    ------
    lrpkeras.errors.InputError
        Where it is not of images.
    """
    if shown.samples is None:
        return read_channels(shown.relevance, what)
    rank = shown.relevance.ndim
    if rank not in (3, 4):
        others = "volume" if rank > 4 else "series or tokens"
        raise InputError(
            f"{what} is of no images: each map has shape {shown.relevance.shape[1:]}. Hand the "
            f"explanation to lrpkeras.plot.{others}."
        )
    return read_channels(shown.relevance if rank == 4 else shown.relevance[..., np.newaxis], what)


def of_samples(images: ArrayLike | None, shown: Shown, times: int) -> Any:
    """Return each image of an explanation's samples repeated; for an array, what was given."""
    if shown.samples is None:
        return images
    return repeated(images, shown.samples, times, shown.relevance.shape[1:3])
