"""A data set in batches: their size, their progress, their results put together."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.errors import InputError


def positive(batch_size: Any) -> int:
    """Return a batch size.

    Raises
    ------
    InputError
        If it is no positive integer.
    """
    try:
        size = 0 if isinstance(batch_size, bool) else operator.index(batch_size)
    except TypeError:
        size = 0
    if size < 1:
        raise InputError(f"batch_size must be a positive integer, not {batch_size!r}.")
    return size


def progress(total: int | None, verbose: str | int) -> Any:
    """Return a progress bar over `total` batches, None where `verbose` asks for none.

    Raises
    ------
    InputError
        If `verbose` is not "auto", 0 or 1.
    """
    if verbose not in ("auto", 0, 1):
        raise InputError(f"verbose is 'auto', 0 or 1, not {verbose!r}.")
    shown = verbose == 1 or (verbose == "auto" and total != 1)
    return keras.utils.Progbar(total) if shown else None


def numbered(data: Any, batch_size: int, dataset: bool) -> Iterator[tuple[Any, int]]:
    """Yield batches, each with the number of its first sample; 0 for a dataset, which has none."""
    start = 0
    for batch in backend.batches(data, batch_size):
        yield batch, start
        start += 0 if dataset else batch[0].shape[0]


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the results of batches together, array by array, along the samples."""
    return dict(keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts))
