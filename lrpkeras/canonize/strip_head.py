"""Take the final softmax or sigmoid off, so that relevance starts from the logits.

A softmax couples the classes: its value says how a class compares with the others, and rules for
sums would give relevance to evidence against them.
"""

from __future__ import annotations

from dataclasses import replace

from lrpkeras.canonize.places import layers_at
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Reshape
from lrpkeras.graph.nodes import Activation, Route


def strip_head(graph: Graph) -> Graph:
    """Return the graph whose outputs are logits, with a note for each head that went."""
    removed: dict[str, str] = {}
    outputs, notes, heads, folded = [], list(graph.notes), dict(graph.heads), graph.folded
    consumers = graph.consumers()
    for name in graph.outputs:
        head = _head_of(graph, name)
        if head is None:
            outputs.append(name)
            continue
        # What else reads the head needs its values; there it stays.
        if name != head.name or not consumers[head.name]:
            removed[head.name] = head.inputs[0]
            heads |= dict.fromkeys(layers_at(graph, {head.name}), head.function)
            folded |= layers_at(graph, _between(graph, name, head.name))
        outputs.append(head.inputs[0] if name == head.name else name)
        notes.append(f"{head.function.name} of {head.layers[0]!r} stripped: relevance is of logits")
    graph = replace(graph, outputs=tuple(outputs), notes=tuple(notes), heads=heads, folded=folded)
    return graph.without(removed).sorted()


def _between(graph: Graph, name: str, head: str) -> list[str]:
    """The reshapes from an output up to its head, this excluded."""
    names = []
    while name != head:
        names.append(name)
        name = graph[name].inputs[0]
    return names


def _head_of(graph: Graph, name: str) -> Activation | None:
    """The final activation at or, through reshapes that nothing else reads, above an output."""
    node, consumers = graph[name], graph.consumers()
    while isinstance(node, Route) and isinstance(node.move, Reshape) and not consumers[name]:
        node = graph[node.inputs[0]]
        if len(consumers[node.name]) > 1:
            return None
    if isinstance(node, Activation) and node.function.head:
        return node
    return None
