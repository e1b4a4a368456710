"""Which nodes a *where* means: names, classes, kinds, positions, depths."""

from __future__ import annotations

import fnmatch

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.matrix import Matrix
from lrpkeras.graph.nodes import KINDS, Affine, Input, Linear, Lookup, Node, Resample
from lrpkeras.graph.operations import Dense, Einsum

Where = str | type | tuple[float, float]

POSITIONS = ("first", "last", "conv", "dense", "batch_norm")


class Matcher:
    """Decides whether a *where* means a node of one graph; positions are looked up once."""

    def __init__(self, graph: Graph) -> None:
        explained = graph.ancestors(graph.outputs[0])
        linear = [n.name for n in graph if isinstance(n, Linear) and n.name in explained]
        last = max(len(linear) - 1, 1)
        self.depth = {name: index / last for index, name in enumerate(linear)}
        self.first = _first(graph)
        self.last = _last(graph)

    def __call__(self, where: Where, node: Node) -> bool:
        """Tell whether `where` means `node`."""
        if isinstance(where, tuple):
            low, high = where
            return node.name in self.depth and low <= self.depth[node.name] <= high
        if isinstance(where, type):
            if issubclass(where, Node):
                return isinstance(node, where)
            return node.layer_class is not None and issubclass(node.layer_class, where)
        if where in POSITIONS:
            return self._at(where, node)
        if where in KINDS:
            return isinstance(node, KINDS[where])
        return any(fnmatch.fnmatchcase(name, where) for name in (node.name, *node.layers))

    def _at(self, position: str, node: Node) -> bool:
        if position == "first":
            return node.name in self.first
        if position == "last":
            return node.name in self.last
        if position == "batch_norm":
            return isinstance(node, Affine) and node.batch_norm
        if isinstance(node, Affine):
            return (position == "dense") == (len(node.shape) <= 2)
        if not isinstance(node, Linear):
            return False
        written = node.operation
        operation = written.inner if isinstance(written, Matrix) else written
        return (position == "dense") == isinstance(operation, Dense | Einsum)


def _first(graph: Graph) -> set[str]:
    """Linear nodes reached from an input through nothing linear; on these ways, what resizes, too.

    Looking up a row multiplies a table by the index's unit vector: what is behind is not first.
    """
    ahead: dict[str, bool] = {}
    first = set()
    for node in graph:
        near = isinstance(node, Input) or any(ahead[n] for n in node.inputs[: node.receives])
        ahead[node.name] = near and not isinstance(node, Linear | Lookup)
        if isinstance(node, Linear | Affine | Resample) and near:
            first.add(node.name)
    return first


def _last(graph: Graph) -> set[str]:
    """Linear nodes with no linear node behind them."""
    consumers = graph.consumers()
    ahead: dict[str, bool] = {}
    last = set()
    for node in reversed(list(graph)):
        ahead[node.name] = any(ahead[c.name] or isinstance(c, Linear) for c in consumers[node.name])
        if isinstance(node, Linear) and not ahead[node.name]:
            last.add(node.name)
    return last
