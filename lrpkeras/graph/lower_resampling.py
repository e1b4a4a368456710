"""Layers and operations that resize images."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers
from keras.src.ops import image

from lrpkeras import backend
from lrpkeras.graph import lower_reshaping
from lrpkeras.graph.lower import Refusal, Tensor, UnknownSize, register
from lrpkeras.graph.lower_array_operations import moved
from lrpkeras.graph.lower_inert import keep
from lrpkeras.graph.moves import Crop, Gather, Move, Pad, Repeat
from lrpkeras.graph.nodes import Resample, Route
from lrpkeras.graph.resample import Target

Pair = tuple[int, int]


@register(layers.UpSampling2D)
def upsampling(layer: layers.UpSampling2D, x: Tensor) -> Tensor:
    """Every pixel several times, or interpolated."""
    if layer.interpolation == "nearest":
        return lower_reshaping.upsampling(layer, x)
    targets = tuple(Target(times=times) for times in layer.size)
    return resized(x, targets, layer.interpolation, channels_first=_channels_first(layer))


@register(layers.Resizing)
def resizing(layer: layers.Resizing, x: Tensor) -> Tensor:
    """To a height and width, perhaps cut or filled up to their ratio first."""
    return _to_size(layer, x, (layer.height, layer.width))


@register(image.Resize)
def resize(operation: Any, x: Tensor) -> Tensor:
    """The same by `keras.ops.image.resize`."""
    return _to_size(operation, x, tuple(operation.size))


def _to_size(settings: Any, x: Tensor, size: Pair) -> Tensor:
    if x.rank != 4:
        raise Refusal(f"it takes the batch for an axis of one image of shape {x.shape}")
    first = _channels_first(settings)
    if settings.crop_to_aspect_ratio:
        x = _cropped(x, size, first)
    if settings.pad_to_aspect_ratio:
        if settings.fill_value != 0:
            raise Refusal("it fills up with other than zeros", "use fill_value=0")
        x = _padded(x, size, first)
    targets = (Target(int(size[0])), Target(int(size[1])))
    return resized(x, targets, settings.interpolation, settings.antialias, channels_first=first)


def _channels_first(settings: Any) -> bool:
    return bool(settings.data_format == "channels_first")


def _cropped(x: Tensor, size: Pair, channels_first: bool) -> Tensor:
    """Emit a cut to the ratio of `size`, around the middle, as Keras rounds it."""
    sizes = _known(x, channels_first)
    kept = [max(min(n, fit), 1) for n, fit in zip(sizes, _fitting(sizes, size), strict=True)]
    cuts = []
    for n, rest in zip(sizes, kept, strict=True):
        start = (n - rest) // 2
        cuts.append((start, n - rest - start))
    return x.then(Route, "crop", move=Crop(_all_axes(cuts, channels_first))) if any(
        map(any, cuts)
    ) else x  # fmt: skip


def _padded(x: Tensor, size: Pair, channels_first: bool) -> Tensor:
    """Emit zeros around, up to the ratio of `size`; Keras puts as many before as behind."""
    sizes = _known(x, channels_first)
    starts = [max(fit - n, 0) // 2 for n, fit in zip(sizes, _fitting(sizes, size), strict=True)]
    if not any(starts):
        return x
    pairs = [(start, start) for start in starts]
    return x.then(Route, "pad", move=Pad(_all_axes(pairs, channels_first)))


def _fitting(sizes: Pair, target: Pair) -> Pair:
    """Return the height that fits the width, and the width that fits the height, as in Keras."""
    height, width = (np.float32(n) for n in target)
    return int(np.float32(sizes[1] * target[0]) / width), int(
        np.float32(sizes[0] * target[1]) / height
    )


def _known(x: Tensor, channels_first: bool) -> Pair:
    height, width = (x.shape[axis] for axis in _axes(channels_first))
    if height is None or width is None:
        raise UnknownSize("it keeps the ratio of a size that is only known at run time")
    return height, width


def _axes(channels_first: bool) -> Pair:
    return (2, 3) if channels_first else (1, 2)


def _all_axes(pairs: list[Pair], channels_first: bool) -> tuple[Pair, ...]:
    """Return a pair for every axis but the batch."""
    return ((0, 0), *pairs) if channels_first else (*pairs, (0, 0))


def resized(
    x: Tensor,
    targets: tuple[Target, ...],
    interpolation: str,
    antialias: bool = False,
    *,
    channels_first: bool = False,
) -> Tensor:
    """Emit resizing of height and width: copies where no pixels are mixed, a `Resample` otherwise.

    Parameters
    ----------
    x
        Handle of images.
    targets
        What height and width become.
    interpolation, antialias
        As in `keras.ops.image.resize`.
    channels_first
        Whether the channels come before height and width.

    Raises
    ------
    UnknownSize
        The weights depend on a size that is only known at run time.
    """
    sizes = [x.shape[axis] for axis in _axes(channels_first)]
    targets = tuple(
        Target() if size is not None and target.of(size) == size else target
        for size, target in zip(sizes, targets, strict=True)
    )
    rows, columns = (
        _matrix(size, target, interpolation, antialias)
        for size, target in zip(sizes, targets, strict=True)
    )
    changed = (
        (target, matrix)
        for target, matrix in zip(targets, (rows, columns), strict=True)
        if not target.unchanged
    )
    if all(matrix is not None for _, matrix in changed):
        return by_matrices(x, (rows, columns), channels_first=channels_first)
    return x.then(
        Resample,
        height=targets[0],
        width=targets[1],
        rows=rows,
        columns=columns,
        channels_first=channels_first,
    )


def by_matrices(
    x: Tensor,
    matrices: tuple[np.ndarray | None, np.ndarray | None],
    *,
    channels_first: bool = False,
) -> Tensor:
    """Emit resizing by weights `(new size, size)` of height and width; None where an axis stays."""
    rows, columns = (None if m is None or _is_identity(m) else m for m in matrices)
    changed = [
        (axis, matrix)
        for axis, matrix in zip(_axes(channels_first), (rows, columns), strict=True)
        if matrix is not None
    ]
    if not changed:
        return keep(x)
    if all(_selects(matrix) for _, matrix in changed):
        return moved(x, [_copies(axis, matrix) for axis, matrix in changed])
    height, width = (Target() if m is None else Target(len(m)) for m in (rows, columns))
    return x.then(
        Resample,
        height=height,
        width=width,
        rows=rows,
        columns=columns,
        channels_first=channels_first,
    )


def _matrix(
    size: int | None, target: Target, interpolation: str, antialias: bool
) -> np.ndarray | None:
    """Return the weights along an axis; None where it stays, or where run time will tell."""
    if target.unchanged:
        return None
    length = target.of(size)
    if size is not None and length is not None:
        return backend.resizing_matrix(size, length, interpolation, antialias)
    if interpolation == "bilinear" and not antialias:
        return None
    what = "antialiased" if antialias else interpolation
    raise UnknownSize(f"the weights of {what} resizing depend on a size only known at run time")


def _is_identity(matrix: np.ndarray) -> bool:
    return len(matrix) == matrix.shape[1] and bool(np.all(matrix == np.eye(len(matrix))))


def _selects(matrix: np.ndarray) -> bool:
    """Whether every output copies one input."""
    return bool(np.all((matrix != 0).sum(axis=1) == 1) and np.all(matrix.max(axis=1) == 1))


def _copies(axis: int, matrix: np.ndarray) -> Move:
    indices, size = matrix.argmax(axis=1), matrix.shape[1]
    times = len(indices) // size
    if np.array_equal(indices, np.repeat(np.arange(size), times)):
        return Repeat(axis, times)
    return Gather(tuple(indices.tolist()), axis, size)
