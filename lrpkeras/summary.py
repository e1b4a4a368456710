"""One line per node: what it came from, what it is, and which rule it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Linear, Node
from lrpkeras.holdings import Memory
from lrpkeras.rules import Rule

UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
HEADER = ("node", "kind", "output shape", "rule", "why", "notes")


@dataclass(frozen=True)
class Row:
    """One node, in words.

    Attributes
    ----------
    node, kind, shape
        Its name, what it computes, and the shape of its output.
    rule, why
        The rule that it got, and what gave it that rule; "-" where relevance does not reach it.
    notes
        What was rewritten.
    """

    node: str
    kind: str
    shape: str
    rule: str
    why: str
    notes: str


@dataclass(frozen=True)
class Summary:
    """The table that `Analyzer.summary` prints.

    Attributes
    ----------
    preset
        The preset's name.
    rows
        A row for each node.
    notes
        What concerns the whole graph, a line each.
    """

    preset: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        rows = [HEADER, *map(astuple, self.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  ".join(
                [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]]
            ).rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([f"preset {self.preset}", lines[0], rule, *lines[1:], rule, *self.notes])


@dataclass(frozen=True)
class About:
    """What made an explanation.

    Attributes
    ----------
    settings
        Of the analyzer, but for its preset and rules: what each node got is in the summary.
    fingerprint
        16 hexadecimal digits that name the model.
    versions
        Of lrpkeras, Keras, its backend and Python.
    summary
        Every node with its rule.
    """

    settings: Mapping[str, Any]
    fingerprint: str
    versions: Mapping[str, str]
    summary: Summary


def summary(
    graph: Graph,
    rules: Mapping[str, Rule],
    why: Mapping[str, str],
    preset: str,
    nbytes: Memory,
) -> Summary:
    """Return every node of a graph with its rule.

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
    rows = tuple(_row(node, rules, why) for node in graph)
    return Summary(preset, rows, tuple(_notes(graph, nbytes)))


def read(text: str, preset: str) -> Summary:
    """Return the table that a text shows, as it is recorded beside an exported analyzer.

    A text that is no such table, of another version perhaps, becomes the notes of one without rows.
    """
    lines = text.split("\n")
    rules = [i for i, line in enumerate(lines) if line and not line.strip("-")]
    starts = [lines[1].find(word) for word in HEADER] if rules[:1] == [2] else [-1]
    if len(rules) != 2 or starts[0] != 0 or -1 in starts or starts != sorted(starts):
        return Summary(preset, (), tuple(lines))
    spans = [slice(a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    cells = [[line[span].rstrip() for span in spans] for line in lines[3 : rules[1]]]
    return Summary(preset, tuple(Row(*row) for row in cells), tuple(lines[rules[1] + 1 :]))


def _row(node: Node, rules: Mapping[str, Rule], why: Mapping[str, str]) -> Row:
    rule = rules.get(node.name)
    got = ("-", "") if rule is None else (rule.name, why.get(node.name, ""))
    shape = "(" + ", ".join("None" if n is None else str(n) for n in node.shape) + ")"
    return Row(node.name, _kind(node), shape, *got, "; ".join(dict.fromkeys(node.notes)))


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
