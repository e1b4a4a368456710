"""Embeddings: rows of a table by index."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers

from lrpkeras.graph.lower import Refusal, Tensor, register
from lrpkeras.graph.nodes import Input, Lookup, Route

# Whole numbers up to here have a float32 of their own.
MOST_ROWS = {"float32": 2**24, "float64": 2**53}


@register(layers.Embedding)
def embedding(layer: layers.Embedding, x: Tensor) -> Tensor:
    """A row of the table for each index; the table is the effective one, LoRA included."""
    return looked_up(x, layer.embeddings)


def looked_up(x: Tensor, table: Any) -> Tensor:
    """Emit rows of `table` `(rows, width)`, one for each index in `x`.

    Raises
    ------
    Refusal
        The indices are computed, so that relevance cannot go back to what they are computed from;
        or there are too many rows for the type that the graph computes in.
    """
    if not only_moved(x):
        why = "the indices of the rows that it looks up are computed from the input"
        raise Refusal(why, "compute them before, and make them the model's input")
    if int(np.shape(table)[0]) > MOST_ROWS[x.draft.dtype]:
        raise Refusal(f"it has more rows than {x.draft.dtype} can count")
    return x.then(Lookup, table=table)


def only_moved(x: Tensor) -> bool:
    """Whether a tensor holds values of the model's inputs, moved but not changed."""
    nodes, waiting = x.draft.nodes, [x.name]
    while waiting:
        node = nodes.get(waiting.pop())
        if not isinstance(node, Input | Route):
            return False
        waiting += node.inputs
    return True
