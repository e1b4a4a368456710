"""Time per image over the batch size, and over the size of images."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from benchmarks import networks, ways
from benchmarks.results import Cell
from benchmarks.turns import take_turns

PRESET = "epsilon_plus_flat"


def over_batches(model: keras.Model, batches: Sequence[int], rounds: int) -> Cell:
    """Return, by batch size, the seconds of gradient and explanation; all sizes in turn."""
    made = [ways.way(model, what) for what in (ways.GRADIENT, PRESET)]
    runs = {
        (way.what, batch): ways.run(way, ways.images(model, batch))
        for batch in batches
        for way in made
    }
    return {"seconds": _rounds(runs, rounds)}


def over_sizes(name: str, sizes: Sequence[int], rounds: int) -> Cell:
    """Return, by size of images in pixels, the same for batch 1, a network for each size."""
    runs = {}
    for size in sizes:
        model = networks.build(name, size)
        for what in (ways.GRADIENT, PRESET):
            runs[what, size] = ways.run(ways.way(model, what), ways.images(model, 1))
    return {"seconds": _rounds(runs, rounds)}


def _rounds(runs: dict, rounds: int) -> dict[str, dict[str, list[float]]]:
    for run in runs.values():
        run()
    named = {f"{what}/{number}": run for (what, number), run in runs.items()}
    table: dict[str, dict[str, list[float]]] = {}
    for key, seconds in take_turns(named, 0, rounds, rounds).items():
        what, number = key.split("/")
        table.setdefault(what, {})[number] = seconds
    return table
