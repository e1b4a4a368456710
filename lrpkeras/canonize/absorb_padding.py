"""Make zero padding in front of a convolution the convolution's own.

Otherwise rules that give relevance to inputs of value zero (flat, box, w-square) would lose some
of it to padded zeros, which no pixel owns.
"""

from __future__ import annotations

from dataclasses import replace

from lrpkeras.graph.convolutions import Convolution, Depthwise
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Pad
from lrpkeras.graph.nodes import Linear, Node, Route


def absorb_padding(graph: Graph) -> Graph:
    """Return the graph in which convolutions read the tensor before its zero padding."""
    changed: dict[str, Node] = {}
    for node in graph:
        if not isinstance(node, Linear):
            continue
        # Behind another padding that was absorbed, the nodes change while we walk: read anew.
        current = node
        while (wider := _widened(graph, current)) is not None:
            current = wider
        if current is not node:
            changed[node.name] = current
    return graph.with_nodes(changed.values()).sorted()


def _widened(graph: Graph, node: Linear) -> Linear | None:
    """The convolution with the padding in front of it as its own, or None."""
    source, operation = graph[node.inputs[0]], node.operation
    if not (isinstance(source, Route) and isinstance(source.move, Pad)):
        return None
    if not isinstance(operation, Convolution | Depthwise) or isinstance(operation.padding, str):
        return None
    padding = source.move.padding
    spatial = padding[1:] if operation.channels_first else padding[:-1]
    channels = padding[0] if operation.channels_first else padding[-1]
    if any(channels) or any(n < 0 for pair in spatial for n in pair):
        return None
    total = tuple(
        (low + extra_low, high + extra_high)
        for (low, high), (extra_low, extra_high) in zip(operation.padding, spatial, strict=True)
    )
    wider = replace(
        node,
        inputs=source.inputs,
        operation=replace(operation, padding=total),
        layers=(*node.layers, *source.layers),
    )
    return wider.noted(f"padding of {', '.join(source.layers)} absorbed")
