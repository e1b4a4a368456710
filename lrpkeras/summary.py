"""One aligned line per node: what it came from, what it is, and which rule it got."""

from __future__ import annotations

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Linear, Node
from lrpkeras.propagate import Program

HEADER = ("node", "kind", "output shape", "rule", "notes")


def summary(program: Program, preset: str) -> str:
    """Return the table that `Analyzer.summary` prints."""
    rows = [HEADER, *(_row(program, node) for node in program.graph)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([f"preset {preset}", lines[0], rule, *lines[1:], rule, *_notes(program.graph)])


def _row(program: Program, node: Node) -> tuple[str, ...]:
    rule = program.rules.get(node.name)
    got = rule.name if rule is not None and node.name in program.reached else "-"
    shape = "(" + ", ".join("None" if n is None else str(n) for n in node.shape) + ")"
    return node.name, _kind(node), shape, got, "; ".join(dict.fromkeys(node.notes))


def _kind(node: Node) -> str:
    detail = {"Linear": "operation", "Route": "move"}.get(node.kind)
    if detail:
        return f"{node.kind} {type(getattr(node, detail)).__name__}"
    function = getattr(node, "function", None)
    return node.kind if function is None else f"{node.kind} {function.name}"


def _notes(graph: Graph) -> list[str]:
    linear = sum(isinstance(node, Linear) for node in graph)
    return [f"{len(graph)} nodes, {linear} of them linear", *graph.notes]
