"""Multiply-adds of convolutions and matrix products, read from the shapes in a traced graph.

A count is free of noise: it compares the work of two ways of explaining on any machine. Only what
dominates is counted, not elementwise work. Taps that fall into padding count like any other. The
adjoint of a convolution, strided or not, counts as the convolution itself: each of its products
is the same pair of values in another order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any


class UncountableError(ValueError):
    """An operation multiplies arrays, but how often cannot be read from the graph."""


@dataclass(frozen=True)
class Operation:
    """One convolution or matrix product of a traced graph.

    Attributes
    ----------
    name, type
        As in the graph: "Conv2D", "MatMul", ...
    multiply_adds
        How many it takes.
    """

    name: str
    type: str
    multiply_adds: int


def total(function: Any, op_type: str | None = None) -> int:
    """Return all multiply-adds of a concrete function, or those of one type of operation."""
    return sum(op.multiply_adds for op in operations(function) if op_type in (None, op.type))


def operations(function: Any) -> list[Operation]:
    """Return the convolutions and matrix products of a concrete function, nested calls included.

    What no output depends on never runs, and is left out.

    Parameters
    ----------
    function
        A TensorFlow concrete function traced with static shapes, batch size included, such as
        `analyzer.concrete_function(batch_size=1)`.

    Raises
    ------
    UncountableError
        Where a shape is not static, an operation looks like a product and is not known, or a
        product is in a branch or a loop.
    """
    return list(_walk(function.graph))


def _walk(graph: Any) -> Iterator[Operation]:
    for op in _needed(graph):
        if op.type in COUNTS:
            yield Operation(op.name, op.type, COUNTS[op.type](op))
        elif SUSPECTS.search(op.type):
            raise UncountableError(f"{op.name}: no way is known to count {op.type}; add it here.")
        yield from _called(op)


def _needed(graph: Any) -> list[Any]:
    """Return the operations that outputs depend on: TensorFlow drops all others before it runs."""
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    needed = set(waiting)
    while waiting:
        op = waiting.pop()
        before = {tensor.op for tensor in op.inputs} | set(op.control_inputs)
        waiting += before - needed
        needed |= before
    return [op for op in graph.get_operations() if op in needed]


def _called(op: Any) -> Iterator[Operation]:
    """Count the functions that an operation calls; one that may not run once must hold nothing."""
    for name in _function_names(op):
        inner = list(_walk(op.graph._get_function(name).graph))
        if inner and op.type not in CALLS:
            raise UncountableError(
                f"{op.name} ({op.type}) may run {inner[0].name} never, once or many times."
            )
        yield from inner


def _function_names(op: Any) -> list[str]:
    values = [op.get_attr(key) for key in op.node_def.attr]
    listed = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [item.name for item in listed if type(item).__name__ == "NameAttrList" and item.name]


CALLS = ("PartitionedCall", "StatefulPartitionedCall")

# Whatever multiplies arrays and is not in COUNTS must not pass as free.
SUSPECTS = re.compile("Conv|MatMul|Einsum|XlaDot")


def _convolution(op: Any) -> int:
    """Every output value takes one per tap and channel of its group: kernel (*window, in, out)."""
    return prod(_shape(op, op.outputs[0])) * prod(_shape(op, op.inputs[1])[:-1])


def _convolution_to_input(op: Any) -> int:
    """As its forward one, whose output is what comes in here."""
    return prod(_shape(op, op.inputs[2])) * prod(_shape(op, op.inputs[1])[:-1])


def _convolution_to_kernel(op: Any) -> int:
    return prod(_shape(op, op.inputs[2])) * prod(_shape(op, op.outputs[0])[:-1])


def _depthwise(op: Any) -> int:
    """One per tap for every output value: kernel (*window, in, multiplier)."""
    return prod(_shape(op, op.outputs[0])) * prod(_shape(op, op.inputs[1])[:-2])


def _depthwise_to_input(op: Any) -> int:
    return prod(_shape(op, op.inputs[2])) * prod(_shape(op, op.inputs[1])[:-2])


def _depthwise_to_kernel(op: Any) -> int:
    return prod(_shape(op, op.inputs[2])) * prod(_shape(op, op.outputs[0])[:-2])


def _matrix_product(op: Any) -> int:
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return prod(_shape(op, op.outputs[0])) * _shape(op, op.inputs[0])[-2 if transposed else -1]


def _einsum(op: Any) -> int:
    """One for every combination of indices; none where one array alone is moved or summed."""
    equation = op.get_attr("equation").decode().replace(" ", "")
    if len(op.inputs) == 1:
        return 0
    if len(op.inputs) > 2:
        raise UncountableError(f"{op.name}: einsum of {len(op.inputs)} arrays, {equation}")
    sizes: dict[str, int] = {}
    for labels, tensor in zip(equation.split("->")[0].split(","), op.inputs, strict=True):
        for label, size in _labelled(labels, _shape(op, tensor)):
            sizes[label] = max(size, sizes.get(label, 1))
    return prod(sizes.values())


def _labelled(labels: str, shape: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Pair indices with sizes; those of the ellipsis are numbered from the last one back."""
    head, dots, tail = labels.partition("...")
    yield from zip(head, shape, strict=False)
    if dots:
        middle = shape[len(head) : len(shape) - len(tail)]
        yield from ((f"...{i}", size) for i, size in enumerate(reversed(middle)))
        yield from zip(tail, shape[len(shape) - len(tail) :], strict=True)


def _shape(op: Any, tensor: Any) -> tuple[int, ...]:
    shape = tensor.shape
    if not shape.is_fully_defined():
        raise UncountableError(
            f"{op.name} ({op.type}): the shape {shape} of {tensor.name} is not static. Trace with "
            "static shapes: analyzer.concrete_function(batch_size=1)."
        )
    return tuple(shape.as_list())


COUNTS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _convolution_to_input,
    "Conv2DBackpropFilter": _convolution_to_kernel,
    "Conv3D": _convolution,
    "Conv3DBackpropInputV2": _convolution_to_input,
    "Conv3DBackpropFilterV2": _convolution_to_kernel,
    "DepthwiseConv2dNative": _depthwise,
    "DepthwiseConv2dNativeBackpropInput": _depthwise_to_input,
    "DepthwiseConv2dNativeBackpropFilter": _depthwise_to_kernel,
    "MatMul": _matrix_product,
    "BatchMatMul": _matrix_product,
    "BatchMatMulV2": _matrix_product,
    "BatchMatMulV3": _matrix_product,
    "Einsum": _einsum,
}
