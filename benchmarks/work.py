"""Multiply-adds of an explanation from the design's table, to compare with those counted.

F = one forward pass of a layer. The table says how many a rule takes forward and backward
(`docs/design.md`). That a layer's inputs are never negative ("known"), and that a ReLU behind it
closes wherever z <= 0, is the network's structure, as the rewritten graph tells it.
`multiply_adds.py` counts what the traced graph does; both must agree to the last one. Where oneDNN
convolves, large convolutions go by tiles, with fewer (`backend/tensorflow/winograd.py`): they are
traced without tiles for the comparison, and counted with them beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, prod
from typing import Any

import keras

import lrpkeras
from benchmarks import multiply_adds, ways
from benchmarks.results import Cell
from lrpkeras.backend.tensorflow import winograd
from lrpkeras.graph.nodes import Linear

# What tiles take to transform kernels is shared by a batch: that of the README's times.
BATCH = 4
# By rule: (forward, backward) passes where inputs are known and a ReLU closes, known and open,
# signed and closed, signed and open.
CASES = (("known", "closed"), ("known", "open"), ("signed", "closed"), ("signed", "open"))
ONE = ((1, 1),) * 4
TABLE: dict[str, tuple[tuple[int, int], ...]] = {
    "Epsilon": ONE,
    "Zero": ONE,
    "Gradient": ONE,
    "Relative": ONE,
    "ZPlus": ((2, 1), (2, 1), (2, 2), (3, 2)),
    "AlphaBeta": ((2, 2), (2, 2), (4, 4), (4, 4)),
    "Gamma": ((2, 1), (2, 2), (2, 2), (2, 2)),
    "Box": ((3, 2),) * 4,
    "Flat": ((1, 0),) * 4,  # and a box filter on one channel of each group
}
# Behind a normalization that is folded through a ReLU, rules that read the bias compute it for
# every sample, and AlphaBeta, whose two parts are else the output, that as well.
BEHIND_A_GATE = {"ZPlus": 1, "AlphaBeta": 2, "Gamma": 1}


def measure(model: keras.Model, presets: list[str]) -> Cell:
    """Return multiply-adds of one image, counted, from the table and with tiles, by preset."""
    forward = multiply_adds.total(ways.built(model, ways.FORWARD)[1](1))
    counted, table, tiled = {}, {}, {}
    for preset in presets:
        analyzer = ways.analyzer(model, preset, verify=False)
        with without_tiles():
            counted[preset] = multiply_adds.total(analyzer.concrete_function(batch_size=1))
        table[preset] = expected(analyzer)
        tiled[preset] = multiply_adds.total(analyzer.concrete_function(batch_size=BATCH)) // BATCH
    return {"forward": forward, "counted": counted, "expected": table, "tiled": tiled}


@contextmanager
def without_tiles() -> Iterator[None]:
    """Trace convolutions as such within this."""
    least, winograd.LEAST_CHANNELS = winograd.LEAST_CHANNELS, inf
    try:
        yield
    finally:
        winograd.LEAST_CHANNELS = least


def expected(analyzer: lrpkeras.Analyzer) -> int:
    """Return what the table says for one image."""
    reached = analyzer._program.reached  # gates of a product, for one, get no relevance
    return sum(
        _of_rule(node, analyzer.rules[node.name]) if node.name in reached else _passes(node)
        for node in analyzer.graph
        if isinstance(node, Linear)
    )


def _passes(node: Linear) -> int:
    """F: every output takes one for each of its taps."""
    return prod(node.shape[1:]) * node.operation.taps(node.kernel.shape)


def _of_rule(node: Linear, rule: Any) -> int:
    name = type(rule).__name__
    case = (
        "signed" if node.facts.signed else "known",
        "closed" if node.facts.closed else "open",
    )
    times = sum(TABLE[name][CASES.index(case)])
    if node.base_kernel is not None:
        times += BEHIND_A_GATE.get(name, 0)
    box = _box(node) if name == "Flat" else 0
    return times * _passes(node) + box


def _box(node: Linear) -> int:
    """A window's sum on one channel for each group, at every output position."""
    form = node.operation.flat(node.kernel.shape)
    groups = form.kernel.shape[-2]
    positions = prod(node.shape[1:-1])
    return positions * prod(form.kernel.shape[:-2]) * groups
