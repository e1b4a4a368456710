"""Train the small residual network that ships with lrpkeras as `lrpkeras/data/shapes.keras`.

Run from the repository's root:

    python experiments/train_shapes.py

Every epoch sees freshly generated images, so the network has nothing to learn by heart. Takes
about five minutes on two cores. The shipped file came from the default options and the oldest
Keras that lrpkeras supports, because newer ones write settings that older ones refuse to read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers

from lrpkeras.datasets import shapes, shapes_classes

SHIPPED = Path(__file__).parents[1] / "lrpkeras" / "data" / "shapes.keras"
WIDTHS = (24, 32, 64)
BATCH = 64
FIRST_TRAINING_SEED = 1_000_000  # `shapes` promises that smaller seeds are fresh
SEEDS_PER_RUN = 1_000
TEST_SEEDS = (1, 2, 3)


def build_model() -> keras.Model:
    """Return the untrained network: images `(batch, 48, 48, 3)` in [0, 1] to probabilities.

    Average pooling between the stages instead of strides: a strided convolution sees its
    inputs unevenly often, which shows as a checkerboard in every heatmap.
    """
    images = keras.Input((48, 48, 3), name="images")
    x = layers.Activation("relu", name="stem_relu")(conv_bn(images, 16, 3, "stem_"))
    for stage, filters in enumerate(WIDTHS, start=1):
        x = layers.AveragePooling2D(2, name=f"stage{stage}_pool")(x)
        x = residual_block(x, filters, f"stage{stage}_block1_")
    x = layers.GlobalAveragePooling2D(name="global_pool")(x)
    classes = layers.Dense(len(shapes_classes), activation="softmax", name="head")(x)
    return keras.Model(images, classes, name="shapes")


def residual_block(x: keras.KerasTensor, filters: int, prefix: str) -> keras.KerasTensor:
    """Two 3x3 convolutions beside a 1x1 projection; every one with BatchNormalization."""
    shortcut = conv_bn(x, filters, 1, prefix, "_shortcut")
    x = layers.Activation("relu", name=f"{prefix}relu1")(conv_bn(x, filters, 3, prefix, "1"))
    x = layers.Add(name=f"{prefix}add")([conv_bn(x, filters, 3, prefix, "2"), shortcut])
    return layers.Activation("relu", name=f"{prefix}relu2")(x)


def conv_bn(
    x: keras.KerasTensor, filters: int, size: int, prefix: str, suffix: str = ""
) -> keras.KerasTensor:
    """A convolution without bias, which the BatchNormalization behind it would undo."""
    name = f"{prefix}conv{suffix}"
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{prefix}bn{suffix}")(x)


def train(model: keras.Model, epochs: int, images: int, seed: int) -> None:
    """Fit `model` on `images` fresh images an epoch, with a learning rate that falls to zero."""
    steps = epochs * -(-images // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    for epoch in range(epochs):
        data = shapes(images, FIRST_TRAINING_SEED + SEEDS_PER_RUN * seed + epoch)
        model.fit(data.images, data.labels, BATCH, epochs=epoch + 1, initial_epoch=epoch, verbose=2)


def accuracy(model: keras.Model, images: int, seed: int) -> float:
    """Share of `images` fresh images whose class the model names."""
    data = shapes(images, seed)
    return float(np.mean(model.predict(data.images, verbose=0).argmax(axis=1) == data.labels))


def save_weights_only(model: keras.Model, path: Path) -> None:
    """Save a copy that was never compiled: no optimizer state, no training configuration."""
    bare = build_model()
    bare.set_weights(model.get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    bare.save(path)


def main(arguments: list[str] | None = None) -> None:
    """Train, test on fresh images, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of weights and images (default 0)")
    parser.add_argument("--epochs", type=int, default=10, help="default 10")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the .keras file goes")
    parser.add_argument("--quick", action="store_true", help="1 small epoch: only a trial run")
    options = parser.parse_args(arguments)
    epochs, images = (1, 128) if options.quick else (options.epochs, 12_000)

    keras.utils.set_random_seed(options.seed)
    model = build_model()
    train(model, epochs, images, options.seed)
    for seed in TEST_SEEDS:
        share = accuracy(model, min(images, 2_000), seed)
        print(f"test accuracy, seed {seed}: {share:.2%}")
    save_weights_only(model, options.out)
    print(f"{options.out}: {model.count_params()} parameters, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
