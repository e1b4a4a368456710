"""Medians and quartiles of seconds, and of ratios that are taken round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and their quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles.

    Examples
    --------
    >>> spread([5, 1, 2])
    Spread(median=2.0, low=1.5, high=3.5)
    """
    return Spread(*np.percentile(values, (50, 25, 75)).tolist())


def ratio(seconds: Sequence[float], base: Sequence[float]) -> Spread:
    """Return how `seconds` compare with `base`, round by round.

    What slows a whole round down falls out of the ratio. Rounds that only one of the two took part
    in, at the end, do not count.

    Examples
    --------
    >>> ratio([3, 5, 40], [2, 2, 20])
    Spread(median=2.0, low=1.75, high=2.25)
    """
    return spread([a / b for a, b in zip(seconds, base, strict=False)])


def of_pair(seconds: Mapping[str, Sequence[float]]) -> Spread:
    """Return how the first of two ways compares with the second, round by round.

    Examples
    --------
    >>> of_pair({"at once": [1, 2, 1], "apart": [2, 4, 4]})
    Spread(median=0.5, low=0.375, high=0.5)
    """
    return ratio(*seconds.values())
