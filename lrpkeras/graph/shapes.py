"""Static output shapes: what size each kind of node gives for inputs of known or unknown sizes."""

from __future__ import annotations

from functools import singledispatch

from lrpkeras.graph.moves import Shape
from lrpkeras.graph.nodes import Linear, Lookup, Node, Pool, Resample, Route


@singledispatch
def output_shape(node: Node, *shapes: Shape) -> Shape:
    """Return the static output shape of a node whose inputs have `shapes`, all with batch.

    Elementwise kinds, the default, have the shape of their first input.
    """
    return shapes[0]


@output_shape.register
def _linear(node: Linear, *shapes: Shape) -> Shape:
    return node.operation.output_shape(shapes[0], node.kernel.shape)


@output_shape.register
def _route(node: Route, *shapes: Shape) -> Shape:
    return node.move.output_shape(*shapes)


@output_shape.register
def _resample(node: Resample, *shapes: Shape) -> Shape:
    return node.output_shape(shapes[0])


@output_shape.register
def _lookup(node: Lookup, *shapes: Shape) -> Shape:
    return (*shapes[0], node.table.shape[1])


@output_shape.register
def _pool(node: Pool, *shapes: Shape) -> Shape:
    if node.window is None:
        return _reduced(shapes[0], node.axes, node.keepdims)
    first = 2 if node.channels_first else 1
    spatial = shapes[0][first : first + len(node.window)]
    sizes = tuple(
        pooled_size(size, window, stride, node.padding)
        for size, window, stride in zip(spatial, node.window, node.strides, strict=True)
    )
    return (*shapes[0][:first], *sizes, *shapes[0][first + len(sizes) :])


def _reduced(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def pooled_size(size: int | None, window: int, stride: int, padding: str) -> int | None:
    """Return how many windows fit, None where the input's size is unknown."""
    if size is None:
        return None
    return -(-size // stride) if padding == "same" else (size - window) // stride + 1
