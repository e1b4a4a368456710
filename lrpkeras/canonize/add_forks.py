"""Put a `Fork` where relevance comes back from more than one consumer."""

from __future__ import annotations

from dataclasses import replace

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Fork, Node


def add_forks(graph: Graph) -> Graph:
    """Return the graph in which every tensor sends relevance to, and gets it from, one node only.

    Forks alone have several consumers. What is read for the forward pass alone needs none.
    """
    readers: dict[str, int] = dict.fromkeys(graph.nodes, 0)
    for node in graph:
        for name in node.inputs[: node.receives]:
            readers[name] += 1
    forks = {name: f"{name}:fork" for name, count in readers.items() if count > 1}
    nodes: dict[str, Node] = {}
    for node in graph:
        receiving = tuple(forks.get(name, name) for name in node.inputs[: node.receives])
        nodes[node.name] = replace(node, inputs=(*receiving, *node.inputs[node.receives :]))
        if node.name in forks:
            fork = Fork(name=forks[node.name], inputs=(node.name,), shape=node.shape)
            nodes[fork.name] = fork
    return replace(graph, nodes=nodes).sorted()
