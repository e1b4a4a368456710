"""Arithmetic of `keras.ops` and operators: sums, products, means, contractions with constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras.src.ops import numpy

from lrpkeras import backend
from lrpkeras.graph import functions
from lrpkeras.graph.lower import Refusal, Tensor, register
from lrpkeras.graph.lower_array_operations import feature_axes
from lrpkeras.graph.lower_linear import explicit_equation
from lrpkeras.graph.lower_merging import count_of, merge, reshape
from lrpkeras.graph.lower_normalization import affine
from lrpkeras.graph.nodes import (
    Activation,
    AveragePool,
    Extremum,
    Linear,
    MaxPool,
    Product,
    Sum,
)
from lrpkeras.graph.operations import Dense, Einsum

Operation = Any
Operand = Any


@register(numpy.Add)
def add(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """`x + y`; a constant is a shift."""
    if _both(x, y):
        return merge(Sum, (x, y), coefficients=(1.0, 1.0))
    tensor, constant = _ordered(x, y)
    if tensor is x:
        _refuse_misread_bias(tensor, constant)
    return affine(tensor, 1.0, constant)


def _refuse_misread_bias(x: Tensor, constant: np.ndarray) -> None:
    """Refuse constants that Keras, on TensorFlow, adds along another axis than NumPy would.

    `keras.ops.add` takes whatever has one axis longer than 1 for a bias of the last axis, or of the
    first behind the batch, if its size fits.
    """
    long = [axis for axis, size in enumerate(constant.shape, x.rank - constant.ndim) if size > 1]
    if len(long) != 1 or x.rank < 2:
        return
    size = constant.size
    misread = {1: x.shape[1], x.rank - 1: x.shape[-1]}
    taken = [axis for axis, n in misread.items() if n == size]
    if taken and taken[-1] != long[0]:
        why = f"keras.ops.add adds a constant of shape {constant.shape} along axis {taken[-1]} here"
        raise Refusal(why, "subtract its negative, or give it the shape of the input")


@register(numpy.Subtract)
def subtract(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """`x - y`, either of them perhaps a constant."""
    if _both(x, y):
        return merge(Sum, (x, y), coefficients=(1.0, -1.0))
    if isinstance(x, Tensor):
        return affine(x, 1.0, -_constant(y))
    return affine(y, -1.0, _constant(x))


@register(numpy.Multiply)
def multiply(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """`x * y`; a constant is a scale."""
    if _both(x, y):
        return merge(Product, (x, y))
    tensor, constant = _ordered(x, y)
    return affine(tensor, constant)


@register(numpy.Divide, numpy.TrueDivide)
def divide(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """`x / c`."""
    if isinstance(y, Tensor):
        raise Refusal("it divides by a tensor, which no rule is known for")
    divisor = _constant(y)
    if not np.all(divisor):
        raise Refusal("it divides by zero")
    return affine(x, 1 / divisor)


@register(numpy.Negative)
def negative(operation: Operation, x: Tensor) -> Tensor:
    """`-x`."""
    return affine(x, -1.0)


@register(numpy.Maximum)
def maximum(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """The larger of two tensors; against zero, a ReLU."""
    if _both(x, y):
        return merge(Extremum, (x, y), largest=True)
    tensor, constant = _ordered(x, y)
    if np.any(constant):
        raise Refusal("a maximum with a constant other than 0 has no rule")
    return tensor.then(Activation, function=functions.relu())


@register(numpy.Minimum)
def minimum(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """The smaller of two tensors."""
    if not _both(x, y):
        raise Refusal("a minimum with a constant has no rule")
    return merge(Extremum, (x, y), largest=False)


@register(numpy.Clip)
def clip(operation: Operation, x: Tensor) -> Tensor:
    """Between zero and a maximum: a clipped ReLU."""
    low, high = operation.x_min, operation.x_max
    if low != 0 or isinstance(high, Tensor):
        raise Refusal(f"clipping between {low} and {high} has no rule", "clip from 0 on")
    return x.then(Activation, function=functions.relu(max_value=float(high)))


@register(numpy.Absolute, numpy.Abs)
def absolute(operation: Operation, x: Tensor) -> Tensor:
    """`|x|`."""
    return x.then(Activation, function=functions.absolute())


@register(numpy.Square)
def square(operation: Operation, x: Tensor) -> Tensor:
    """`x^2`."""
    return x.then(Activation, function=functions.square())


@register(numpy.Power)
def power(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """`x ** 2`."""
    if isinstance(y, Tensor) or not np.all(_constant(y) == 2) or np.ndim(_constant(y)):
        raise Refusal("a power other than x ** 2 has no rule")
    return x.then(Activation, function=functions.square())


def _both(x: Operand, y: Operand) -> bool:
    return isinstance(x, Tensor) and isinstance(y, Tensor)


def _ordered(x: Operand, y: Operand) -> tuple[Tensor, np.ndarray]:
    """Return the tensor, then the constant."""
    return (x, _constant(y)) if isinstance(x, Tensor) else (y, _constant(x))


def _constant(value: Any) -> np.ndarray:
    return np.asarray(backend.to_numpy(value), dtype="float64")


@register(numpy.Mean, numpy.Average)
def mean(operation: Operation, x: Tensor, weights: Any = None) -> Tensor:
    """The mean over axes: global average pooling."""
    if weights is not None:
        raise Refusal("a weighted average is not known yet", "use keras.ops.einsum")
    keepdims = getattr(operation, "keepdims", False)
    return x.then(AveragePool, axes=feature_axes(operation.axis, x), keepdims=keepdims)


@register(numpy.Max, numpy.Amax)
def largest(operation: Operation, x: Tensor) -> Tensor:
    """The maximum over axes: global max pooling."""
    if getattr(operation, "initial", None) is not None:
        raise Refusal("a maximum with an initial value is not known yet")
    return x.then(MaxPool, axes=feature_axes(operation.axis, x), keepdims=operation.keepdims)


@register(numpy.Sum)
def total(operation: Operation, x: Tensor) -> Tensor:
    """The sum over axes: their mean, times how many they are."""
    axes = feature_axes(operation.axis, x)
    average = x.then(AveragePool, "mean", axes=axes, keepdims=operation.keepdims)
    return affine(average, float(count_of(x, axes)))


@register(numpy.Matmul, numpy.Dot)
def matmul(operation: Operation, x: Operand, y: Operand) -> Tensor:
    """`x @ kernel`, or `matrix @ x` for the last two axes of `x`."""
    if _both(x, y):
        raise Refusal("it multiplies two tensors as matrices, which no rule is known for yet")
    if isinstance(x, Tensor):
        return _times_kernel(x, y)
    if y.rank != 3 or len(y.shape) != 3 or np.ndim(_constant(x)) != 2 or _is_dot(operation):
        raise Refusal("this product with a constant matrix on the left is not known yet")
    return y.then(Linear, operation=Einsum("abc,db->adc"), kernel=x)


def _is_dot(operation: Operation) -> bool:
    return type(operation) is numpy.Dot


def _times_kernel(x: Tensor, kernel: Any) -> Tensor:
    rank = len(kernel.shape)
    if rank == 2:
        return x.then(Linear, operation=Dense(), kernel=kernel)
    if rank != 1:
        raise Refusal(f"a product with a constant of rank {rank} is not known yet")
    column = _constant(kernel)[:, None]
    return reshape(x.then(Linear, "dense", operation=Dense(), kernel=column), x.shape[1:-1])


@register(numpy.Einsum)
def einsum(operation: Operation, *operands: Operand) -> Tensor:
    """A contraction of one tensor and one constant."""
    if len(operands) != 2 or sum(isinstance(x, Tensor) for x in operands) != 1:
        raise Refusal("only an einsum of one tensor and one constant has a rule")
    x, kernel = operands
    equation = operation.subscripts.replace(" ", "")
    if isinstance(kernel, Tensor):
        x, kernel = kernel, x
        terms, arrow, output = equation.partition("->")
        equation = ",".join(reversed(terms.split(","))) + arrow + output
    return x.then(Linear, operation=Einsum(explicit_equation(equation, x.rank)), kernel=kernel)
