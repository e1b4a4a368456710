"""What users hand over to be explained: checked, flattened and packed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.errors import InputError

Array = Any

# Types of input, without their number of bits.
NUMBERS = ("float", "bfloat", "int", "uint", "bool")


@dataclass(frozen=True)
class Intake:
    """The inputs that a model takes.

    Attributes
    ----------
    names, shapes
        Of each input, in the model's order; shapes with batch.
    structure
        The model's own nesting of its inputs.
    types
        The type of each input, as the model declares it.
    dtype
        What is computed in.
    rows
        For inputs that are indices, how many rows there are to look up; None for the others.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    structure: Any
    types: tuple[str, ...]
    dtype: str
    rows: tuple[int | None, ...]

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
        """Split `x` by the model's structure; a flat list or a dict of input names fits any."""
        if backend.is_dataset(x):
            raise InputError("A dataset is explained batch by batch: analyzer.explain(dataset).")
        if len(self.names) == 1 and not isinstance(x, dict):
            return [x[0] if self._wraps_one(x) else x]
        leaves = _split(self.structure, x)
        if leaves is not None:
            return leaves
        if isinstance(x, dict):
            return self._by_name(x)
        if not isinstance(x, list | tuple) or len(x) != len(self.names):
            raise InputError(
                f"The model takes {len(self.names)} inputs ({', '.join(self.names)}): give a list "
                "of that many arrays, or a dict by input name."
            )
        return list(x)

    def _wraps_one(self, x: Any) -> bool:
        """Whether `x` is a list that holds the one input, not the samples of it."""
        return (
            isinstance(x, list | tuple)
            and len(x) == 1
            and len(self._array(x[0], self.names[0]).shape) == len(self.shapes[0])
        )

    def _by_name(self, x: dict) -> list[Any]:
        if set(x) != set(self.names):
            raise InputError(
                f"The model's inputs are named {', '.join(map(repr, self.names))}; the dict has "
                f"{', '.join(map(repr, x)) or 'nothing'}."
            )
        return [x[name] for name in self.names]

    def _array(self, x: Any, name: str) -> Array:
        _refuse_kinds(x, name)
        array = x if backend.is_tensor(x) else _as_numpy(x, name)
        if str(getattr(array.dtype, "name", array.dtype)).rstrip("0123456789") not in NUMBERS:
            raise InputError(
                f"Input {name!r} is of type {array.dtype}; numbers are needed, such as float32."
            )
        return array

    def check_values(
        self, arrays: Sequence[Array], input_range: tuple[float, float] | None = None
    ) -> None:
        """Raise `InputError` where a value is NaN, infinite, or not of the input's type, range."""
        described = zip(arrays, self.names, self.types, self.rows, strict=True)
        for array, name, dtype, rows in described:
            values = _plain(array)
            if values.dtype.kind == "f":
                _check_finite(values, name, self.dtype)
            if not keras.backend.is_float_dtype(dtype):
                _check_whole(values, name, dtype)
            if rows is not None:
                _check_indices(values, name, rows)
            elif input_range is not None:
                _check_range(values, name, input_range)

    def pack(self, like: Any, arrays: Sequence[Array]) -> Any:
        """Nest arrays as the user nested the inputs."""
        if len(self.names) == 1 and not isinstance(like, dict):
            return type(like)([arrays[0]]) if self._wraps_one(like) else arrays[0]
        if _split(self.structure, like) is not None:
            return _joined(self.structure, like, iter(arrays))
        if isinstance(like, dict):
            return dict(zip(self.names, arrays, strict=True))
        return tuple(arrays) if isinstance(like, tuple) else list(arrays)


