"""Layers that apply another layer: `TimeDistributed`.

A node keeps samples apart, so steps in time are no further samples: they become one more axis
behind the batch, in every node of the layer inside. A convolution gets a window of one step there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

from keras import layers

from lrpkeras.graph import moves
from lrpkeras.graph.convolutions import Convolution, Depthwise, TransposedConvolution
from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, register
from lrpkeras.graph.nodes import (
    Activation,
    Affine,
    Extremum,
    Input,
    Linear,
    LocalNormalize,
    Lookup,
    Node,
    Normalize,
    Pool,
    Product,
    Route,
    Sum,
)
from lrpkeras.graph.operations import Dense, Einsum
from lrpkeras.graph.shapes import output_shape

Steps = int | None


@register(layers.TimeDistributed)
def time_distributed(layer: layers.TimeDistributed, x: Tensor) -> Tensor:
    """The layer inside at every step, the axis behind the batch."""
    draft, steps = x.draft, x.shape[1]
    before = set(draft.nodes)
    step = Input(name=draft.free_name(f"{x.name}:step", Input), shape=(None, *x.shape[2:]))
    draft.nodes[step.name] = step
    y = Tensor(step.name, step.shape, draft, x.guessed).through(layer.layer)
    inside = [node for name, node in draft.nodes.items() if name not in before]
    for node in inside:
        del draft.nodes[node.name]
    if y.guessed:
        return Tensor(y.name, (None, steps, *y.shape[1:]), draft, True)
    for node in inside[1:]:
        inputs = tuple(x.name if name == step.name else name for name in node.inputs)
        lifted = replace(over_steps(node, steps), inputs=inputs)
        shape = output_shape(lifted, *(draft.nodes[name].shape for name in inputs))
        draft.nodes[node.name] = replace(lifted, shape=shape)
    return x if y.name == step.name else Tensor(y.name, draft.nodes[y.name].shape, draft)


@singledispatch
def over_steps(node: Any, steps: Steps) -> Any:
    """Return a node, operation or move that does the same at every step of axis 1.

    Parameters
    ----------
    node
        Made for `(batch, ...)`.
    steps
        How many there are; None where that is only known at run time.

    Returns
    -------
    The same for `(batch, steps, ...)`.

    Raises
    ------
    Refusal
        There is no such kind.
    """
    raise Refusal(f"{type(node).__name__} cannot be applied step by step yet", "apply it to images")


@over_steps.register(Activation)
@over_steps.register(Dense)
@over_steps.register(Extremum)
@over_steps.register(LocalNormalize)
@over_steps.register(Lookup)
@over_steps.register(Product)
@over_steps.register(Sum)
@over_steps.register(moves.Keep)
def _unchanged(node: Any, steps: Steps) -> Any:
    """Elementwise, or along the last axis alone."""
    return node


@over_steps.register
def _linear(node: Linear, steps: Steps) -> Node:
    windows = not isinstance(node.operation, Dense | Einsum)
    kernel = node.kernel[None] if windows else node.kernel
    return replace(node, operation=over_steps(node.operation, steps), kernel=kernel)


@over_steps.register
def _affine(node: Affine, steps: Steps) -> Node:
    return replace(node, axis=node.axis + 1 if node.axis > 0 else node.axis)


@over_steps.register
def _pool(node: Pool, steps: Steps) -> Node:
    _refuse(node.channels_first, node.window)
    if node.window is None:
        return replace(node, axes=_behind(node.axes))
    return replace(node, window=(1, *node.window), strides=(1, *node.strides))


@over_steps.register
def _normalize(node: Normalize, steps: Steps) -> Node:
    return replace(node, axes=_behind(node.axes))


@over_steps.register
def _route(node: Route, steps: Steps) -> Node:
    known = isinstance(node.move, moves.Reshape) and None not in node.shape[1:]
    move = moves.Reshape(tuple(n or 0 for n in node.shape[1:])) if known else node.move
    return replace(node, move=over_steps(move, steps))


def _behind(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _refuse(channels_first: bool, window: Any) -> None:
    """Refuse windows that no primitive has with one more axis."""
    if channels_first:
        raise Refusal("channels_first cannot be applied step by step", "use channels_last")
    if window is not None and len(window) > 2:
        raise Refusal("volumes cannot be applied step by step", "use images, or series")


@over_steps.register
def _einsum(operation: Einsum, steps: Steps) -> Einsum:
    inputs, kernel, output = operation.letters
    free = next(c for c in "abcdefghijklmnopqrstuvwxyz" if c not in operation.equation)
    return Einsum(f"{inputs[0]}{free}{inputs[1:]},{kernel}->{output[0]}{free}{output[1:]}")


@over_steps.register(Convolution)
@over_steps.register(Depthwise)
def _windowed(operation: Any, steps: Steps) -> Any:
    _refuse(operation.channels_first, operation.strides)
    padding = operation.padding
    return replace(
        operation,
        strides=(1, *operation.strides),
        padding=padding if isinstance(padding, str) else ((0, 0), *padding),
        dilation=(1, *operation.dilation),
    )


@over_steps.register
def _transposed(operation: TransposedConvolution, steps: Steps) -> TransposedConvolution:
    convolution = over_steps(operation.convolution, steps)
    spatial, grow = (steps, *operation.spatial), (0, *operation.grow)
    return TransposedConvolution(convolution, spatial, grow)


@over_steps.register
def _reshape(move: moves.Reshape, steps: Steps) -> moves.Reshape:
    if steps is None and -1 in move.target:
        raise UnknownSize("it reshapes steps of which neither number nor size is known")
    return moves.Reshape((-1 if steps is None else steps, *move.target))


@over_steps.register
def _transpose(move: moves.Transpose, steps: Steps) -> moves.Transpose:
    return moves.Transpose((0, 1, *_behind(move.axes[1:])))


@over_steps.register
def _pad(move: moves.Pad, steps: Steps) -> moves.Pad:
    return moves.Pad(((0, 0), *move.padding))


@over_steps.register
def _crop(move: moves.Crop, steps: Steps) -> moves.Crop:
    return moves.Crop(((0, 0), *move.cropping))


@over_steps.register(moves.Concatenate)
@over_steps.register(moves.Gather)
@over_steps.register(moves.Repeat)
def _along(move: Any, steps: Steps) -> Any:
    return replace(move, axis=move.axis + 1)
