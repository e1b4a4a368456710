"""Nyiri & Gibaru's modified MNIST, and networks for it.

"a modified MNIST dataset with 50x50 images where the background is made of non-uniform gray values"
[section 1.3] is all that the paper says. Chosen: a digit of 28 x 28 lies up to 4 pixels from the
middle, each place as likely; the background is a grid of 5 x 5 greys from 0 to half of white,
interpolated linearly; the ink covers it, white where it is full. (Anywhere in the image would be
too hard to be theirs: a dense network reached 0.60 in 12 epochs.)
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from experiments.data import Set

SIDE = 50
SHIFT = 4
COARSE = 5
BRIGHTEST = 0.5
CHUNK = 5000


class Digits(NamedTuple):
    """Images, uint8 `(n, 50, 50, 1)`, class numbers `(n,)`, and where ink is, `(n, 50, 50)`."""

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray

    def taken(self, which: np.ndarray | slice) -> Digits:
        """Return some of them."""
        return Digits(*(array[which] for array in self))


def modified(digits: Set, seed: int) -> Digits:
    """Put every digit somewhere on a background of its own."""
    count, size = len(digits.labels), digits.images.shape[1]
    stream = np.random.default_rng(seed)
    places = (SIDE - size) // 2 + stream.integers(-SHIFT, SHIFT + 1, (count, 2))
    images = np.empty((count, SIDE, SIDE, 1), np.uint8)
    masks = np.empty((count, SIDE, SIDE), bool)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        ink = _placed(digits.images[part, ..., 0], places[part]) / np.float32(255)
        grey = _background(len(ink), stream)
        images[part, ..., 0] = np.round(255 * (ink + (1 - ink) * grey))
        masks[part] = ink > 0
    return Digits(images, digits.labels, masks)


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1]: black is 0, which is what takes the place of pixels left out."""
    return (images / np.float32(255)).astype("float32")


def _placed(ink: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return digits in larger images of zeros, their upper left corners at `places`."""
    whole = np.zeros((len(ink), SIDE, SIDE), ink.dtype)
    height, width = ink.shape[1:]
    for image, digit, (top, left) in zip(whole, ink, places, strict=True):
        image[top : top + height, left : left + width] = digit
    return whole


def _background(count: int, stream: np.random.Generator) -> np.ndarray:
    """Return smooth greys in [0, 0.5], `(count, 50, 50)`."""
    coarse = BRIGHTEST * stream.random((count, COARSE, COARSE), dtype=np.float32)
    at = np.linspace(0, COARSE - 1, SIDE, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(COARSE, dtype=np.float32)))
    return weights @ coarse @ weights.T


def dense() -> keras.Model:
    """Return "three dense layers with respectively 256, 128 and 10 neurons" [section 1.3]."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Flatten()(inputs)
    for units in (256, 128):
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def convolutional(convolutions: int = 2) -> keras.Model:
    """Return "two convolution layers (32 filters each), a flatten one and a 128-dense layer".

    [Section 3.] The kernels are 3 x 3; the paper has none between them but these layers: no pools.
    """
    inputs = x = keras.Input((SIDE, SIDE, 1))
    for _ in range(convolutions):
        x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def residual() -> keras.Model:
    """Return a small relative of ResNet50: strides, batch normalization, two residual blocks."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.ReLU()(_normalized(inputs, 32, 3, 2))
    for filters, stride in ((32, 1), (64, 2)):
        same = x.shape[-1] == filters and stride == 1
        shortcut = x if same else _normalized(x, filters, 1, stride)
        y = layers.ReLU()(_normalized(x, filters, 3, stride))
        x = layers.ReLU()(layers.Add()([_normalized(y, filters, 3, 1), shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def _normalized(x: keras.KerasTensor, filters: int, size: int, stride: int) -> keras.KerasTensor:
    """Return a convolution with batch normalization behind it."""
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)
