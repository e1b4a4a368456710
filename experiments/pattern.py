"""What maps look like: how alike neighbouring pixels are, and how alike two maps.

Maps are `(samples, height, width)`. Scale does not matter, nor does an empty background: it adds
nothing to what is measured of neighbours.
"""

from __future__ import annotations

import keras
import numpy as np

from lrpkeras.evaluate import Measure
from lrpkeras.evaluate.similarity import named


def summed(relevance: np.ndarray) -> np.ndarray:
    """Return relevance `(..., height, width, channels)` without channels, as float64."""
    return relevance.sum(axis=-1, dtype=float)


def variation(maps: np.ndarray) -> Measure:
    """Return the mean difference of neighbouring pixels over the mean of absolute relevance.

    0 for a constant map, 1.41 for noise of a normal distribution, 2 for a chessboard of signs.
    """
    steps = [np.abs(np.diff(maps, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    size = np.abs(maps).mean(axis=(1, 2))
    return Measure("variation", _over(np.mean(steps, axis=0), size))


def neighbours(maps: np.ndarray) -> Measure:
    """Return the correlation of neighbouring pixels, about zero, not about the mean.

    1 for a constant map, 0 for noise, -1 for a chessboard of signs.
    """
    pairs = ((maps[:, 1:], maps[:, :-1]), (maps[:, :, 1:], maps[:, :, :-1]))
    both = np.sum([(one * other).sum(axis=(1, 2)) for one, other in pairs], axis=0)
    size = [(one**2 + other**2).sum(axis=(1, 2)) / 2 for one, other in pairs]
    return Measure("correlation of neighbours", _over(both, np.sum(size, axis=0)))


def negative_share(maps: np.ndarray) -> Measure:
    """Return the share of absolute relevance that is negative."""
    size = np.abs(maps).sum(axis=(1, 2))
    return Measure("negative share", _over(np.maximum(-maps, 0).sum(axis=(1, 2)), size))


def contrast(maps: np.ndarray) -> Measure:
    """Return the standard deviation of maps that are drawn with a largest absolute value of 1."""
    return Measure("contrast", _over(maps.std(axis=(1, 2)), np.abs(maps).max(axis=(1, 2))))


def agreement(maps: np.ndarray, others: np.ndarray) -> Measure:
    """Return Spearman's correlation with other maps: -1 where the pattern is inverted."""
    rank = named("rank")
    values = [rank(one, other) for one, other in zip(maps, others, strict=True)]
    return Measure("agreement", np.array(values))


def upscaled(maps: np.ndarray, inner: int, offset: int, size: int) -> np.ndarray:
    """Return maps scaled to `inner` pixels a side, in a frame of `size`, `offset` from its corner.

    Where the frame goes on, it holds the nearest value.
    """
    large = keras.ops.image.resize(maps[..., None], (inner, inner), interpolation="bilinear")
    after = max(0, size - inner - offset)
    margins = ((0, 0), (offset, after), (offset, after))
    whole = keras.ops.convert_to_numpy(large)[..., 0]
    return np.pad(whole, margins, mode="edge")[:, :size, :size]


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; 0 where the whole is 0."""
    return part / np.where(whole > 0, whole, 1)
