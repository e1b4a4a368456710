"""Drop what does nothing when a model predicts: dropout, noise, augmentation, identities."""

from __future__ import annotations

from dataclasses import replace

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Keep
from lrpkeras.graph.nodes import Activation, Node, Route


def drop_inert(graph: Graph) -> Graph:
    """Return the graph without nodes that pass their input on unchanged."""
    inert = {node.name: node.inputs[0] for node in graph if _is_inert(node)}
    if not inert:
        return graph
    note = f"dropped, doing nothing in prediction: {', '.join(inert)}"
    return replace(graph.without(inert), notes=(*graph.notes, note))


def _is_inert(node: Node) -> bool:
    if isinstance(node, Route):
        return isinstance(node.move, Keep)
    return isinstance(node, Activation) and node.function.name == "linear"
