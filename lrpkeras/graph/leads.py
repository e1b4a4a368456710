"""All ways that lead through one node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lrpkeras.graph.graph import Graph


@dataclass(frozen=True)
class Leads:
    """The nodes on all ways from the output back to the inputs that pass one node, itself included.

    `before` are those from which a way leads to it, `behind` those to which one goes on.
    """

    before: frozenset[str]
    behind: frozenset[str]

    @classmethod
    def of(cls, graph: Graph, edges: Mapping[str, Iterable[int]], name: str) -> Leads:
        """Find them for the node called `name`.

        Parameters
        ----------
        graph
            In topological order.
        edges
            For each node, the numbers of the inputs that count.
        """
        before, behind = {name}, {name}
        for node in graph:
            if any(node.inputs[number] in before for number in edges.get(node.name, ())):
                before.add(node.name)
        for node in reversed(list(graph)):
            if node.name in behind:
                behind.update(node.inputs[number] for number in edges.get(node.name, ()))
        return cls(frozenset(before), frozenset(behind))

    def passes(self, name: str) -> bool:
        """Whether some way leads through that node, too."""
        return name in self.before or name in self.behind

    def opens(self, reader: str, read: str) -> bool:
        """Whether what goes back from `reader` to `read` has passed the node, or yet may."""
        return reader in self.behind or read in self.before
