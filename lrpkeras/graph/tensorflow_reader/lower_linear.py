"""Convolutions, matrix products, biases and batch normalization."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrpkeras.graph import lower_operations
from lrpkeras.graph.convolutions import Convolution, Depthwise, Padding, TransposedConvolution
from lrpkeras.graph.draft import Refusal, Tensor, UnknownSize
from lrpkeras.graph.lower_convolution import same_padding, spatial
from lrpkeras.graph.lower_merging import reshape
from lrpkeras.graph.nodes import Affine, Linear
from lrpkeras.graph.operations import Dense
from lrpkeras.graph.tensorflow_reader.lowering import Blocks, Op, Value, lowers

Sizes = tuple[int, ...]
Spatial = Convolution | Depthwise | TransposedConvolution


def channels_first(op: Op) -> bool:
    """Whether an operation has its channels behind the batch."""
    return "data_format" in op.operation.node_def.attr and op.get("data_format").startswith("NC")


def inner(values: list[int], first: bool) -> Sizes:
    """Return what an attribute says of the spatial axes."""
    return tuple(values[2:] if first else values[1:-1])


@lowers("Conv2D", "Conv3D")
def convolution(op: Op) -> Value:
    """A convolution, grouped or not; between ExpandDims and Squeeze one of a lower rank."""
    first, kernel = channels_first(op), _kernel(op)
    x = op.value(0)
    if isinstance(x, Blocks):
        return _in_blocks(op, x, "convolution", kernel)
    x = op.tensor(0)
    channels = x.shape[1 if first else -1]
    if channels is None:
        raise UnknownSize("its number of channels is only known at run time")
    geometry = _geometry(op, kernel.shape[:-2], x)
    operation = Convolution(**geometry, channels_first=first, groups=channels // kernel.shape[-2])
    return _of_lower_rank(op, x, operation, kernel)


@lowers("DepthwiseConv2dNative")
def depthwise(op: Op) -> Value:
    """Each channel on its own."""
    kernel = _kernel(op)
    x = op.value(0)
    if isinstance(x, Blocks):
        return _in_blocks(op, x, "depthwise", kernel)
    x = op.tensor(0)
    operation = Depthwise(**_geometry(op, kernel.shape[:-2], x), channels_first=channels_first(op))
    return _of_lower_rank(op, x, operation, kernel)


def _kernel(op: Op, number: int = 1) -> np.ndarray:
    if not op.is_constant(number):
        raise Refusal("its kernel depends on the input, which no rule is known for")
    return op.constant(number)


def _geometry(op: Op, window: Sizes, x: Tensor) -> dict:
    first = channels_first(op)
    strides = inner(op.get("strides"), first)
    dilation = inner(op.get("dilations"), first)
    padding = padding_of(op, spatial(x.shape, first), _reaches(window, dilation), strides)
    return {"strides": strides, "padding": padding, "dilation": dilation}


def _reaches(window: Sizes, dilation: Sizes) -> Sizes:
    return tuple((n - 1) * d + 1 for n, d in zip(window, dilation, strict=True))


def padding_of(op: Op, sizes: tuple[int | None, ...], reaches: Sizes, strides: Sizes) -> Padding:
    """Return an operation's padding, explicit where the sizes are known."""
    kind = op.get("padding")
    if kind == "EXPLICIT":
        pairs = np.reshape(op.get("explicit_paddings"), (-1, 2)).tolist()
        given = pairs[2:] if channels_first(op) else pairs[1:-1]
        return tuple((int(low), int(high)) for low, high in given)
    if kind == "VALID":
        return ((0, 0),) * len(reaches)
    return same_padding(sizes, reaches, strides)


def _of_lower_rank(op: Op, x: Tensor, operation: Spatial, kernel: np.ndarray) -> Tensor:
    """Emit a convolution; without the axis of size 1 that was put in for it alone."""
    before, axis = op.reading.expanded.get(x.name, (None, 0))
    forward = operation.convolution if isinstance(operation, TransposedConvolution) else operation
    place = axis - (2 if forward.channels_first else 1)
    flat = before is not None and 0 <= place < len(kernel.shape) - 2
    if before is None or not flat or kernel.shape[place] != 1 or not _is_trivial(operation, place):
        return x.then(Linear, operation=operation, kernel=kernel)
    kernel = op.reading.once(("squeezed", id(kernel)), lambda: np.squeeze(kernel, place))
    y = before.then(Linear, operation=_without(operation, place), kernel=kernel)
    return widened(op, y, axis)


def widened(op: Op, x: Tensor, axis: int) -> Tensor:
    """Put an axis of size 1 in, and remember the tensor without it."""
    wide = reshape(x, (*x.shape[1:axis], 1, *x.shape[axis:]), "expand")
    op.reading.expanded[wide.name] = (x, axis)
    return wide


def _is_trivial(operation: Spatial, place: int) -> bool:
    """Whether a window of size 1 does nothing along an axis of size 1."""
    if isinstance(operation, TransposedConvolution):
        one = operation.spatial[place] == 1 and operation.convolution.strides[place] == 1
        return one and _is_trivial(operation.convolution, place)
    padded = not isinstance(operation.padding, str) and any(operation.padding[place])
    return operation.dilation[place] == 1 and not padded


def _without(operation: Any, place: int) -> Any:
    """The same operation without one axis."""
    if isinstance(operation, TransposedConvolution):
        return replace(
            operation,
            convolution=_without(operation.convolution, place),
            spatial=dropped(operation.spatial, place),
            grow=dropped(operation.grow, place),
        )
    padding = operation.padding
    return replace(
        operation,
        strides=dropped(operation.strides, place),
        padding=padding if isinstance(padding, str) else dropped(padding, place),
        dilation=dropped(operation.dilation, place),
    )


