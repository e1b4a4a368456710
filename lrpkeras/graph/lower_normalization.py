"""Layers that scale and shift by constants in inference: one `Affine` node each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from lrpkeras import backend
from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, register
from lrpkeras.graph.moves import Repeat
from lrpkeras.graph.nodes import Affine, Route


@register(layers.BatchNormalization)
def batch_normalization(layer: layers.BatchNormalization, x: Tensor) -> Tensor:
    """`scale = gamma / sqrt(variance + epsilon)`, `shift = beta - mean * scale`."""
    if not isinstance(layer.axis, int):
        raise Refusal(f"its axis is {layer.axis!r}, not one number")
    axis = layer.axis % x.rank
    scale = 1 / np.sqrt(_float64(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * _float64(layer.gamma)
    shift = -_float64(layer.moving_mean) * scale
    if layer.center:
        shift = shift + _float64(layer.beta)
    behind = x.rank - 1 - axis
    shape = (-1, *(1,) * behind)
    return x.then(
        Affine,
        scale=scale.reshape(shape),
        shift=shift.reshape(shape),
        batch_norm=True,
        axis=axis if behind else -1,
    )


@register(layers.Rescaling)
def rescaling(layer: layers.Rescaling, x: Tensor) -> Tensor:
    """`scale * x + offset`, both rounded as the layer rounds them."""
    dtype = layer.compute_dtype
    scale, offset = (_float64(keras.ops.cast(c, dtype)) for c in (layer.scale, layer.offset))
    if scale.ndim and keras.config.image_data_format() == "channels_first":
        scale = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
    return affine(x, scale, offset)


@register(layers.Normalization)
def normalization(layer: layers.Normalization, x: Tensor) -> Tensor:
    """`(x - mean) / deviation`, or its inverse."""
    mean = _float64(layer.mean)
    deviation = np.maximum(np.sqrt(_float64(layer.variance)), keras.config.epsilon())
    if layer.invert:
        return affine(x, deviation, mean)
    return affine(x, 1 / deviation, -mean / deviation)


def affine(x: Tensor, scale: Any = 1.0, shift: Any = None) -> Tensor:
    """Emit `scale * x + shift`, the constants broadcast as NumPy does.

    Where they have more entries than `x` along an axis, `x` is repeated first, so that the node
    itself has the shape of its input.
    """
    scale = _without_batch(scale, x)
    shift = None if shift is None else _without_batch(shift, x)
    for constant in (scale, shift):
        if constant is not None:
            x = _repeated(x, constant.shape)
    return x.then(Affine, scale=scale, shift=shift)


def _repeated(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    for axis, size in enumerate(shape, start=x.rank - len(shape)):
        if size == 1 or x.shape[axis] == size:
            continue
        if x.shape[axis] is None:
            raise UnknownSize(f"whether a constant fits axis {axis} is only known at run time")
        if x.shape[axis] != 1:
            raise Refusal(f"a constant of shape {shape} does not broadcast against {x.shape}")
        x = x.then(Route, "repeat", move=Repeat(axis, size))
    return x


def _without_batch(constant: Any, x: Tensor) -> np.ndarray:
    """Return a constant that broadcasts against one sample, without leading axes of size 1."""
    array = _float64(constant)
    while array.ndim and array.shape[0] == 1:
        array = array[0]
    if array.ndim >= x.rank:
        raise Refusal(f"a constant of shape {array.shape} does not fit one sample of {x.shape}")
    return array


def _float64(value: Any) -> np.ndarray:
    return np.asarray(backend.to_numpy(value), dtype="float64")
