"""Multiply out an affine map behind another, when both are normalizations or neither is."""

from __future__ import annotations

from dataclasses import replace

from lrpkeras.canonize.places import layers_at
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Affine


def merge_affine(graph: Graph) -> Graph:
    """Return the graph without pairs of affine nodes that nothing reads in between."""
    for node in list(graph):
        second = graph.nodes.get(node.name)
        first = graph[second.inputs[0]] if isinstance(second, Affine) else None
        if isinstance(second, Affine) and isinstance(first, Affine) and _fit(graph, first, second):
            graph = _merged(graph, first, second)
    return graph


def _fit(graph: Graph, first: Affine, second: Affine) -> bool:
    lone = len(graph.consumers()[first.name]) == 1 and first.name not in graph.outputs
    return lone and first.batch_norm == second.batch_norm and first.axis == second.axis


def _merged(graph: Graph, first: Affine, second: Affine) -> Graph:
    shift = second.shift
    if first.shift is not None:
        moved = first.shift * second.scale
        shift = moved if shift is None else moved + shift
    merged = replace(
        second,
        inputs=first.inputs,
        scale=first.scale * second.scale,
        shift=shift,
        layers=(*first.layers, *second.layers),
    ).noted(f"{', '.join(first.layers)} multiplied out")
    places = {layer: n for layer, n in graph.places.items() if n != first.name}
    folded = graph.folded | layers_at(graph, {first.name})
    graph = replace(graph.with_nodes([merged]), places=places, folded=folded)
    return graph.sorted()
