"""Normalizations by statistics of the sample, spelled out as means, squares and roots.

What an operation computes is expanded as a sum of terms in x, its mean m and its inverse deviation
i. It is a normalization if what is left is `a x i - a m i + c`, or `a x i + c`, a and c constant,
however it was spelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrpkeras.graph.draft import Tensor
from lrpkeras.graph.lower_normalization import affine
from lrpkeras.graph.nodes import LocalNormalize, Normalize
from lrpkeras.graph.normalize import Denominator
from lrpkeras.graph.tensorflow_reader.constants import Constants
from lrpkeras.graph.tensorflow_reader.lowering import Op, lowers
from lrpkeras.graph.tensorflow_reader.patterns import Pattern, finds

# By the product of symbols ("" is one): its constant factor.
Terms = dict[str, np.ndarray]
PASSING = ("Identity", "StopGradient", "Cast")
ARITHMETIC = ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Neg", "Minimum", "Maximum", *PASSING)
PRODUCTS = {frozenset("xi"): "xi", frozenset("mi"): "mi"}
# More operations than any normalization takes.
LONGEST = 32


class NoMatch(Exception):  # noqa: N818 - says that it is something else, not that it is wrong
    """What is computed is no normalization."""


@dataclass(frozen=True)
class Statistic:
    """What an inverse deviation was made of."""

    root: Any
    x: Any
    axes: tuple[int, ...]
    denominator: Denominator
    epsilon: float


@finds
def normalization(op: Any, constants: Constants) -> Pattern | None:
    """Find layer, group, instance, RMS and unit normalization."""
    return None if _goes_on(op, constants) else _ending_at(op, constants)


def _goes_on(op: Any, constants: Constants) -> bool:
    """Whether constants are applied to what is normalized already: these are nodes of their own."""
    for _ in range(LONGEST):
        data = [_plain(x).op for x in op.inputs if not constants.is_constant(x)]
        if len(data) != 1 or op.type not in ARITHMETIC:
            return False
        op = data[0]
        if _ending_at(op, constants) is not None:
            return True
    return False


def _ending_at(op: Any, constants: Constants) -> Pattern | None:
    if op.type not in ARITHMETIC:
        return None
    root = next(_roots(op, constants), None)
    if root is None:
        return None
    try:
        statistic = _statistic(root, constants)
        reader = _Expansion(statistic, constants)
        terms = reader.terms(op.outputs[0])
        scale, shift, centre = _normal_form(terms, reader.weighted)
    except NoMatch:
        return None
    has_affine = reader.weighted or shift is not None or bool(np.ndim(scale)) or scale != 1
    affine_of = (scale, shift) if has_affine else None
    return _pattern(replace(statistic, **reader.floor), affine_of, centre)


def _pattern(
    statistic: Statistic, scaled: tuple[np.ndarray, np.ndarray | None] | None, centre: bool
) -> Pattern:
    def emit(x: Tensor) -> Tensor:
        y = x.then(
            Normalize,
            axes=tuple(sorted(axis % x.rank for axis in statistic.axes)),
            centre=centre,
            denominator=statistic.denominator,
            epsilon=statistic.epsilon,
        )
        return y if scaled is None else affine(y, *scaled)

    return Pattern((statistic.x,), emit)


def _roots(op: Any, constants: Constants) -> Iterator[Any]:
    """Yield the roots of what depends on the input, through sums and products."""
    seen: set[str] = set()
    pending = [op]
    while pending and len(seen) < LONGEST:
        current = pending.pop(0)
        if current.name in seen or constants.is_constant(current.outputs[0]):
            continue
        seen.add(current.name)
        if current.type in ("Rsqrt", "Sqrt"):
            yield current
        elif current.type in ARITHMETIC:
            pending += [x.op for x in current.inputs]


def _plain(tensor: Any) -> Any:
    """Return the tensor that aliases hand on."""
    while tensor.op.type in PASSING:
        tensor = tensor.op.inputs[0]
    return tensor


def _number(tensor: Any, constants: Constants) -> float:
    value = constants.value(tensor) if constants.is_constant(tensor) else np.zeros(2)
    if value.size != 1:
        raise NoMatch
    return float(value.reshape(()))


def _statistic(root: Any, constants: Constants) -> Statistic:
    """Read `root(pool(squares) + epsilon)`, or with the larger of both."""
    inner, epsilon, floor = _plain(root.inputs[0]), 0.0, False
    if inner.op.type in ("Add", "AddV2", "Maximum"):
        fixed = [n for n, x in enumerate(inner.op.inputs) if constants.is_constant(x)]
        if len(fixed) != 1:
            raise NoMatch
        floor = inner.op.type == "Maximum"
        epsilon = _number(inner.op.inputs[fixed[0]], constants)
        epsilon = epsilon**0.5 if floor else epsilon
        inner = _plain(inner.op.inputs[1 - fixed[0]])
    axes = _pooled(inner, constants)
    x, centred = _squared(_plain(inner.op.inputs[0]).op, axes, constants)
    return Statistic(root, x, axes, Denominator(centred, inner.op.type == "Sum", floor), epsilon)


def _pooled(tensor: Any, constants: Constants) -> tuple[int, ...]:
    """The axes of a mean, or sum, that keeps them."""
    op = tensor.op
    if op.type not in ("Mean", "Sum") or not op.get_attr("keep_dims"):
        raise NoMatch
    rank = op.inputs[0].shape.rank
    axes = np.atleast_1d(constants.value(op.inputs[1])).tolist()
    if rank is None or 0 in (axis % rank for axis in axes):
        raise NoMatch
    return tuple(sorted(axis % rank for axis in axes))


def _squared(op: Any, axes: tuple[int, ...], constants: Constants) -> tuple[Any, bool]:
    """What is squared: a tensor, or its distance from its mean."""
    if op.type == "SquaredDifference":
        pair = _plain(op.inputs[0]), _plain(op.inputs[1])
    elif op.type == "Square" or (op.type == "Mul" and op.inputs[0] is op.inputs[1]):
        inner = _plain(op.inputs[0])
        if inner.op.type != "Sub":
            return inner, False
        pair = _plain(inner.op.inputs[0]), _plain(inner.op.inputs[1])
        if not _is_mean(pair[1], pair[0], axes, constants):
            return inner, False
    else:
        raise NoMatch
    if not _is_mean(pair[1], pair[0], axes, constants):
        raise NoMatch
    return pair[0], True


def _is_mean(tensor: Any, x: Any, axes: tuple[int, ...], constants: Constants) -> bool:
    if tensor.op.type != "Mean" or _plain(tensor.op.inputs[0]).name != x.name:
        return False
    try:
        return _pooled(tensor, constants) == axes
    except NoMatch:
        return False


class _Expansion:
    """Expands what is computed from one statistic and its x."""

    def __init__(self, statistic: Statistic, constants: Constants) -> None:
        self.statistic = statistic
        self.constants = constants
        self.floor: dict[str, Any] = {}
        # Whether weights are among the constants.
        self.weighted = False

    def terms(self, tensor: Any, left: int = LONGEST) -> Terms:
        """Return a tensor as a sum of terms."""
        tensor = _plain(tensor)
        if left == 0:
            raise NoMatch
        if self.constants.is_constant(tensor):
            self.weighted = self.weighted or not self.constants.is_fixed(tensor)
            return {"": self.constants.value(tensor).astype("float64")}
        known = self._symbol(tensor)
        if known is not None:
            return {known: np.ones(())}
        return self._operation(tensor.op, left - 1)

    def _symbol(self, tensor: Any) -> str | None:
        """x, its mean m, its inverse deviation i, or its deviation s."""
        statistic, op = self.statistic, tensor.op
        if tensor.name == statistic.x.name:
            return "x"
        if _is_mean(tensor, statistic.x, statistic.axes, self.constants):
            return "m"
        kind = {"Rsqrt": "i", "Sqrt": "s"}[statistic.root.type]
        if op is statistic.root or op.name == statistic.root.name:
            return kind
        if op.type != {"i": "Minimum", "s": "Maximum"}[kind]:
            return None
        return self._bounded(op, kind)

    def _bounded(self, op: Any, kind: str) -> str | None:
        """The same, kept from vanishing: `min(1 / s, 1 / epsilon)` or `max(s, epsilon)`."""
        numbers = [x for x in op.inputs if self.constants.is_constant(x)]
        others = [_plain(x).op.name for x in op.inputs if not self.constants.is_constant(x)]
        if len(numbers) != 1 or others != [self.statistic.root.name] or self.statistic.epsilon:
            return None
        bound = _number(numbers[0], self.constants)
        denominator = replace(self.statistic.denominator, floor=True)
        self.floor = {"denominator": denominator, "epsilon": 1 / bound if kind == "i" else bound}
        return kind

    def _operation(self, op: Any, left: int) -> Terms:
        if op.type not in ARITHMETIC:
            raise NoMatch
        given = [self.terms(x, left) for x in op.inputs]
        if op.type in ("Add", "AddV2"):
            return _sum(given[0], given[1], 1.0)
        if op.type == "Sub":
            return _sum(given[0], given[1], -1.0)
        if op.type == "Neg":
            return _sum({}, given[0], -1.0)
        if op.type == "Mul":
            return _product(given[0], given[1])
        if op.type == "RealDiv":
            return _product(given[0], _inverse(given[1]))
        raise NoMatch


def _sum(one: Terms, other: Terms, sign: float) -> Terms:
    keys = dict.fromkeys((*one, *other))
    return {key: one.get(key, 0.0) + sign * other.get(key, np.zeros(())) for key in keys}


def _product(one: Terms, other: Terms) -> Terms:
    total: Terms = {}
    for left, a in one.items():
        for right, b in other.items():
            key = left or right
            if left and right:
                key = PRODUCTS.get(frozenset((left, right)), "")
                if not key:
                    raise NoMatch
            total = _sum(total, {key: a * b}, 1.0)
    return total


def _inverse(terms: Terms) -> Terms:
    ((key, factor),) = terms.items() if len(terms) == 1 else (("", np.zeros(())),)
    if key not in ("", "s") or not np.all(factor):
        raise NoMatch
    return {"i" if key else "": 1 / factor}


def _normal_form(terms: Terms, weighted: bool) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Return scale and shift of `scale * normalized + shift`, and whether the mean goes."""
    # What weights may be later stays: a gamma of zeros scales, a beta of zeros shifts.
    left = {
        key: value
        for key, value in terms.items()
        if np.any(value) or key in ("xi", "mi") or (key == "" and (weighted or np.ndim(value)))
    }
    if not left.keys() <= {"xi", "mi", ""} or "xi" not in left:
        raise NoMatch
    scale, mean = left["xi"], left.get("mi")
    if mean is not None and np.any(mean + scale):
        raise NoMatch
    return scale, left.get(""), mean is not None


@lowers("LRN")
def local_response_normalization(op: Op) -> Tensor:
    """Divided by a power of the sum of squares of the channels around."""
    fields = {name: op.get(name) for name in ("depth_radius", "bias", "alpha", "beta")}
    return op.tensor().then(LocalNormalize, **fields)
