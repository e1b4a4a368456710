"""The linear maps that a `Linear` or `Affine` node can hold: how each applies, and its adjoint.

An operation is the geometry alone (strides, padding, equation); the kernel is an argument, so that
a rule may put a modified one in its place. All act on arrays with a batch axis in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from lrpkeras import backend

Array = Any
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class FlatForm:
    """An operation with every weight set to one, in its cheapest form.

    `adjoint(s) = expand(operation.adjoint(reduce(s), kernel))`, and the number of inputs that reach
    an output is `fan * operation.apply(ones, kernel)` for ones with `width` channels (None: as many
    as the input has).
    """

    reduce: Callable[[Array], Array]
    operation: LinearOperation
    kernel: np.ndarray
    expand: Callable[[Array], Array]
    repeat: Callable[[Array], Array]
    width: int | None
    fan: int


class LinearOperation(Protocol):
    """What rules and passes need to know of a linear map."""

    @property
    def pads(self) -> bool:
        """Whether outputs near a border see fewer inputs than others."""

    @property
    def channel_axis(self) -> int:
        """The axis of input and output that the kernel's channels run along."""

    def apply(self, x: Array, kernel: Array) -> Array:
        """Return `L(x, kernel)`, without bias."""

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        """Return the adjoint at `s`; `shape` is the input's shape, its batch entry unused."""

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        """Return the static output shape for a static input shape, both with batch."""

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        """Return the kernel of `scale * L(x)`, `scale` a vector along the output channels."""

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        """Return the kernel of `L(scale * x)`, `scale` a vector along the input channels."""

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        """Return the operation with all weights one."""

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        """Return how many inputs an output reads where nothing is padded."""


def same(x: Array) -> Array:
    """Return `x`: there is nothing to add up or to copy."""
    return x


def sum_channels(groups: int) -> Callable[[Array], Array]:
    """Sum the last axis within each of `groups` equal runs of channels."""

    def reduce(s: Array) -> Array:
        if groups == 1:
            return ops.sum(s, axis=-1, keepdims=True)
        shape = backend.shape(s)
        split = ops.reshape(s, (*shape[:-1], groups, shape[-1] // groups))
        return ops.sum(split, axis=-1)

    return reduce


def repeat_channels(times: int) -> Callable[[Array], Array]:
    """Copy every channel `times` times, copies side by side."""
    return lambda x: x if times == 1 else ops.repeat(x, times, axis=-1)


@dataclass(frozen=True)
class Dense:
    """`x @ kernel` along the last axis; kernel `(in, out)`."""

    pads = False
    channel_axis = -1

    def apply(self, x: Array, kernel: Array) -> Array:
        return backend.matmul(x, kernel)

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        return backend.matmul_adjoint(s, kernel)

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        return (*shape[:-1], kernel_shape[-1])

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale[:, None]

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        inputs = kernel_shape[0]
        expand = repeat_channels(inputs)
        one = np.ones((1, 1))
        return FlatForm(sum_channels(1), self, one, expand, same, 1, inputs)

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        return kernel_shape[0]


@dataclass(frozen=True)
class Einsum:
    """A general contraction, as `keras.layers.EinsumDense` has it: `equation` "ab,bc->ac"."""

    equation: str
    pads = False
    channel_axis = -1

    @property
    def letters(self) -> tuple[str, str, str]:
        """The index letters of input, kernel and output."""
        left, output = self.equation.split("->")
        inputs, kernel = left.split(",")
        return inputs, kernel, output

    def apply(self, x: Array, kernel: Array) -> Array:
        return backend.einsum(self.equation, x, kernel)

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        inputs, letters, output = self.letters
        return backend.einsum(f"{output},{letters}->{inputs}", s, kernel)

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        inputs, letters, output = self.letters
        size = dict(zip(letters, kernel_shape, strict=True)) | dict(zip(inputs, shape, strict=True))
        return tuple(size[letter] for letter in output)

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return self._scale(kernel, scale, self.letters[2][-1])

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return self._scale(kernel, scale, self.letters[0][-1])

    def _scale(self, kernel: np.ndarray, scale: np.ndarray, letter: str) -> np.ndarray | None:
        letters = self.letters[1]
        if letter not in letters:
            return None
        return np.einsum(f"{letters},{letter}->{letters}", kernel, scale)

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        inputs, letters, _ = self.letters
        width = kernel_shape[letters.index(inputs[-1])] if inputs[-1] in letters else None
        return FlatForm(same, self, np.ones(kernel_shape), same, same, width, 1)

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        _, letters, output = self.letters
        sizes = zip(letters, kernel_shape, strict=True)
        return math.prod(size for letter, size in sizes if letter not in output)


@dataclass(frozen=True)
class Scale:
    """`kernel * x`, elementwise: the linear part of an `Affine` node."""

    pads = False
    channel_axis = -1

    def apply(self, x: Array, kernel: Array) -> Array:
        return x * kernel

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        return s * kernel

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        return shape

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        return FlatForm(same, self, np.ones(()), same, same, 1, 1)

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        return 1
