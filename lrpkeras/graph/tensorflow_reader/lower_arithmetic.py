"""Sums, products, extrema and reductions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrpkeras.graph import lower_operations
from lrpkeras.graph.draft import Tensor
from lrpkeras.graph.lower_merging import merge
from lrpkeras.graph.lower_normalization import affine
from lrpkeras.graph.nodes import Affine, Sum
from lrpkeras.graph.tensorflow_reader.lower_bias import shifted
from lrpkeras.graph.tensorflow_reader.lowering import Op, lowers

# How a batch normalization that is spelled out divides by the deviation.
ROOTS = ("Rsqrt", "Sqrt")


@lowers("Add", "AddV2", rowwise=True)
def add(op: Op) -> Tensor:
    """`x + y`; a constant is a bias, or a shift."""
    if op.fixed is None:
        return _weighted(op, (1.0, 1.0))
    return shifted(op, op.tensor(1 - op.fixed), op.constant(op.fixed))


def _weighted(op: Op, signs: tuple[float, ...]) -> Tensor:
    """A sum of tensors; what was multiplied by a number has it as its coefficient."""
    terms = [
        (x, sign * factor) for number, sign in enumerate(signs) for x, factor in _terms(op, number)
    ]
    return _sum(op, terms)


def _sum(op: Op, terms: list[tuple[Tensor, float]]) -> Tensor:
    total = merge(Sum, [x for x, _ in terms], coefficients=tuple(factor for _, factor in terms))
    if len({x.shape for x, _ in terms}) == 1:
        op.reading.sums[total.name] = total.draft.site.path, terms
    return total


def _terms(op: Op, number: int) -> list[tuple[Tensor, float]]:
    """What is added, and the factors: never weights, since coefficients are not read again.

    Sums of several tensors, as by Keras' Add and Average, are spelled one after another.
    """
    x, tensor = op.tensor(number), op.operation.inputs[number]
    if not op.reading.read_once(tensor):
        return [(x, 1.0)]
    within = _taken_apart(op, x)
    return [op.reading.factors.get(x.name, (x, 1.0))] if within is None else within


def _taken_apart(op: Op, x: Tensor) -> list[tuple[Tensor, float]] | None:
    """What a sum of the same layer adds, the sum itself taken away."""
    path, terms = op.reading.sums.get(x.name, (None, []))
    if path is None or path != x.draft.site.path:
        return None
    del op.reading.sums[x.name], x.draft.nodes[x.name]
    return terms


def _scaled_sum(op: Op, number: int, factor: float) -> Tensor | None:
    """An input that is a sum of the same layer, its terms times a factor; None for others."""
    once = op.reading.read_once(op.operation.inputs[number])
    terms = _taken_apart(op, op.tensor(number)) if once else None
    return None if terms is None else _sum(op, [(x, factor * known) for x, known in terms])


def _as_number(op: Op, number: int) -> float | None:
    """A constant input that is one number, and no weight: coefficients are not read again."""
    constant = op.constant(number)
    fixed = constant.size == 1 and op.reading.constants.is_fixed(op.operation.inputs[number])
    return float(constant.reshape(())) if fixed else None


@lowers("AddN")
def add_several(op: Op) -> Tensor:
    """The sum of several tensors."""
    tensors = [op.tensor(n) for n in range(op.count) if not op.is_constant(n)]
    total = tensors[0]
    if len(tensors) > 1:
        total = merge(Sum, tensors, coefficients=(1.0,) * len(tensors))
    for number in range(op.count):
        if op.is_constant(number):
            total = affine(total, 1.0, op.constant(number))
    return total


@lowers("Sub", rowwise=True)
def subtract(op: Op) -> Tensor:
    """`x - y`, either of them perhaps a constant."""
    if op.is_constant(1):
        return shifted(op, op.tensor(0), -op.constant(1))
    if op.is_constant(0):
        return lower_operations.subtract(None, op.constant(0), op.tensor(1))
    return _weighted(op, (1.0, -1.0))


@lowers("Mul", rowwise=True)
def multiply(op: Op) -> Tensor:
    """`x * y`; a constant is a scale, of a normalization where it holds a square root."""
    if op.fixed is None:
        return lower_operations.multiply(None, *op.data)
    x, constant = op.tensor(1 - op.fixed), op.constant(op.fixed)
    if _normalizes(op, op.fixed, constant, x):
        return _normalized(x, constant)
    factor = _as_number(op, op.fixed)
    if factor is None:
        return affine(x, constant)
    total = _scaled_sum(op, 1 - op.fixed, factor)
    if total is None:
        total = affine(x, constant)
        op.reading.factors[total.name] = (x, factor)
    return total


@lowers("RealDiv", "Div", rowwise=True)
def divide(op: Op) -> Tensor:
    """`x / c`."""
    divisor = _as_number(op, 1) if op.is_constant(1) else None
    total = _scaled_sum(op, 0, 1 / divisor) if divisor else None
    return lower_operations.divide(None, op.either(0), op.either(1)) if total is None else total


def _normalizes(op: Op, number: int, constant: Any, x: Tensor) -> bool:
    """Whether a factor was made of a variance: a vector along one axis, behind a square root."""
    long = [n for n in constant.shape if n != 1]
    if len(long) > 1 or constant.ndim > x.rank:
        return False
    pending = [op.operation.inputs[number].op]
    while pending:
        source = pending.pop()
        if source.type in ROOTS:
            return True
        pending += [i.op for i in source.inputs]
    return False


def _normalized(x: Tensor, scale: np.ndarray) -> Tensor:
    shape = (1,) * (x.rank - scale.ndim) + scale.shape
    axis = next((a for a, n in enumerate(shape) if n != 1), x.rank - 1)
    behind = x.rank - 1 - axis
    vector = np.broadcast_to(scale.reshape(-1), (x.shape[axis] or scale.size,))
    return x.then(
        Affine,
        scale=vector.reshape(-1, *(1,) * behind),
        batch_norm=True,
        axis=axis if behind else -1,
    )


@lowers("Neg", rowwise=True)
def negative(op: Op) -> Tensor:
    """`-x`."""
    return affine(op.tensor(), -1.0)


@lowers("Maximum", "Minimum")
def extremum(op: Op) -> Tensor:
    """The larger or smaller of two tensors; the larger of one and zero is a ReLU."""
    lowering = lower_operations.maximum if op.type == "Maximum" else lower_operations.minimum
    return lowering(None, op.either(0), op.either(1))


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "Max": lower_operations.largest,
    "Mean": lower_operations.mean,
    "Sum": lower_operations.total,
}


@lowers(*REDUCTIONS)
def reduction(op: Op) -> Tensor:
    """The mean, sum or maximum over axes."""
    axes = np.atleast_1d(op.constant(1)).tolist()
    settings = SimpleNamespace(axis=axes, keepdims=bool(op.get("keep_dims")))
    x = op.tensor()
    return x if not axes else REDUCTIONS[op.type](settings, x)
