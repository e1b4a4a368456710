"""What an HDF5 file holds, looked at by a process of its own.

HDF5 reads some damaged files without end, and others end the process that reads them. So a child
reads the whole file first, within limits of time and memory; what it read can be read again.

Run as a program, this imports neither Keras nor lrpkeras: it takes a fraction of a second.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

# How much larger than the file its content may be, and what is always allowed, in bytes.
RATIO, SLACK = 100, 2**26
LONGEST = 2**27  # of an attribute, in bytes
MOST_OBJECTS = 1_000_000
# The types of what Keras writes.
PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)
# For the child: seconds of processor time, and of the clock, for a file and for each byte more.
SECONDS, PER_BYTE, PATIENCE = 10, 1e-7, 10
MEMORY = 2**32


class UnsoundError(ValueError):
    """A file that is not to be read; the message continues "could not be loaded: "."""


def nbytes(file: Path, entry: str | None = None) -> int:
    """Return how many bytes of arrays an HDF5 file holds, having read all of them in a child.

    Parameters
    ----------
    file
        The file.
    entry
        That of a zip file, if the HDF5 file is in one.

    Raises
    ------
    UnsoundError
        If it is damaged, holds more than its size allows, or leads to other files.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return examine(file, entry)  # no Python here that could be started
    size = _size(file, entry)
    seconds = SECONDS + int(PER_BYTE * size)
    command = [sys.executable, "-P", __file__, str(seconds), str(MEMORY + 2 * size), str(file)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, *([entry] if entry else [])],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnsoundError(f"reading it does not end within {PATIENCE * seconds} s.") from None
    if done.returncode == 0:
        found = json.loads(done.stdout)
        if "wrong" in found:
            raise UnsoundError(found["wrong"])
        return int(found["held"])
    if done.returncode == 1:
        return examine(file, entry)  # the child could not import what is imported here
    raise UnsoundError(
        "it is damaged: reading it ends the process that reads, or needs more than "
        f"{seconds} s or {(MEMORY + 2 * size) >> 20} MiB."
    )


def examine(file: Path, entry: str | None = None) -> int:
    """Return how many bytes of arrays an HDF5 file holds, having read all of them here.

    Raises
    ------
    UnsoundError
        As `nbytes` does.
    """
    try:
        # As Keras does: within the archive, HDF5 would seek for seconds.
        with h5py.File(io.BytesIO(_extracted(file, entry)) if entry else file, "r") as stream:
            return _content(stream, _size(file, entry))
    except UnsoundError:
        raise
    except Exception as error:
        raise UnsoundError(f"it is no whole HDF5 file: {type(error).__name__}: {error}.") from None


def check_size(content: int, size: int) -> None:
    """Raise `UnsoundError` where a file holds more than a file of its size can."""
    if content > RATIO * size + SLACK:
        raise UnsoundError(
            f"it has {size} bytes and says that it holds {content}: that is a bomb, no model."
        )


def _size(file: Path, entry: str | None) -> int:
    if entry is None:
        return file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        return archive.getinfo(entry).file_size


def _extracted(file: Path, entry: str) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return archive.read(entry)


def _content(file: h5py.File, size: int) -> int:
    held = 0
    for dataset in _datasets(file):
        _check_type(dataset.id.get_type(), dataset.name)
        if dataset.external or dataset.is_virtual:
            raise UnsoundError(f"its array {dataset.name!r} is stored in another file.")
        held += dataset.nbytes
        check_size(held, size)
        dataset[()]
    return held


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield all arrays; links are refused, and what is no group and no array."""
    _check_attributes(file["/"])
    waiting, seen = [file["/"]], 0
    while waiting:
        group = waiting.pop()
        for name in group:
            seen += 1
            if seen > MOST_OBJECTS:
                raise UnsoundError(f"it holds more than {MOST_OBJECTS} objects: no model does.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UnsoundError(f"its {name!r} is a link, which may lead out of the file.")
            part = group[name]
            if isinstance(part, h5py.Dataset):
                _check_attributes(part)
                yield part
            elif isinstance(part, h5py.Group):
                _check_attributes(part)
                waiting.append(part)


def _check_attributes(part: Any) -> None:
    """Read all attributes; refuse those that are no numbers and no text, or very long."""
    for number in range(h5py.h5a.get_num_attrs(part.id)):
        attribute = h5py.h5a.open(part.id, index=number)
        kind = attribute.get_type()
        _check_type(kind, f"an attribute of {part.name}")
        if attribute.get_space().get_simple_extent_npoints() * kind.get_size() > LONGEST:
            raise UnsoundError(f"an attribute of {part.name!r} is longer than any of a model.")
        part.attrs[attribute.name]


def _check_type(kind: Any, name: str) -> None:
    if not isinstance(kind, PLAIN):
        raise UnsoundError(f"the type of {name!r}, {type(kind).__name__}, is none of a model.")


def _limit(seconds: int, memory: int) -> None:
    """Limit this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _main(seconds: str, memory: str, file: str, entry: str | None = None) -> None:
    _limit(int(seconds), int(memory))
    try:
        found: dict[str, Any] = {"held": examine(Path(file), entry)}
    except UnsoundError as error:
        found = {"wrong": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    _main(*sys.argv[1:])
