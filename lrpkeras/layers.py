"""Keras layers that Keras lacks and published networks need."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import ModelError

Array = Any

__all__ = ["LocalResponseNormalization"]


@keras.saving.register_keras_serializable(package="lrpkeras")
class LocalResponseNormalization(keras.layers.Layer):
    """Local response normalization across channels, as AlexNet and GoogLeNet have it.

    `y_k = x_k / (bias + alpha sum_j x_j^2)^beta`, j over the channels with `|j - k| <=
    depth_radius`, at each position by itself: `tf.nn.local_response_normalization`, in any
    floating type. Caffe's `alpha` is divided by its window's size, and its `local_size` is
    `2 * depth_radius + 1`; its `k` is `bias`.

    Parameters
    ----------
    depth_radius
        How many channels on either side count, >= 0.
    bias
        > 0.
    alpha
        >= 0.
    beta
        >= 0.
    **kwargs
        Those of `keras.layers.Layer`.

    Raises
    ------
    ModelError
        A parameter is out of range, or inputs are not `(batch, height, width, channels)`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LocalResponseNormalization(depth_radius=1, bias=1.0, alpha=1.0, beta=1.0)
    >>> layer(np.array([[[[1.0, 2.0, 0.0]]]])).numpy().round(3)
    array([[[[0.167, 0.333, 0.   ]]]], dtype=float32)
    """

    def __init__(
        self,
        depth_radius: int = 5,
        bias: float = 1.0,
        alpha: float = 1.0,
        beta: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_parameters(depth_radius, bias, alpha, beta)
        self.depth_radius = int(depth_radius)
        self.bias, self.alpha, self.beta = float(bias), float(alpha), float(beta)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the inputs' shape; there are no weights.

        Parameters
        ----------
        input_shape
            Of the inputs, batch first.

        Raises
        ------
        ModelError
            If they are not `(batch, height, width, channels)`.
        """
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ModelError(
                f"LocalResponseNormalization takes (batch, height, width, channels), not "
                f"{tuple(input_shape)}: permute or reshape its input."
            )
        super().build(input_shape)

    def call(self, x: Array) -> Array:
        """Return the normalized values, computed in float32 at least.

        Parameters
        ----------
        x
            Shape `(batch, height, width, channels)`.

        Returns
        -------
        tensor
            Of the same shape and type.
        """
        wide = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        settings = (self.depth_radius, self.bias, self.alpha, self.beta)
        known = backend.local_response_normalization(wide, *settings)
        if known is not None:
            return ops.cast(known, x.dtype)
        squares = ops.square(wide)
        around = squares + neighbours(squares, self.depth_radius)
        return ops.cast(wide * (self.bias + self.alpha * around) ** -self.beta, x.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape.

        Parameters
        ----------
        input_shape
            Of the inputs, batch first.

        Returns
        -------
        tuple of int
            The same.
        """
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` takes.

        Returns
        -------
        dict of str to Any
            The layer's settings as plain values.
        """
        own = {
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
        return {**super().get_config(), **own}


def check_parameters(depth_radius: Any, bias: float, alpha: float, beta: float) -> None:
    """Raise `ModelError` where a local response normalization is not defined for every input."""
    if isinstance(depth_radius, bool) or depth_radius != int(depth_radius) or depth_radius < 0:
        raise ModelError(f"depth_radius must be a whole number >= 0, not {depth_radius!r}.")
    if not (math.isfinite(bias) and bias > 0):
        raise ModelError(f"bias must be a finite number > 0, not {bias!r}: channels may be zero.")
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not (math.isfinite(value) and value >= 0):
            raise ModelError(f"{name} must be a finite number >= 0, not {value!r}.")


def neighbours(x: Array, radius: int) -> Array:
    """Add up, for each channel, the channels within `radius` of it, itself excluded.

    Symmetric: what channel j gives to k it gets from k, so that the sum is its own adjoint.

    Parameters
    ----------
    x
        `(..., channels)`, their number known.
    radius
        >= 0.
    """
    channels = x.shape[-1]
    reach = min(radius, channels - 1)
    padded = ops.pad(x, (*((0, 0),) * (len(x.shape) - 1), (reach, reach)))
    total = ops.zeros_like(x)
    for start in (*range(reach), *range(reach + 1, 2 * reach + 1)):
        total = total + padded[..., start : start + channels]
    return total
