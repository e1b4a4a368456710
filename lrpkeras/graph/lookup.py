"""The node kind that looks up rows of a table: embeddings."""

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
