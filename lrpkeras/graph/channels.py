"""Which axis of a node's output its channels run along."""

from __future__ import annotations

from collections.abc import Iterator

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Reshape, Transpose
from lrpkeras.graph.nodes import Affine, Linear, Node, Pool, Route


def channel_axis(graph: Graph, name: str) -> int | None:
    """Return the axis of a node's channels, batch counted; None where that cannot be told.

    Convolutions, normalizations and pools know theirs; what moves values or works elementwise has
    that of what it reads; an input that of what reads it. Without any of these it is the last.
    """
    node = graph[name]
    rank = len(node.shape)
    if rank <= 2:
        return rank - 1
    axis = _own(node)
    if axis is not None:
        return axis % rank
    return _of_readers(graph, node) if not node.inputs else _of_inputs(graph, node)


def channel_count(graph: Graph, name: str) -> int | None:
    """Return how many channels a node has; None where it has none, or that cannot be told."""
    axis, shape = channel_axis(graph, name), graph[name].shape
    return shape[axis] if axis is not None and len(shape) > 1 else None


def _own(node: Node) -> int | None:
    """Return the axis that a node states itself."""
    if isinstance(node, Linear):
        return node.operation.channel_axis
    if isinstance(node, Affine) and node.batch_norm:
        return node.axis
    if isinstance(node, Pool) and (node.window is not None or node.channels_first):
        return 1 if node.channels_first else -1
    return None


def _of_inputs(graph: Graph, node: Node) -> int | None:
    """Return the axis that the inputs' channels have behind this node."""
    first = graph[node.inputs[0]]
    axis, rank = channel_axis(graph, first.name), len(node.shape)
    if axis is None:
        return None
    if isinstance(node, Route) and isinstance(node.move, Transpose):
        return node.move.axes.index(axis)
    if isinstance(node, Pool) and not node.keepdims:
        return None if axis in node.axes else axis - sum(pooled < axis for pooled in node.axes)
    if axis == len(first.shape) - 1:
        return rank - 1
    moved = isinstance(node, Route) and isinstance(node.move, Reshape)
    return None if moved or len(first.shape) != rank else axis


def _of_readers(graph: Graph, node: Node) -> int | None:
    """Return the axis that all readers of an input take for its channels."""
    found = set(_read_along(graph, node))
    return found.pop() if len(found) == 1 else None if found else len(node.shape) - 1


def _read_along(graph: Graph, node: Node) -> Iterator[int]:
    """Yield what each node behind an input that knows it takes for the channel axis."""
    rank = len(node.shape)
    for reader in graph.consumers()[node.name]:
        own = _own(reader)
        if own is not None:
            yield own % rank
        elif isinstance(reader, Route) and isinstance(reader.move, Transpose):
            yield from (reader.move.axes[axis] for axis in _read_along(graph, reader))
        elif len(reader.shape) == rank:
            yield from _read_along(graph, reader)
