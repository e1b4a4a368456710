"""A layer or model as a concrete function of its tensors, traced without leaving anything on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from lrpkeras.graph.draft import Refusal

Specs = Sequence[tuple[Sequence[int | None], str]]


def traced(operation: Any, args: tuple, kwargs: dict[str, Any], specs: Specs, slot: type) -> Any:
    """Return the concrete function that a call computes, in inference.

    Parameters
    ----------
    operation
        A built layer, model or operation.
    args, kwargs
        What it is called with, objects of the class `slot` in place of tensors.
    specs
        Shape (batch None) and dtype of each of these tensors.

    Raises
    ------
    Refusal
        The call cannot be traced: it branches on values, say; or it changes its own variables.
    """
    kinds = [tf.TensorSpec((None, *shape[1:]), dtype) for shape, dtype in specs]

    def call(*tensors: Any) -> list[Any]:
        rest = iter(tensors)
        filled_args, filled_kwargs = keras.tree.map_structure(
            lambda x: next(rest) if isinstance(x, slot) else x, (args, kwargs)
        )
        with keras.StatelessScope() as scope:
            outputs = keras.tree.flatten(operation(*filled_args, **filled_kwargs))
        if scope.state_mapping:
            names = ", ".join(repr(variable.path) for variable in _assigned(scope, operation))
            raise Refusal(f"calling it changes its own variables{': ' * bool(names)}{names}")
        return list(outputs)

    with untouched(operation):
        try:
            return tf.function(call, autograph=False).get_concrete_function(*kinds)
        except Refusal:
            raise
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            why = f"it cannot be traced: {type(error).__name__}: {first}"
            if isinstance(error, tf.errors.OperatorNotAllowedInGraphError):
                why = "it has control flow that depends on values"
            raise Refusal(why) from error


def _assigned(scope: Any, operation: Any) -> list[Any]:
    return [v for v in getattr(operation, "variables", []) if id(v) in scope.state_mapping]


@contextmanager
def untouched(operation: Any) -> Iterator[None]:
    """Put back every attribute of a layer, and of those inside it, that a call changes."""
    flatten = getattr(operation, "_flatten_layers", lambda: [operation])
    before = [(layer, dict(vars(layer)), _contents(layer)) for layer in flatten()]
    try:
        yield
    finally:
        for layer, attributes, contents in before:
            if any(vars(layer).get(k) is not v for k, v in attributes.items()) or len(
                vars(layer)
            ) != len(attributes):
                vars(layer).clear()
                vars(layer).update(attributes)
            for container, held in contents:
                _restore(container, held)


def _contents(layer: Any) -> list[tuple[Any, Any]]:
    """The lists, dicts and sets that a layer holds, each with a copy of what is in it."""
    return [(x, x.copy()) for x in vars(layer).values() if isinstance(x, list | dict | set)]


def _restore(container: Any, held: Any) -> None:
    if len(container) == len(held) and all(
        a is b for a, b in zip(_entries(container), _entries(held), strict=True)
    ):
        return
    if isinstance(container, list):
        container[:] = held
    else:
        container.clear()
        container.update(held)


def _entries(container: Any) -> list[Any]:
    return list(container.values()) if isinstance(container, dict) else list(container)
