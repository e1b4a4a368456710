"""A shard of results: one HDF5 file, complete or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lrpkeras.errors import LrpError
from lrpkeras.jobs.job import Done, Job, Part, Unreadable

CHUNK = 2**20  # bytes of relevance, about, that are compressed together
# The largest error of a stored value, of the sample's largest: half a step of 127, or of 11 bits.
LARGEST_ERROR = {"full": 0.0, "float16": 2.0**-11, "int8": 0.5 / 127}


def shard_file(folder: Path, number: int) -> Path:
    """Return where a shard is."""
    return folder / f"shard-{number:06d}.h5"


def encode(relevance: np.ndarray, storage: str, several: bool) -> tuple[np.ndarray, Any]:
    """Return relevance as it is stored, and what multiplies it back; None if nothing does.

    Parameters
    ----------
    relevance
        `(samples, ...)`, or `(samples, k, ...)` of `several` classes, which have a scale each.
    """
    if storage == "full":
        return relevance, None
    axes = tuple(range(1 + several, relevance.ndim))
    largest = np.abs(relevance).max(axis=axes, keepdims=True)
    unit = np.where(largest > 0, largest, 1)
    if storage == "int8":
        stored = np.rint(relevance / unit * 127).astype("int8")
        unit = unit / 127
    else:
        stored = (relevance / unit).astype("float16")
    return stored, unit.squeeze(axes)


def decode(stored: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """Undo `encode`, but for what rounding took."""
    if scale is None:
        return stored
    return stored * scale.reshape(*scale.shape, *(1,) * (stored.ndim - scale.ndim))


@dataclass
class Rows:
    """Results of a batch.

    Attributes
    ----------
    relevance
        By input name; `(samples, ...)`.
    output, target
        Logits and classes.
    index, ids
        Number and name of each sample.
    """

    relevance: Mapping[str, np.ndarray]
    output: np.ndarray
    target: np.ndarray
    index: np.ndarray
    ids: Sequence[str]


class ShardWriter:
    """Makes one shard in memory; when it is complete, writes it aside and renames it.

    HDF5 ends the process where the disk is full; plain writing raises an error.
    """

    def __init__(self, folder: Path, number: int, job: Job, part: Part) -> None:
        self.number = number
        self._job, self._final = job, shard_file(folder, number)
        self._aside = folder / f".shard-{number:06d}.{part}.{os.getpid()}.part"
        self._aside.touch()
        self._file = h5py.File(self._aside.name, "w", driver="core", backing_store=False)
        self._samples = 0

    def append(self, rows: Rows) -> None:
        """Add the results of a batch."""
        if not len(rows.index):
            return
        several = rows.target.ndim == 2
        names = list(rows.relevance)
        for position, name in enumerate(names):
            key = "relevance" if len(names) == 1 else f"relevance/{position}"
            stored, scale = encode(rows.relevance[name], self._job.storage, several)
            self._add(key, stored).attrs["input"] = name
            if scale is not None:
                self._add(key.replace("relevance", "scale"), scale)
        self._add("output", rows.output)
        self._add("target", rows.target)
        self._add("index", rows.index)
        # Names of files need not be text.
        ids = [name.encode("utf-8", "surrogateescape") for name in rows.ids]
        self._add("ids", np.array(ids, dtype=object), h5py.string_dtype())
        self._samples += len(rows.index)

    def _add(self, key: str, array: np.ndarray, dtype: Any = None) -> h5py.Dataset:
        array = np.asarray(array)
        if key not in self._file:
            each = max(1, array[:1].nbytes)
            self._file.create_dataset(
                key,
                shape=(0, *array.shape[1:]),
                maxshape=(None, *array.shape[1:]),
                chunks=(max(1, min(self._job.shard_size, CHUNK // each)), *array.shape[1:]),
                dtype=dtype or array.dtype,
                shuffle=dtype is None,
                compression="gzip",
                compression_opts=1,
            )
        dataset = self._file[key]
        dataset.resize(len(dataset) + len(array), axis=0)
        dataset[-len(array) :] = array
        return dataset

    def finish(self, unreadable: Sequence[Unreadable], first: str) -> Done:
        """Complete the shard: from now on it is there.

        Parameters
        ----------
        unreadable
            Samples that are not among the rows.
        first
            A digest of the first sample, by which other inputs are told apart.
        """
        job = self._job
        attributes = {
            "format": 1,
            "samples": self._samples,
            "unreadable": json.dumps([[one.index, one.id, one.why] for one in unreadable]),
            "first": first,
            "storage": job.storage,
            "largest_error": LARGEST_ERROR[job.storage],
            "target": job.target,
            "fingerprint": job.fingerprint,
            "config": json.dumps(job.config),
            "versions": json.dumps(dict(job.versions)),
        }
        for name, value in attributes.items():
            self._file.attrs[name] = value
        self._file.flush()
        content = self._file.id.get_file_image()
        self._file.close()
        with self._aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(self._aside, self._final)
        return Done(self.number, self._samples, tuple(unreadable))

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._aside.unlink(missing_ok=True)


def leftovers(folder: Path, part: Part) -> list[Path]:
    """Return what an interrupted run of this part has left."""
    return sorted(folder.glob(f".shard-*.{part}.*.part"))


@dataclass(frozen=True)
class Shard:
    """A shard that is there: what is done, and the digest of its first sample."""

    done: Done
    first: str


def inspect(file: Path, job: Job | None = None) -> Shard | None:
    """Return what a shard holds; None if it is damaged or of another job."""
    try:
        with h5py.File(file, "r") as stream:
            told = dict(stream.attrs)
            unreadable = tuple(Unreadable(*one) for one in json.loads(told["unreadable"]))
            number = int(file.stem.partition("-")[2])
            rows = len(stream["index"]) if "index" in stream else 0
            if rows != told["samples"]:
                return None
            if job is not None and told["fingerprint"] != job.fingerprint:
                return None
            return Shard(Done(number, rows, unreadable), str(told["first"]))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return None


def refuse(error: OSError, folder: Path) -> LrpError:
    """Return an error that says what a full or failing disk means for a job."""
    return LrpError(
        f"Writing to {os.fspath(folder)!r} failed: {error.strerror or error}. What is complete is "
        "kept: run the same again to go on."
    )
