"""Operations that take part of a tensor: slices, indices, splits, reversal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from keras.src.ops import core, numpy

from lrpkeras import backend
from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, register
from lrpkeras.graph.lower_array_operations import feature_axes, moved
from lrpkeras.graph.lower_merging import reshape
from lrpkeras.graph.moves import Crop, Gather, Move
from lrpkeras.graph.nodes import Route

Operation = Any
EVERYTHING = slice(None)


@register(numpy.GetItem)
def get_item(operation: Operation, x: Tensor, key: Any) -> Tensor:
    """`x[key]` of slices, whole numbers, `...` and `None`; the batch stays whole."""
    entries = _spelled_out(key, x.rank)
    selected = [entry for entry in entries if entry is not None]
    if entries[0] is None or not _is_everything(selected[0], x.shape[0]):
        raise Refusal("it takes part of the batch, or puts an axis before it")
    moves: list[Move] = []
    for axis, entry in enumerate(selected):
        moves += _selecting(entry, axis, x) if axis else []
    sizes = iter(_after(moves, x)[1:])
    kept = [next(sizes) if e is not None else 1 for e in entries[1:]]
    target = tuple(
        n for n, e in zip(kept, entries[1:], strict=True) if not isinstance(e, int | np.integer)
    )
    if len(target) == len(selected) - 1 and None not in entries:
        return moved(x, moves)
    for number, move in enumerate(moves):
        x = x.then(Route, f"step{number}", move=move)
    return reshape(x, target)


def _spelled_out(key: Any, rank: int) -> list[Any]:
    """Return one entry an axis, `None` for a new one."""
    entries = list(key) if isinstance(key, tuple | list) else [key]
    if any(isinstance(entry, Tensor) for entry in entries):
        raise Refusal("it takes entries that depend on the input")
    dots = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    missing = rank - sum(entry is not None and entry is not Ellipsis for entry in entries)
    at = dots[0] if dots else len(entries)
    return [*entries[:at], *[EVERYTHING] * missing, *entries[at + 1 :]]


def _is_everything(entry: Any, size: int | None) -> bool:
    if not isinstance(entry, slice):
        return False
    return (entry.start or 0) == 0 and entry.stop is None and entry.step in (None, 1)


def _selecting(entry: Any, axis: int, x: Tensor) -> list[Move]:
    size = x.shape[axis]
    if _is_everything(entry, size):
        return []
    if isinstance(entry, slice) and size is None:
        return [_crop(axis, x.rank, *_cut_of_unknown(entry))]
    if size is None:
        raise UnknownSize(f"which entries of axis {axis} it takes is only known at run time")
    if isinstance(entry, slice):
        return [chosen(range(*entry.indices(size)), axis, x)]
    return [chosen(_indices(entry), axis, x)]


def _cut_of_unknown(entry: slice) -> tuple[int, int]:
    """Return how many entries a slice cuts at the front and the end, for any size."""
    start, stop = entry.start or 0, entry.stop
    if start < 0 or (stop is not None and stop >= 0) or entry.step not in (None, 1):
        raise UnknownSize("how much of an axis the slice leaves is only known at run time")
    return start, -(stop or 0)


def _crop(axis: int, rank: int, low: int, high: int) -> Crop:
    return Crop(tuple((low, high) if a == axis else (0, 0) for a in range(1, rank)))


def _indices(entry: Any) -> list[int]:
    array = np.asarray(backend.to_numpy(entry))
    if array.ndim > 1 or not np.issubdtype(array.dtype, np.integer):
        raise Refusal("it indexes with something other than whole numbers along one axis")
    return [int(i) for i in np.atleast_1d(array)]


def chosen(indices: Sequence[int], axis: int, x: Tensor) -> Move:
    """Return the move that takes `indices` along an axis of known size.

    A run of neighbours is a crop, which costs nothing on the way back.
    """
    size = x.shape[axis]
    if size is None:
        raise UnknownSize(f"the size of axis {axis} is only known at run time")
    taken = [i + size if i < 0 else i for i in indices]
    if not taken or min(taken) < 0 or max(taken) >= size:
        raise Refusal(f"it takes {list(indices)} of an axis of size {size}")
    if taken == list(range(taken[0], taken[-1] + 1)):
        return _crop(axis, x.rank, taken[0], size - 1 - taken[-1])
    return Gather(tuple(taken), axis, size)


def _after(moves: Sequence[Move], x: Tensor) -> tuple[int | None, ...]:
    shape = x.shape
    for move in moves:
        shape = move.output_shape(shape)
    return shape


@register(numpy.Take)
def take(operation: Operation, x: Tensor, indices: Any) -> Tensor:
    """Entries along an axis, by constant indices of any shape."""
    if isinstance(indices, Tensor):
        raise Refusal("it takes entries that depend on the input")
    if operation.axis is None:
        raise Refusal("it takes entries across samples", "name an axis, not 0")
    (axis,) = feature_axes(operation.axis, x)
    array = np.asarray(backend.to_numpy(indices))
    move = chosen(_indices(array.reshape(-1)), axis, x)
    if array.ndim == 1:
        return x.then(Route, move=move)
    target = (*x.shape[1:axis], *array.shape, *x.shape[axis + 1 :])
    return reshape(x.then(Route, "take", move=move), target)


@register(numpy.Split)
def split(operation: Operation, x: Tensor) -> list[Tensor]:
    """The parts of an axis, each a crop."""
    (axis,) = feature_axes(operation.axis, x)
    size, where = x.shape[axis], operation.indices_or_sections
    if size is None:
        raise UnknownSize(f"the size of axis {axis} is only known at run time")
    if isinstance(where, int):
        where = range(size // where, size, size // where)
    bounds = [0, *where, size]
    return [
        x.then(Route, str(number), move=_crop(axis, x.rank, low, size - high))
        for number, (low, high) in enumerate(pairwise(bounds))
    ]


@register(core.Unstack)
def unstack(operation: Operation, x: Tensor) -> list[Tensor]:
    """The entries of an axis, one by one."""
    (axis,) = feature_axes(operation.axis, x)
    size = x.shape[axis]
    if size is None:
        raise UnknownSize(f"the size of axis {axis} is only known at run time")
    target = (*x.shape[1:axis], *x.shape[axis + 1 :])
    entries = [x.then(Route, "take", move=chosen([i], axis, x)) for i in range(size)]
    return [reshape(entry, target, str(i)) for i, entry in enumerate(entries)]


@register(numpy.Flip)
def flip(operation: Operation, x: Tensor) -> Tensor:
    """An axis, or several, reversed."""
    moves: list[Move] = []
    for axis in feature_axes(operation.axis, x):
        size = x.shape[axis]
        if size is None:
            raise UnknownSize(f"the size of axis {axis} is only known at run time")
        moves.append(Gather(tuple(reversed(range(size))), axis, size))
    return moved(x, moves)
