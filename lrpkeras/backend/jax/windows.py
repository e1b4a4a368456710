"""Where a window reads: one entry per spatial dimension, all sizes known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import jax
import numpy as np

from lrpkeras.backend.jax.arrays import Sizes, Tensor

Padding: TypeAlias = "tuple[tuple[int, int], ...] | Literal['same']"
Pairs: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Windows over an input of given spatial sizes."""

    spatial: Sizes
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pairs
    dilation: tuple[int, ...]

    @classmethod
    def over(
        cls,
        spatial: Sizes,
        window: tuple[int, ...],
        strides: tuple[int, ...],
        padding: Padding | Literal["valid"],
        dilation: tuple[int, ...] | None = None,
    ) -> Windows:
        """Resolve padding: "same" by the rule that TensorFlow and JAX share."""
        dilation = dilation or (1,) * len(window)
        spatial = tuple(map(int, spatial))
        if isinstance(padding, str):
            reach = _reach(window, dilation)
            padding = tuple(jax.lax.padtype_to_pads(spatial, reach, strides, padding.upper()))
        pads = tuple((int(low), int(high)) for low, high in padding)
        return cls(spatial, tuple(window), tuple(strides), pads, tuple(dilation))

    @property
    def counts(self) -> tuple[int, ...]:
        """How many windows there are."""
        room = zip(self.spatial, self.pads, _reach(self.window, self.dilation), strict=True)
        left = (low + size + high - reach for size, (low, high), reach in room)
        return tuple(n // stride + 1 for n, stride in zip(left, self.strides, strict=True))

    @property
    def pads_back(self) -> Pairs:
        """Padding of the adjoint, which slides the flipped window over outputs spread out."""
        rows = zip(
            _reach(self.window, self.dilation),
            self.pads,
            self.spatial,
            self.counts,
            self.strides,
            strict=True,
        )
        return tuple(
            (reach - 1 - low, low + size - (count - 1) * stride - 1)
            for reach, (low, _), size, count, stride in rows
        )

    def taps(self) -> Iterator[tuple[int, ...]]:
        """The places within a window, row by row."""
        return np.ndindex(*self.window)

    def padded(self, x: Tensor, value: float) -> Tensor:
        """Pad `(batch, *spatial, channels)` with a value."""
        pads = ((0, 0, 0), *((low, high, 0) for low, high in self.pads), (0, 0, 0))
        return jax.lax.pad(x, np.asarray(value, x.dtype), pads)

    def read(self, padded: Tensor, tap: tuple[int, ...]) -> Tensor:
        """Return what a tap reads of the padded input, one value per window."""
        ends = tuple(
            t + (n - 1) * stride + 1
            for t, n, stride in zip(tap, self.counts, self.strides, strict=True)
        )
        batch, *_, channels = padded.shape
        starts, limits = (0, *tap, 0), (batch, *ends, channels)
        return jax.lax.slice(padded, starts, limits, (1, *self.strides, 1))

    def put_back(self, part: Tensor, tap: tuple[int, ...]) -> Tensor:
        """The adjoint of padding and `read`: `part` where the tap reads the input, else zero."""
        rows = zip(tap, self.pads, self.spatial, self.counts, self.strides, strict=True)
        pads = [
            (t - low, low + size - t - (n - 1) * stride - 1, stride - 1)
            for t, (low, _), size, n, stride in rows
        ]
        return jax.lax.pad(part, np.zeros((), part.dtype), ((0, 0, 0), *pads, (0, 0, 0)))


def _reach(window: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """From the first to the last input that a window reads."""
    return tuple((n - 1) * step + 1 for n, step in zip(window, dilation, strict=True))