def _split(structure: Any, x: Any) -> list[Any] | None:
    """Return the parts of `x` at the leaves of `structure`, dicts by sorted key as Keras has them.

    None where `x` is not nested so. A leaf may be anything, rows of plain numbers included.
    """
    if isinstance(structure, dict):
        if not isinstance(x, dict) or set(x) != set(structure):
            return None
        pairs = [(structure[key], x[key]) for key in sorted(structure)]
    elif isinstance(structure, list | tuple):
        if not isinstance(x, list | tuple) or len(x) != len(structure):
            return None
        pairs = list(zip(structure, x, strict=True))
    else:
        return None if isinstance(x, dict) else [x]
    parts = [_split(inner, part) for inner, part in pairs]
    return None if None in parts else [leaf for part in parts if part for leaf in part]


def _joined(structure: Any, like: Any, arrays: Iterator[Array]) -> Any:
    """Undo `_split`, with lists, tuples and the order of keys as in `like`."""
    if isinstance(structure, dict):
        by_key = {key: _joined(structure[key], like[key], arrays) for key in sorted(structure)}
        return {key: by_key[key] for key in like}
    if isinstance(structure, list | tuple):
        parts = [_joined(inner, part, arrays) for inner, part in zip(structure, like, strict=True)]
        return tuple(parts) if isinstance(like, tuple) else parts
    return next(arrays)


def _check_finite(values: np.ndarray, name: str, dtype: str) -> None:
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(dtype))
    if not finite.all():
        raise InputError(
            f"Input {name!r} holds {int(np.sum(~finite))} NaN or infinite values (in {dtype}); a "
            "map of them would be NaN everywhere. Replace them first."
        )


def _check_whole(values: np.ndarray, name: str, dtype: str) -> None:
    """Refuse what the model would round or wrap around."""
    if not np.array_equal(values, values.astype(dtype)):
        raise InputError(
            f"The model's input {name!r} is of type {dtype}: these values are not all whole "
            "numbers in its range."
        )


def _check_indices(values: np.ndarray, name: str, rows: int) -> None:
    """Refuse what is no row of the table that the model looks up."""
    wrong = values[(values != np.floor(values)) | (values < 0) | (values >= rows)]
    if wrong.size:
        raise InputError(
            f"Input {name!r} holds the indices of rows, whole numbers from 0 to {rows - 1}; among "
            f"these is {wrong.flat[0]:g}. Encode the samples as for training."
        )


def _check_range(values: np.ndarray, name: str, input_range: tuple[float, float]) -> None:
    low, high = float(values.min()), float(values.max())
    slack = 1e-5 * (input_range[1] - input_range[0])
    if low < input_range[0] - slack or high > input_range[1] + slack:
        raise InputError(
            f"Input {name!r} lies in [{low:g}, {high:g}], outside of input_range="
            f"{tuple(input_range)}: rescale it as the model expects, or leave input_range out."
        )


def _refuse_kinds(x: Any, name: str) -> None:
    """Refuse tensors that hold no plain array of values."""
    if isinstance(x, keras.KerasTensor):
        raise InputError(
            f"Input {name!r} is a symbolic tensor, without values: give an array of samples, as to "
            "model.predict."
        )
    if isinstance(x, Iterator):
        raise InputError(
            f"Input {name!r} is a {type(x).__name__}, which has no length and can be read once: "
            "give an array, a keras.utils.PyDataset, or tf.data.Dataset.from_generator(...)."
        )
    if hasattr(x, "dense_shape"):
        raise InputError(f"Input {name!r} is sparse: make it dense first, tf.sparse.to_dense(x).")
    if hasattr(x, "row_splits"):
        raise InputError(
            f"Input {name!r} is ragged: its rows differ in length. Pad them first, x.to_tensor()."
        )


def _plain(x: Any) -> np.ndarray:
    """Return an array whose type NumPy knows."""
    narrow = str(getattr(getattr(x, "dtype", None), "name", "")) == "bfloat16"
    if narrow:
        x = keras.ops.cast(x, "float32")
    return backend.to_numpy(x) if backend.is_tensor(x) else np.asarray(x)


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
            hint = " One sample alone needs a batch axis, x[None]; a dataset needs .batch(n)."
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
