"""Operations that move values: shapes, slices, joints, padding, copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrpkeras.graph import lower_array_operations as moving
from lrpkeras.graph import lower_slicing as slicing
from lrpkeras.graph.draft import Refusal, Tensor, UnknownSize
from lrpkeras.graph.lower_merging import concatenate, reshape
from lrpkeras.graph.lower_normalization import affine
from lrpkeras.graph.moves import Gather, Move, Pad, Repeat, Shape
from lrpkeras.graph.nodes import Route
from lrpkeras.graph.tensorflow_reader.lowering import Blocks, Op, Rows, Value, lowers


@lowers("Reshape", "Squeeze", "ExpandDims")
def to_shape(op: Op) -> Value:
    """To the static shape of the output; samples stay apart, or become rows."""
    x = op.value(0)
    if isinstance(x, Blocks):
        return _of_blocks(op, x)
    shape = _target(op, x.base if isinstance(x, Rows) else op.tensor(0))
    if isinstance(x, Rows):
        return _from_rows(x, shape)
    if shape == x.shape and None not in shape[1:]:
        return x
    before, axis = op.reading.expanded.get(x.name, (None, 0))
    if before is not None and shape == (*x.shape[:axis], *x.shape[axis + 1 :]):
        return before
    are_rows = len(shape) == 2 and shape[1] is not None and shape[1] == x.shape[-1]
    if _sizes(x.shape) == _sizes(shape) and not (are_rows and _leads_back(op)):
        return _reshaped(op, x, shape)
    if are_rows:
        return Rows(x)
    if None in x.shape[1:] or None in shape[1:]:
        raise UnknownSize(f"whether reshaping {x.shape} to {shape} keeps samples apart is unknown")
    raise Refusal(f"it reshapes {x.shape} to {shape}, across samples")


def _leads_back(op: Op) -> bool:
    """Whether a single row for each sample is taken for one matrix product, as a tensor product is.

    (`tf.tensordot` reshapes to rows, multiplies, and reshapes to the axes that there were.)
    """
    readers = op.operation.outputs[0].consumers()
    back = [after for x in readers for y in x.outputs for after in y.consumers()]
    return [x.type for x in readers] == ["MatMul"] and [x.type for x in back] == ["Reshape"]


def _of_blocks(op: Op, x: Blocks) -> Blocks:
    """Put in, or take out, the axis that a convolution of rank 1 needs to be one of rank 2."""
    if op.type == "ExpandDims" and x.axis is None:
        return replace(x, axis=int(op.constant(1)) % (x.base.rank + 1))
    dropped = [] if op.type == "ExpandDims" else op.get("squeeze_dims")
    if x.axis is not None and [axis % (x.base.rank + 1) for axis in dropped] == [x.axis]:
        return replace(x, axis=None)
    raise Refusal("blocks of several samples are known only around a dilated convolution")


def _target(op: Op, x: Tensor) -> Shape:
    """The static shape to reshape to, worked out from the sizes of `x` if need be."""
    if op.type != "Reshape":
        return _squeezed(op, x) if op.type == "Squeeze" else _expanded(op, x)
    static = op.operation.outputs[0].shape
    known = static.rank is not None and None not in static[1:]
    if None in x.shape[1:] or known:
        return op.shape
    sizes = op.reading.constants.sizes(op.operation.inputs[1], _sizes(x.shape)[0])
    if None in sizes[1:]:
        raise Refusal(f"it reshapes {x.shape} to {sizes}, across samples")
    return (None, *sizes[1:])


def _squeezed(op: Op, x: Tensor) -> Shape:
    dropped = {axis % x.rank for axis in op.get("squeeze_dims")}
    dropped = dropped or {axis for axis, size in enumerate(x.shape) if size == 1}
    if 0 in dropped:
        raise Refusal("it drops the batch axis")
    return tuple(size for axis, size in enumerate(x.shape) if axis not in dropped)


def _expanded(op: Op, x: Tensor) -> Shape:
    axis = int(op.constant(1)) % (x.rank + 1)
    if axis == 0:
        raise Refusal("it puts an axis before the batch")
    return (*x.shape[:axis], 1, *x.shape[axis:])


def _sizes(shape: Shape) -> tuple[int, int]:
    """The product of the known sizes of one sample, and how many are unknown."""
    known = [n for n in shape[1:] if n is not None]
    return math.prod(known), len(shape) - 1 - len(known)


def _reshaped(op: Op, x: Tensor, shape: Shape) -> Tensor:
    axis = _new_axis(x.shape, shape)
    if shape.count(None) > 2 and axis is None:
        raise UnknownSize(f"reshaping to {shape} needs sizes that are only known at run time")
    y = reshape(x, shape[1:])
    if axis is not None:
        op.reading.expanded[y.name] = (x, axis)
    return y


def _new_axis(shape: Shape, wide: Shape) -> int | None:
    """The axis of size 1 that was put into a shape, if that is all that happened."""
    if len(wide) != len(shape) + 1:
        return None
    fits = (a for a in range(1, len(wide)) if wide[a] == 1 and (*wide[:a], *wide[a + 1 :]) == shape)
    return next(fits, None)


def _from_rows(x: Rows, shape: Shape) -> Tensor | Rows:
    """Split rows into samples again; what a sample holds was never moved."""
    if len(shape) == 2 and shape[1] == x.base.shape[-1] and x.base.rank > 2:
        return x
    if None in shape[1:] or _sizes(shape) != _sizes(x.base.shape):
        raise Refusal(f"it reshapes merged samples to {shape}, not as they were: {x.base.shape}")
    return x.base if shape == x.base.shape else reshape(x.base, shape[1:])


@lowers("Transpose")
def transpose(op: Op) -> Tensor:
    """Axes in another order, the batch in place."""
    axes = [int(n) for n in op.constant(1)]
    if axes == sorted(axes):
        return op.tensor(0)
    return moving.transpose(SimpleNamespace(axes=axes), op.tensor(0))


@lowers("ConcatV2")
def join(op: Op) -> Tensor:
    """Side by side along an axis."""
    last = op.count - 1
    return _joined([op.either(n) for n in range(last)], int(op.constant(last)))


def _joined(parts: Sequence[Any], axis: int) -> Tensor:
    """Join tensors and constants: zeros in the constants' places, and then a shift."""
    tensors = [x for x in parts if isinstance(x, Tensor)]
    if len(tensors) == len(parts):
        return tensors[0] if len(parts) == 1 else concatenate(tensors, axis)
    axis = axis % tensors[0].rank
    if axis == 0:
        raise Refusal("it joins samples")
    if any(None in x.shape[1:] for x in tensors):
        raise UnknownSize("it joins constants to tensors of unknown size")
    zeros = [np.zeros(_known(x)) if isinstance(x, Tensor) else x for x in parts]
    sizes = [int(x.shape[axis]) for x in zeros]
    padded = []
    for number, x in enumerate(parts):
        if isinstance(x, Tensor):
            around = (sum(sizes[:number]), sum(sizes[number + 1 :]))
            pairs = tuple(around if a == axis else (0, 0) for a in range(1, x.rank))
            padded.append(x.then(Route, "pad", move=Pad(pairs)))
    total = padded[0]
    if len(padded) > 1:
        raise Refusal("it joins constants to several tensors, which is not known yet")
    return affine(total, 1.0, np.concatenate(zeros, axis))


