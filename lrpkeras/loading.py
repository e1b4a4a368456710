"""Load a model file, safely: nothing in the file is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
from keras.src.saving.serialization_lib import SafeModeScope

from lrpkeras.archives import check_archive, check_hdf5
from lrpkeras.errors import ModelError
from lrpkeras.graph.draft import Refusal
from lrpkeras.graph.tracer import tensorflow_reader

ENDINGS = (".keras", ".h5", ".hdf5")
# What makes a folder that of a SavedModel.
GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
LONGEST = 2000  # characters of what Keras says: it may quote a whole description
# What `Analyzer.export` records, among a SavedModel's assets.
RECORD = "lrpkeras.json"


def load_model(path: str | os.PathLike) -> Any:
    """Return the Keras model in a file, not compiled, or what a SavedModel's folder serves.

    `safe_mode` stays on, and SavedModels whose graphs do more than compute are refused.

    Raises
    ------
    ModelError
        If there is no such file, it is no model, or it holds code (a Lambda layer).
    """
    file = Path(path)
    if not file.exists():
        raise ModelError(f"There is no model file {os.fspath(path)!r}.")
    if is_exported(path):
        raise ModelError(
            f"{os.fspath(path)!r} is an exported analyzer, no model: lrpkeras.load(path) loads it."
        )
    if any((file / name).is_file() for name in GRAPHS):
        return _saved_model(file)
    if not file.is_file() and not file.is_dir():
        raise ModelError(f"{os.fspath(path)!r} is neither a file nor a folder.")
    if file.suffix.lower() not in ENDINGS:
        raise ModelError(
            f"{os.fspath(path)!r} is no model that can be read: neither a file that ends in "
            f"{', '.join(ENDINGS)}, nor the folder of a SavedModel."
        )
    check = check_archive if file.suffix.lower() == ".keras" else check_hdf5
    try:
        check(file)
    except ModelError as error:
        raise ModelError(f"{os.fspath(path)!r} could not be loaded: {error}") from None
    try:
        # The scope as well: the argument yields to keras.config.enable_unsafe_deserialization().
        with SafeModeScope(True):
            return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        raise ModelError(
            f"{os.fspath(path)!r} could not be loaded: {type(error).__name__}: "
            f"{str(error)[:LONGEST]}\n"
            "If it has custom layers, register them with keras.saving.register_keras_serializable; "
            "if it has Lambda layers, replace them: code in a file is never run here."
        ) from error


def is_exported(path: str | os.PathLike) -> bool:
    """Whether a folder is what `Analyzer.export` wrote."""
    return (Path(path) / "assets" / RECORD).is_file()


def _saved_model(folder: Path) -> Any:
    """Return what a SavedModel serves."""
    try:
        return tensorflow_reader().load(folder)
    except Refusal as refusal:
        raise ModelError(
            f"{os.fspath(folder)!r} is a SavedModel: {refusal.why}; {refusal.helps}"
        ) from None
