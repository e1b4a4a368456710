"""iNNvestigate 2.1: `python -m benchmarks.peers.innvestigate_worker` answers requests.

It needs TensorFlow 2.14, its own Keras, and eager execution off.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import innvestigate
import numpy as np
import tensorflow as tf

from benchmarks.peers import worker

BOUNDS = (-1.0, 1.0)


class Innvestigate:
    """What the worker offers: `what` is "iNNvestigate" and the name of one of its analyzers."""

    def about(self) -> dict[str, str]:
        """Return the versions."""
        names = ("innvestigate", "tensorflow-cpu")
        return {name: importlib.metadata.version(name) for name in names}

    def prepare(self, network: str, what: str, size: int) -> worker.Prepared:
        """Build a network and an analyzer of it."""
        shape = (size, size, 3)
        settings: dict[str, Any] = {"weights": None, "classifier_activation": None}
        model = getattr(tf.keras.applications, network)(input_shape=shape, **settings)
        # Reading them initializes all variables; the analyzer asks for some before Keras would.
        model.set_weights(model.get_weights())
        name = what.partition(" ")[2]
        analyzer = innvestigate.create_analyzer(name, model, neuron_selection_mode="max_activation")
        count = sum(map(_multiply_adds, model.layers))
        return worker.Prepared(
            lambda batch: _images(batch, shape), analyzer.analyze, model.count_params(), count
        )


def _images(batch: int, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.uniform(*BOUNDS, (batch, *shape)).astype("float32")


def _multiply_adds(layer: Any) -> int:
    """Return those of one image; only plain convolutions and dense layers are known."""
    if isinstance(layer, tf.keras.layers.Conv2D | tf.keras.layers.Dense):
        places = layer.output_shape[1:-1]
        return int(np.prod(places, dtype=np.int64)) * int(np.prod(layer.kernel.shape))
    return 0


if __name__ == "__main__":
    tf.compat.v1.disable_eager_execution()
    worker.serve(Innvestigate())
