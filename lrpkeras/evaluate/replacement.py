"""What is put where pixels are taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate.lots import For, drawn_for
from lrpkeras.evaluate.optional import needed

# A word, a number or array for every sample, or a function from a batch to its replacement.
Replacement: TypeAlias = str | float | np.ndarray | Callable[[np.ndarray], Any]
WORDS = ("random", "zero", "mean", "blur")
SIGMA = 3.0  # pixels, of the blur: as Samek et al. 2017 blur images of 224 pixels


@dataclass(frozen=True)
class Filling:
    """What samples are filled with, in the units of the model's input.

    Attributes
    ----------
    kind
        As the user says it.
    low, high, mean
        Of all samples: by channel, `(channels,)`; of vectors by entry.
    """

    kind: Replacement
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, kind: Replacement, x: np.ndarray) -> Filling:
        """Look at all samples, and refuse what cannot stand in place of one."""
        if isinstance(kind, str) and kind not in WORDS:
            raise InputError(
                f"replacement={kind!r} is none of {', '.join(map(repr, WORDS))}, a number, an "
                "array like a sample, or a function from a batch to what replaces it."
            )
        if not isinstance(kind, str) and not callable(kind):
            _fitting(kind, x[:1])  # an array for each sample would not fit every batch
        axes = tuple(range(max(1, x.ndim - 1)))
        # In float32 the sum over a few hundred photos stops growing.
        return cls(kind, x.min(axis=axes), x.max(axis=axes), x.mean(axis=axes, dtype=float))

    def batch(self, x: np.ndarray, start: int, seed: int) -> np.ndarray:
        """Return an array like `x`, the samples from number `start` on."""
        kind = self.kind if isinstance(self.kind, str) else None
        if kind == "random":
            lots = drawn_for(For.COLOUR, seed, start, x.shape)
            return (self.low + (self.high - self.low) * lots).astype(x.dtype)
        if kind == "blur":
            return _blurred(x)
        values = {"zero": 0.0, "mean": self.mean}.get(kind or "", self.kind)
        return _fitting(values(x.copy()) if callable(values) else values, x)


def _fitting(values: Any, x: np.ndarray) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=x.dtype)
    except (TypeError, ValueError):
        raise InputError(
            f"The replacement is no number or array of them, but {values!r}."
        ) from None
    if not np.isfinite(array).all():
        raise InputError("The replacement holds NaN or infinite values.")
    try:
        return np.broadcast_to(array, x.shape)
    except ValueError:
        raise InputError(
            f"The replacement has shape {array.shape}, which does not fit samples of shape "
            f"{x.shape[1:]}. For one of its own for each sample give a function."
        ) from None


def _blurred(x: np.ndarray) -> np.ndarray:
    """Return samples with positions blurred, not channels."""
    if x.ndim < 3:
        raise InputError(
            "replacement='blur' is for samples with positions, (samples, ..., channels)."
        )
    ndimage = needed("scipy.ndimage", "replacement='blur'")
    sigma = (0.0, *(SIGMA,) * (x.ndim - 2), 0.0)
    return np.asarray(ndimage.gaussian_filter(x, sigma, mode="nearest"))
