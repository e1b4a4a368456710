"""Matrix products and their adjoints; resizing, which is a matrix for each axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np

from lrpkeras.backend.jax.arrays import Tensor, precision
from lrpkeras.backend.jax.narrow import in_kernel_type


@in_kernel_type
def matmul(x: Tensor, kernel: Tensor) -> Tensor:
    """`(..., in) @ (in, out) -> (..., out)`."""
    return jnp.matmul(jnp.asarray(x), jnp.asarray(kernel), precision=precision())


@in_kernel_type
def matmul_adjoint(s: Tensor, kernel: Tensor) -> Tensor:
    """`(..., out) -> (..., in)`: the adjoint of `matmul` with respect to `x`."""
    return matmul(s, jnp.asarray(kernel).T)


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Einstein summation, as `numpy.einsum`."""
    return jnp.einsum(equation, *operands, precision=precision())


def resizing_matrix(
    size: int, target: int, interpolation: str, antialias: bool = False
) -> np.ndarray:
    """Return what Keras' resizing of one axis computes, as a matrix `(target, size)`, in float32.

    Keras is run on the unit vectors, so that the weights are its own to the last bit.
    """
    with jax.ensure_compile_time_eval():
        units = jnp.eye(size, dtype="float32").reshape(1, size, 1, size)
        resized = keras.ops.image.resize(
            units, (target, 1), interpolation, antialias, data_format="channels_last"
        )
        return np.array(resized, "float32").reshape(target, size)


def bilinear_matrix(size: int, target: int, dtype: str) -> Tensor:
    """Return the matrix `(target, size)` of bilinear interpolation.

    Output j lies at `(j + 1/2) size / target - 1/2`, clipped to the first and last input, and each
    input's weight falls off linearly to zero over a distance of one.
    """
    places = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    weights = np.maximum(1 - np.abs(places[:, None] - np.arange(size)), 0)
    return jnp.asarray(weights, dtype)


def resample(x: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """`rows x columns^T` for each channel.

    Parameters
    ----------
    x
        Images `(batch, height, width, channels)`.
    rows, columns
        Matrices `(new_height, height)` and `(new_width, width)`; None leaves an axis as it is.

    Returns
    -------
    Images `(batch, new_height, new_width, channels)`.
    """
    x = x if rows is None else einsum("ph,bhwc->bpwc", rows, x)
    return x if columns is None else einsum("qw,bpwc->bpqc", columns, x)


def resample_adjoint(s: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """`rows^T s columns` for each channel: the adjoint of `resample`."""
    s = s if rows is None else einsum("ph,bpqc->bhqc", rows, s)
    return s if columns is None else einsum("qw,bhqc->bhwc", columns, s)
