"""Rows of a table, looked up by index; and what a mask leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from lrpkeras.graph.node import Array, Node, Parameters

if TYPE_CHECKING:
    from lrpkeras.graph.graph import Graph


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Node):
    """`table[x]` for indices x, `(batch, ...)` -> `(batch, ..., width)`.

    Indices arrive in the graph's floating type, which holds whole numbers exactly as far as the
    reader lets tables grow.
    """

    table: np.ndarray

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {"table": self.table}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return ops.take(parameters["table"], ops.cast(inputs[0], "int32"), axis=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Masked(Node):
    """`w x`, w such that the mean over axis 1 is that of the positions whose index is not 0.

    Inputs are x `(batch, positions, channels)` and the indices `(batch, positions)`, which get no
    relevance; `w = m / mean(m)`, m one where the index is not 0 and zero elsewhere.
    """

    @property
    def receives(self) -> int:
        return 1

    def weights(self, inputs: tuple[Array, ...]) -> Array:
        """Return w, `(batch, positions, 1)`."""
        kept = ops.cast(inputs[1] != 0, inputs[0].dtype)
        return ops.expand_dims(kept / ops.mean(kept, axis=1, keepdims=True), -1)

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return inputs[0] * self.weights(inputs)


def row_counts(graph: Graph) -> tuple[int | None, ...]:
    """Return for each input how many rows its values may name; None where none are looked up.

    Between an input and a table, values are only moved: lowering sees to that.
    """
    counts: dict[str, int] = {}
    for node in reversed(list(graph)):
        count = len(node.table) if isinstance(node, Lookup) else counts.get(node.name)
        if count is not None:
            counts.update((name, min(count, counts.get(name, count))) for name in node.inputs)
    return tuple(counts.get(name) for name in graph.inputs)
