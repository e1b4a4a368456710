"""Replace each logit by its lead over the mean of the others, in the head's weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lrpkeras.errors import RuleError
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Linear
from lrpkeras.graph.operations import Dense


def contrast_head(graph: Graph) -> Graph:
    """Return the graph that explains `z_t - mean(z_j, j != t)`, by differenced weights.

    The logits themselves stay, as the last output.

    Raises
    ------
    RuleError
        If the explained output is not a Dense layer with two or more units.
    """
    head = graph[graph.outputs[0]]
    dense = isinstance(head, Linear) and isinstance(head.operation, Dense)
    if not (isinstance(head, Linear) and dense) or head.kernel.shape[-1] < 2:
        raise RuleError(
            f"initial='contrast' needs a Dense head with two or more units; {head.name!r} is a "
            f"{head.kind} with output shape {head.shape}. Use initial='logit' or 'unit'."
        )
    arrays = {"kernel": head.kernel, "bias": head.bias, "base_kernel": head.base_kernel}
    changed: dict[str, Any] = {name: _contrasted(a) for name, a in arrays.items() if a is not None}
    contrast = replace(head, name=f"{head.name}:contrast", **changed)
    contrast = contrast.noted("weights of a class less the mean of the others")
    places = {layer: contrast.name if n == head.name else n for layer, n in graph.places.items()}
    folded = graph.folded | {layer for layer, n in graph.places.items() if n == head.name}
    return replace(
        graph.with_nodes([contrast]),
        outputs=(contrast.name, head.name),
        places=places,
        folded=folded,
    ).sorted()


def _contrasted(weights: np.ndarray) -> np.ndarray:
    """`w_t - (sum_j w_j - w_t) / (n - 1)` along the last axis."""
    wide = weights.astype("float64")
    others = (wide.sum(axis=-1, keepdims=True) - wide) / (weights.shape[-1] - 1)
    return (wide - others).astype(weights.dtype)
