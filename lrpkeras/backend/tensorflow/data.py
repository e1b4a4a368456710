"""Arrays and datasets, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrpkeras.errors import InputError


def is_dataset(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`."""
    return isinstance(data, tf.data.Dataset)


def count(data: Any, batch_size: int) -> int | None:
    """Return how many batches `batches` will yield, or None where a dataset does not know."""
    if is_dataset(data):
        number = int(data.cardinality())
        return number if number >= 0 else None
    return -(-_length(data) // batch_size)


def batches(data: Any, batch_size: int) -> Iterator[Any]:
    """Iterate over `data` in batches.

    Parameters
    ----------
    data : an array or tensor, or a nested dict, list or tuple of them, cut along the first axis;
        or a `tf.data.Dataset`, whose elements are taken as they come. An element that is a tuple
        of one to three is (inputs, targets, sample weights), as in `keras.Model.fit`: only the
        inputs are kept
    batch_size : int > 0; not used for datasets

    Raises
    ------
    InputError
        If arrays have no first axis, or first axes of different sizes.
    """
    if is_dataset(data):
        return (_inputs_of(element) for element in data)
    starts = range(0, _length(data), batch_size)
    return (
        keras.tree.map_structure(lambda x, i=start: x[i : i + batch_size], _as_arrays(data))
        for start in starts
    )


def _inputs_of(element: Any) -> Any:
    is_sample = type(element) is tuple and 1 <= len(element) <= 3
    return element[0] if is_sample else element


def _as_arrays(data: Any) -> Any:
    return keras.tree.map_structure(lambda x: x if tf.is_tensor(x) else np.asarray(x), data)


def _length(data: Any) -> int:
    arrays = keras.tree.flatten(_as_arrays(data))
    if not arrays or any(len(x.shape) == 0 for x in arrays):
        raise InputError("Every array to explain needs a first axis that counts the samples.")
    lengths = {int(x.shape[0]) for x in arrays}
    if len(lengths) > 1:
        raise InputError(
            f"The inputs hold different numbers of samples: {sorted(lengths)}. "
            "Give every input the same number."
        )
    return lengths.pop()
