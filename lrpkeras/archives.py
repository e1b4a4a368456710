"""Model files of strangers: what they hold is looked at before Keras reads them.

What is refused here would fill the memory (bombs, kernels larger than the file), write outside of a
folder, or read other files.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import keras
from keras.src.backend.common import global_state
from keras.src.legacy.saving import saving_utils
from keras.src.saving.serialization_lib import SafeModeScope

from lrpkeras.errors import ModelError

# How much larger than the file its content may be, and what is always allowed, in bytes.
RATIO, SLACK = 100, 2**26
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
LARGEST_CONFIG = 2**27
MOST_OBJECTS = 1_000_000
# The types of what Keras writes.
PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)
UNINITIALIZED = "uninitialized_variables"  # where Keras notes variables without values


def check_archive(file: Path) -> None:
    """Refuse a `.keras` file that is a bomb, leads out of its folder, or builds what it lacks.

    Raises
    ------
    ModelError
        Saying what is wrong.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive, file.stat().st_size)
            config = archive.read(CONFIG)
            # As Keras does: within the archive, HDF5 would seek for seconds.
            with h5py.File(io.BytesIO(archive.read(WEIGHTS)), "r") as weights:
                held = _check_content(weights, archive.getinfo(WEIGHTS).file_size)
    except (zipfile.BadZipFile, KeyError, OSError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"it is no whole .keras file: {type(error).__name__}: {error}.") from None
    _check_needs(keras.saving.deserialize_keras_object, _parsed(config), held)


def check_hdf5(file: Path) -> None:
    """Refuse an `.h5` file that is a bomb, reads other files, or builds what it lacks.

    Raises
    ------
    ModelError
        Saying what is wrong.
    """
    try:
        with h5py.File(file, "r") as stream:
            held = _check_content(stream, file.stat().st_size)
            config = stream.attrs.get("model_config")
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"it is no whole HDF5 file: {type(error).__name__}: {error}.") from None
    if config is not None:
        _check_needs(saving_utils.model_from_config, _parsed(config), held)


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    whole = 0
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename or is_link:
            raise ModelError(f"its entry {entry.filename!r} leads out of it.")
        whole += entry.file_size
        if entry.filename == CONFIG and entry.file_size > LARGEST_CONFIG:
            raise ModelError(f"its description has {entry.file_size} bytes: no model's has.")
    _check_size(whole, size)


def _check_size(content: int, size: int) -> None:
    if content > RATIO * size + SLACK:
        raise ModelError(
            f"it has {size} bytes and says that it holds {content}: that is a bomb, no model."
        )


def _check_content(file: h5py.File, size: int) -> int:
    """Return how many bytes of arrays an HDF5 file holds itself."""
    held = 0
    for dataset in _datasets(file):
        _check_type(dataset.id.get_type(), dataset.name)
        if dataset.external or dataset.is_virtual:
            raise ModelError(f"its array {dataset.name!r} is stored in another file.")
        held += dataset.nbytes
        _check_size(held, size)
    return held


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield all arrays; links out of the file are refused."""
    _check_attributes(file["/"])
    waiting, seen = [file["/"]], 0
    while waiting:
        group = waiting.pop()
        for name in group:
            seen += 1
            if seen > MOST_OBJECTS:
                raise ModelError(f"it holds more than {MOST_OBJECTS} objects: no model does.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ModelError(f"its {name!r} is a link, which may lead out of the file.")
            part = group[name]
            _check_attributes(part)
            if isinstance(part, h5py.Dataset):
                yield part
            elif isinstance(part, h5py.Group):
                waiting.append(part)


def _check_attributes(part: Any) -> None:
    """Refuse attributes that are no numbers and no text, or very long."""
    if not isinstance(part, h5py.Group | h5py.Dataset):
        return
    for number in range(h5py.h5a.get_num_attrs(part.id)):
        attribute = h5py.h5a.open(part.id, index=number)
        kind = attribute.get_type()
        _check_type(kind, f"an attribute of {part.name}")
        if attribute.get_space().get_simple_extent_npoints() * kind.get_size() > LARGEST_CONFIG:
            raise ModelError(f"an attribute of {part.name!r} is longer than any of a model.")


def _check_type(kind: Any, name: str) -> None:
    if not isinstance(kind, PLAIN):
        raise ModelError(f"the type of {name!r}, {type(kind).__name__}, is none of a model.")


def _parsed(config: Any) -> Any:
    try:
        return json.loads(config)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            f"its description cannot be read: {type(error).__name__}: {error}."
        ) from None


def _check_needs(build: Callable[[Any], Any], config: Any, held: int) -> None:
    """Refuse a description that asks for more weights than the file holds.

    The model is built without values, by which its variables have shapes alone.
    """
    before = list(global_state.get_global_attribute(UNINITIALIZED, []) or [])
    try:
        with keras.StatelessScope(initialize_variables=False), SafeModeScope(True):
            model = build(config)
        needs = sum(_nbytes(variable) for variable in model.variables)
    except Exception:
        return  # Keras itself will say what is wrong, or builds what cannot be built so
    finally:
        global_state.set_global_attribute(UNINITIALIZED, before)
    if needs > 4 * held + SLACK:
        raise ModelError(f"it describes a model of {needs} bytes of weights and holds {held}.")


def _nbytes(variable: Any) -> int:
    size = 1
    for n in variable.shape:
        size *= int(n)
    return size * 4
