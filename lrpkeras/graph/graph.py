"""The graph: named nodes in topological order, and the few moves that passes make on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lrpkeras.graph.functions import Function
from lrpkeras.graph.nodes import Input, Node

Array = Any


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name, each after its inputs.

    `places` tells which node's output is a Keras layer's output, so that a folded layer can still
    be found; of the layers in `folded` the relevance can be read there, but no longer the value.
    `heads` are the functions that were stripped off layers at the outputs; `notes` are remarks
    about the whole.
    """

    nodes: dict[str, Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    places: dict[str, str] = field(default_factory=dict)
    folded: frozenset[str] = frozenset()
    heads: dict[str, Function] = field(default_factory=dict)
    dtype: str = "float32"
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __len__(self) -> int:
        return len(self.nodes)

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each node; one that reads it twice is there twice."""
        consumers: dict[str, list[Node]] = {name: [] for name in self.nodes}
        for node in self:
            for name in node.inputs:
                consumers[name].append(node)
        return consumers

    def ancestors(self, name: str) -> set[str]:
        """Return a node and all that its value depends on, by name."""
        return set(replace(self, inputs=(), outputs=(name,), places={}).sorted().nodes)

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """Return the graph with nodes replaced by those of the same name."""
        return replace(self, nodes={**self.nodes, **{node.name: node for node in nodes}})

    def without(self, removed: Mapping[str, str]) -> Graph:
        """Return the graph without the nodes in `removed`: name -> the node to read instead."""

        def kept(name: str) -> str:
            while name in removed:
                name = removed[name]
            return name

        nodes = {
            name: replace(node, inputs=tuple(map(kept, node.inputs)))
            for name, node in self.nodes.items()
            if name not in removed
        }
        places = {layer: kept(name) for layer, name in self.places.items()}
        return replace(self, nodes=nodes, outputs=tuple(map(kept, self.outputs)), places=places)

    def sorted(self) -> Graph:
        """Return the graph with what no output needs dropped, and the rest in topological order.

        Inputs stay, needed or not: the compiled function takes them all.
        """
        order: dict[str, Node] = {}
        for name in (*self.inputs, *self.outputs):
            self._visit(name, order)
        places = {layer: name for layer, name in self.places.items() if name in order}
        return replace(self, nodes=order, places=places)

    def leading_to(self, name: str, known: Iterable[str]) -> Graph:
        """Return the nodes that compute one node from known ones, and these, in order."""
        order = {other: self.nodes[other] for other in known}
        self._visit(name, order)
        return replace(self, nodes=order)

    def _visit(self, name: str, order: dict[str, Node]) -> None:
        # An explicit stack: a graph of a thousand layers is deeper than Python's own.
        stack = [(name, iter(self.nodes[name].inputs))]
        while stack:
            current, inputs = stack[-1]
            pending = next((i for i in inputs if i not in order), None)
            if pending is None:
                order.setdefault(current, self.nodes[current])
                stack.pop()
            else:
                stack.append((pending, iter(self.nodes[pending].inputs)))

    def evaluate(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return every node's value, given those in `values` (all inputs at least).

        Plain and slow: for passes, checks and tests; `propagate` compiles the same computation.
        """
        computed = dict(values)
        for node in self:
            if node.name not in computed and not isinstance(node, Input):
                read = tuple(computed[name] for name in node.inputs)
                computed[node.name] = node.held(node.compute(read, node.parameters))
        return computed
