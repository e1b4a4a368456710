"""Fold a batch normalization into the linear layer in front of it.

Guillemot et al. 2020, equations 10 and 11: `kernel' = s kernel` on the output axis and
`bias' = s bias + t`, with `s = gamma / sqrt(variance + epsilon)` and `t = beta - mean s`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lrpkeras.canonize.places import layers_at
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Affine, Linear, Node


def fold_left(graph: Graph) -> Graph:
    """Return the graph in which normalizations behind a linear node are part of it."""
    removed: dict[str, str] = {}
    consumers = graph.consumers()
    changed: list[Node] = []
    for norm in graph:
        if not (isinstance(norm, Affine) and norm.batch_norm):
            continue
        source = graph[norm.inputs[0]]
        alone = len(consumers[source.name]) == 1 and source.name not in graph.outputs
        if not (alone and isinstance(source, Linear)):
            continue
        merged = _merged(source, norm)
        if merged is not None:
            changed.append(merged)
            removed[norm.name] = source.name
    folded = graph.folded | layers_at(graph, removed.values())
    return replace(graph.with_nodes(changed), folded=folded).without(removed).sorted()


def _merged(linear: Linear, norm: Affine) -> Linear | None:
    rank = len(linear.shape)
    if norm.axis % rank != linear.operation.channel_axis % rank:
        return None
    scale = norm.scale.reshape(-1)
    if linear.bias is not None and linear.bias.ndim != 1:
        return None
    kernel = linear.operation.scale_output(linear.kernel, scale)
    if kernel is None:
        return None
    bias = np.zeros_like(scale) if norm.shift is None else norm.shift.reshape(-1)
    if linear.bias is not None:
        bias = bias + linear.bias * scale
    layers = (*linear.layers, *norm.layers)
    merged = replace(linear, kernel=kernel.astype(linear.kernel.dtype), bias=bias, layers=layers)
    return merged.noted(f"{', '.join(norm.layers)} folded")
