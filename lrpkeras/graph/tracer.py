"""The reader of what is traced, where there is one: TensorFlow's graphs alone can be read."""

from __future__ import annotations

from typing import Any

import keras

from lrpkeras.graph.draft import Refusal

INSTEAD = "set KERAS_BACKEND=tensorflow before Keras is imported"


def tensorflow_reader() -> Any:
    """Return the module that reads TensorFlow's graphs, which imports TensorFlow.

    Raises
    ------
    Refusal
        If Keras runs on something else.
    """
    if keras.backend.backend() != "tensorflow":
        why = (
            "what it computes can only be read from a graph that TensorFlow has traced, and Keras "
            f"runs on {keras.backend.backend()!r}"
        )
        raise Refusal(why, INSTEAD)
    from lrpkeras.graph import tensorflow_reader

    return tensorflow_reader