def dropped(values: tuple, place: int) -> tuple:
    """The values without one of them."""
    return (*values[:place], *values[place + 1 :])


def _in_blocks(op: Op, x: Blocks, kind: str, kernel: np.ndarray) -> Blocks:
    """Note the convolution of what was taken apart; it must neither stride nor pad by itself."""
    if set(op.get("strides")) != {1} or op.get("padding") != "VALID":
        raise Refusal("a convolution of blocks that strides or pads is not known")
    if x.linear is not None:
        raise Refusal("several convolutions of the same blocks are not known")
    if x.axis is not None:
        kernel = op.reading.once(
            ("squeezed", id(kernel)), lambda: np.squeeze(kernel, (x.axis or 1) - 1)
        )
    return replace(x, linear=(kind, kernel))


@lowers("SpaceToBatchND")
def space_to_batch(op: Op) -> Blocks:
    """The first third of a dilated convolution, as TensorFlow may spell it."""
    block = tuple(int(n) for n in op.constant(1))
    return Blocks(op.tensor(0), block, _pairs(op.constant(2)))


@lowers("BatchToSpaceND")
def batch_to_space(op: Op) -> Tensor:
    """The last third: the convolution with its dilation, its padding less what is cropped."""
    given = op.value(0)
    if not isinstance(given, Blocks) or given.linear is None:
        raise Refusal("blocks of several samples are known only around a dilated convolution")
    kind, kernel = given.linear
    crops = _pairs(op.constant(2))
    pairs = zip(given.padding, crops, strict=True)
    padding = tuple((low - left, high - right) for (low, high), (left, right) in pairs)
    rank = len(given.block)
    if any(n < 0 for pair in padding for n in pair) or given.base.rank != rank + 2:
        raise Refusal("blocks that are cropped by more than they were padded are not known")
    ones = (1,) * rank
    if kind == "depthwise":
        return given.base.then(
            Linear, operation=Depthwise(ones, padding, given.block), kernel=kernel
        )
    groups = int(given.base.shape[-1] or 0) // kernel.shape[-2]
    operation = Convolution(ones, padding, given.block, groups=groups)
    return given.base.then(Linear, operation=operation, kernel=kernel)


def _pairs(array: np.ndarray) -> tuple[tuple[int, int], ...]:
    return tuple((int(low), int(high)) for low, high in array)


@lowers("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def transposed(op: Op) -> Tensor:
    """A transposed convolution: the adjoint of the one that would lead back."""
    first, kernel = channels_first(op), _kernel(op)
    x = op.tensor(2)
    strides = inner(op.get("strides"), first)
    dilation = inner(op.get("dilations"), first)
    sizes, given = spatial(op.shape, first), spatial(x.shape, first)
    if None in sizes or None in given:
        raise UnknownSize("the size of its output is only known at run time")
    padding = padding_of(op, sizes, _reaches(kernel.shape[:-2], dilation), strides)
    terms = zip(sizes, given, strides, strict=True)
    grow = tuple(int(size or 0) - int(n or 0) * stride for size, n, stride in terms)
    forward = Convolution(strides, padding, dilation, channels_first=first)
    return _of_lower_rank(op, x, TransposedConvolution(forward, sizes, grow), kernel)


@lowers("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", rowwise=True)
def matmul(op: Op) -> Tensor:
    """`x @ kernel`, or `matrix @ x` for the last two axes of `x`."""
    plain = op.type == "MatMul"
    left, right = ("transpose_a", "transpose_b") if plain else ("adj_x", "adj_y")
    if not op.is_constant(1):
        if op.is_constant(0) and not op.get(left) and not op.get(right) and not plain:
            return lower_operations.matmul(None, op.constant(0), op.tensor(1))
        raise Refusal("it multiplies two tensors as matrices, which no rule is known for yet")
    kernel = _matrix(op, right)
    if op.get(left):
        raise Refusal("its input is transposed, across samples")
    return op.tensor(0).then(Linear, operation=Dense(), kernel=kernel)


def _matrix(op: Op, transposed: str) -> np.ndarray:
    kernel = op.constant(1)
    shape = kernel.shape
    if len(shape) != 2 and any(n != 1 for n in shape[:-2]):
        raise Refusal(f"a product with a constant of shape {shape} is not known yet")
    if len(shape) == 2 and not op.get(transposed):
        return kernel

    def matrix() -> np.ndarray:
        flat = kernel.reshape(shape[-2:])
        return flat.T if op.get(transposed) else flat

    return op.reading.once(("matrix", id(kernel), op.get(transposed)), matrix)


@lowers("Einsum")
def einsum(op: Op) -> Tensor:
    """A contraction of one tensor and one constant."""
    operands = [op.either(number) for number in range(op.count)]
    return lower_operations.einsum(SimpleNamespace(subscripts=op.get("equation")), *operands)


@lowers("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def fused_batch_norm(op: Op) -> list[Value]:
    """Batch normalization by stored statistics."""
    if op.get("is_training"):
        raise Refusal("it normalizes by the batch's own statistics", "export it for inference")
    gamma, beta, mean, variance = (op.constant(n).astype("float64") for n in range(1, 5))
    scale = gamma / np.sqrt(variance + op.get("epsilon"))
    x, first = op.tensor(0), channels_first(op)
    shape = (-1, *(1,) * (x.rank - 2)) if first else (-1,)
    y = x.then(
        Affine,
        scale=scale.reshape(shape),
        shift=(beta - mean * scale).reshape(shape),
        batch_norm=True,
        axis=1 if first else -1,
    )
    return [y, *[None] * (len(op.operation.outputs) - 1)]
