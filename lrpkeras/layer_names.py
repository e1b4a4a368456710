"""Layers by name or glob, wherever rewriting has put their outputs."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from lrpkeras.errors import RuleError, near_misses
from lrpkeras.graph.graph import Graph


def look_up(graph: Graph, layers: str | Sequence[str] | None) -> dict[str, str]:
    """Return the node at whose output each of some layers' output is, in the model's order.

    Parameters
    ----------
    graph
        A canonized graph.
    layers
        Names or globs of layers, or of nodes.

    Raises
    ------
    RuleError
        If one names no layer, or the argument is of another kind.
    """
    wanted = (layers,) if isinstance(layers, str) else layers if layers is not None else ()
    if not isinstance(wanted, Sequence) or not all(isinstance(name, str) for name in wanted):
        raise RuleError(f"layers={layers!r}: give a layer's name or glob, or a list of them.")
    found = {
        name: node
        for pattern in wanted
        for name, node in matching(graph, pattern, "layers=").items()
    }
    order = {name: number for number, name in enumerate(graph.nodes)}
    return dict(sorted(found.items(), key=lambda item: order[item[1]]))


def one_call(graph: Graph, name: str, what: str) -> dict[str, str]:
    """As `matching`; of a layer that is called several times, a name must tell which call.

    The first one is "layer#1" here.
    """
    calls = [path for path in graph.places if path == name or path.startswith(f"{name}#")]
    if name in graph.places and len(calls) > 1:
        numbered = ", ".join(repr(path if "#" in path else f"{path}#1") for path in calls)
        raise RuleError(f"{what}{name!r} is called {len(calls)} times: say which, of {numbered}.")
    first = name.removesuffix("#1")
    return matching(graph, first if first in graph.places else name, what)


def matching(graph: Graph, pattern: str, what: str) -> dict[str, str]:
    """Return all layers that a name or glob means, with their nodes; `what` begins the error."""
    known = {**{name: name for name in graph.nodes}, **graph.places}
    names = fnmatch.filter(graph.places, pattern) or fnmatch.filter(known, pattern)
    if not names:
        merged = [node.name for node in graph if pattern in node.layers]
        hint = f"; it was merged into {merged[0]!r}" if merged else ""
        hint = hint or near_misses(pattern, known)
        raise RuleError(f"{what}{pattern!r} names no layer of this model{hint or '.'}")
    return {name: known[name] for name in names}
