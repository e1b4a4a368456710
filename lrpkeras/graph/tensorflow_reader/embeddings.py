"""Rows of a constant table by indices, as embeddings spell it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrpkeras.graph.draft import Tensor
from lrpkeras.graph.lower_lookup import looked_up
from lrpkeras.graph.tensorflow_reader.constants import Constants
from lrpkeras.graph.tensorflow_reader.patterns import Pattern, finds


@finds
def lookup(op: Any, constants: Constants) -> Pattern | None:
    """Find what gathers rows of a constant by indices that are not."""
    if op.type != "GatherV2" or op.get_attr("batch_dims"):
        return None
    table, indices, axis = op.inputs
    if not constants.is_constant(table) or constants.is_constant(indices):
        return None
    if len(table.shape) != 2 or int(constants.value(axis)) != 0:
        return None

    def emit(x: Tensor) -> Tensor:
        return looked_up(x, constants.value(table))

    return Pattern((_unwrapped(indices, int(table.shape[0]), constants),), emit)


def _unwrapped(indices: Any, rows: int, constants: Constants) -> Any:
    """Return indices without casts, and without Keras' counting of negative ones from the end.

    Negative ones are refused before a model is run.
    """
    while True:
        op = indices.op
        if op.type in ("Cast", "Identity"):
            indices = op.inputs[0]
        elif op.type == "SelectV2" and _counts_from_the_end(op, rows, constants):
            indices = op.inputs[2]
        else:
            return indices


def _counts_from_the_end(op: Any, rows: int, constants: Constants) -> bool:
    """Whether an operation is `where(i < 0, i + rows, i)`."""
    less, more, index = op.inputs
    terms = [(less.op, "Less", 0), (more.op, "AddV2", rows)]
    return all(
        part.type == kind
        and part.inputs[0] is index
        and constants.is_constant(part.inputs[1])
        and np.all(constants.value(part.inputs[1]) == number)
        for part, kind, number in terms
    )
