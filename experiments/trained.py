"""Networks that are trained once, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from experiments.data import Set


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes
    ----------
    model
        With a softmax at its end.
    accuracy
        On the test images.
    """

    model: keras.Model
    accuracy: float


@dataclass(frozen=True)
class Training:
    """How a network is trained: Adam, with a learning rate that falls to zero by a cosine.

    Attributes
    ----------
    epochs, batch_size, rate
        The learning rate that it begins with.
    flips
        Whether images are flipped left to right and shifted by up to a tenth, by chance.
    """

    epochs: int
    batch_size: int = 128
    rate: float = 1e-3
    flips: bool = False

    def fit(self, model: keras.Model, x: np.ndarray, labels: np.ndarray) -> None:
        """Train."""
        steps = self.epochs * -(-len(x) // self.batch_size)
        schedule = keras.optimizers.schedules.CosineDecay(self.rate, steps)
        inputs = model.inputs[0]
        outputs = model(self._augmented(inputs)) if self.flips else model(inputs)
        learner = keras.Model(inputs, outputs)
        learner.compile(
            keras.optimizers.Adam(schedule),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        learner.fit(x, labels, self.batch_size, self.epochs, verbose=2)

    def _augmented(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.RandomFlip("horizontal")(inputs)
        return keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(x)


def trained(
    folder: Path,
    name: str,
    build: Callable[[], keras.Model],
    training: Training,
    train: Set,
    test: Set,
    scaled: Callable[[np.ndarray], np.ndarray],
    seed: int,
) -> Trained:
    """Return a network from the folder, or train it and put it there.

    It is trained anew when its layers, its training, the number of images or the seed differ.
    """
    keras.utils.set_random_seed(seed)
    model = build()
    key = [model.to_json(), repr(training), len(train.labels), len(test.labels), seed]
    tag = hashlib.sha256(json.dumps(_without_names(key)).encode()).hexdigest()[:12]
    file, notes = (folder / f"{name}-{tag}{ending}" for ending in (".keras", ".json"))
    if file.is_file() and notes.is_file():
        return Trained(keras.saving.load_model(file), json.loads(notes.read_text())["accuracy"])
    print(f"Training {name}", flush=True)
    training.fit(model, scaled(train.images), train.labels)
    guesses = model.predict(scaled(test.images), batch_size=256, verbose=0).argmax(axis=1)
    accuracy = float(np.mean(guesses == test.labels))
    print(f"{name}: accuracy {accuracy:.4f}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(file)
    notes.write_text(json.dumps({"accuracy": accuracy}))
    return Trained(model, accuracy)


def _without_names(key: list) -> list:
    """Leave out the numbers that Keras gives to layers as a process goes on."""
    config = json.loads(key[0])
    layers = [
        (layer["class_name"], _plain(layer["config"])) for layer in config["config"]["layers"]
    ]
    return [layers, *key[1:]]


def _plain(config: dict) -> dict:
    return {name: str(value) for name, value in config.items() if name not in ("name", "dtype")}
