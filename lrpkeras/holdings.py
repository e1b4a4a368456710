"""The arrays of a graph with rules, each held once, as variables that compiled functions read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from lrpkeras import backend
from lrpkeras.errors import ModelError
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Input, Node
from lrpkeras.graph.precision import narrow_kernels
from lrpkeras.rules import Rule

Array = Any
Variable = Any

# What rules call kernels, which may be held in a narrower type: a map of biases may have the shape
# of one.
KERNELS = {
    "kernel", "weights", "magnitude", "positive", "negative", "raised", "lowered", "squared",
    "powers", "ones",
}  # fmt: skip


class Memory(NamedTuple):
    """Bytes that an analyzer holds beside the model's, and those that it reads in place.

    Attributes
    ----------
    weights
        Of the arrays of its graph.
    made
        Of what rules, and the backend for its adjoints, made of them.
    borrowed
        Of arrays of its graph that lie in the memory of the model's variables, as long as nothing
        is assigned to these: they then take other memory, and this is the analyzer's.
    """

    weights: int
    made: int
    borrowed: int


class Holdings:
    """Variables for all arrays that the nodes of a graph and their rules read.

    Parameters
    ----------
    graph
        A graph with all its facts.
    rules
        A rule for every node in `reached`.
    reached
        The nodes that get relevance; of all others the plain parameters are held.
    precision
        The type of kernels that bear a narrower one (`graph.precision`); None for none.

    Attributes
    ----------
    variables
        By node and by the name that its rule gives the array. What several nodes share is one.
    graph
        The graph without copies of its own: its arrays are the variables' memory. Those that rules
        hold in another form only, such as kernels split by sign, are NaN there.
    """

    def __init__(
        self,
        graph: Graph,
        rules: Mapping[str, Rule],
        reached: set[str],
        precision: str | None = None,
    ) -> None:
        self._rules, self._reached, self._precision = rules, reached, precision
        self.variables: dict[str, dict[str, Variable]] = {}
        self._weights = self._borrowed = 0
        self.graph = self._hold(graph)

    def _hold(self, graph: Graph) -> Graph:
        """Make a variable for every distinct array; return the graph that reads them."""
        shared: dict[Any, Variable] = {}
        own = {id(array) for node in graph for array in _arrays(node).values()}
        narrow = narrow_kernels(graph) if self._precision else {}
        nodes = []
        for node, group in self._prepared(graph):
            # What a rule makes lives for this turn only: afterwards its id is another array's.
            passing: dict[Any, Variable] = {}
            variables = self.variables[node.name] = {}
            for key, array in group.items():
                is_kernel = key in KERNELS and array.shape == narrow.get(node.name)
                dtype = self._precision if is_kernel else None
                known = shared if id(array) in own else passing
                if (id(array), dtype) not in known:
                    variable = backend.variable(array, f"{_plain(node.name)}_{key}", dtype)
                    known[id(array), dtype] = variable
                    if id(array) in own:
                        self._count(variable, array)
                variables[key] = known[id(array), dtype]
            nodes.append(_reading(node, group, variables))
        return graph.with_nodes(nodes)

    def _count(self, variable: Variable, array: Array) -> None:
        if backend.in_memory_of(variable, array):
            self._borrowed += array.nbytes
        self._weights += backend.nbytes(variable)

    @property
    def nbytes(self) -> Memory:
        """What these variables hold, and what the backend made of them for its adjoints."""
        groups = self.variables.values()
        distinct = {id(variable): variable for group in groups for variable in group.values()}
        every = sum(map(backend.nbytes, distinct.values()))
        return Memory(self._weights - self._borrowed, every - self._weights, self._borrowed)

    def refresh(self, graph: Graph) -> None:
        """Take over the arrays of a graph of the same structure.

        Raises
        ------
        ModelError
            If nodes that shared an array no longer do.
        """
        prepared = list(self._prepared(graph))
        self._check_shared(prepared)
        nodes = []
        for node, group in prepared:
            variables = self.variables[node.name]
            for key, array in group.items():
                backend.assign(variables[key], array)
            nodes.append(_reading(node, group, variables))
        self.graph = graph.with_nodes(nodes)

    def _check_shared(self, prepared: list[tuple[Node, Mapping[str, Array]]]) -> None:
        """Raise `ModelError` before anything is assigned, or some weights were old, some new."""
        assigned: dict[int, int] = {}
        for node, group in prepared:
            for key, array in group.items():
                variable = self.variables[node.name][key]
                if assigned.setdefault(id(variable), id(array)) != id(array):
                    raise ModelError(
                        f"{node.name!r} no longer shares its weights with another layer, as it did "
                        "when the analyzer was built: build it anew."
                    )

    def _prepared(self, graph: Graph) -> Iterator[tuple[Node, Mapping[str, Array]]]:
        """Yield every node and its arrays: as its rule prepares them, or its plain parameters."""
        for node in graph:
            if not isinstance(node, Input):
                gets = node.name in self._reached
                yield node, self._rules[node.name].prepare(node) if gets else node.parameters


def _arrays(node: Node) -> dict[str, np.ndarray]:
    values = {field.name: getattr(node, field.name) for field in fields(node)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _reading(node: Node, group: Mapping[str, Array], variables: Mapping[str, Variable]) -> Node:
    """Return the node with the variables' memory as its arrays; NaN where none holds an array."""
    held = {id(array): variables[key] for key, array in group.items()}
    arrays: dict[str, Any] = {}
    for name, array in _arrays(node).items():
        variable = held.get(id(array))
        if variable is not None and variable.dtype == array.dtype:
            arrays[name] = backend.as_array(variable)
        else:
            arrays[name] = np.broadcast_to(np.asarray(np.nan, array.dtype), array.shape)
    return replace(node, **arrays)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
