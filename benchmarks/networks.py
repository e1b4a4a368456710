"""The networks that are explained: random weights, since the work does not depend on values."""

from __future__ import annotations

from collections.abc import Callable

import keras

# With softmax, as users have them: explaining starts from the logits either way.
FULL = ("VGG16", "ResNet50", "MobileNetV2", "DenseNet121", "EfficientNetB0")
SIZE = 224
TINY_SIZE = 16
OF_ANY_SIZE = ("ResNet50", "tiny-resnet")  # no dense layer that knows the size of images


def build(name: str, size: int | None = None) -> keras.Model:
    """Return a network; `size` is that of its images, in pixels, if not what it is made for."""
    if name in TINY:
        return TINY[name](size or TINY_SIZE)
    size = size or SIZE
    return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))


def _tiny_plain(size: int) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(12, activation="softmax"),
        ]
    )


def _tiny_residual(size: int) -> keras.Model:
    layers = keras.layers
    image = keras.Input((size, size, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(image)))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, y])))
    return keras.Model(image, layers.Dense(12, activation="softmax")(x))


TINY: dict[str, Callable[[int], keras.Model]] = {
    "tiny": _tiny_plain,
    "tiny-resnet": _tiny_residual,
}
