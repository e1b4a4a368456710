"""What structure alone tells of each tensor. Facts skip work and never change a result.

They hold for every value of the weights, so that refreshing the weights keeps them true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import (
    Activation,
    Affine,
    AveragePool,
    Extremum,
    Fork,
    Gate,
    Input,
    Linear,
    LocalNormalize,
    Lookup,
    Masked,
    MaxPool,
    Node,
    Normalize,
    Product,
    Resample,
    Route,
    Shift,
    Sum,
    Threshold,
)

Range = tuple[float, float]


def with_facts(graph: Graph, input_range: Range | None = None) -> Graph:
    """Return the graph with `Facts` derived for every node.

    Parameters
    ----------
    graph
        A graph in topological order.
    input_range
        The smallest and largest value of every model input, if known.
    """
    nodes: dict[str, Node] = {}
    for node in graph:
        inputs = [nodes[name].facts.non_negative for name in node.inputs]
        if isinstance(node, Input):
            known = input_range is not None and input_range[0] >= 0
        else:
            known = SIGNS[type(node)](node, inputs)
        gates = tuple(_is_gate(nodes, name) for name in node.inputs)
        signed = not (inputs and inputs[0])
        facts = replace(
            node.facts,
            non_negative=known,
            signed=signed,
            gates=gates,
            input_shapes=tuple(nodes[name].shape for name in node.inputs),
            upstream=_upstream(nodes, node),
        )
        nodes[node.name] = replace(node, facts=facts)
    return replace(graph, nodes=nodes)


def _upstream(nodes: dict[str, Node], node: Node) -> tuple[Node, ...] | None:
    """Collect what lies between the model's inputs and `node`, unless it computes something."""
    collected: dict[str, Node] = {}
    for name in node.inputs[: node.receives]:
        above = nodes[name]
        if not _spreads_bounds(above) or above.facts.upstream is None:
            return None
        collected |= {source.name: source for source in (*above.facts.upstream, above)}
    return tuple(collected.values())


def _spreads_bounds(node: Node) -> bool:
    """Whether the bounds of what a node reads tell those of what it gives, without computing."""
    if isinstance(node, Resample):
        return not node.signed
    return isinstance(node, Input | Affine | Route | Fork)


def _is_gate(nodes: dict[str, Node], name: str) -> bool:
    """Whether a tensor is a sigmoid-like function's output, perhaps reshaped or repeated."""
    node = nodes[name]
    while isinstance(node, Route | Fork) and len(node.inputs) == 1:
        node = nodes[node.inputs[0]]
    return isinstance(node, Activation) and node.function.gate


def _never(node: Node, inputs: list[bool]) -> bool:
    return False


def _activation(node: Activation, inputs: list[bool]) -> bool:
    return node.function.non_negative or (node.function.keeps_sign and inputs[0])


def _sum(node: Sum, inputs: list[bool]) -> bool:
    return all(inputs) and all(c >= 0 for c in node.coefficients)


def _extremum(node: Extremum, inputs: list[bool]) -> bool:
    return any(inputs) if node.largest else all(inputs)


def _normalize(node: Normalize, inputs: list[bool]) -> bool:
    return inputs[0] and not node.centre


def _resample(node: Resample, inputs: list[bool]) -> bool:
    return inputs[0] and not node.signed


def _first(node: Node, inputs: list[bool]) -> bool:
    return inputs[0]


def _all(node: Node, inputs: list[bool]) -> bool:
    return all(inputs)


SIGNS: dict[type[Node], Callable[..., bool]] = {
    Linear: _never,
    Affine: _never,
    Activation: _activation,
    Gate: _all,
    Threshold: _never,
    Shift: _never,
    MaxPool: _all,
    AveragePool: _all,
    Route: _all,
    Fork: _all,
    Sum: _sum,
    Extremum: _extremum,
    Product: _all,
    Normalize: _normalize,
    LocalNormalize: _all,
    Resample: _resample,
    Lookup: _never,
    Masked: _first,
}
