"""How much two maps are alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate.optional import needed

Similarity: TypeAlias = str | Callable[[np.ndarray, np.ndarray], float]


def named(similarity: Similarity) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the function of two maps, `(height, width)`, that a name means.

    "rank": Spearman's correlation; "absolute_rank": that of the absolute maps; "ssim": structural
    similarity of maps that are scaled to a largest absolute value of 1 [all Adebayo et al. 2018].
    """
    if callable(similarity):
        return partial(_number, similarity)
    known = {"rank": _rank, "absolute_rank": _absolute_rank, "ssim": _ssim}
    if similarity not in known:
        names = ", ".join(map(repr, known))
        raise InputError(
            f"similarity={similarity!r} is none of {names}, nor a function of two maps."
        )
    return known[similarity]


def _number(
    similarity: Callable[[np.ndarray, np.ndarray], Any], one: np.ndarray, other: np.ndarray
) -> float:
    """Return what a user's function says, or refuse what is no number."""
    given = np.asarray(similarity(one, other))
    if given.size != 1 or given.dtype.kind not in "fiub" or not np.isfinite(given).all():
        raise InputError(f"similarity is a function of two maps to one number; it gave {given}.")
    return float(given.reshape(()))


def _rank(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate ranks; maps of which one is constant say nothing of each other: 0."""
    stats = needed("scipy.stats", "similarity='rank'")
    ranks = [stats.rankdata(array) - (array.size + 1) / 2 for array in (one, other)]
    size = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / size if size else 0.0


def _absolute_rank(one: np.ndarray, other: np.ndarray) -> float:
    return _rank(np.abs(one), np.abs(other))


def _ssim(one: np.ndarray, other: np.ndarray) -> float:
    metrics: Any = needed("skimage.metrics", "similarity='ssim'")
    if min(one.shape) < 7:
        raise InputError(f"similarity='ssim' compares windows of 7 pixels; maps are {one.shape}.")
    return float(metrics.structural_similarity(_scaled(one), _scaled(other), data_range=2.0))


def _scaled(one: np.ndarray) -> np.ndarray:
    largest = np.abs(one).max()
    return one / largest if largest else one
