"""Convolutions as linear maps: grouped, depthwise, transposed, of rank 1 to 3."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.operations import (
    Array,
    FlatForm,
    LinearOperation,
    Shape,
    repeat_channels,
    same,
    sum_channels,
)

Padding = tuple[tuple[int, int], ...] | str


@dataclass(frozen=True)
class Windowed:
    """What a convolution and a depthwise one share: windows that move over the spatial axes.

    `padding` is explicit, a (before, after) pair for each spatial axis; the word "same" stands for
    TensorFlow's rule and is kept only where the input's size is unknown until run time.
    """

    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    channels_first: bool = field(default=False, kw_only=True)

    @property
    def pads(self) -> bool:
        return self.padding == "same" or any(map(any, self.padding))

    @property
    def channel_axis(self) -> int:
        return 1 if self.channels_first else -1

    @property
    def _geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}

    def _last(self, x: Array) -> Array:
        return ops.moveaxis(x, 1, -1) if self.channels_first else x

    def _first(self, x: Array) -> Array:
        return ops.moveaxis(x, -1, 1) if self.channels_first else x

    def _output_shape(self, shape: Shape, window: tuple[int, ...], channels: int) -> Shape:
        sizes = zip(_spatial(shape, self.channels_first), window, strict=True)
        spatial = tuple(self._size(size, n, axis) for axis, (size, n) in enumerate(sizes))
        if self.channels_first:
            return (shape[0], channels, *spatial)
        return (shape[0], *spatial, channels)

    def _size(self, size: int | None, window: int, axis: int) -> int | None:
        if size is None:
            return None
        stride = self.strides[axis]
        if isinstance(self.padding, str):
            return -(-size // stride)
        reach = (window - 1) * self.dilation[axis] + 1
        return (size + sum(self.padding[axis]) - reach) // stride + 1


@dataclass(frozen=True)
class Convolution(Windowed):
    """A convolution of rank 1 to 3; kernel `(*window, in / groups, out)`."""

    groups: int = 1

    def apply(self, x: Array, kernel: Array) -> Array:
        y = backend.convolve(self._last(x), kernel, groups=self.groups, **self._geometry)
        return self._first(y)

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        spatial = _spatial(shape, self.channels_first)
        x = backend.convolve_adjoint(
            self._last(s), kernel, spatial, groups=self.groups, **self._geometry
        )
        return self._first(x)

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        return self._output_shape(shape, kernel_shape[:-2], kernel_shape[-1])

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        per_group = scale.reshape(self.groups, -1)
        return kernel * np.repeat(per_group, kernel.shape[-1] // self.groups, axis=0).T

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        fan = kernel_shape[-2]
        first = self.channels_first
        # A convolution of one channel is several times faster than a depthwise one.
        box: LinearOperation = Depthwise(
            self.strides, self.padding, self.dilation, channels_first=first
        )
        if self.groups == 1:
            box = Convolution(self.strides, self.padding, self.dilation, channels_first=first)
        kernel = np.ones((*kernel_shape[:-2], self.groups, 1))
        move = _on_channels(first)
        outputs = kernel_shape[-1] // self.groups
        return FlatForm(
            move(sum_channels(self.groups)),
            box,
            kernel,
            move(repeat_channels(fan)),
            move(repeat_channels(outputs)),
            self.groups,
            fan,
        )

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        return math.prod(kernel_shape[:-1])


@dataclass(frozen=True)
class Depthwise(Windowed):
    """Every channel convolved on its own; kernel `(*window, in, multiplier)`."""

    def apply(self, x: Array, kernel: Array) -> Array:
        return self._first(backend.depthwise(self._last(x), kernel, **self._geometry))

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        spatial = _spatial(shape, self.channels_first)
        x = backend.depthwise_adjoint(self._last(s), kernel, spatial, **self._geometry)
        return self._first(x)

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        return self._output_shape(shape, kernel_shape[:-2], kernel_shape[-2] * kernel_shape[-1])

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale.reshape(kernel.shape[-2:])

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale[:, None]

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        channels, multiplier = kernel_shape[-2:]
        move = _on_channels(self.channels_first)
        reduce = same if multiplier == 1 else move(sum_channels(channels))
        repeat = move(repeat_channels(multiplier))
        kernel = np.ones((*kernel_shape[:-1], 1))
        return FlatForm(reduce, self, kernel, same, repeat, channels, 1)

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        return math.prod(kernel_shape[:-2])


@dataclass(frozen=True)
class TransposedConvolution:
    """The adjoint of a convolution, as Keras' Conv*Transpose; kernel `(*window, out, in)`.

    `convolution` maps this operation's output to its input; `spatial` is the output's static size,
    None where it is `input * stride + grow` at run time.
    """

    convolution: Convolution
    spatial: tuple[int | None, ...]
    grow: tuple[int, ...]
    pads = True

    @property
    def channel_axis(self) -> int:
        return self.convolution.channel_axis

    def _size(self, shape: tuple) -> tuple:
        sizes = _spatial(shape, self.convolution.channels_first)
        terms = zip(self.spatial, sizes, self.convolution.strides, self.grow, strict=True)
        return tuple(n * stride + grow if s is None else s for s, n, stride, grow in terms)

    def apply(self, x: Array, kernel: Array) -> Array:
        size = self._size(backend.shape(x))
        target = (None, None, *size) if self.convolution.channels_first else (None, *size, None)
        return self.convolution.adjoint(x, kernel, target)

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        return self.convolution.apply(s, kernel)

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        if self.convolution.channels_first:
            return (shape[0], kernel_shape[-2], *self.spatial)
        return (shape[0], *self.spatial, kernel_shape[-2])

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale[:, None]

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * scale

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        outputs, inputs = kernel_shape[-2:]
        move = _on_channels(self.convolution.channels_first)
        return FlatForm(
            move(sum_channels(1)),
            self,
            np.ones((*kernel_shape[:-2], 1, 1)),
            move(repeat_channels(inputs)),
            move(repeat_channels(outputs)),
            1,
            inputs,
        )

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        return math.prod(kernel_shape[:-2]) * kernel_shape[-1]


def _spatial(shape: tuple, channels_first: bool) -> tuple:
    return tuple(shape[2:] if channels_first else shape[1:-1])


def _on_channels(channels_first: bool) -> Callable:
    """Turn a function of the last axis into one of the channel axis."""

    def decorate(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        if not channels_first:
            return function
        return lambda x: ops.moveaxis(function(ops.moveaxis(x, 1, -1)), -1, 1)

    return decorate
