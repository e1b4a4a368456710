"""Model files of strangers: what they hold is looked at before Keras reads them.

What is refused here would fill the memory (bombs, kernels larger than the file), write outside of a
folder, or read other files.
"""

from __future__ import annotations

import json
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import keras
from keras.src.backend.common import global_state
from keras.src.legacy.saving import saving_utils
from keras.src.saving.serialization_lib import SafeModeScope

from lrpkeras import contents
from lrpkeras.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
# Of a description: bytes, lists and objects, instances of classes (of EfficientNetV2L: a million,
# 18,939 and 4,774). For so many instances Keras takes a minute.
LARGEST_CONFIG, MOST_PARTS, MOST_INSTANCES = 2**26, 500_000, 15_000
# What h5py and zipfile raise on a damaged file.
UNREADABLE = (zipfile.BadZipFile, zlib.error, KeyError, OSError, RuntimeError, ValueError)
UNINITIALIZED = "uninitialized_variables"  # where Keras notes variables without values


def check_archive(file: Path) -> None:
    """Refuse a `.keras` file that is a bomb, leads out of its folder, or builds what it lacks.

    Raises
    ------
    ModelError
        Saying what is wrong.
    """
    with _refusing(".keras"):
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive, file.stat().st_size)
            config = archive.read(CONFIG)
        held = contents.held_bytes(file, WEIGHTS)
    _check_needs(keras.saving.deserialize_keras_object, _parsed(config), held)


def check_hdf5(file: Path) -> None:
    """Refuse an `.h5` file that is a bomb, reads other files, or builds what it lacks.

    Raises
    ------
    ModelError
        Saying what is wrong.
    """
    with _refusing("HDF5"):
        held = contents.held_bytes(file)
        with h5py.File(file, "r") as stream:
            config = stream.attrs.get("model_config")
    if config is not None:
        _check_needs(saving_utils.model_from_config, _parsed(config), held)


@contextmanager
def _refusing(kind: str) -> Iterator[None]:
    """Turn what a file that is not to be read raises into a `ModelError`."""
    try:
        yield
    except ModelError:
        raise  # it is a ValueError, too
    except contents.UnsoundError as error:
        raise ModelError(str(error)) from None
    except UNREADABLE as error:
        raise ModelError(f"it is no whole {kind} file: {type(error).__name__}: {error}.") from None


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
    contents.check_size(whole, size)


def _parsed(config: Any) -> Any:
    text = config if isinstance(config, bytes) else str(config).encode(errors="replace")
    parts, instances = text.count(b"[") + text.count(b"{"), text.count(b'"class_name"')
    if len(text) > LARGEST_CONFIG or parts > MOST_PARTS or instances > MOST_INSTANCES:
        raise ModelError(
            f"its description is larger than any model's: {len(text)} bytes, {parts} lists and "
            f"objects, {instances} of them with a class."
        )
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
        needs = sum(_needed_bytes(variable) for variable in model.variables)
    except Exception:
        return  # Keras itself will say what is wrong, or builds what cannot be built so
    finally:
        global_state.set_global_attribute(UNINITIALIZED, before)
    if needs > 4 * held + contents.SLACK:
        raise ModelError(f"it describes a model of {needs} bytes of weights and holds {held}.")


def _needed_bytes(variable: Any) -> int:
    size = 1
    for n in variable.shape:
        size *= int(n)
    return size * 4
