"""Ten classes of every sample: in one call, or one call for each."""

from __future__ import annotations

import keras
import numpy as np

from benchmarks import ways
from benchmarks.results import Cell
from benchmarks.turns import take_turns, timed

AT_ONCE, APART = "ten at once", "ten calls"
CLASSES = list(range(10))


def measure(model: keras.Model, preset: str, batch: int, rounds: int) -> Cell:
    """Return the seconds of both, in turn; what is explained is the same."""
    analyzer = ways.analyzer(model, preset, verify=False)
    images = ways.images(model, batch)
    each = [CLASSES] * batch

    def at_once(number: int = batch) -> np.ndarray:
        return analyzer(images[:number], each[:number]).numpy()

    def apart(number: int = batch) -> np.ndarray:
        calls = [analyzer(images[:number], target).numpy() for target in CLASSES]
        return np.stack(calls, axis=1)

    first, second = at_once(1), apart(1)  # traced for any batch size; and they must agree
    largest = float(np.abs(second).max())
    difference = float(np.abs(first - second).max()) / largest if largest else 0.0
    runs = {AT_ONCE: timed(at_once), APART: timed(apart)}
    return {"batch": batch, "difference": difference, "seconds": take_turns(runs, 0, rounds)}
