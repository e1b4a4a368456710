"""Convolution and pooling as operations of `keras.ops`: the layers' lowerings, on constants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
from keras.src.ops import nn

from lrpkeras.graph.convolutions import Convolution, Depthwise
from lrpkeras.graph.lower import Refusal, Tensor, register
from lrpkeras.graph.lower_convolution import padding_of
from lrpkeras.graph.lower_pooling import windows
from lrpkeras.graph.nodes import AveragePool, Linear, MaxPool

Operation = Any


@register(nn.Conv)
def conv(operation: Operation, x: Tensor, kernel: Any) -> Tensor:
    """A convolution with a constant kernel."""
    layer = _like_a_layer(operation, x, kernel)
    padding = padding_of(layer, x.shape)
    geometry = Convolution(
        layer.strides, padding, layer.dilation_rate, channels_first=_channels_first(layer)
    )
    return x.then(Linear, operation=geometry, kernel=kernel)


@register(nn.DepthwiseConv)
def depthwise(operation: Operation, x: Tensor, kernel: Any) -> Tensor:
    """Each channel on its own, with a constant kernel."""
    layer = _like_a_layer(operation, x, kernel)
    padding = padding_of(layer, x.shape)
    geometry = Depthwise(
        layer.strides, padding, layer.dilation_rate, channels_first=_channels_first(layer)
    )
    return x.then(Linear, operation=geometry, kernel=kernel)


def _like_a_layer(operation: Operation, x: Tensor, kernel: Any) -> SimpleNamespace:
    if isinstance(kernel, Tensor):
        raise Refusal("its kernel depends on the input, which no rule is known for")
    rank = x.rank - 2
    return SimpleNamespace(
        kernel_size=tuple(kernel.shape[:-2]),
        strides=_each(operation.strides, rank),
        dilation_rate=_each(operation.dilation_rate, rank),
        padding=operation.padding,
        data_format=_data_format(operation),
    )


@register(nn.MaxPool)
def max_pool(operation: Operation, x: Tensor) -> Tensor:
    """The maximum of each window."""
    return windows(MaxPool, _like_a_pooling_layer(operation, x), x)


@register(nn.AveragePool)
def average_pool(operation: Operation, x: Tensor) -> Tensor:
    """The mean of each window, padding not counted."""
    return windows(AveragePool, _like_a_pooling_layer(operation, x), x)


def _like_a_pooling_layer(operation: Operation, x: Tensor) -> SimpleNamespace:
    rank = x.rank - 2
    window = _each(operation.pool_size, rank)
    return SimpleNamespace(
        pool_size=window,
        strides=window if operation.strides is None else _each(operation.strides, rank),
        padding=operation.padding,
        data_format=_data_format(operation),
    )


def _each(value: Any, rank: int) -> tuple[int, ...]:
    """Return one number an axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _data_format(operation: Operation) -> str:
    return operation.data_format or keras.config.image_data_format()


def _channels_first(layer: SimpleNamespace) -> bool:
    first: bool = layer.data_format == "channels_first"
    return first
