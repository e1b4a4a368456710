"""Random numbers that belong to a sample: the same in whichever batch it comes."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from lrpkeras.errors import InputError


class For(IntEnum):
    """What lots are drawn for: no two uses share them."""

    ORDER = 0
    COLOUR = 1
    PLACE = 2
    NOISE = 3
    WEIGHTS = 4


def generator(use: For, seed: int, number: int) -> np.random.Generator:
    """Return what draws for one sample, or one layer, by its number.

    Raises
    ------
    InputError
        If the seed is no whole number from 0 on.
    """
    try:
        return np.random.default_rng([seed, use, number])
    except (TypeError, ValueError):
        raise InputError(f"seed is a whole number, not below 0; got {seed!r}.") from None


def drawn(use: For, seed: int, sample: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers in [0, 1), float32, for one sample."""
    return generator(use, seed, sample).random(shape, dtype=np.float32)


def drawn_for(use: For, seed: int, start: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers in [0, 1) for a batch: `shape` has its samples first, from number `start`."""
    return np.stack([drawn(use, seed, start + i, shape[1:]) for i in range(shape[0])])
