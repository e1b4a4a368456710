"""How fast the measures of `lrpkeras.evaluate` are, beside the model runs that each must make."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np

from benchmarks import ways
from benchmarks.results import Cell
from benchmarks.turns import take_turns, timed
from lrpkeras import Analyzer, evaluate

STEPS, DRAWS, KEPT = 10, 5, 10
FORWARD, EXPLAINED = "forward pass", "explanation"
# What each measure must run on every sample: forward passes, explanations. The winner takes one.
WORK = {
    FORWARD: (1, 0),
    EXPLAINED: (0, 1),
    "pixel_flipping": (1 + 3 * (STEPS + 1), 1),
    "retention": (2 + KEPT, 1),
    "mask_share": (0, 1),
    "relevance_mass": (0, 1),
    "relevance_rank": (0, 1),
    "pointing_game": (0, 1),
    "sensitivity": (1, 1 + DRAWS),
    "conservation": (2, 1),
    "counterfactual": (4, 1),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "pixel_flipping": {"steps": STEPS},
    "retention": {"percentages": np.linspace(5, 95, KEPT)},
    "sensitivity": {"draws": DRAWS},
}


def measure(model: keras.Model, preset: str, batch: int, rounds: int) -> Cell:
    """Return the seconds of every measure of one batch, and of a run of the model, in turn."""
    analyzer = ways.analyzer(model, preset, verify=False)
    images = ways.images(model, batch)
    runs = {name: partial(run, analyzer, images, name) for name in WORK}
    for once in runs.values():
        once()
    seconds = take_turns({name: timed(once) for name, once in runs.items()}, 0, rounds)
    return {"batch": batch, "preset": preset, "seconds": seconds}


def run(analyzer: Analyzer, images: np.ndarray, name: str) -> object:
    """Take a measure of a batch, or run the model on it."""
    if name == FORWARD:
        return np.asarray(analyzer.logits(images))
    if name == EXPLAINED:
        return np.asarray(analyzer(images))
    arguments = [analyzer, images]
    if name.startswith(("mask_", "relevance_", "pointing_")):
        masks = np.zeros(images.shape[:-1], bool)
        masks[:, : images.shape[1] // 2] = True
        arguments += [masks, 0]
    settings = {"batch_size": len(images), "verbose": 0, **SETTINGS.get(name, {})}
    return getattr(evaluate, name)(*arguments, **settings)


def overhead(cell: Cell, name: str) -> list[float]:
    """Return, round by round, a measure's time over that of the runs that it must make."""
    seconds = cell["seconds"]
    forward, explained = WORK[name]
    return [
        whole / (forward * one + explained * other)
        for whole, one, other in zip(
            seconds[name], seconds[FORWARD], seconds[EXPLAINED], strict=True
        )
    ]
