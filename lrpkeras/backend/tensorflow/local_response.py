"""Local response normalization by TensorFlow's own operation."""

from __future__ import annotations

import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Tensor

# It has kernels for these types alone, and computes in the narrow ones without widening.
TYPES = (tf.float32,)


def local_response_normalization(
    x: Tensor, depth_radius: int, bias: float, alpha: float, beta: float
) -> Tensor | None:
    """`tf.nn.local_response_normalization`; None for types that it does not compute in.

    A graph with it, exported, is known for what it is.
    """
    if x.dtype not in TYPES:
        return None
    return tf.nn.local_response_normalization(x, depth_radius, bias, alpha, beta)
