"""Operations that together are one function: how a graph spells what a node kind computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lrpkeras.graph.draft import Refusal
from lrpkeras.graph.tensorflow_reader.constants import Constants


@dataclass(frozen=True)
class Pattern:
    """What an operation ends: the tensors that it is computed from, and what emits its nodes."""

    sources: tuple[Any, ...]
    emit: Callable[..., Any]


Finder = Callable[[Any, Constants], Pattern | None]
FINDERS: list[Finder] = []


def finds(finder: Finder) -> Finder:
    """Register a function that tells which pattern an operation ends; the first found counts."""
    FINDERS.append(finder)
    return finder


def ending_at(op: Any, constants: Constants) -> Pattern | None:
    """Return the pattern that an operation ends, if it ends one."""
    for finder in FINDERS:
        try:
            pattern = finder(op, constants)
        except Refusal:
            # Of what cannot be computed: the operation says so itself when it is lowered.
            continue
        if pattern is not None:
            return pattern
    return None
