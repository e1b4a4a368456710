"""The one traversal of a Keras model: every call in order, nested models entered.

Reading a model and running it layer by layer both go this way, so that both name things alike. It
only looks at what Keras recorded; nothing is called on Keras tensors, nothing added to a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
from keras.src.models.functional import Functional

Value = Any


@dataclass(frozen=True)
class Call:
    """One recorded call of a layer or operation, its tensors replaced by the walk's values.

    `path` names the call: layer names joined by "/", "#2" after one that is called a second time;
    `layer` is the same without numbers. `outputs` are the Keras tensors that the call gave,
    `inputs` those that it was given, in the order in which they occur in the arguments.
    """

    path: str
    layer: str
    operation: Any
    args: tuple
    kwargs: dict[str, Any]
    outputs: Sequence[Any]
    inputs: Sequence[Any] = ()


class Visitor(Protocol):
    """What happens at each call."""

    def apply(self, call: Call) -> list[Value]:
        """Return the call's outputs, flat."""

    def enter(self, call: Call, model: Functional) -> list[Value] | None:
        """Return what a nested model's inputs are, flat; None to take it for a single layer."""

    def leave(self, path: str, values: Sequence[Value]) -> None:
        """See the outputs of a call, nested models included."""


def walk(
    model: Functional, values: Sequence[Value], visitor: Visitor, path: str = "", layer: str = ""
) -> list[Value]:
    """Visit a model's calls in topological order.

    Parameters
    ----------
    model
        A functional model.
    values
        A value for each of its inputs.
    visitor
        Gives a value for each output of each call.
    path, layer
        What names inside the model begin with: "" or a path that ends in "/".

    Returns
    -------
    The values of the model's outputs, flat.
    """
    known = {id(x): value for x, value in zip(model.inputs, values, strict=True)}
    for node, name in _calls(model):
        if node.is_input:
            visitor.leave(path + name, [known[id(x)] for x in node.outputs])
            continue
        args, kwargs = node.arguments.convert(lambda x: known.get(id(x), x))
        operation = node.operation
        call = Call(
            path + name,
            layer + operation.name,
            operation,
            args,
            kwargs,
            node.outputs,
            node.arguments.keras_tensors,
        )
        outputs = _visit(call, visitor)
        visitor.leave(call.path, outputs)
        known.update({id(x): value for x, value in zip(node.outputs, outputs, strict=True)})
    return [known[id(x)] for x in model.outputs]


def _visit(call: Call, visitor: Visitor) -> list[Value]:
    model = functional(call.operation)
    inputs = None if model is None else visitor.enter(call, model)
    if model is None or inputs is None:
        return visitor.apply(call)
    return walk(model, inputs, visitor, call.path + "/", call.layer + "/")


def _calls(model: Functional) -> Iterator[tuple[Any, str]]:
    """Yield each node, inputs of nodes first, with the name of the call."""
    depths = model._nodes_by_depth
    nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
    here = set(map(id, nodes))
    for node in nodes:
        operation = node.operation
        calls = [other for other in operation._inbound_nodes if id(other) in here]
        number = next(i for i, other in enumerate(calls, 1) if other is node)
        yield node, operation.name if number == 1 else f"{operation.name}#{number}"


def functional(operation: Any) -> Functional | None:
    """Return the functional model that an operation is, or that a Sequential holds.

    None for what is neither, is not built, or runs its layers in a way of its own.
    """
    base = keras.Sequential if isinstance(operation, keras.Sequential) else Functional
    if not isinstance(operation, base) or changed_methods(operation, base):
        return None
    return operation._functional if base is keras.Sequential else operation


def changed_methods(model: keras.Model, base: type) -> list[str]:
    """Return which of the methods that run a model are not those of `base`."""
    methods = ("__call__", "call", "_run_through_graph", "_standardize_inputs")
    return [
        name
        for name in methods
        if name in vars(model) or getattr(type(model), name, None) is not getattr(base, name, None)
    ]
