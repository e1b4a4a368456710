"""A linear map of whole samples, written out as one dense matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.operations import FlatForm, LinearOperation, Shape

Array = Any


@dataclass(frozen=True)
class Matrix:
    """Every entry of a sample times a weight of its own for every output: kernel `(in, out)`.

    What a convolution is as a fully connected layer [Guillemot et al. 2020, section 4]. Inputs and
    outputs keep their shapes, and `inner`, the operation that it was, still tells which inputs an
    output reads at all: a weight of zero is none where there was none before.

    Parameters
    ----------
    inner
        The operation that was written out.
    inner_kernel
        Its kernel's shape.
    inputs, outputs
        The shapes of one sample.
    """

    inner: LinearOperation
    inner_kernel: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    # A constant input gives other outputs at other positions, as it does where borders are padded.
    pads = True

    @property
    def channel_axis(self) -> int:
        return self.inner.channel_axis

    def apply(self, x: Array, kernel: Array) -> Array:
        flat = ops.reshape(x, (-1, math.prod(self.inputs)))
        return ops.reshape(backend.matmul(flat, kernel), (-1, *self.outputs))

    def adjoint(self, s: Array, kernel: Array, shape: tuple) -> Array:
        flat = ops.reshape(s, (-1, math.prod(self.outputs)))
        return ops.reshape(backend.matmul_adjoint(flat, kernel), (-1, *self.inputs))

    def output_shape(self, shape: Shape, kernel_shape: tuple[int, ...]) -> Shape:
        return (shape[0], *self.outputs)

    def scale_output(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * self._spread(scale, self.outputs)

    def scale_input(self, kernel: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        return kernel * self._spread(scale, self.inputs)[:, None]

    def _spread(self, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Copy a vector along the channels to every position."""
        sizes = [1] * len(shape)
        sizes[self.channel_axis - 1 if self.channel_axis > 0 else self.channel_axis] = -1
        return np.broadcast_to(scale.reshape(sizes), shape).reshape(-1)

    def flat(self, kernel_shape: tuple[int, ...]) -> FlatForm:
        return self.inner.flat(self.inner_kernel)

    def taps(self, kernel_shape: tuple[int, ...]) -> int:
        return self.inner.taps(self.inner_kernel)
