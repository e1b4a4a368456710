"""Layers of several inputs: sums, products, extrema, concatenation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import layers

from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, join, register
from lrpkeras.graph.moves import Concatenate, Repeat, Reshape, Shape
from lrpkeras.graph.nodes import Extremum, Node, Product, Route, Sum

Layer = Any


def merge(kind: type[Node], tensors: Sequence[Tensor], **fields: Any) -> Tensor:
    """Emit a node of several inputs, all brought to one shape first."""
    return join(kind, broadcast(tensors), **fields)


@register(layers.Add)
def add(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The sum."""
    return merge(Sum, same_rank(inputs), coefficients=(1.0,) * len(inputs))


@register(layers.Subtract)
def subtract(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The first less the second."""
    return merge(Sum, same_rank(inputs), coefficients=(1.0, -1.0))


@register(layers.Average)
def average(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The mean over the inputs."""
    count = len(inputs)
    return merge(Sum, same_rank(inputs), coefficients=(1 / count,) * count)


@register(layers.Multiply)
def multiply(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The product."""
    return merge(Product, same_rank(inputs))


@register(layers.Maximum)
def maximum(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The largest, entry by entry."""
    return merge(Extremum, same_rank(inputs), largest=True)


@register(layers.Minimum)
def minimum(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The smallest, entry by entry."""
    return merge(Extremum, same_rank(inputs), largest=False)


@register(layers.Concatenate)
def concatenate_layer(layer: layers.Concatenate, inputs: Sequence[Tensor]) -> Tensor:
    """Side by side along an axis."""
    return concatenate(inputs, layer.axis)


def concatenate(inputs: Sequence[Tensor], axis: int) -> Tensor:
    """Emit a concatenation along any axis but the batch."""
    axis = axis % inputs[0].rank
    if axis == 0:
        raise Refusal("it concatenates samples: relevance of one would reach another")
    return join(Route, inputs, move=Concatenate(axis))


def same_rank(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Insert axes of size 1 behind the batch, as Keras' merging layers do."""
    rank = max(x.rank for x in tensors)
    return [x if x.rank == rank else _with_axes(x, rank - x.rank) for x in tensors]


def _with_axes(x: Tensor, count: int) -> Tensor:
    return reshape(x, (*(1,) * count, *x.shape[1:]), "expand")


def reshape(x: Tensor, target: Shape, part: str | None = None) -> Tensor:
    """Emit a reshape to sizes without batch, at most one of them unknown."""
    if sum(size in (None, -1) for size in target) > 1:
        raise UnknownSize(f"reshaping to {target} needs sizes that are only known at run time")
    sizes = tuple(-1 if size is None else int(size) for size in target)
    return x.then(Route, part, move=Reshape(sizes))


def broadcast(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Repeat tensors of one rank along their axes of size 1 until all have the same shape.

    Raises
    ------
    UnknownSize
        How often to repeat is only known at run time.
    Refusal
        The ranks differ: NumPy would align one tensor's batch with another's features.
    """
    if len({x.rank for x in tensors}) > 1:
        shapes = ", ".join(str(x.shape) for x in tensors)
        raise Refusal(f"it broadcasts {shapes}: samples against features", "reshape them before")
    for axis in range(1, tensors[0].rank):
        size = _common_size([x.shape[axis] for x in tensors], axis)
        tensors = [_stretched(x, axis, size) for x in tensors]
    return list(tensors)


def _common_size(sizes: Sequence[int | None], axis: int) -> int | None:
    known = {size for size in sizes if size is not None}
    if known and None in sizes:
        raise UnknownSize(f"how sizes {sizes} along axis {axis} match is only known at run time")
    return max(known) if known else None


def _stretched(x: Tensor, axis: int, size: int | None) -> Tensor:
    if size is None or x.shape[axis] == size:
        return x
    return x.then(Route, "repeat", move=Repeat(axis, size))


def count_of(x: Tensor, axes: Sequence[int]) -> int:
    """Return how many entries of one sample lie along `axes`."""
    sizes = [x.shape[axis] for axis in axes]
    if None in sizes:
        raise UnknownSize("how many entries it sums is only known at run time")
    return math.prod(size for size in sizes if size is not None)
