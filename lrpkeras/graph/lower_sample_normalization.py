"""Layers that normalize by statistics of the sample itself: `Normalize`, then an `Affine`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.src.ops import nn

from lrpkeras import backend
from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, register
from lrpkeras.graph.lower_array_operations import feature_axes
from lrpkeras.graph.lower_normalization import affine
from lrpkeras.graph.moves import Reshape
from lrpkeras.graph.nodes import Normalize, Route
from lrpkeras.graph.normalize import DEVIATION, NORM, ROOT_MEAN_SQUARE

Operation = Any
Constant = Any


@register(layers.LayerNormalization)
def layer_normalization(layer: layers.LayerNormalization, x: Tensor) -> Tensor:
    """`(x - mean) / sqrt(variance + epsilon)` over the layer's axes, times gamma, plus beta."""
    return _over_axes(layer, x, layer.gamma, layer.beta)


@register(nn.LayerNorm)
def layer_norm(
    operation: Operation, x: Tensor, gamma: Constant = None, beta: Constant = None
) -> Tensor:
    """The same by `keras.ops.layer_normalization`."""
    return _over_axes(operation, x, gamma, beta)


def _over_axes(settings: Any, x: Tensor, gamma: Constant, beta: Constant) -> Tensor:
    """What the layer and the operation share; with `rms_scaling`, the mean stays in the values.

    Keras gives gamma the sizes of the axes in the order in which it sorted them, and reshapes it.
    """
    axes = feature_axes(settings.axis, x)
    plain = settings.rms_scaling
    return normalized(
        x,
        scale=_over(gamma, axes, x),
        shift=None if plain else _over(beta, axes, x),
        axes=axes,
        centre=not plain,
        denominator=DEVIATION,
        epsilon=_epsilon(settings),
    )


def _over(constant: Constant, axes: tuple[int, ...], x: Tensor) -> np.ndarray | None:
    """Return gamma or beta in a shape that broadcasts: Keras leaves one of the full rank alone."""
    array = None if constant is None else _array(constant)
    if array is None or array.ndim in (0, x.rank):
        return array
    sizes = [x.shape[axis] if axis in axes else 1 for axis in range(1, x.rank)]
    return array.reshape(_known(sizes))


def _array(constant: Constant) -> np.ndarray:
    if isinstance(constant, Tensor):
        raise Refusal("its scale or shift depends on the input, which is not known yet")
    return np.asarray(backend.to_numpy(constant), dtype="float64")


def _epsilon(settings: Any) -> float:
    return float(keras.config.epsilon() if settings.epsilon is None else settings.epsilon)


@register(layers.RMSNormalization)
def rms_normalization(layer: layers.RMSNormalization, x: Tensor) -> Tensor:
    """`x / sqrt(mean(x^2) + epsilon)` over the layer's axes, times a scale."""
    return rms_norm(layer, x, layer.scale)


@register(nn.RMSNorm)
def rms_norm(operation: Operation, x: Tensor, scale: Constant = None) -> Tensor:
    """The same by `keras.ops.rms_normalization`; the scale broadcasts as NumPy does."""
    return normalized(
        x,
        scale=None if scale is None else _array(scale),
        axes=feature_axes(operation.axis, x),
        centre=False,
        denominator=ROOT_MEAN_SQUARE,
        epsilon=_epsilon(operation),
    )


@register(layers.UnitNormalization)
def unit_normalization(layer: layers.UnitNormalization, x: Tensor) -> Tensor:
    """`x / max(norm(x), 1e-12)` over the layer's axes."""
    return _by_norm(x, layer.axis, 1e-12)


@register(nn.Normalize)
def normalize(operation: Operation, x: Tensor) -> Tensor:
    """The same by `keras.ops.normalize`."""
    if operation.order != 2:
        raise Refusal(f"the norm of order {operation.order} has no rule", "use order 2")
    return _by_norm(x, operation.axis, _epsilon(operation))


def _by_norm(x: Tensor, axis: Any, epsilon: float) -> Tensor:
    axes = feature_axes(axis, x)
    return normalized(x, axes=axes, centre=False, denominator=NORM, epsilon=epsilon)


@register(layers.GroupNormalization)
def group_normalization(layer: layers.GroupNormalization, x: Tensor) -> Tensor:
    """As layer normalization, over positions and the channels of one group."""
    axis = layer.axis % x.rank
    if axis == 0:
        raise Refusal("it normalizes across the samples of a batch", "give it the channels' axis")
    scale, shift = (_over(constant, (axis,), x) for constant in (layer.gamma, layer.beta))
    settings: dict[str, Any] = {"denominator": DEVIATION, "epsilon": _epsilon(layer)}
    others = tuple(a for a in range(1, x.rank) if a != axis)
    if layer.groups == 1:
        axes = tuple(sorted((*others, axis)))
        return normalized(x, scale=scale, shift=shift, axes=axes, **settings)
    if layer.groups == x.shape[axis] and others:
        return normalized(x, scale=scale, shift=shift, axes=others, **settings)
    apart = x.then(Route, "groups", move=Reshape(_grouped(x.shape, axis, layer.groups)))
    axes = tuple(a for a in range(1, apart.rank) if a != axis)
    whole = apart.then(Normalize, "normalize", axes=axes, **settings)
    together = Reshape(_known(x.shape[1:]))
    if scale is None and shift is None:
        return whole.then(Route, move=together)
    return affine(whole.then(Route, "reshape", move=together), _or_one(scale), shift)


def _grouped(shape: tuple[int | None, ...], axis: int, groups: int) -> tuple[int, ...]:
    """Return the shape without batch in which the groups are an axis in front of the channels."""
    sizes = _known(shape[1:])
    return (*sizes[: axis - 1], groups, sizes[axis - 1] // groups, *sizes[axis:])


def _known(sizes: Sequence[int | None]) -> tuple[int, ...]:
    """Return sizes for a reshape, of which one may be unknown (-1)."""
    if sum(size is None for size in sizes) > 1:
        raise UnknownSize("its groups are parted by a reshape, and more than one size is unknown")
    return tuple(-1 if size is None else size for size in sizes)


def normalized(
    x: Tensor, *, scale: np.ndarray | None = None, shift: np.ndarray | None = None, **fields: Any
) -> Tensor:
    """Emit `scale * normalize(x) + shift`; without both, the `Normalize` node alone.

    Parameters
    ----------
    x
        Handle of the values.
    scale, shift
        Constants that broadcast against one sample, or None.
    **fields
        Those of a `Normalize` node.
    """
    if scale is None and shift is None:
        return x.then(Normalize, **fields)
    return affine(x.then(Normalize, "normalize", **fields), _or_one(scale), shift)


def _or_one(scale: np.ndarray | None) -> np.ndarray | float:
    return 1.0 if scale is None else scale
