"""What an HDF5 file holds, looked at by a process of its own.

HDF5 reads some damaged files without end, and others end the process that reads them. So a child
reads the whole file first, within limits of time and memory; what it read can be read again.

Run as a program, this imports neither Keras nor lrpkeras: it takes a fraction of a second.
"""

from __future__ import annotations

import io
import json
import math
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
# What the child writes before it reads, and before what it found.
BEGUN, SAYS = b"lrpkeras: reading\n", b"lrpkeras: found\n"


class UnsoundError(ValueError):
    """A file that is not to be read; the message continues "could not be loaded: "."""


def held_bytes(file: Path, entry: str | None = None) -> int:
    """Return how many bytes of arrays an HDF5 file holds, having read all of them in a child.

    Where no child can be started, they are read here, without limits.

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
    size = _size(file, entry)
    limits = SECONDS + int(PER_BYTE * size), MEMORY + 2 * size
    told = _told_by_child(limits, [os.fspath(file), *([entry] if entry else [])])
    if told is None:
        return examine(file, entry)
    if "wrong" in told:
        raise UnsoundError(told["wrong"])
    return int(told["held"])


def _told_by_child(limits: tuple[int, int], words: list[str]) -> dict[str, Any] | None:
    """Return what a child says of a file; None if none could be started.

    Raises
    ------
    UnsoundError
        If the file ended the child.
    """
    if getattr(sys, "frozen", False) or "py" not in Path(sys.executable or "").name:
        return None  # this is Python within another program
    seconds, memory = limits
    command = [sys.executable, "-P", __file__, str(seconds), str(memory), *words]
    paths = os.pathsep.join(path for path in sys.path if isinstance(path, str) and path)
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnsoundError(f"reading it does not end within {PATIENCE * seconds} s.") from None
    except OSError:
        return None
    _, began, rest = done.stdout.partition(BEGUN)
    _, ended, told = rest.partition(SAYS)
    if ended:
        return dict(json.loads(told))
    if not began:
        return None
    raise UnsoundError(
        "reading it ends the process that reads, or takes more than "
        f"{seconds} s or {memory >> 20} MiB: it is damaged, or too large."
    )


def examine(file: Path, entry: str | None = None) -> int:
    """Return how many bytes of arrays an HDF5 file holds, having read all of them here.

    Raises
    ------
    UnsoundError
        As `held_bytes` does.
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
        kind = dataset.id.get_type()
        if not isinstance(kind, h5py.h5t.TypeOpaqueID):  # as bfloat16 is
            _check_type(kind, dataset.name)
        if dataset.external or dataset.is_virtual:
            raise UnsoundError(f"its array {dataset.name!r} is stored in another file.")
        held += dataset.nbytes
        # Of a chunk all is read, whatever part of it the array takes.
        check_size(max(held, math.prod(dataset.chunks or ()) * dataset.dtype.itemsize), size)
        dataset[()]  # raises where it is damaged
    return held


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield all arrays; links are refused, and what is neither array nor group is passed over."""
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
        part.attrs[attribute.name]  # raises where it is damaged


def _check_type(kind: Any, name: str) -> None:
    if not isinstance(kind, PLAIN):
        raise UnsoundError(f"the type of {name!r}, {type(kind).__name__}, is none of a model.")


def _limit(seconds: int, memory: int) -> None:
    """Limit this process, where the system can and is not stricter already."""
    try:
        import resource
    except ImportError:
        return
    wanted = {"RLIMIT_CPU": seconds, "RLIMIT_AS": memory, "RLIMIT_CORE": 0}
    for name, limit in wanted.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (least, least))


def _main(seconds: str, memory: str, file: str, entry: str | None = None) -> None:
    _limit(int(seconds), int(memory))
    sys.stdout.buffer.write(BEGUN)
    sys.stdout.buffer.flush()
    try:
        found: dict[str, Any] = {"held": examine(Path(file), entry)}
    except UnsoundError as error:
        found = {"wrong": str(error)}
    sys.stdout.buffer.write(SAYS + json.dumps(found).encode())


if __name__ == "__main__":
    _main(*sys.argv[1:])
