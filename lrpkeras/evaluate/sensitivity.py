"""Whether maps stay when the input hardly changes."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate.lots import For, drawn_for
from lrpkeras.evaluate.result import Measure
from lrpkeras.evaluate.subject import explained, subject

DRAWS = 10


def sensitivity(
    explainer: Any,
    x: Any,
    target: Any = None,
    *,
    model: Any = None,
    radius: float = 0.02,
    draws: int = DRAWS,
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Measure:
    """Return by how much a map changes, at most, under small noise.

    Parameters
    ----------
    explainer, x, target, model
        As for `pixel_flipping`; relevance must be made anew, so an array of it does not do. The
        class that is explained stays that of the sample without noise.
    radius
        Each value of the input moves by up to this share of the range of `x`, its largest value
        less its smallest, either way.
    draws
        How often noise is drawn for each sample.
    batch_size
        As for `pixel_flipping`.
    seed
        Of the noise, which depends on the sample's number, not on the batch.
    verbose
        As for `pixel_flipping`.

    Returns
    -------
    Measure
        The largest `|R(x + noise) - R(x)| / |R(x)|` of each sample, Euclidean; 0 where nothing
        changes.

    Raises
    ------
    InputError, TargetError
        If the arguments do not fit together, or a map is zero everywhere.

    References
    ----------
    Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations.

    Examples
    --------
    What a linear model's map, x w, changes by is at most 1 % of the range of x, times w:

    >>> import lrpkeras, numpy as np, keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    >>> analyzer, x = lrpkeras.Analyzer(model, "zero"), np.array([[1.0, 2.0, 3.0]], "float32")
    >>> bool(lrpkeras.evaluate.sensitivity(analyzer, x, radius=0.01).mean < 0.02)
    True
    """
    if not callable(explainer):
        raise InputError("sensitivity makes new maps: give an Analyzer or a function, no array.")
    if not radius > 0 or not isinstance(draws, Integral) or draws < 1:
        raise InputError("radius is a share above 0, draws a number of at least 1.")
    about = subject(explainer, x, target, model, decides=False, pixels=False, batch_size=batch_size)
    low, high = float(about.x.min()), float(about.x.max())
    amplitude = radius * (high - low)
    if amplitude == 0:
        raise InputError("All values of the samples are the same: they have no range to move in.")
    rows = []
    for batch in about.batches(batch_size, verbose):
        size = _norms(batch.relevance)
        if not size.all():
            zero = batch.start + np.flatnonzero(size == 0)
            raise InputError(f"The maps of samples {zero.tolist()} are zero: leave these out.")
        changes = np.zeros(len(size))
        for draw in range(draws):
            lots = drawn_for(For.NOISE, draws * seed + draw, batch.start, batch.x.shape)
            noise = (2 * lots - 1) * amplitude
            # Not beyond what samples can be: pixels stay in their range.
            moved = np.clip(batch.x + noise, low, high).astype(batch.x.dtype)
            other = explained(explainer, moved, batch.target)
            changes = np.maximum(changes, _norms(other - batch.relevance) / size)
        rows.append(changes)
    return Measure("change of the map under noise", np.concatenate(rows))


def _norms(maps: np.ndarray) -> np.ndarray:
    return np.linalg.norm(maps.reshape(len(maps), -1).astype(float), axis=1)
