"""Maps at another size: what lies on an area is shared, and added up, by area."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def at_size(relevance: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return maps at another size with the same sum: every pixel's relevance is shared by area.

    Parameters
    ----------
    relevance
        `(..., height, width, channels)`.
    size
        The new height and width.

    Examples
    --------
    >>> at_size(np.ones((4, 6, 1)), (2, 2))[..., 0].tolist()
    [[6.0, 6.0], [6.0, 6.0]]
    """
    if relevance.shape[-3:-1] == tuple(size):
        return relevance
    rows, columns = _shares(relevance.shape[-3], size[0]), _shares(relevance.shape[-2], size[1])
    other: np.ndarray = np.einsum("Hh,Ww,...hwc->...HWc", rows, columns, relevance, optimize=True)
    return other


def _shares(old: int, new: int) -> np.ndarray:
    """Return which share of each of `old` equal parts lies in each of `new`, `(new, old)`."""
    edges = np.arange(new + 1) * (old / new)
    ends = np.clip(edges[:, None] - np.arange(old), 0, 1)
    return np.diff(ends, axis=0).astype("float32")
