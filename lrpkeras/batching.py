"""A data set in batches: their size, their progress, their results put together."""

from __future__ import annotations

import operator
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.errors import InputError

Item = TypeVar("Item")


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


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yield items in order, each read in a thread while the one before it is worked on.

    The thread reads as this one would: in its types, on its device.

    One is read ahead, no more. What reading raises is raised where the item would have come; when
    this generator is closed, so is `items`.
    """
    end: Any = object()
    read = backend.carried(next)
    with ThreadPoolExecutor(1) as thread:
        try:
            following = thread.submit(read, items, end)
            while (item := following.result()) is not end:
                following = thread.submit(read, items, end)
                yield item
        finally:
            thread.submit(items.close).result()


def one_behind(items: Iterator[Item]) -> Iterator[Item]:
    """Yield every item once the next has been asked for.

    A GPU computes while Python goes on: what it was asked for first is fetched while it has more to
    do.
    """
    waiting: list[Item] = []
    for item in items:
        yield from waiting
        waiting = [item]
    yield from waiting


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the results of batches together, array by array, along the samples."""
    return dict(keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts))
