"""What of a node is no weight: what must stay as it was for weights to be read again."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from lrpkeras import backend
from lrpkeras.graph.functions import Function
from lrpkeras.graph.node import Node

# Facts and notes follow from the rest.
DERIVED = ("facts", "notes")
# Functions of one name differ in their settings, which they do not tell.
GRID = np.linspace(-9, 9, 73)


def structure(node: Node) -> tuple[Any, ...]:
    """Return all settings of a node but its weights; equal where nothing but weights differ."""
    given = {field.name: getattr(node, field.name) for field in fields(node)}
    return (node.kind, *(_plain(value) for name, value in given.items() if name not in DERIVED))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, Function):
        return value.name, _table(value)
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    if is_dataclass(value) and not isinstance(value, type):
        parts = (_plain(getattr(value, field.name)) for field in fields(value))
        return (type(value), *parts)
    return value


def _table(function: Function) -> tuple[float, ...] | None:
    """What a function makes of some numbers; None where a weight takes part, or all entries do."""
    if not function.elementwise or function.name == "prelu":
        return None
    return tuple(backend.to_numpy(function.apply(backend.constant(GRID))).tolist())
