"""Cut the graph off at the output, or the hidden layer, that is to be explained."""

from __future__ import annotations

from dataclasses import replace

from lrpkeras.errors import ModelError, RuleError, near_misses
from lrpkeras.graph.graph import Graph


def select_output(graph: Graph, output: str | int | None) -> Graph:
    """Return the graph that computes one output alone.

    Parameters
    ----------
    graph
        As a reader returns it.
    output
        An index among the model's outputs, or a layer's name; None where there is one output.

    Raises
    ------
    ModelError
        If the model has several outputs and none was chosen.
    RuleError
        If there is no such output.
    """
    if output is None:
        if len(graph.outputs) > 1:
            raise ModelError(
                f"The model has {len(graph.outputs)} outputs ({_names(graph)}): choose one with "
                "output=, by name or index."
            )
        return graph
    return replace(graph, outputs=(_find(graph, output),)).sorted()


def _names(graph: Graph) -> str:
    """The outputs by the names of their layers."""
    layers = {node: layer for layer, node in graph.places.items()}
    return ", ".join(repr(layers.get(name, name)) for name in graph.outputs)


def _find(graph: Graph, output: str | int) -> str:
    if isinstance(output, int):
        if not -len(graph.outputs) <= output < len(graph.outputs):
            raise RuleError(
                f"output={output}, but the model has {len(graph.outputs)} output(s): "
                f"{_names(graph)}."
            )
        return graph.outputs[output]
    if output not in graph.places:
        hint = near_misses(output, graph.places)
        raise RuleError(f"output={output!r} names no layer of the model{hint or '.'}")
    return graph.places[output]
