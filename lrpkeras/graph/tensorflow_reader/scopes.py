"""Layers' names from the scopes of a TensorFlow graph.

Keras numbers scopes (`vgg16_1/block1_conv1_1/convolution`); the names of the variables that are
read there (`block1_conv1/kernel`) tell what was before the number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?$")
NUMBER = re.compile(r"_\d+$")
Scope = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where an operation belongs: `layer` is a layer's path, `path` that of one call of it."""

    path: str
    layer: str


def places(
    operations: Iterable[str], variables: Mapping[str, str], root: str | None = None
) -> dict[str, Place]:
    """Return the layer of each operation.

    Parameters
    ----------
    operations
        Names of operations, in the order in which they run.
    variables
        For operations that read a variable: the variable's name.
    root
        The layer whose operations all are, its own name left out; None for a whole model.

    Returns
    -------
    A place for each name. Scopes that all operations share are left out; an operation that no
    scope of a layer holds is a layer by itself; the second call of a layer has "#2" behind it.
    """
    names = list(operations)
    scopes = {name: _scope(name) for name in [*names, *variables]}
    owners = _owners(scopes, variables)
    layers = {name: _layer_scope(scopes[name], owners, root is not None) for name in names}
    cleaned = _Cleaned(owners)
    clean = {scope: cleaned(scope) for scope in layers.values()}
    common = _common(list(clean.values())) if root is None else _inside(clean.values(), root)
    numbers = _Numbers()
    found = {}
    for name in names:
        scope = layers[name]
        short = clean[scope][common:]
        found[name] = Place(numbers(scope, short), "/".join(short))
    return found


class _Numbers:
    """Tells the calls of one layer apart: `tower/conv`, `tower#2/conv`."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], list[Scope]] = {}

    def __call__(self, scope: Scope, clean: Scope) -> str:
        """Return the path of a scope, given its clean name without what all have in common."""
        path, skipped = "", len(scope) - len(clean)
        for n, part in enumerate(clean, 1):
            known = self.calls.setdefault((path, part), [])
            prefix = scope[: skipped + n]
            if prefix not in known:
                known.append(prefix)
            number = known.index(prefix) + 1
            part = part if number == 1 else f"{part}#{number}"
            path = f"{path}/{part}" if path else part
        return path


def _scope(name: str) -> Scope:
    """An operation's name by its parts, the calls of functions left out."""
    parts = [part for part in name.split("/") if not CALL.match(part)]
    return tuple(parts) or (name,)


def _owners(scopes: Mapping[str, Scope], variables: Mapping[str, str]) -> dict[Scope, Scope]:
    """The clean names of those scopes in which a layer reads its own variables."""
    owners: dict[Scope, Scope] = {}
    for operation, variable in variables.items():
        owner = tuple(variable.split("/")[:-1])
        scope = scopes[operation][:-1]
        ends = [n for n in range(1, len(scope) + 1) if owner and _is(scope[n - 1], owner[-1])]
        # The outermost that agrees best: inside a layer, TensorFlow may repeat its name.
        best = max(ends, key=lambda n: (_agreement(scope[:n], owner), -n), default=None)
        if best is not None:
            owners[scope[:best]] = _aligned(scope[:best], owner)
    return owners


def _is(part: str, name: str) -> bool:
    return part == name or NUMBER.sub("", part) == name


def _aligned(prefix: Scope, owner: Scope) -> Scope:
    """A scope with its last parts named as the variable's owner, as far as they agree."""
    length = _agreement(prefix, owner)
    return (*prefix[: len(prefix) - length], *owner[len(owner) - length :])


def _agreement(prefix: Scope, owner: Scope) -> int:
    """How many parts two names have in common, from the end."""
    pairs = zip(reversed(prefix), reversed(owner), strict=False)
    return sum(1 for _ in takewhile(lambda pair: _is(*pair), pairs))


def _layer_scope(scope: Scope, owners: Mapping[Scope, Scope], inside: bool) -> Scope:
    """The part of a scope that is a layer: one that owns variables, or stands beside one.

    An operation that stands in no scope is a layer by itself, but for one inside a layer.
    """
    scope = scope[:-1] if inside else scope
    lengths = range(len(scope), 0, -1)
    owning = next((scope[:n] for n in lengths if scope[:n] in owners), None)
    if owning is not None:
        return owning
    models = {owner[:n] for owner in owners for n in range(len(owner))}
    return scope[: next((n for n in lengths if scope[: n - 1] in models), 1)]


class _Cleaned:
    """Takes numbers off scopes, where Keras put them."""

    def __init__(self, owners: Mapping[Scope, Scope]) -> None:
        self.parts: dict[Scope, str] = {}
        for scope, clean in owners.items():
            for n in range(1, len(scope) + 1):
                if clean[n - 1] != scope[n - 1] or n == len(scope):
                    self.parts[scope[:n]] = clean[n - 1]
        self.numbered = any(scope[-1] != clean for scope, clean in self.parts.items())

    def __call__(self, scope: Scope) -> Scope:
        return tuple(self._part(scope[: n + 1]) for n in range(len(scope)))

    def _part(self, scope: Scope) -> str:
        plain = NUMBER.sub("", scope[-1]) if self.numbered else scope[-1]
        return self.parts.get(scope, plain)


def _inside(scopes: Iterable[Scope], root: str) -> int:
    """How many parts name the layer that all operations are in: one or none."""
    return int(all(scope[:1] == () or _is(scope[0], root) for scope in scopes))


def _common(scopes: list[Scope]) -> int:
    """How many parts all scopes begin with, leaving each at least one."""
    shortest = min((len(scope) for scope in scopes), default=1) - 1
    shared = 0
    while shared < shortest and len({scope[: shared + 1] for scope in scopes}) == 1:
        shared += 1
    return shared
