"""What users hand over to be explained: checked, flattened and packed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.errors import InputError

Array = Any


@dataclass(frozen=True)
class Intake:
    """The inputs that a model takes.

    Attributes
    ----------
    names, shapes
        Of each input, in the model's order; shapes with batch.
    structure
        The model's own nesting of its inputs.
    dtype
        What arrays are converted to.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    structure: Any
    dtype: str

    def flatten(self, x: Any) -> list[Array]:
        """Return one array for each input, in the model's order.

        Raises
        ------
        InputError
            If `x` is not what the model takes: number of inputs, rank, shape, dtype, empty.
        """
        arrays = [self._array(x, name) for x, name in zip(self._leaves(x), self.names, strict=True)]
        for array, name, shape in zip(arrays, self.names, self.shapes, strict=True):
            _check_shape(array, name, shape)
        sizes = {array.shape[0] for array in arrays}
        if len(sizes) > 1:
            raise InputError(f"The inputs hold different numbers of samples: {sorted(sizes)}.")
        return arrays

    def _leaves(self, x: Any) -> list[Any]:
        """Split `x` by the model's structure; a dict of input names fits any structure."""
        if len(self.names) == 1 and not isinstance(x, dict):
            return [x[0] if self._wraps_one(x) else x]
        if isinstance(x, dict):
            return self._by_name(x)
        leaves = list(x) if isinstance(x, list | tuple) else None
        if leaves is None or len(leaves) != len(self.names):
            raise InputError(
                f"The model takes {len(self.names)} inputs ({', '.join(self.names)}): give a list "
                "of that many arrays, or a dict by input name."
            )
        return leaves

    def _wraps_one(self, x: Any) -> bool:
        """Whether `x` is a list that holds the one input, not the samples of it."""
        return (
            isinstance(x, list | tuple)
            and len(x) == 1
            and np.ndim(_plain(x[0])) == len(self.shapes[0])
        )

    def _by_name(self, x: dict) -> list[Any]:
        keys = list(self.structure) if isinstance(self.structure, dict) else list(self.names)
        if set(x) == set(keys) and isinstance(self.structure, dict):
            return list(keras.tree.flatten({key: x[key] for key in keys}))
        if set(x) == set(self.names):
            return [x[name] for name in self.names]
        raise InputError(
            f"The model's inputs are named {', '.join(map(repr, keys))}; the dict has "
            f"{', '.join(map(repr, x)) or 'nothing'}."
        )

    def _array(self, x: Any, name: str) -> Array:
        array = x if backend.is_tensor(x) else _as_numpy(x, name)
        kind = (
            np.dtype(str(keras.backend.standardize_dtype(array.dtype))).kind
            if (backend.is_tensor(array))
            else array.dtype.kind
        )
        if kind not in "fiub" and str(array.dtype) != "bfloat16":
            raise InputError(
                f"Input {name!r} is of type {array.dtype}; numbers are needed, such as float32."
            )
        return array

    def check_values(
        self, arrays: Sequence[Array], input_range: tuple[float, float] | None = None
    ) -> None:
        """Raise `InputError` where a value is NaN, infinite, or outside of `input_range`."""
        for array, name in zip(arrays, self.names, strict=True):
            values = _plain(array)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                bad = int(values.size - np.isfinite(values).sum())
                raise InputError(
                    f"Input {name!r} holds {bad} NaN or infinite values; a map of them would be "
                    "NaN everywhere. Replace them first."
                )
            if input_range is not None:
                _check_range(values, name, input_range)

    def pack(self, like: Any, arrays: Sequence[Array]) -> Any:
        """Nest arrays as the user nested the inputs."""
        if isinstance(like, dict):
            if isinstance(self.structure, dict):
                return dict(zip(sorted(self.structure), arrays, strict=True))
            return dict(zip(self.names, arrays, strict=True))
        if len(self.names) == 1:
            return type(like)([arrays[0]]) if self._wraps_one(like) else arrays[0]
        return tuple(arrays) if isinstance(like, tuple) else list(arrays)


def _check_range(values: np.ndarray, name: str, input_range: tuple[float, float]) -> None:
    low, high = float(values.min()), float(values.max())
    slack = 1e-5 * (input_range[1] - input_range[0])
    if low < input_range[0] - slack or high > input_range[1] + slack:
        raise InputError(
            f"Input {name!r} lies in [{low:g}, {high:g}], outside of input_range="
            f"{tuple(input_range)}: rescale it as the model expects, or leave input_range out."
        )


def _plain(x: Any) -> np.ndarray:
    if backend.is_tensor(x):
        return (
            backend.to_numpy(keras.ops.cast(x, "float32"))
            if x.dtype == "bfloat16"
            else (backend.to_numpy(x))
        )
    return np.asarray(x)


def _as_numpy(x: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError:
        raise InputError(
            f"Input {name!r} is no array: its rows differ in length. Stack samples of one shape."
        ) from None


def _check_shape(array: Array, name: str, shape: tuple[int | None, ...]) -> None:
    expected = f"(samples, {', '.join('any' if n is None else str(n) for n in shape[1:])})"
    if len(array.shape) != len(shape):
        hint = ""
        if len(array.shape) == len(shape) - 1:
            hint = " One sample alone needs a batch axis: x[None]."
        raise InputError(
            f"Input {name!r} has shape {tuple(array.shape)}, the model takes {expected}.{hint}"
        )
    if any(n not in (None, m) for n, m in zip(shape[1:], array.shape[1:], strict=True)):
        raise InputError(
            f"Input {name!r} has shape {tuple(array.shape)}, the model takes {expected}. Resize or "
            "reshape it as for model.predict."
        )
    if array.shape[0] == 0:
        raise InputError(f"Input {name!r} is empty: there is no sample to explain.")
