"""One aligned line per node: what it came from, what it is, and which rule it got."""

from __future__ import annotations

from collections.abc import Mapping

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Linear, Node
from lrpkeras.holdings import Memory
from lrpkeras.rules import Rule

UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
HEADER = ("node", "kind", "output shape", "rule", "why", "notes")


def summary(
    graph: Graph,
    rules: Mapping[str, Rule],
    why: Mapping[str, str],
    preset: str,
    nbytes: Memory,
) -> str:
    """Return the table that `Analyzer.summary` prints.

    Parameters
    ----------
    graph
        A canonized graph.
    rules
        The rule of every node that relevance reaches.
    why
        What gave each node its rule.
    preset
        The preset's name.
    nbytes
        The memory that the analyzer holds.
    """
    rows = [HEADER, *(_row(node, rules, why) for node in graph)]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([f"preset {preset}", lines[0], rule, *lines[1:], rule, *_notes(graph, nbytes)])


def _row(node: Node, rules: Mapping[str, Rule], why: Mapping[str, str]) -> tuple[str, ...]:
    rule = rules.get(node.name)
    got = ("-", "") if rule is None else (rule.name, why.get(node.name, ""))
    shape = "(" + ", ".join("None" if n is None else str(n) for n in node.shape) + ")"
    return node.name, _kind(node), shape, *got, "; ".join(dict.fromkeys(node.notes))


def _kind(node: Node) -> str:
    detail = {"Linear": "operation", "Route": "move"}.get(node.kind)
    if detail:
        return f"{node.kind} {type(getattr(node, detail)).__name__}"
    function = getattr(node, "function", None)
    return node.kind if function is None else f"{node.kind} {function.name}"


def _notes(graph: Graph, nbytes: Memory) -> list[str]:
    linear = sum(isinstance(node, Linear) for node in graph)
    weights, made, borrowed = map(_size, nbytes)
    own = _size(nbytes.weights + nbytes.made)
    held = f"holds {own}: {weights} of weights, {made} made of weights"
    if nbytes.borrowed:
        held += f"; reads {borrowed} in the model's memory until the model is trained"
    return [f"{len(graph)} nodes, {linear} of them linear", held, *graph.notes]


def _size(nbytes: int) -> str:
    for unit, size in UNITS.items():
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} bytes"
