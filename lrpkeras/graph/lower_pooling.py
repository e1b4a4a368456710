"""Pooling over windows, and over everything."""

from __future__ import annotations

from typing import Any

from keras import layers

from lrpkeras.graph.lower import Tensor, register
from lrpkeras.graph.nodes import AveragePool, MaxPool, Pool

Layer = Any


@register(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def max_pooling(layer: Layer, x: Tensor) -> Tensor:
    """The maximum of each window."""
    return windows(MaxPool, layer, x)


@register(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def average_pooling(layer: Layer, x: Tensor) -> Tensor:
    """The mean of each window, padding not counted."""
    return windows(AveragePool, layer, x)


def windows(kind: type[Pool], layer: Layer, x: Tensor) -> Tensor:
    """Emit pooling over the windows that a layer, or an operation like one, has."""
    return x.then(
        kind,
        window=tuple(layer.pool_size),
        strides=tuple(layer.strides),
        padding=layer.padding,
        channels_first=layer.data_format == "channels_first",
    )


@register(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D)
def global_max(layer: Layer, x: Tensor) -> Tensor:
    """The maximum of each channel."""
    return _everything(MaxPool, layer, x)


@register(
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D
)
def global_average(layer: Layer, x: Tensor) -> Tensor:
    """The mean of each channel."""
    return _everything(AveragePool, layer, x)


def _everything(kind: type[Pool], layer: Layer, x: Tensor) -> Tensor:
    channels_first = layer.data_format == "channels_first"
    axes = tuple(range(2, x.rank) if channels_first else range(1, x.rank - 1))
    return x.then(kind, axes=axes, keepdims=layer.keepdims, channels_first=channels_first)
