"""What a job is: which samples in which shards, with which settings; and its manifest."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lrpkeras.errors import InputError

FORMAT = 1
STORAGES = ("full", "float16", "int8")


@dataclass(frozen=True)
class Part:
    """Which of several machines this is: part `number` of `count`, counted from one."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"

    def takes(self, shard: int) -> bool:
        """Whether a shard is this part's."""
        return shard % self.count == self.number - 1


def part_of(given: str | tuple[int, int] | None) -> Part:
    """Read which part of a job this is: "2/3", (2, 3), or None for all of it.

    Raises
    ------
    InputError
        If it is no such thing.
    """
    if given is None:
        return Part()
    try:
        number, count = map(int, given.split("/") if isinstance(given, str) else given)
    except (TypeError, ValueError):
        number = count = 0
    if not 1 <= number <= count:
        raise InputError(f"shard is i/n with i from 1 to n, such as '2/3', not {given!r}.")
    return Part(number, count)


@dataclass(frozen=True)
class Job:
    """What must be alike in all runs of one job.

    Attributes
    ----------
    samples
        How many there are; None where a dataset does not know.
    ids
        A digest of the names of all samples.
    shard_size, batch_size
        Samples in a shard, and explained at once.
    storage
        How relevance is written: "full", "float16" or "int8".
    target
        What is explained, as text.
    fingerprint
        Of the model.
    config
        The analyzer's settings.
    versions
        Of lrpkeras, Keras and its backend.
    """

    samples: int | None
    ids: str
    shard_size: int
    batch_size: int
    storage: str
    target: str
    fingerprint: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def shards(self) -> int | None:
        """How many shards there are; None where a dataset does not know."""
        return None if self.samples is None else -(-self.samples // self.shard_size)


@dataclass(frozen=True)
class Unreadable:
    """A sample that could not be explained: its number, its id, and why."""

    index: int
    id: str
    why: str


@dataclass(frozen=True)
class Done:
    """A shard that is complete: its number, its samples, and those that could not be explained."""

    shard: int
    samples: int
    unreadable: tuple[Unreadable, ...] = ()


def begin(folder: Path, job: Job, part: Part) -> None:
    """Make a job's folder, or see that what is there is of the same job.

    Raises
    ------
    InputError
        If the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{os.fspath(folder)!r} is a file: results need a folder of their own.")
    others = list(manifests(folder)) if folder.is_dir() else []
    if not others and folder.is_dir() and any(folder.glob("*.h5")):
        raise InputError(
            f"{os.fspath(folder)!r} holds HDF5 files of no job: give results a folder of their own."
        )
    for file, manifest in others:
        _check_alike(file, manifest["job"], job)
    folder.mkdir(parents=True, exist_ok=True)
    if not _manifest_file(folder, part).exists():
        write_manifest(folder, job, part, [], complete=False)


def _check_alike(file: Path, before: Mapping[str, Any], job: Job) -> None:
    now = json.loads(json.dumps(asdict(job)))
    differ = [name for name in now if now[name] != before.get(name)]
    if not differ:
        return
    words = [
        f"{name}: {_short(before.get(name))} there, {_short(now[name])} now" for name in differ
    ]
    raise InputError(
        f"{os.fspath(file)!r} is of another job ({'; '.join(words)}). Go on with the same inputs, "
        "model and settings, or give results a new folder."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _manifest_file(folder: Path, part: Part) -> Path:
    return folder / ("manifest.json" if part.count == 1 else f"manifest-{part}.json")


def write_manifest(
    folder: Path, job: Job, part: Part, done: Sequence[Done], complete: bool
) -> None:
    """Say what is done: written aside, then renamed."""
    manifest = {
        "format": FORMAT,
        "job": asdict(job),
        "part": str(part),
        "complete": complete,
        "done": [asdict(one) for one in sorted(done, key=lambda one: one.shard)],
    }
    write_aside(_manifest_file(folder, part), json.dumps(manifest, indent=1) + "\n")


def write_aside(file: Path, text: str) -> None:
    """Write a file that is there complete or not at all."""
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def half_manifests(folder: Path, part: Part) -> list[Path]:
    """Return what an interrupted run of this part has left of its manifest."""
    return sorted(folder.glob(f".{_manifest_file(folder, part).name}-*"))


def manifests(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the manifests in a folder.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    for file in sorted(folder.glob("manifest*.json")):
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT:
                raise ValueError(f"format {manifest['format']!r}, this version reads {FORMAT}")
            Job(**{field.name: manifest["job"][field.name] for field in fields(Job)})
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{os.fspath(file)!r} is no manifest of results: {type(error).__name__}: {error}."
            ) from None
        yield file, manifest
