"""Arrays and datasets, batch by batch, whichever library they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrpkeras.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """How a kind of dataset is gone through.

    Attributes
    ----------
    elements
        From a dataset to an iterator over its batches.
    count
        How many batches it has; None where it does not know.
    """

    elements: Callable[[Any], Iterator[Any]]
    count: Callable[[Any], int | None]


def is_dataset(data: Any) -> bool:
    """Whether `data` brings its own batches.

    A `tf.data.Dataset`, a `keras.utils.PyDataset` or a `torch.utils.data.DataLoader`.
    """
    return _kind(data) is not None


def count(data: Any, batch_size: int) -> int | None:
    """Return how many batches `batches` will yield, or None where a dataset does not know."""
    kind = _kind(data)
    return -(-_length(data) // batch_size) if kind is None else kind.count(data)


def batches(data: Any, batch_size: int) -> Iterator[Any]:
    """Iterate over `data` in batches.

    Parameters
    ----------
    data : an array or tensor, or a nested dict, list or tuple of them, cut along the first axis;
        or a dataset, whose elements are taken as they come. An element that is a tuple
        of one to three is (inputs, targets, sample weights), as in `keras.Model.fit`: only the
        inputs are kept
    batch_size : int > 0; not used for datasets

    Raises
    ------
    InputError
        If arrays have no first axis, or first axes of different sizes, or a dataset has no end.
    """
    kind = _kind(data)
    if kind is not None:
        return (_inputs_of(element) for element in kind.elements(data))
    starts = range(0, _length(data), batch_size)
    arrays = _as_arrays(data)
    return (
        keras.tree.map_structure(lambda x, i=start: x[i : i + batch_size], arrays)
        for start in starts
    )


def _kind(data: Any) -> Dataset | None:
    """Tell by name: the libraries themselves are none of ours to import."""
    names = ((c.__module__.partition(".")[0], c.__name__) for c in type(data).__mro__)
    return next((KINDS[name] for name in names if name in KINDS), None)


def _cardinality(data: Any) -> int | None:
    number = int(data.cardinality())
    return number if number >= 0 else None


def _of_py_dataset(data: Any) -> Iterator[Any]:
    if data.num_batches is None:
        raise InputError("The PyDataset has no end: give it a __len__, the number of its batches.")
    return (data[index] for index in range(data.num_batches))


def _of_loader(data: Any) -> Iterator[Any]:
    """Batches of a torch loader as NumPy arrays; what it collates in a list is a sample's tuple."""
    for batch in data:
        arrays = keras.tree.map_structure(_without_torch, batch)
        yield tuple(arrays) if isinstance(arrays, list) else arrays


def _without_torch(x: Any) -> Any:
    return x.detach().cpu().numpy() if hasattr(x, "detach") else x


def _length_of_loader(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:
        return None


# By the package and the name of a class that a dataset's class is, or is made from.
KINDS = {
    ("tensorflow", "DatasetV2"): Dataset(iter, _cardinality),
    ("keras", "PyDataset"): Dataset(_of_py_dataset, lambda data: data.num_batches),
    ("torch", "DataLoader"): Dataset(_of_loader, _length_of_loader),
}


def _inputs_of(element: Any) -> Any:
    is_sample = type(element) is tuple and 1 <= len(element) <= 3
    return element[0] if is_sample else element


def _as_arrays(data: Any) -> Any:
    return keras.tree.map_structure(lambda x: x if hasattr(x, "shape") else np.asarray(x), data)


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