def _known(x: Tensor) -> tuple[int, ...]:
    """The shape of one sample of known size, in a batch of one."""
    return (1, *(int(n or 0) for n in x.shape[1:]))


@lowers("Pack")
def pack(op: Op) -> Tensor:
    """Side by side along a new axis."""
    return moving.stack(SimpleNamespace(axis=op.get("axis")), op.data)


@lowers("Unpack")
def unpack(op: Op) -> list[Tensor]:
    """The entries of an axis, one by one."""
    return slicing.unstack(SimpleNamespace(axis=op.get("axis")), op.tensor())


@lowers("Split")
def split(op: Op) -> list[Tensor]:
    """Equal parts of an axis."""
    count = op.get("num_split")
    where = SimpleNamespace(axis=int(op.constant(0)), indices_or_sections=count)
    return slicing.split(where, op.tensor(1))


@lowers("SplitV")
def split_unequally(op: Op) -> list[Tensor]:
    """Parts of an axis of given sizes."""
    sizes, x, axis = op.constant(1).tolist(), op.tensor(0), int(op.constant(2))
    total = x.shape[axis]
    if -1 in sizes:
        if total is None:
            raise UnknownSize("the size of an axis that it splits is only known at run time")
        sizes[sizes.index(-1)] = total - sum(sizes) - 1
    bounds = np.cumsum(sizes)[:-1].tolist()
    return slicing.split(SimpleNamespace(axis=axis, indices_or_sections=bounds), x)


