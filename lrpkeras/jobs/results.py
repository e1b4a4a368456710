"""Results of a job, read from their shards as one array, a few rows at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.jobs.job import Job, Unreadable, manifests
from lrpkeras.jobs.shard import LARGEST_ERROR, decode, inspect, shard_file

ARRAYS = ("relevance", "output", "target", "index", "ids")


@dataclass(frozen=True)
class LazyArray:
    """An array whose first axis goes on from shard to shard; what is asked for is read.

    Indexed by an int, a slice, ints or booleans for the first axis, and anything NumPy takes for
    the others. `np.asarray` reads all of it.

    Attributes
    ----------
    shape, dtype
        As NumPy has them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    _files: tuple[Path, ...]
    _starts: np.ndarray  # the number of each file's first row, and of the one behind the last
    _read: Callable[[h5py.File, Any], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = (key or (Ellipsis,)) if isinstance(key, tuple) else (key,)
        if first is Ellipsis or first is None:
            whole: np.ndarray = self._rows(np.arange(len(self)))[key]
            return whole
        rows = np.arange(len(self))[first]
        wanted, back = np.unique(rows, return_inverse=True)
        # As NumPy would index the whole: several arrays of numbers go together.
        at = slice(None) if isinstance(first, slice) else back.reshape(rows.shape)
        block = self._rows(rows if isinstance(first, slice) else wanted)
        found: np.ndarray = block[(at, *rest)]
        return found

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """Read rows in any order, each file once."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards):
            at = np.flatnonzero(shards == shard)
            inside, back = np.unique(rows[at] - self._starts[shard], return_inverse=True)
            with h5py.File(self._files[shard], "r") as stream:
                # A slice is read at once, single rows one after the other.
                whole = slice(int(inside[0]), int(inside[-1]) + 1)
                dense = len(inside) == whole.stop - whole.start
                read = self._read(stream, whole if dense else inside)
            found[at] = read[back]
        return found


@dataclass(frozen=True)
class Results:
    """What a job has found.

    Attributes
    ----------
    relevance
        `(samples, ...)`, read when indexed; of several inputs a dict by name.
    output, target
        Logits and classes of each sample.
    index
        The number of each among the samples that were given: those that could not be explained are
        not here.
    ids
        Their paths, or numbers as text.
    unreadable
        Those that could not be explained.
    complete
        Whether all shards are here.
    config, fingerprint, versions
        Of the analyzer, the model and the libraries.
    largest_error
        Of stored relevance, of the sample's (and class's) largest: 0 unless `storage` was given.
    """

    relevance: LazyArray | dict[str, LazyArray]
    output: LazyArray
    target: LazyArray
    index: LazyArray
    ids: LazyArray
    unreadable: tuple[Unreadable, ...]
    complete: bool
    config: Mapping[str, Any]
    fingerprint: str
    versions: Mapping[str, str]
    largest_error: float

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        whole = "" if self.complete else ", not complete"
        bad = f", {len(self.unreadable)} unreadable" if self.unreadable else ""
        return f"Results({len(self)} samples{bad}{whole})"


def open_results(out: str | os.PathLike, *, partial: bool = False) -> Results:
    """Read what `explain_dataset` wrote, lazily.

    Parameters
    ----------
    out
        The folder.
    partial
        Take what is there while a job goes on, too.

    Returns
    -------
    Results
        `relevance`, `output`, `target`, `index` and `ids` of all samples, read from the files when
        asked for, like arrays.

    Raises
    ------
    InputError
        If there are no results, a shard is damaged, or some are missing and `partial` is False.

    Examples
    --------
    >>> import lrpkeras, tempfile
    >>> images = lrpkeras.datasets.shapes(4, seed=0).images
    >>> analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model(), "epsilon")
    >>> with tempfile.TemporaryDirectory() as out:
    ...     done = analyzer.explain_dataset(images, out, verbose=0)
    ...     lrpkeras.open_results(out).relevance[1:3].shape
    (2, 48, 48, 3)
    """
    folder = Path(out)
    known = list(manifests(folder)) if folder.is_dir() else []
    if not known:
        raise InputError(f"{os.fspath(out)!r} holds no results: explain_dataset writes them.")
    job = known[0][1]["job"]
    for file, manifest in known[1:]:
        if manifest["job"] != job:
            raise InputError(f"{os.fspath(file)!r} and {os.fspath(known[0][0])!r} are of two jobs.")
    shards = []
    for file in sorted(folder.glob("shard-*.h5")):
        shard = inspect(file)
        if shard is None:
            raise InputError(f"{os.fspath(file)!r} is damaged: remove it and run the job again.")
        shards.append(shard.done)
    complete = _is_complete(known, {done.shard for done in shards})
    if not (complete or partial):
        raise InputError(
            f"{os.fspath(out)!r} is not complete: run the job again to go on, or take what is "
            "there, open_results(out, partial=True)."
        )
    filled = [done for done in shards if done.samples]
    files = tuple(shard_file(folder, done.shard) for done in filled)
    starts = np.cumsum([0, *(done.samples for done in filled)])
    return Results(
        **_arrays(files, starts),
        unreadable=tuple(one for done in shards for one in done.unreadable),
        complete=complete,
        config=job["config"],
        fingerprint=job["fingerprint"],
        versions=job["versions"],
        largest_error=LARGEST_ERROR[job["storage"]],
    )


def _arrays(files: tuple[Path, ...], starts: np.ndarray) -> dict[str, Any]:
    """Return relevance and the plain arrays; empty ones if there is no file."""
    if not files:
        return {key: LazyArray((0,), np.dtype("float32"), (), starts, _nothing) for key in ARRAYS}
    with h5py.File(files[0], "r") as stream:
        found = {key: _lazy(stream, key, files, starts) for key in ARRAYS[1:]}
        return {"relevance": _relevance(stream, files, starts), **found}


def _nothing(stream: h5py.File, rows: Any) -> np.ndarray:
    raise AssertionError("there is no row to read")


def _is_complete(known: list[tuple[Path, dict]], there: set[int]) -> bool:
    """Whether all shards are there.

    Where nobody knew how many samples there are, the parts say that they have come to the end.
    """
    shards = Job(**known[0][1]["job"]).shards
    if shards is not None:
        return there == set(range(shards))
    ended: dict[int, set[int]] = {}
    done: set[int] = set()
    for _, manifest in known:
        number, count = map(int, manifest["part"].split("-of-"))
        if manifest["complete"]:
            ended.setdefault(count, set()).add(number)
            done |= {one["shard"] for one in manifest["done"]}
    all_parts = any(len(numbers) == count for count, numbers in ended.items())
    return all_parts and done <= there


def _relevance(stream: h5py.File, files: tuple[Path, ...], starts: np.ndarray) -> Any:
    if isinstance(_own(stream, "relevance"), h5py.Dataset):
        return _lazy(stream, "relevance", files, starts)
    keys = sorted(stream["relevance"], key=int)
    return {
        str(stream[f"relevance/{key}"].attrs["input"]): _lazy(
            stream, f"relevance/{key}", files, starts
        )
        for key in keys
    }


def _lazy(stream: h5py.File, key: str, files: tuple[Path, ...], starts: np.ndarray) -> LazyArray:
    scaled = key.replace("relevance", "scale")
    scaled = scaled if scaled != key and scaled in stream else ""

    def read(stream: h5py.File, rows: Any) -> np.ndarray:
        dataset = _own(stream, key)
        text = h5py.check_string_dtype(dataset.dtype)
        array = (dataset.asstr(errors="surrogateescape") if text else dataset)[rows]
        return decode(array, _own(stream, scaled)[rows] if scaled else None)

    sample = read(stream, slice(0, 1))
    return LazyArray((int(starts[-1]), *sample.shape[1:]), sample.dtype, files, starts, read)


def _own(stream: h5py.File, key: str) -> Any:
    """Return what a file holds itself: links and storage in other files are not followed."""
    parts = key.split("/")
    for depth in range(1, len(parts) + 1):
        link = stream.get("/".join(parts[:depth]), getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{stream.filename!r}: {key!r} is not in the file itself.")
    found = stream[key]
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise InputError(f"{stream.filename!r}: {key!r} is stored in another file.")
    return found
