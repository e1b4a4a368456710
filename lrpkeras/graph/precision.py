"""Which products may be computed in a narrower type."""

from __future__ import annotations

from lrpkeras.graph.convolutions import Convolution
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Linear
from lrpkeras.graph.operations import Dense


def narrow_kernels(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the kernel's shape of each node whose products may be in bfloat16.

    That is what takes the time and bears it: not the first linear nodes, whose inputs and bounds
    may be large numbers that nearly cancel, nor the last ones, of which scores and winners are
    made; and not grouped and depthwise convolutions, which memory bounds.
    """
    last = _last(graph)
    return {
        node.name: node.kernel.shape
        for node in graph
        if isinstance(node, Linear)
        and _multiplies(node)
        and node.facts.upstream is None
        and node.name not in last
    }


def _last(graph: Graph) -> set[str]:
    """Return the linear nodes from which an output is reached through nothing linear."""
    waiting, seen, last = list(graph.outputs), set[str](), set()
    while waiting:
        node = graph[waiting.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        if isinstance(node, Linear):
            last.add(node.name)
        else:
            waiting += node.inputs
    return last


def _multiplies(node: Linear) -> bool:
    operation = node.operation
    if isinstance(operation, Convolution):
        return operation.groups == 1 and len(operation.strides) == 2
    return isinstance(operation, Dense)
