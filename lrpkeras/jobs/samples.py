"""Where the samples of a job come from: arrays, photos in files, or a dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from lrpkeras import backend, photos
from lrpkeras.errors import InputError
from lrpkeras.inputs import Intake

Array = Any
Range = tuple[float, float] | None
READERS = 4  # photos decoded at the same time


@dataclass(frozen=True)
class Batch:
    """Samples that follow one another.

    Attributes
    ----------
    start
        The number of the first one.
    arrays
        One for each input, `(samples, ...)`; a sample that cannot be explained is another one here.
        None where none of them can.
    ids
        A name for each.
    unreadable
        By position in the batch: why a sample cannot be explained.
    """

    start: int
    arrays: list[Array] | None
    ids: list[str]
    unreadable: dict[int, str]

    @property
    def readable(self) -> list[int]:
        """Positions of the others."""
        return [i for i in range(len(self.ids)) if i not in self.unreadable]


class Samples(Protocol):
    """Samples in an order that is always the same."""

    @property
    def count(self) -> int | None:
        """How many there are; None where that is not known before they are read."""

    @property
    def digest(self) -> str:
        """A digest of their names."""

    def read(self, start: int, stop: int) -> Batch:
        """Return those from `start` on, fewer than asked for at the end."""


def digest_of(arrays: Sequence[Array]) -> str:
    """Return a digest of the first sample of a batch."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(backend.to_numpy(array[:1])).tobytes())
    return found.hexdigest()[:16]


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True)
class Checked:
    """What every source of samples does with a batch: refuse some of them, one by one."""

    intake: Intake
    input_range: Range

    def batch(self, start: int, arrays: list[Array], ids: list[str]) -> Batch:
        """Return a batch without what an analyzer refuses."""
        why: dict[int, str] = {}
        try:
            self.intake.check_values(arrays, self.input_range)
        except InputError:
            why = {i: found for i in range(len(ids)) if (found := self._refusal(arrays, i))}
        return filled(Batch(start, arrays, ids, why))

    def _refusal(self, arrays: list[Array], i: int) -> str | None:
        try:
            self.intake.check_values([array[i : i + 1] for array in arrays], self.input_range)
        except InputError as error:
            return str(error)
        return None


def filled(batch: Batch) -> Batch:
    """Put a readable sample in the place of every other one: batches keep their size."""
    if not batch.unreadable or batch.arrays is None:
        return batch
    if not batch.readable:
        return Batch(batch.start, None, batch.ids, batch.unreadable)
    order = [batch.readable[0] if i in batch.unreadable else i for i in range(len(batch.ids))]
    arrays = [backend.to_numpy(array)[order] for array in batch.arrays]
    return Batch(batch.start, arrays, batch.ids, batch.unreadable)


class ArraySamples:
    """Arrays, one for each input."""

    def __init__(self, arrays: list[Array], checked: Checked) -> None:
        self._arrays, self._checked = arrays, checked

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._arrays[0].shape[0])

    @property
    def digest(self) -> str:
        """A digest of how many there are."""
        return _digest([str(self.count)])

    def read(self, start: int, stop: int) -> Batch:
        """Return a slice."""
        arrays = [array[start:stop] for array in self._arrays]
        ids = [str(i) for i in range(start, start + int(arrays[0].shape[0]))]
        return self._checked.batch(start, arrays, ids)


class FileSamples:
    """Photos in files, for a model with one image input."""

    def __init__(
        self, paths: Sequence[str | os.PathLike], checked: Checked, how: Any, root: str = ""
    ) -> None:
        self._paths, self._checked = [os.fspath(path) for path in paths], checked
        self._root = root
        self._shape = image_shape(checked.intake)
        self._made = photos.preprocess(how)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._paths)

    @property
    def digest(self) -> str:
        """A digest of the paths."""
        return _digest(self._paths)

    def read(self, start: int, stop: int) -> Batch:
        """Decode some files, several at a time."""
        ids = self._paths[start:stop]
        with ThreadPoolExecutor(READERS) as threads:
            found = list(threads.map(self._read, ids))
        why = {i: one for i, one in enumerate(found) if isinstance(one, str)}
        images = [one for one in found if not isinstance(one, str)]
        if not images:
            return Batch(start, None, ids, why)
        arrays = np.stack([images[0] if isinstance(one, str) else one for one in found])
        batch = self._checked.batch(start, [arrays], ids)
        return filled(Batch(start, batch.arrays, ids, {**batch.unreadable, **why}))

    def _read(self, path: str) -> np.ndarray | str:
        try:
            image = photos.read(os.path.join(self._root, path), self._shape[-1])
            return photos.as_input(image, self._shape, self._made)
        except InputError as error:
            return str(error)


