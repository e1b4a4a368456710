"""A whole graph compiled by XLA, or run by TensorFlow: what `jit_compile="auto"` decides by."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np

import lrpkeras
from benchmarks import ways
from benchmarks.results import Cell
from benchmarks.turns import take_turns, timed

XLA, PLAIN = "compiled by XLA", "not compiled"


def measure(model: keras.Model, preset: str, batch: int, rounds: int) -> Cell:
    """Return the seconds of both, in turn, and those of their first calls on such a batch."""
    images, runs, first = ways.images(model, batch), {}, {}
    for name, jit_compile in ((XLA, True), (PLAIN, False)):
        analyzer = ways.analyzer(model, preset, jit_compile=jit_compile, verify=False)
        runs[name] = timed(partial(_explain, analyzer, images))
        first[name] = runs[name]()
    return {"batch": batch, "first_call": first, "seconds": take_turns(runs, 0, rounds)}


def _explain(analyzer: lrpkeras.Analyzer, images: np.ndarray) -> np.ndarray:
    return analyzer(images).numpy()
