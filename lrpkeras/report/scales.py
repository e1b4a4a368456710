"""Where colours end: the percentiles between which a reader chooses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import SMALLEST

STOPS = (80.0, 85.0, 90.0, 92.0, 94.0, 95.0, 96.0, 97.0, 98.0, 99.0, 99.5, 99.8, 99.9, 100.0)


def stops(clip: float) -> tuple[float, ...]:
    """Return the percentiles to choose from, `clip` among them.

    Raises
    ------
    InputError
        If it is no percentile.
    """
    if isinstance(clip, bool) or not isinstance(clip, int | float) or not 0 < clip <= 100:
        raise InputError(f"clip is a percentile above 0 and at most 100, not {clip!r}.")
    return tuple(sorted({*STOPS, float(clip)}))


def limits(values: Iterable[NDArray], at: Iterable[float]) -> list[float]:
    """Return percentiles of the magnitudes of values that are not zero; 1 where all are.

    As `lrpkeras.plot.symmetric_limits`, of many percentiles at once, to five digits.
    """
    size = np.concatenate([np.abs(array).reshape(-1) for array in values])
    largest = size.max(initial=0.0)
    if largest <= SMALLEST:
        return [1.0 for _ in at]
    shares = np.sort((size[size > SMALLEST] / largest).astype("float32"))
    places = np.array(list(at)) / 100 * (len(shares) - 1)
    between = np.interp(places, np.arange(len(shares)), shares)
    return [float(f"{limit:.5g}") for limit in between * largest]
