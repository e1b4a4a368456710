"""Residual blocks: which sum ends what begins at which fork, by the structure alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Fork

# An input of a node: (the node's name, the number of the input).
Edge = tuple[str, int]


@dataclass(frozen=True)
class Branch:
    """One term of a sum, and all ways out of the fork that lead to it and to nothing else."""

    end: Edge
    starts: tuple[Edge, ...]

    @property
    def is_identity(self) -> bool:
        """Whether the fork's tensor itself is the term."""
        return self.starts == (self.end,)


@dataclass(frozen=True)
class Block:
    """What lies between a fork and the sum where its branches meet again."""

    fork: str
    sum: str
    branches: tuple[Branch, ...]


def blocks(
    graph: Graph, edges: Mapping[str, Iterable[int]], sums: Iterable[str]
) -> dict[str, tuple[Block, ...]]:
    """Return the blocks that end at `sums`, by the fork where they begin, inner ones first.

    A sum is paired with the fork that all ways to it have last in common (its immediate dominator),
    if each way out of that fork that leads to the sum leads to one term only, and past it to
    nothing else. Sums of tensors that do not part at one fork have no block, and neither have those
    whose branches are read elsewhere, too.

    Parameters
    ----------
    graph
        In topological order, with forks.
    edges
        For each node, the numbers of the inputs that count.
    sums
        Names of sum nodes.
    """
    above = _dominators(graph, edges)
    below = _post_dominators(graph, edges)
    readers: dict[str, list[Edge]] = {name: [] for name in graph.nodes}
    for name, numbers in edges.items():
        for number in numbers:
            readers[graph[name].inputs[number]].append((name, number))
    found: dict[str, list[Block]] = {}
    wanted = set(sums)
    for name in (node.name for node in graph if node.name in wanted):
        fork = _nearest(graph, above[name] - {name})
        if fork is None or not isinstance(graph[fork], Fork):
            continue
        within = _ancestors(graph, edges, name)
        leading = [edge for edge in readers[fork] if edge[0] in within]
        terms = [(name, number) for number in edges[name]]
        branches = tuple(
            Branch(term, tuple(e for e in leading if term in below[e])) for term in terms
        )
        closed = sum(len(branch.starts) for branch in branches) == len(leading)
        if closed and all(branch.starts for branch in branches):
            found.setdefault(fork, []).append(Block(fork, name, branches))
    return {fork: tuple(inner_first) for fork, inner_first in found.items()}


def _dominators(graph: Graph, edges: Mapping[str, Iterable[int]]) -> dict[str, frozenset[str]]:
    """For each node, the nodes that every way to it from any input passes, itself included."""
    found: dict[str, frozenset[str]] = {}
    for node in graph:
        sources = [found[node.inputs[number]] for number in edges.get(node.name, ())]
        common = frozenset.intersection(*sources) if sources else frozenset()
        found[node.name] = common | {node.name}
    return found


def _post_dominators(
    graph: Graph, edges: Mapping[str, Iterable[int]]
) -> dict[Edge, frozenset[Edge]]:
    """For each edge, the edges that every way from it to the output passes, itself included."""
    behind: dict[str, frozenset[Edge] | None] = {graph.outputs[0]: frozenset()}
    found: dict[Edge, frozenset[Edge]] = {}
    for node in reversed(list(graph)):
        beyond = behind.get(node.name)
        if beyond is None:
            continue
        for number in edges.get(node.name, ()):
            edge, source = (node.name, number), node.inputs[number]
            found[edge] = beyond | {edge}
            known = behind.get(source)
            behind[source] = found[edge] if known is None else known & found[edge]
    return found


def _nearest(graph: Graph, names: frozenset[str]) -> str | None:
    """Return the last of some nodes in the graph's order."""
    return next((node.name for node in reversed(list(graph)) if node.name in names), None)


def _ancestors(graph: Graph, edges: Mapping[str, Iterable[int]], name: str) -> set[str]:
    """Return a node and all nodes that it reads by the edges that count, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [graph[current].inputs[number] for number in edges.get(current, ())]
    return found
