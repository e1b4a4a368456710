"""Where the window of a convolution or pooling reads, and the padding that this takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Size, Sizes, Tensor, reshape, shape, spatial_of

Padding: TypeAlias = "tuple[tuple[int, int], ...] | Literal['same']"


@dataclass(frozen=True)
class Geometry:
    """Where a window reads: one entry per spatial dimension."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]

    @property
    def rank(self) -> int:
        """How many spatial dimensions there are."""
        return len(self.window)

    @property
    def is_dense(self) -> bool:
        """Whether the window reads neighbours, without dilation."""
        return all(step == 1 for step in self.dilation)

    @property
    def reach(self) -> tuple[int, ...]:
        """From the first to the last input that a window reads."""
        pairs = zip(self.window, self.dilation, strict=True)
        return tuple((width - 1) * step + 1 for width, step in pairs)

    def lift(self) -> Geometry:
        """Rank 1 as rank 2 with height 1; equal strides, as the depthwise kernel demands them."""
        padding = self.padding if self.padding == "same" else ((0, 0), *self.padding)
        return Geometry((1, *self.window), self.strides * 2, padding, (1, *self.dilation))

    def pads(self, spatial: Sizes) -> tuple[tuple[Size, Size], ...]:
        """Return (low, high) per dimension; "same" is resolved by TensorFlow's rule."""
        if self.padding != "same":
            return tuple((int(low), int(high)) for low, high in self.padding)
        return tuple(map(_same, spatial, self.window, self.strides, self.dilation))

    def swapped(self) -> tuple[tuple[int, int], ...] | None:
        """The padding of the adjoint as a convolution; None unless it keeps the size."""
        if any(stride > 1 for stride in self.strides):
            return None
        pads = self.pads(self.window)  # without strides, no size plays a part
        if any(sum(pair) != reach - 1 for pair, reach in zip(pads, self.reach, strict=True)):
            return None
        return tuple((high, low) for low, high in pads)

    def native(self, spatial: Sizes) -> tuple[str, list[int]]:
        """Return `padding` and `explicit_paddings` of TensorFlow's two-dimensional ops."""
        if self.padding == "same":
            return "SAME", []
        pads = self.pads(spatial)
        if not any(map(any, pads)):
            return "VALID", []
        known = all(isinstance(size, int) for size in spatial)
        if known and pads == Geometry(self.window, self.strides, "same", self.dilation).pads(
            spatial
        ):
            return "SAME", []
        return "EXPLICIT", [0, 0, *(n for pair in pads for n in pair), 0, 0]


def crop(x: Tensor, pads: tuple[tuple[Size, Size], ...]) -> Tensor:
    """Undo padding by `pads`."""
    return pad_or_crop(x, tuple((-low, -high) for low, high in pads))


def pad_or_crop(x: Tensor, amounts: tuple[tuple[Size, Size], ...]) -> Tensor:
    """Add (low, high) zeros per spatial dimension; negative amounts are cut off."""
    pads = [tuple(map(_positive, pair)) for pair in amounts]
    cuts = [tuple(_positive(-n) for n in pair) for pair in amounts]
    if not _all_zero(cuts):
        ends = (size - high for size, (_, high) in zip(spatial_of(x), cuts, strict=True))
        x = x[(slice(None), *map(slice, (low for low, _ in cuts), ends), slice(None))]
    return x if _all_zero(pads) else tf.pad(x, ((0, 0), *pads, (0, 0)))


def spread_out(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Put stride - 1 zeros behind every value, per spatial dimension."""
    for axis, stride in enumerate(strides, start=1):
        if stride == 1:
            continue
        sizes = [stride * size if i == axis else size for i, size in enumerate(shape(x))]
        zeros = [(0, stride - 1) if i == axis + 1 else (0, 0) for i in range(len(sizes) + 1)]
        x = reshape(tf.pad(tf.expand_dims(x, axis + 1), zeros), tuple(sizes))
    return x


def _same(size: Size, window: int, stride: int, dilation: int) -> tuple[Size, Size]:
    """Return TensorFlow's SAME padding: output size ceil(size / stride), the odd one at the end."""
    excess = (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size
    total = _positive(excess)
    return total // 2, total - total // 2


def _all_zero(amounts: Any) -> bool:
    return all(isinstance(n, int) and n == 0 for pair in amounts for n in pair)


def _positive(n: Size) -> Size:
    return max(n, 0) if isinstance(n, int) else tf.maximum(n, 0)
