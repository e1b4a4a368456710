"""Layers that move values: reshaping, padding, cropping, nearest upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from lrpkeras.graph.lower import Tensor, register
from lrpkeras.graph.lower_inert import keep
from lrpkeras.graph.lower_merging import reshape
from lrpkeras.graph.moves import Crop, Pad, Repeat, Transpose
from lrpkeras.graph.nodes import Route

Layer = Any
Pairs = tuple[tuple[int, int], ...]


@register(layers.Flatten)
def flatten(layer: layers.Flatten, x: Tensor) -> Tensor:
    """One axis of features, channels varying fastest whatever the data format."""
    if layer.data_format == "channels_first" and x.rank > 1:
        x = x.then(Route, "transpose", move=Transpose((0, *range(2, x.rank), 1)))
    return reshape(x, (-1,))


@register(layers.Reshape)
def reshape_layer(layer: layers.Reshape, x: Tensor) -> Tensor:
    """To `target_shape`, without batch."""
    return reshape(x, layer.target_shape)


@register(layers.Permute)
def permute(layer: layers.Permute, x: Tensor) -> Tensor:
    """Axes in another order, the batch in place."""
    return x.then(Route, move=Transpose((0, *layer.dims)))


@register(layers.RepeatVector)
def repeat_vector(layer: layers.RepeatVector, x: Tensor) -> Tensor:
    """The same vector `n` times."""
    return reshape(x, (1, *x.shape[1:]), "expand").then(Route, move=Repeat(1, layer.n))


@register(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
def zero_padding(layer: Layer, x: Tensor) -> Tensor:
    """Zeros around the spatial axes."""
    return x.then(Route, move=Pad(_all_axes(layer.padding, layer, x.rank)))


@register(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
def cropping(layer: Layer, x: Tensor) -> Tensor:
    """The borders of the spatial axes dropped."""
    return x.then(Route, move=Crop(_all_axes(layer.cropping, layer, x.rank)))


def _all_axes(pairs: Sequence, layer: Layer, rank: int) -> Pairs:
    """Return a pair for every axis but the batch, from those of the spatial axes."""
    if rank == 3:
        pairs = (pairs,) if isinstance(pairs[0], int) else pairs
    spatial = tuple((int(low), int(high)) for low, high in pairs)
    return ((0, 0), *spatial) if _channels_first(layer) else (*spatial, (0, 0))


def _channels_first(layer: Layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


@register(layers.UpSampling1D, layers.UpSampling3D)
def upsampling(layer: Layer, x: Tensor) -> Tensor:
    """Every entry several times."""
    sizes = (layer.size,) if isinstance(layer.size, int) else tuple(layer.size)
    axes = range(2 if _channels_first(layer) else 1, x.rank)
    stretched = [(axis, times) for axis, times in zip(axes, sizes, strict=False) if times > 1]
    if not stretched:
        return keep(x)
    for axis, times in stretched[:-1]:
        x = x.then(Route, f"axis{axis}", move=Repeat(axis, times))
    axis, times = stretched[-1]
    return x.then(Route, move=Repeat(axis, times))
