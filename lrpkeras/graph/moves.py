"""The ways a `Route` node moves values: copy, drop, zero-fill, never mix.

Each move has a forward function of its inputs and an adjoint that returns one array per input. All
keep the batch axis, axis 0, in place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from lrpkeras import backend

Array = Any
Shape = tuple[int | None, ...]


class Move(Protocol):
    """What a `Route` node needs of a move."""

    @property
    def fills(self) -> bool:
        """Whether some outputs are zeros that come from no input."""

    @property
    def drops(self) -> bool:
        """Whether some inputs reach no output."""

    def apply(self, *inputs: Array) -> Array:
        """Return the moved values."""

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        """Return one array per input, of `shapes` (the batch entry of each is unused)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the static output shape, with batch."""


@dataclass(frozen=True)
class Keep:
    """Nothing moves: a name for a tensor, left where a folded layer stood."""

    fills = drops = False

    def apply(self, *inputs: Array) -> Array:
        return inputs[0]

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        return (s,)

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0]


@dataclass(frozen=True)
class Reshape:
    """Reshape to `target`, without batch; at most one entry is -1."""

    target: tuple[int, ...]
    fills = drops = False

    def apply(self, *inputs: Array) -> Array:
        target = self._resolved(inputs[0].shape)
        batch = backend.shape(inputs[0])[0] if -1 in target else -1
        return ops.reshape(inputs[0], (batch, *target))

    def _resolved(self, shape: Shape) -> tuple[int, ...]:
        known = shape[1:]
        if -1 not in self.target or None in known:
            return self.target
        given = math.prod(n for n in self.target if n != -1)
        rest = math.prod(n for n in known if n is not None) // given
        return tuple(rest if n == -1 else n for n in self.target)

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        return (ops.reshape(s, (-1, *shapes[0][1:])),)

    def output_shape(self, *shapes: Shape) -> Shape:
        resolved = self._resolved(shapes[0])
        return (shapes[0][0], *(None if n == -1 else n for n in resolved))


@dataclass(frozen=True)
class Transpose:
    """Permute axes; `axes` covers the batch too, and axes[0] is 0."""

    axes: tuple[int, ...]
    fills = drops = False

    def apply(self, *inputs: Array) -> Array:
        return ops.transpose(inputs[0], self.axes)

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        return (ops.transpose(s, tuple(int(i) for i in np.argsort(self.axes))),)

    def output_shape(self, *shapes: Shape) -> Shape:
        return tuple(shapes[0][axis] for axis in self.axes)


@dataclass(frozen=True)
class Pad:
    """Fill with zeros; a (before, after) pair for every axis but the batch."""

    padding: tuple[tuple[int, int], ...]
    fills = True
    drops = False

    def apply(self, *inputs: Array) -> Array:
        return ops.pad(inputs[0], ((0, 0), *self.padding))

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        cut = tuple(slice(low, -high if high else None) for low, high in self.padding)
        return (s[(slice(None), *cut)],)

    def output_shape(self, *shapes: Shape) -> Shape:
        sizes = zip(shapes[0][1:], self.padding, strict=True)
        return (shapes[0][0], *(None if n is None else n + sum(pad) for n, pad in sizes))


@dataclass(frozen=True)
class Crop:
    """Drop a (before, after) pair of counts along every axis but the batch."""

    cropping: tuple[tuple[int, int], ...]
    fills = False
    drops = True

    def apply(self, *inputs: Array) -> Array:
        return Pad(self.cropping).adjoint(inputs[0], (inputs[0].shape,))[0]

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        return (Pad(self.cropping).apply(s),)

    def output_shape(self, *shapes: Shape) -> Shape:
        sizes = zip(shapes[0][1:], self.cropping, strict=True)
        return (shapes[0][0], *(None if n is None else n - sum(cut) for n, cut in sizes))


@dataclass(frozen=True)
class Gather:
    """Take `indices` along `axis`, some of them perhaps several times: slices, flips, copies."""

    indices: tuple[int, ...]
    axis: int
    size: int
    fills = False

    @property
    def drops(self) -> bool:
        return len(set(self.indices)) < self.size

    def apply(self, *inputs: Array) -> Array:
        step = self._stride()
        if step is not None:
            cut = slice(self.indices[0], self.indices[-1] + 1, step)
            return inputs[0][(*(slice(None),) * self.axis, cut)]
        return ops.take(inputs[0], np.array(self.indices, "int32"), axis=self.axis)

    def _stride(self) -> int | None:
        """The step, where the indices are an ascending slice."""
        steps = set(np.diff(self.indices).tolist()) or {1}
        step = steps.pop()
        return step if not steps and step > 0 else None

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        """Add up, for each input, what its copies hold: a matrix product with the 0/1 selection."""
        if self._stride() == 1:
            padding = [(0, 0)] * (len(s.shape) - 1)
            padding[self.axis - 1] = (self.indices[0], self.size - 1 - self.indices[-1])
            return (ops.pad(s, ((0, 0), *padding)),)
        selection = np.zeros((len(self.indices), self.size))
        selection[np.arange(len(self.indices)), self.indices] = 1.0
        summed = backend.matmul(
            ops.moveaxis(s, self.axis, -1), backend.constant(selection, dtype=s.dtype)
        )
        return (ops.moveaxis(summed, -1, self.axis),)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = list(shapes[0])
        shape[self.axis] = len(self.indices)
        return tuple(shape)


@dataclass(frozen=True)
class Repeat:
    """Copy every entry along `axis` `times` times, copies side by side (nearest upsampling)."""

    axis: int
    times: int
    fills = drops = False

    def apply(self, *inputs: Array) -> Array:
        return ops.repeat(inputs[0], self.times, axis=self.axis)

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        shape = shapes[0]
        split = ops.reshape(s, (-1, *shape[1 : self.axis + 1], self.times, *shape[self.axis + 1 :]))
        return (ops.sum(split, axis=self.axis + 1),)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = list(shapes[0])
        size = shape[self.axis]
        shape[self.axis] = None if size is None else size * self.times
        return tuple(shape)


@dataclass(frozen=True)
class Concatenate:
    """Several inputs side by side along `axis` (never the batch)."""

    axis: int
    fills = drops = False

    def apply(self, *inputs: Array) -> Array:
        return ops.concatenate(inputs, axis=self.axis)

    def adjoint(self, s: Array, shapes: tuple[tuple, ...]) -> tuple[Array, ...]:
        parts, start = [], 0
        for shape in shapes:
            stop = start + shape[self.axis]
            parts.append(s[(*(slice(None),) * self.axis, slice(start, stop))])
            start = stop
        return tuple(parts)

    def output_shape(self, *shapes: Shape) -> Shape:
        sizes = [shape[self.axis] for shape in shapes]
        total = None if None in sizes else sum(n for n in sizes if n is not None)
        return (*shapes[0][: self.axis], total, *shapes[0][self.axis + 1 :])
