"""Convolutions of 3 by 3 by Winograd's minimal filtering, F(2 x 2, 3 x 3) [Lavin & Gray 2016].

Of each tile of 4 by 4 inputs, 2 by 2 outputs take 16 multiplications in place of 36, all tiles
together as 16 matrix products. What is added to and from tiles takes time in memory, so that it
pays for many channels. In float32 the error is that of a direct convolution (measured: 3e-6 of the
outputs' standard deviation, where oneDNN's is between 1e-6 and 1e-5); larger tiles lose digits.

A direct convolution rounds each output by its own products; tiles do by the largest input of its
window and the largest tap between the same channels. Where a kernel has taps of zero (a 1 by 1
stored as a 3 by 3) and inputs differ by many powers of ten from pixel to pixel, that is more: the
ReLU of an output that is 1e-6 of its neighbours may open though it should not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Tensor, after, spatial_of
from lrpkeras.backend.tensorflow.compiling import alone, compiles_alone
from lrpkeras.backend.tensorflow.geometry import Geometry

# From how many channels it pays: in * out / (in + out). At 64 it takes 0.9 of the time of oneDNN's
# convolution, at 128 it takes 0.65, at 256 0.55 (two cores with AVX2, batch 4).
LEAST_CHANNELS = 80
# Smaller images leave too few tiles to a matrix product.
LEAST_SIZE = 14
# Of an image at a time: all its tiles, and their products, would take the memory of eight images.
MOST_TILES = 200

# G: what the 16 products take of a kernel's three taps in either direction.
TAPS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], "float32")

Pads = tuple[tuple[int, int], ...]


def pays(x: Tensor, kernel: Tensor, geometry: Geometry) -> bool:
    """Whether a convolution that is being traced, or its adjoint, is faster by tiles.

    Parameters
    ----------
    x
        (batch, height, width, channels): input of the convolution, or of its adjoint.
    kernel
        (3, 3, in, out), for one group.
    geometry
        Of the convolution.
    """
    if geometry.window != (3, 3) or geometry.strides != (1, 1) or not geometry.is_dense:
        return False
    if not all(0 <= n <= 2 for pair in _pads(geometry) for n in pair):
        return False
    if x.dtype != tf.float32 or kernel.dtype != tf.float32:
        return False
    inputs, outputs = kernel.shape[-2:]
    large = all(isinstance(n, int) and n >= LEAST_SIZE for n in spatial_of(x))
    many = inputs * outputs >= LEAST_CHANNELS * (inputs + outputs)
    return large and many and compiles_alone()


def convolve(x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    """Cross-correlate `(batch, height, width, in)`, padded, with `(3, 3, in, out)`."""
    kernels = _transformed(after(kernel, x), TAPS)
    return _by_tiles(x, kernels, _pads(geometry), transpose=False)


def convolve_adjoint(s: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    """Apply the adjoint of `convolve` to `s`: it convolves with the turned kernel."""
    turned = tuple((2 - low, 2 - high) for low, high in _pads(geometry))
    kernels = _transformed(after(kernel, s), TAPS[:, ::-1])
    return _by_tiles(s, kernels, turned, transpose=True)


def _pads(geometry: Geometry) -> Pads:
    return geometry.pads(geometry.window)  # without strides, no size plays a part


def _by_tiles(x: Tensor, kernels: Tensor, pads: Pads, *, transpose: bool) -> Tensor:
    """Multiply the tiles of some rows after another."""
    height, width = (n + sum(pair) - 2 for n, pair in zip(spatial_of(x), pads, strict=True))
    high, wide = -(-height // 2), -(-width // 2)
    # A last odd row or column is computed with one more beside it, which is cut off.
    (above, below), (left, right) = pads
    beside = (above, below + 2 * high - height), (left, right + 2 * wide - width)
    padded = tf.pad(x, ((0, 0), *beside, (0, 0)))
    most = max(MOST_TILES // wide, 1)
    parts: list[Tensor] = []
    for top in range(0, high, most):
        rows = min(most, high - top)
        with tf.control_dependencies(parts[-1:]):
            some = padded if rows == high else padded[:, 2 * top : 2 * (top + rows) + 2]
            tiles = alone(_tiled, some)
        products = tf.linalg.matmul(tiles, kernels, transpose_b=transpose)
        parts.append(alone(_Untiled(rows, wide), products))
    y = parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)
    return y if (2 * high, 2 * wide) == (height, width) else y[:, :height, :width]


def _tiled(x: Tensor) -> Tensor:
    """`(batch, 2 rows + 2, 2 columns + 2, in) -> (16, tiles, in)`: `B' d B` of tiles d."""
    height, width, channels = x.shape[1:]
    pairs = tf.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
    rows = _combined(pairs[:, :-1, 0], pairs[:, :-1, 1], pairs[:, 1:, 0], pairs[:, 1:, 1], 0)
    left, right = rows[:, :, :, :-1], rows[:, :, :, 1:]
    tiles = _combined(left[..., 0, :], left[..., 1, :], right[..., 0, :], right[..., 1, :], 1)
    return tf.reshape(tiles, (16, -1, channels))


def _combined(a: Tensor, b: Tensor, c: Tensor, d: Tensor, axis: int) -> Tensor:
    """`B'` of four neighbours."""
    return tf.stack([a - c, b + c, c - b, b - d], axis)


@dataclass(frozen=True)
class _Untiled:
    """`(16, tiles, out) -> (batch, 2 rows, 2 columns, out)`: `A' m A` of the products m."""

    rows: int
    columns: int

    def __call__(self, products: Tensor) -> Tensor:
        channels = products.shape[-1]
        m = tf.reshape(products, (4, 4, -1, self.rows, self.columns, channels))
        across = [_outputs([m[i, j] for i in range(4)]) for j in range(4)]
        both = [tf.stack(_outputs([column[i] for column in across]), 3) for i in range(2)]
        return tf.reshape(tf.stack(both, 2), (-1, 2 * self.rows, 2 * self.columns, channels))


def _outputs(m: list[Tensor]) -> list[Tensor]:
    """`A' m`."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _transformed(kernel: Tensor, taps: np.ndarray) -> Tensor:
    """`(3, 3, in, out) -> (16, in, out)`: `G k G'`."""
    flat = tf.reshape(kernel, (9, -1))
    product = tf.linalg.matmul(np.kron(taps, taps), flat)
    return tf.reshape(product, (16, *kernel.shape[-2:]))
