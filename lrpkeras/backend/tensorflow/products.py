"""Matrix products and their adjoints."""

from __future__ import annotations

import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Tensor, reshape, shape
from lrpkeras.backend.tensorflow.narrow import in_kernel_type

# Entries from which a kernel is not transposed for a few samples: on a CPU TensorFlow copies it
# first, which takes 15 times as long as the product (VGG16's first dense layer, 2 to 10 samples).
LARGE = 2**20


@in_kernel_type
def matmul(x: Tensor, kernel: Tensor) -> Tensor:
    """`(..., in) @ (in, out) -> (..., out)`, in one matrix product."""
    return _matmul(x, kernel, transpose_b=False)


@in_kernel_type
def matmul_adjoint(s: Tensor, kernel: Tensor) -> Tensor:
    """`(..., out) -> (..., in)`: the adjoint of `matmul` with respect to `x`."""
    if len(s.shape) == 2 and kernel.shape[0] * kernel.shape[1] >= LARGE:
        return tf.transpose(tf.matmul(kernel, s, transpose_b=True))
    return _matmul(s, kernel, transpose_b=True)


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Einstein summation, as `numpy.einsum`."""
    return tf.einsum(equation, *operands)


def mix(x: Tensor, weights: Tensor, groups: int) -> Tensor:
    """`(..., in)` with `(in // groups, out)` -> `(..., out)`, each group on its own channels."""
    if groups == 1:
        return matmul(x, weights)
    rows = tf.transpose(tf.reshape(x, (-1, groups, weights.shape[0])), (1, 0, 2))
    each = tf.transpose(tf.reshape(weights, (weights.shape[0], groups, -1)), (1, 0, 2))
    out = tf.transpose(tf.matmul(rows, each), (1, 0, 2))
    return reshape(out, (*shape(x)[:-1], weights.shape[1]))


def _matmul(x: Tensor, kernel: Tensor, transpose_b: bool) -> Tensor:
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    if len(x.shape) == 2:
        return tf.matmul(x, kernel, transpose_b=transpose_b)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    out = tf.matmul(rows, kernel, transpose_b=transpose_b)
    return reshape(out, (*shape(x)[:-1], out.shape[-1]))