def image_shape(intake: Intake) -> tuple[int, int, int]:
    """Return `(height, width, channels)` of the one input of a model of images.

    Raises
    ------
    InputError
        If the model takes something else.
    """
    shape = intake.shapes[0][1:]
    fixed = len(shape) == 3 and None not in shape
    if len(intake.shapes) != 1 or not fixed or shape[-1] not in (1, 3, 4):
        raise InputError(
            "Photos are explained for models with one input (height, width, channels) of known "
            f"size, with 1, 3 or 4 channels; this one takes {', '.join(map(str, intake.shapes))}. "
            "Read them into arrays, resized as the model expects."
        )
    return shape  # type: ignore[return-value]


class DatasetSamples:
    """A dataset, read from its beginning to its end; what is not asked for is left out."""

    def __init__(self, dataset: Any, checked: Checked) -> None:
        self._checked, self._dataset = checked, dataset
        self._open()

    count = None
    digest = "dataset"

    def _open(self) -> None:
        """Begin at the beginning."""
        self._batches = backend.batches(self._dataset, 1)
        self._held: list[list[np.ndarray]] = []
        self._position = 0

    def read(self, start: int, stop: int) -> Batch:
        """Read on until `stop`, from the beginning if need be, and leave out what is too early."""
        if start < self._position:
            self._open()
        while self._position < start and self._more():
            left = min(start - self._position, len(self._held[0][0]))
            self._take(left)
        parts: list[list[np.ndarray]] = []
        while self._position < stop and self._more():
            parts.append(self._take(min(stop - self._position, len(self._held[0][0]))))
        if not parts:
            return Batch(start, None, [], {})
        arrays = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        ids = [str(i) for i in range(start, start + len(arrays[0]))]
        return self._checked.batch(start, arrays, ids)

    def _more(self) -> bool:
        """Whether there are samples left: in what is held, or in the dataset."""
        while not self._held:
            element = next(self._batches, None)
            if element is None:
                return False
            flat = self._checked.intake.flatten(element)
            self._held = [[keras.ops.convert_to_numpy(x) for x in flat]]
        return True

    def _take(self, count: int) -> list[np.ndarray]:
        """Return the next samples of what is held."""
        arrays = self._held.pop()
        self._position += count
        if len(arrays[0]) > count:
            self._held.append([array[count:] for array in arrays])
        return [array[:count] for array in arrays]


def samples_of(data: Any, checked: Checked, how: Any = None, root: str = "") -> Samples:
    """Return where samples come from.

    Parameters
    ----------
    data
        Arrays as a model takes them, a list of the paths of photos, or a dataset.
    how
        What makes a model's input of pixels: for photos alone.
    root
        The folder that relative paths start from; this process's own by default.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if _are_paths(data):
        return FileSamples(list(data), checked, how, root)
    if how is not None:
        raise InputError("preprocess is for photos in files: arrays and datasets come as they are.")
    if backend.is_dataset(data):
        return DatasetSamples(data, checked)
    return ArraySamples(checked.intake.flatten(data), checked)


def _are_paths(data: Any) -> bool:
    if isinstance(data, str | os.PathLike):
        raise InputError(f"Give a list of paths, [{os.fspath(data)!r}], or arrays.")
    return (
        isinstance(data, list | tuple)
        and bool(data)
        and all(isinstance(one, str | os.PathLike) for one in data)
    )


def ranges(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield numbers of the first sample and of the one behind the last, of each part of a size."""
    return ((start, min(start + size, count)) for start in range(0, count, size))
