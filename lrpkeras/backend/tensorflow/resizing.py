"""Linear resizing of images, a matrix for each axis, and its adjoint."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Size, Tensor, reshape, shape


def resizing_matrix(
    size: int, target: int, interpolation: str, antialias: bool = False
) -> np.ndarray:
    """Return what Keras' resizing of one axis computes, as a matrix `(target, size)`, in float32.

    Keras is run on the unit vectors, so that the weights are its own to the last bit, whatever the
    interpolation: it computes them in float32 for images of any type.
    """
    with tf.init_scope(), tf.device("CPU"):
        units = tf.reshape(tf.eye(size), (1, size, 1, size))
        resized = keras.ops.image.resize(
            units, (target, 1), interpolation, antialias, data_format="channels_last"
        )
        matrix: np.ndarray = resized.numpy().reshape(target, size)
    return matrix


def bilinear_matrix(size: Size, target: Size, dtype: str) -> Tensor:
    """Return the matrix `(target, size)` of bilinear interpolation, of sizes known at run time.

    Output j lies at `(j + 1/2) size / target - 1/2`, clipped to the first and last input, and each
    input's weight falls off linearly to zero over a distance of one.
    """
    count = tf.cast(size, "float64")
    centres = tf.range(target, dtype="float64") + 0.5
    places = centres * count / tf.cast(target, "float64") - 0.5
    places = tf.clip_by_value(places, 0.0, count - 1)
    distances = tf.abs(places[:, None] - tf.range(size, dtype="float64"))
    return tf.cast(tf.maximum(1 - distances, 0), dtype)


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
    return _multiplied(x, rows, columns, transposed=False)


def resample_adjoint(s: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """`rows^T s columns` for each channel: the adjoint of `resample`."""
    return _multiplied(s, rows, columns, transposed=True)


def _multiplied(x: Tensor, rows: Tensor | None, columns: Tensor | None, transposed: bool) -> Tensor:
    x = tf.convert_to_tensor(x)
    if rows is not None:
        batch, height, width, channels = shape(x)
        flat = reshape(x, (batch, height, width * channels))
        high = tf.matmul(rows, flat, transpose_a=transposed)
        x = reshape(high, (batch, shape(rows)[1 if transposed else 0], width, channels))
    if columns is not None:
        x = tf.matmul(columns, x, transpose_a=transposed)
    return x
