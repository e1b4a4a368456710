"""A Keras model whose batch normalizations are part of the layers around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from lrpkeras.canonize.drop_inert import drop_inert
from lrpkeras.canonize.fold_left import fold_left
from lrpkeras.canonize.fold_right import fold_right
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.keras_reader import _dtype, _network, _Reader
from lrpkeras.graph.keras_writer import Edits, can_hold, change_of, write
from lrpkeras.graph.lower import Refusal, Tensor, overrides
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.graph.walk import Call, walk

DEPTHWISE = ":depthwise"


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Return a model that predicts the same with fewer batch normalizations.

    Those behind a linear layer (Dense, EinsumDense, convolutions of every kind) that nothing else
    reads become part of it, then those in front of linear layers part of these, where all that
    this adds is a bias vector. Those that plain layers cannot take over stay: behind padding, in
    front of an activation, at an output. Layers that `Analyzer` would refuse stay as they are.

    Parameters
    ----------
    model
        A built `Sequential` or functional model; it is left as it was.

    Returns
    -------
    keras.Model
        A new, uncompiled model of new layers: the same inputs, outputs, nesting, layer names, data
        types and trainable flags, with copies of all weights. A shared layer of which the calls are
        followed by different normalizations becomes several layers.

    Raises
    ------
    ModelError
        The model is not built, or no Keras model.
    UnsupportedLayerError
        The model is subclassed, or a layer cannot be made again from its configuration.

    Examples
    --------
    >>> import keras, lrpkeras
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((8, 8, 3)),
    ...         keras.layers.Conv2D(4, 3, use_bias=False, name="conv"),
    ...         keras.layers.BatchNormalization(name="norm"),
    ...     ]
    ... )
    >>> [layer.name for layer in lrpkeras.fold_batch_norm(model).layers]
    ['conv']
    """
    graph, calls = _read(model)
    folded = graph
    while True:
        before = len(_norms(folded))
        folded = fold_right(fold_left(folded), plain=True)
        if len(_norms(folded)) == before:
            return write(model, _edits(graph, folded, calls))


def _norms(graph: Graph) -> set[str]:
    return {node.name for node in graph if isinstance(node, Affine) and node.batch_norm}


def _edits(graph: Graph, folded: Graph, calls: dict[str, Any]) -> Edits:
    """Say which calls' layers change, and which calls go."""
    changed = {node.name.removesuffix(DEPTHWISE) for node in folded if _is_new(node, graph)}
    changes = {}
    for path in changed:
        names = {"": path, "depthwise": path + DEPTHWISE}
        parts = {part: folded[name] for part, name in names.items() if name in folded.nodes}
        changes[path] = change_of(calls[path], _linear(parts))
    return Edits(changes, frozenset(_norms(graph) - _norms(folded)))


def _linear(parts: dict[str, Node]) -> dict[str, Linear]:
    return {part: node for part, node in parts.items() if isinstance(node, Linear)}


def _is_new(node: Node, graph: Graph) -> bool:
    old = graph.nodes.get(node.name)
    if not (isinstance(node, Linear) and isinstance(old, Linear)):
        return False
    return node.kernel is not old.kernel or node.bias is not old.bias


@dataclass(frozen=True, eq=False, kw_only=True)
class Opaque(Node):
    """What no fold goes into or through: a layer that cannot be read, or cannot be written."""


class _Tolerant(_Reader):
    """A reader that takes for opaque what it would refuse, and remembers all calls by path."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype)
        self.calls: dict[str, Any] = {}

    def apply(self, call: Call) -> list[Tensor]:
        # Two calls of one path, as of a layer "a#2" and of "a" called twice, are not told apart.
        self.calls[call.path] = None if call.path in self.calls else call.operation
        outputs = super().apply(call)
        if not any(x.guessed for x in outputs):
            return outputs
        read = keras.tree.flatten((call.args, call.kwargs))
        return [self._opaque(call.path, read, tuple(x.shape)) for x in call.outputs]

    def _opaque(self, path: str, read: Iterable[Any], shape: tuple) -> Tensor:
        name = self.draft.free_name(path, Opaque)
        inputs = tuple(x.name for x in read if isinstance(x, Tensor))
        self.draft.nodes[name] = Opaque(name=name, inputs=inputs, shape=shape)
        return Tensor(name, shape, self.draft)

    def enter(self, call: Call, model: Any) -> list[Tensor] | None:
        """Take a nested model for one opaque layer where it is called in a way of its own."""
        problems = len(self.problems)
        values = super().enter(call, model)
        return values if len(self.problems) == problems else None

    def through(self, layer: keras.layers.Layer, x: Tensor) -> Tensor:
        """Refuse layers inside a layer, which is written as a whole."""
        raise Refusal(f"{layer.name!r} is inside another layer")

    def graph(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Graph:
        """Return what was read, with all that cannot be written opaque."""
        nodes = {node.name: self._writable(node) for node in self.draft.nodes.values()}
        starts, ends = (tuple(x.name for x in tensors) for tensors in (inputs, outputs))
        return drop_inert(Graph(nodes, starts, ends, dtype=self.draft.dtype)).sorted()

    def _writable(self, node: Node) -> Node:
        """Make opaque what holds a kernel or normalizes but is not one call of a plain layer."""
        layer = self.calls.get(node.name.removesuffix(DEPTHWISE))
        if isinstance(node, Linear):
            fits = can_hold(layer)
        elif isinstance(node, Affine) and node.batch_norm:
            norm = keras.layers.BatchNormalization
            fits = isinstance(layer, norm) and not overrides(layer, norm)
        else:
            fits = True
        return node if fits else Opaque(name=node.name, inputs=node.inputs, shape=node.shape)


def _read(model: keras.Model) -> tuple[Graph, dict[str, Any]]:
    """Return a model's graph, and the layer of each call."""
    network = _network(model)
    reader = _Tolerant(_dtype(network))
    inputs = [reader.input(x) for x in network.inputs]
    outputs = walk(network, inputs, reader)
    return reader.graph(inputs, outputs), reader.calls
