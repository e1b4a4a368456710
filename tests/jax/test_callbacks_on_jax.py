"""Relevance in training, on JAX; `tests/test_jax.py` runs this in a process of its own."""

import os
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

from keras import layers
from PIL import Image

import lrpkeras
from lrpkeras.callbacks import RelevanceCallback
from lrpkeras.errors import LrpError
from lrpkeras.plot import montage

IMAGES = np.random.default_rng(0).uniform(size=(16, 8, 8, 1)).astype("float32")
CLASSES = np.arange(16) % 3


def trained(*callbacks):
    keras.utils.set_random_seed(0)
    network = [
        keras.Input((8, 8, 1)),
        layers.Conv2D(4, 3, name="conv"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.2),
        layers.Flatten(),
        layers.Dense(3),
    ]
    model = keras.Sequential(network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(IMAGES, CLASSES, epochs=3, batch_size=4, callbacks=list(callbacks), verbose=0)
    return model


class Kept(keras.callbacks.Callback):
    """The weights after each epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


def test_every_sheet_is_of_the_weights_of_its_epoch_and_the_model_learns_the_same(tmp_path):
    kept, callback = Kept(), RelevanceCallback(IMAGES[:2], folder=tmp_path)
    # Nobody else asks for the model before the callback does.
    watched, alone = trained(callback, kept), trained()
    for one, other in zip(watched.variables, alone.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(os.listdir(tmp_path))[1:] == [f"epoch_000{n}.png" for n in (1, 2, 3)]
    for number, weights in enumerate(kept.weights, start=1):
        alone.set_weights(weights)
        explanation = lrpkeras.Analyzer(alone).explain(IMAGES[:2], verbose=0)
        expected = montage.maps(explanation, list(IMAGES[:2, ..., 0]))
        found = np.asarray(Image.open(tmp_path / f"epoch_000{number}.png"))
        np.testing.assert_array_equal(found, expected)


def test_tensorboard_needs_tensorflow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(LrpError, match="give a folder for PNG files instead"):
        trained(RelevanceCallback(IMAGES[:2], log_dir=tmp_path))
