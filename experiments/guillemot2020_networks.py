"""The networks of `guillemot2020`: theirs, where the paper gives no sizes chosen here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from keras import layers

# Table 1.
THEIRS = {"Fc1": 0.9781, "Fc2": 0.9742, "Fc3": 0.9831, "Conv1": 0.9903, "Conv2": 0.9924}


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images in [-1, 1] [equation 17; MobileNet takes the same]."""
    return (images / 127.5 - 1).astype("float32")


def dense(normalized: str | None) -> keras.Model:
    """Return Fc1 (None), Fc2 ("after activation") or Fc3 ("before activation")."""
    inputs = keras.Input((28, 28, 1))
    x = layers.Flatten()(inputs)
    for units in (512, 256):
        x = layers.Dense(units)(x)
        if normalized == "before activation":
            x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        if normalized == "after activation":
            x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def convolutional(
    shape: tuple[int, ...], stages: tuple[tuple[int, ...], ...], normalized: str | None
) -> keras.Model:
    """Return stages of 3 x 3 convolutions, each stage with a pool behind it."""
    inputs = keras.Input(shape)
    x = inputs
    for stage in stages:
        for filters in stage:
            if normalized == "before convolution":
                x = layers.BatchNormalization()(x)
            x = layers.Conv2D(filters, 3, padding="same")(x)
            if normalized == "after convolution":
                x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    return keras.Model(inputs, x)


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "Fc1": partial(dense, None),
    "Fc2": partial(dense, "after activation"),
    "Fc3": partial(dense, "before activation"),
    "Conv1": partial(convolutional, (28, 28, 1), ((32, 32), (64, 64)), None),
    "Conv2 before": partial(convolutional, (28, 28, 1), ((32, 32), (64, 64)), "before convolution"),
    "Conv2 after": partial(convolutional, (28, 28, 1), ((32, 32), (64, 64)), "after convolution"),
}
CIFAR = partial(
    convolutional, (32, 32, 3), ((32, 32), (64, 64), (128, 128), (128,)), "after convolution"
)