@lowers("StridedSlice")
def strided_slice(op: Op) -> Tensor:
    """`x[begin:end:step]`, with TensorFlow's masks."""
    begin, end, steps = (op.constant(n).tolist() for n in (1, 2, 3))
    bits = {
        name: op.get(f"{name}_mask")
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    key: list[Any] = []
    for axis, (low, high, step) in enumerate(zip(begin, end, steps, strict=True)):
        bit = 1 << axis
        if bits["ellipsis"] & bit:
            key.append(Ellipsis)
        elif bits["new_axis"] & bit:
            key.append(None)
        elif bits["shrink_axis"] & bit:
            key.append(int(low))
        else:
            start = None if bits["begin"] & bit else low
            key.append(slice(start, None if bits["end"] & bit else high, step))
    return slicing.get_item(None, op.tensor(0), tuple(key))


@lowers("Slice")
def slice_(op: Op) -> Tensor:
    """A block that begins somewhere and has a size; -1: all the rest."""
    pairs = zip(op.constant(1).tolist(), op.constant(2).tolist(), strict=True)
    key = [slice(low or None, None if size == -1 else low + size) for low, size in pairs]
    return slicing.get_item(None, op.tensor(0), tuple(key))


@lowers("Tile")
def tile(op: Op) -> Tensor:
    """Every axis several times over."""
    x, times = op.tensor(0), [int(n) for n in op.constant(1)]
    if times[0] != 1:
        raise Refusal("it repeats the samples of a batch")
    moves: list[Move] = []
    for axis, count in enumerate(times):
        size = x.shape[axis]
        if axis and count > 1:
            if size is None:
                raise UnknownSize("the size of an axis that it repeats is only known at run time")
            whole = tuple(range(size)) * count
            moves.append(Repeat(axis, count) if size == 1 else Gather(whole, axis, size))
    return moving.moved(x, moves)


@lowers("BroadcastTo")
def broadcast_to(op: Op) -> Tensor:
    """Axes of size 1 repeated."""
    x, shape = op.tensor(0), op.shape
    pairs = list(enumerate(zip(x.shape, shape, strict=False)))
    if x.rank != len(shape) or None in shape[1:]:
        raise UnknownSize(f"it broadcasts {x.shape} to {shape}")
    return moving.moved(x, [Repeat(a, int(m or 1)) for a, (n, m) in pairs if a and n != m])


@lowers("GatherV2")
def gather(op: Op) -> Tensor:
    """Entries along an axis, by constant indices."""
    if op.is_constant(0):
        raise Refusal("it takes entries of a constant that is no table of rows")
    if op.get("batch_dims"):
        raise Refusal("it takes other entries of each sample")
    axis = SimpleNamespace(axis=int(op.constant(2)))
    if not op.is_constant(1):
        raise Refusal("it takes entries that depend on the input")
    return slicing.take(axis, op.tensor(0), op.constant(1))


@lowers("Pad", "PadV2")
def pad(op: Op) -> Tensor:
    """Zeros around, or another constant."""
    widths = [(int(low), int(high)) for low, high in op.constant(1)]
    x, value = op.tensor(0), float(op.constant(2)) if op.type == "PadV2" else 0.0
    y = moving.pad(SimpleNamespace(mode="constant", pad_width=widths), x)
    if value == 0:
        return y
    if None in x.shape[1:]:
        raise UnknownSize("it pads an unknown size with a constant other than zero")
    around = np.pad(np.zeros(_known(x)[1:]), widths[1:], constant_values=value)
    return affine(y, 1.0, around)


@lowers("MirrorPad")
def mirror_pad(op: Op) -> Tensor:
    """Copies of the border around."""
    mode = {"REFLECT": "reflect", "SYMMETRIC": "symmetric"}[op.get("mode")]
    x, moves = op.tensor(0), []
    for axis, (low, high) in enumerate(op.constant(1).tolist()):
        size = x.shape[axis]
        if not (low or high):
            continue
        if size is None:
            raise UnknownSize("it mirrors along an axis whose size is only known at run time")
        indices = np.pad(np.arange(size), (low, high), mode=mode)  # type: ignore[call-overload]
        moves.append(Gather(tuple(indices.tolist()), axis, size))
    return moving.moved(x, moves)


@lowers("ReverseV2")
def reverse(op: Op) -> Tensor:
    """Axes reversed."""
    return slicing.flip(SimpleNamespace(axis=op.constant(1).tolist()), op.tensor(0))
