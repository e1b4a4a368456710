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
from lrpkeras.graph.tensorflow_reader.lower_linear import shifted
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
    terms = [_term(op, number) for number in range(op.count)]
    coefficients = tuple(sign * factor for sign, (_, factor) in zip(signs, terms, strict=True))
    return merge(Sum, [x for x, _ in terms], coefficients=coefficients)


def _term(op: Op, number: int) -> tuple[Tensor, float]:
    """What is added, and its factor: never a weight, since coefficients are not read again."""
    x, tensor = op.tensor(number), op.operation.inputs[number]
    known = op.reading.factors.get(x.name)
    if known is None or not op.reading.read_once(tensor):
        return x, 1.0
    return known


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
    y = affine(x, constant)
    if constant.size == 1 and op.reading.constants.is_fixed(op.operation.inputs[op.fixed]):
        op.reading.factors[y.name] = (x, float(constant.reshape(())))
    return y


@lowers("RealDiv", "Div", rowwise=True)
def divide(op: Op) -> Tensor:
    """`x / c`."""
    return lower_operations.divide(None, op.either(0), op.either(1))


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
