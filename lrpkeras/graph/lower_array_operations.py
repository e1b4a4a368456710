"""Operations of `keras.ops` that move values: reshaping, transposing, joining, padding, casting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras.src.ops import core, numpy

from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, register
from lrpkeras.graph.lower_inert import keep
from lrpkeras.graph.lower_merging import concatenate, reshape
from lrpkeras.graph.moves import Move, Pad, Repeat, Transpose
from lrpkeras.graph.nodes import Route

Operation = Any


def moved(x: Tensor, moves: Sequence[Move]) -> Tensor:
    """Emit moves one after another; the last one has the operation's own name."""
    if not moves:
        return keep(x)
    for number, move in enumerate(moves[:-1]):
        x = x.then(Route, f"step{number}", move=move)
    return x.then(Route, move=moves[-1])


def feature_axes(axes: Any, x: Tensor) -> tuple[int, ...]:
    """Return axes counted from the front, ascending.

    Raises
    ------
    Refusal
        The batch is among them.
    """
    given = range(x.rank) if axes is None else np.atleast_1d(axes).tolist()
    positive = tuple(sorted(axis % x.rank for axis in given))
    if 0 in positive:
        raise Refusal("it reaches across the samples of a batch", "name the axes, without axis 0")
    return positive


@register(numpy.Reshape)
def reshape_operation(operation: Operation, x: Tensor) -> Tensor:
    """To a new shape that keeps the batch."""
    batch, *target = operation.newshape
    if batch == -1 and _keeps_batch(x, target):
        return reshape(x, tuple(target))
    raise Refusal(f"it reshapes {x.shape} to {operation.newshape}, across samples")


def _keeps_batch(x: Tensor, target: Sequence[int | None]) -> bool:
    sizes = x.shape[1:]
    if None in sizes:
        raise UnknownSize("whether the reshape keeps samples apart is only known at run time")
    known = math.prod(size for size in sizes if size is not None)
    return all(size is not None and size >= 0 for size in target) and known == math.prod(
        size for size in target if size is not None
    )


@register(numpy.Transpose)
def transpose(operation: Operation, x: Tensor) -> Tensor:
    """Axes in another order, the batch in place."""
    axes = operation.axes or tuple(reversed(range(x.rank)))
    return _transposed(x, tuple(axis % x.rank for axis in axes))


@register(numpy.Swapaxes)
def swap_axes(operation: Operation, x: Tensor) -> Tensor:
    """Two axes exchanged."""
    axes = list(range(x.rank))
    one, two = operation.axis1 % x.rank, operation.axis2 % x.rank
    axes[one], axes[two] = two, one
    return _transposed(x, tuple(axes))


@register(numpy.Moveaxis)
def move_axis(operation: Operation, x: Tensor) -> Tensor:
    """Axes moved elsewhere, the others in their order."""
    source = [axis % x.rank for axis in operation.source]
    goal = [axis % x.rank for axis in operation.destination]
    axes = [axis for axis in range(x.rank) if axis not in source]
    for to, axis in sorted(zip(goal, source, strict=True)):
        axes.insert(to, axis)
    return _transposed(x, tuple(axes))


def _transposed(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    if axes[0] != 0:
        raise Refusal("it moves the batch axis")
    return x.then(Route, move=Transpose(axes))


@register(numpy.Squeeze)
def squeeze(operation: Operation, x: Tensor) -> Tensor:
    """Axes of size 1 dropped."""
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    axes = feature_axes(ones if operation.axis is None else operation.axis, x)
    return reshape(x, tuple(n for axis, n in enumerate(x.shape) if axis and axis not in axes))


@register(numpy.ExpandDims)
def expand_dims(operation: Operation, x: Tensor) -> Tensor:
    """New axes of size 1."""
    given = np.atleast_1d(operation.axis).tolist()
    rank = x.rank + len(given)
    axes = {axis % rank for axis in given}
    if 0 in axes:
        raise Refusal("it puts an axis before the batch")
    sizes = iter(x.shape)
    shape = [1 if axis in axes else next(sizes) for axis in range(rank)]
    return reshape(x, tuple(shape[1:]))


@register(numpy.Concatenate)
def concatenate_operation(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    """Side by side along an axis."""
    return concatenate(tensors_only(inputs), operation.axis)


@register(numpy.Stack)
def stack(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    """Side by side along a new axis."""
    axis = operation.axis % (inputs[0].rank + 1)
    if axis == 0:
        raise Refusal("it puts an axis before the batch")
    expanded = [
        reshape(x, (*x.shape[1:axis], 1, *x.shape[axis:]), "expand") for x in tensors_only(inputs)
    ]
    return concatenate(expanded, axis)


def tensors_only(inputs: Sequence[Any]) -> Sequence[Tensor]:
    """Refuse constants among tensors that are to be joined."""
    if not all(isinstance(x, Tensor) for x in inputs):
        raise Refusal("it joins constants to tensors, which is not known yet")
    return inputs


@register(numpy.Repeat)
def repeat(operation: Operation, x: Tensor) -> Tensor:
    """Every entry along an axis several times."""
    if not isinstance(operation.repeats, int):
        raise Refusal("it repeats some entries more often than others, which is not known yet")
    (axis,) = feature_axes(operation.axis, x)
    return x.then(Route, move=Repeat(axis, operation.repeats))


@register(numpy.Pad)
def pad(operation: Operation, x: Tensor, constant_values: Any = None) -> Tensor:
    """Zeros around."""
    if operation.mode != "constant" or constant_values not in (None, 0):
        raise Refusal("it pads with something other than zeros, which is not known yet")
    widths = [tuple(pair) for pair in operation.pad_width]
    widths = widths * x.rank if len(widths) == 1 else widths
    if tuple(widths[0]) != (0, 0):
        raise Refusal("it adds samples to the batch")
    return x.then(Route, move=Pad(tuple(widths[1:])))


@register(core.Cast)
def cast(operation: Operation, x: Tensor) -> Tensor:
    """To another floating type: the graph keeps its own."""
    if "float" not in operation.dtype:
        raise Refusal(f"it casts to {operation.dtype}, which is not differentiable")
    return keep(x)


@register(core.StopGradient, numpy.Copy)
def unchanged(operation: Operation, x: Tensor) -> Tensor:
    """Relevance is no gradient: it passes."""
    return keep(x)
