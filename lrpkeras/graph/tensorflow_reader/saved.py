"""SavedModels: graphs in a folder, loaded if they do nothing but compute."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from lrpkeras.errors import ModelError
from lrpkeras.graph.tensorflow_reader import harmless
from lrpkeras.graph.tensorflow_reader.function import FunctionSource

# What Keras and TensorFlow call the signature that serves predictions.
DEFAULT = "serving_default"


def load(path: str | os.PathLike) -> FunctionSource:
    """Return the signature that a SavedModel serves.

    Raises
    ------
    ModelError
        The folder cannot be loaded, its graph does more than compute, or it has several signatures
        and none of them is the default.
    """
    loaded = load_harmless(path)
    signatures = dict(loaded.signatures)
    # Keras' own export writes the same function under both names.
    name = DEFAULT if DEFAULT in signatures else None
    if name is None and len(signatures) == 1:
        name = next(iter(signatures))
    if name is None:
        raise ModelError(
            f"{os.fspath(path)!r} has {len(signatures)} signatures {sorted(signatures)} and no "
            f"{DEFAULT!r}: give one of them, Analyzer(loaded.signatures[...]) with "
            "loaded = tf.saved_model.load(path)."
        )
    return of_signature(signatures[name], loaded)


def load_harmless(path: str | os.PathLike) -> Any:
    """Return what `tf.saved_model.load` does, of a folder whose graph does nothing but compute.

    Raises
    ------
    ModelError
        The folder cannot be loaded, or its graph does more.
    """
    try:
        harmless.check(path)
        return tf.saved_model.load(os.fspath(path))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{os.fspath(path)!r} could not be loaded: {type(error).__name__}: {error}"
        ) from error


def of_signature(function: Any, keep: Any = None) -> FunctionSource:
    """Return a signature, or another concrete function, as a source.

    A signature takes its inputs by name.
    """
    signature = function.structured_input_signature
    named = signature is not None and not signature[0] and isinstance(signature[1], dict)
    return FunctionSource(function, sorted(signature[1]) if named else None, keep=keep)
