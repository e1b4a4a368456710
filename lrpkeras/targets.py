"""What is explained: from what users say to arrays that the compiled function takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import TargetError

Array = Any
Mode = Literal["winner", "index", "array"]


@dataclass(frozen=True)
class Target:
    """A target for a whole data set, ready to be cut into batches.

    Attributes
    ----------
    mode
        "winner": the largest output of each sample; "index": class numbers; "array": factors.
    values
        For "index" `(n, k)`, or `(1, k)` for all samples the same; for "array" `(n, ...)` or
        `(1, ...)`; or a callable from the output to such an array.
    several
        Whether the relevance that is returned has a target axis.
    """

    mode: Mode
    values: Any = None
    several: bool = False

    @property
    def k(self) -> int:
        """How many targets each sample has."""
        return self.values.shape[1] if self.mode == "index" else 1

    @property
    def counts_samples(self) -> bool:
        """Whether the values are those of particular samples."""
        held = self.values is not None and not callable(self.values)
        return held and self.values.shape[0] != 1

    def batch(self, start: int, stop: int) -> Any:
        """Return the values for samples `start` to `stop`."""
        if self.values is None or callable(self.values):
            return self.values
        if self.values.shape[0] == 1:
            return np.repeat(self.values, stop - start, axis=0)
        return self.values[start:stop]


def parse(target: Any, count: int | None, output_shape: tuple[int | None, ...]) -> Target:
    """Read what `Analyzer` accepts as target.

    Parameters
    ----------
    target
        None, an int, one int per sample, a list of lists, "all", an array of the output's shape, or
        a callable.
    count
        Number of samples, None if unknown.
    output_shape
        Static shape of the explained output, with batch.

    Raises
    ------
    TargetError
        If the target is of no such kind, out of range, or of the wrong length.
    """
    classes = output_shape[-1] if len(output_shape) > 1 else 1
    if target is None:
        return Target("winner")
    if callable(target):
        return Target("array", target)
    if isinstance(target, str):
        if target != "all":
            raise TargetError(f"target={target!r} is unknown: the only word is 'all'.")
        if classes is None:
            raise TargetError("target='all' needs an output with a known number of classes.")
        return Target("index", np.arange(classes, dtype="int32")[None], True)
    array = _as_array(target)
    if array.dtype.kind == "f":
        return _factors(array, count, output_shape)
    return _indices(array, count, classes)


def _as_array(target: Any) -> np.ndarray:
    try:
        array = backend.to_numpy(target) if backend.is_tensor(target) else np.asarray(target)
    except ValueError:
        raise TargetError(
            "target has rows of different lengths: give each sample as many."
        ) from None
    if array.size == 0:
        raise TargetError("target is empty.")
    if array.dtype.kind not in "iuf":
        raise TargetError(
            f"target of type {array.dtype} is none of: None, an int, one int per sample, a list of "
            "lists of ints, 'all', a float array shaped like the output, or a callable."
        )
    return array


def _indices(array: np.ndarray, count: int | None, classes: int | None) -> Target:
    if array.ndim > 2:
        raise TargetError(
            f"an integer target has at most two axes, (samples, k), not {array.ndim}."
        )
    values = array.reshape(1, 1) if array.ndim == 0 else array
    values = values[:, None] if values.ndim == 1 else values
    if array.ndim and count is not None and len(values) != count:
        raise TargetError(f"target has {len(values)} entries for {count} samples: give one each.")
    if values.min() < 0 or (classes is not None and values.max() >= classes):
        wrong = values.min() if values.min() < 0 else values.max()
        known = f"has classes 0 to {(classes or 1) - 1}"
        if classes == 1:
            known = "is one number: its target is 0 (or None), and its sign says which class"
        raise TargetError(f"target {wrong} is out of range: the output {known}.")
    if values.shape[1] == classes and values.shape[1] > 2 and values.max() <= 1:
        raise TargetError(
            "target looks like one-hot rows of integers, which would mean classes 0 and 1 many "
            "times over. For an array shaped like the output give floats."
        )
    return Target("index", values.astype("int32"), several=array.ndim == 2)


def _factors(array: np.ndarray, count: int | None, output_shape: tuple[int | None, ...]) -> Target:
    shape = output_shape[1:]
    sample = array.shape[-len(shape) :] if shape else ()
    matches = len(sample) == len(shape) and all(
        n in (None, m) for n, m in zip(shape, sample, strict=True)
    )
    # As many as samples, they may be class numbers read from a file as floats.
    ambiguous = array.ndim == len(shape) == 1 and len(array) == count
    if not matches or array.ndim - len(shape) not in (0, 1) or ambiguous:
        raise TargetError(
            f"a float target multiplies the output, shape (samples, {_sizes(shape)}); this one has "
            f"shape {array.shape}. For class numbers give integers."
        )
    if not np.isfinite(array).all():
        raise TargetError("target holds NaN or infinite values.")
    values = array[None] if array.ndim == len(shape) else array
    if count is not None and len(values) not in (1, count):
        raise TargetError(f"target has {len(values)} entries for {count} samples: give one each.")
    return Target("array", values)


def _sizes(shape: tuple[int | None, ...]) -> str:
    return ", ".join("any" if n is None else str(n) for n in shape)


def answer(function: Callable, output: Array) -> Array:
    """Ask a user's callable for the factors of a batch.

    Parameters
    ----------
    function
        From the output, a tensor `(batch, ...)`, to an array of the same shape.

    Raises
    ------
    TargetError
        If the answer is no array, has another shape, or holds NaN or infinite values.
    """
    given = function(output)
    try:
        array = backend.constant(given, dtype=output.dtype)
    except (TypeError, ValueError):
        raise TargetError(
            f"the target callable returned {given!r}: an array shaped like the output is needed."
        ) from None
    if tuple(array.shape) != tuple(output.shape):
        raise TargetError(
            f"the target callable returned shape {tuple(array.shape)} for an output of shape "
            f"{tuple(output.shape)}: the two must be the same."
        )
    if not np.isfinite(backend.to_numpy(array)).all():
        raise TargetError("the target callable returned NaN or infinite values.")
    return array


def factors(mode: Mode, values: Any, output: Array) -> tuple[Array, Array]:
    """Return what multiplies the output at the start, and the class numbers.

    Parameters
    ----------
    mode, values
        As in `Target`, values as a tensor.
    output
        The explained output, `(batch, ...)`.

    Returns
    -------
    Factors `(k, batch, ...)` and class numbers `(batch, k)`, -1 in mode "array".
    """
    if mode == "array":
        array = ops.zeros_like(output) + ops.cast(values, output.dtype)
        none = ops.zeros(backend.shape(output)[:1], dtype="int32") - 1
        return ops.expand_dims(array, 0), ops.expand_dims(none, -1)
    if mode == "winner":
        values = ops.expand_dims(winner(output), -1)
    k = values.shape[1]
    if len(output.shape) == 1:
        return ops.ones_like(ops.stack([output] * k)), values
    hot = ops.one_hot(ops.transpose(values), output.shape[-1], dtype=output.dtype)
    for _ in range(len(output.shape) - 2):
        hot = ops.expand_dims(hot, 2)
    return hot + ops.zeros_like(output), values


def winner(output: Array) -> Array:
    """Return the class with the largest output, summed over positions if there are any."""
    if len(output.shape) == 1:
        return ops.zeros_like(output, dtype="int32")
    positions = tuple(range(1, len(output.shape) - 1))
    total = ops.sum(output, axis=positions) if positions else output
    return ops.cast(ops.argmax(total, axis=-1), "int32")
