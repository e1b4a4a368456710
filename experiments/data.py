"""The data sets of the experiments, from a folder or from `keras.datasets`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

FOLDER_HELP = "folder with mnist.npz, cifar10_jpeg.npz, imagenet_dev/ and MobileNet; else downloads"
MOBILENET = "mobilenet_0.25_224_imagenet.keras"


class Set(NamedTuple):
    """Images, uint8 `(n, height, width, channels)`, and class numbers `(n,)`."""

    images: np.ndarray
    labels: np.ndarray

    def first(self, count: int | None) -> Set:
        """Return the first `count`; all of them if None."""
        return Set(self.images[:count], self.labels[:count])


def mnist(folder: Path | None) -> tuple[Set, Set]:
    """Return MNIST: 60,000 training and 10,000 test images of 28 x 28 x 1."""
    if folder is None:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    else:
        with np.load(folder / "mnist.npz") as file:
            x_train, y_train, x_test, y_test = (
                file[name] for name in ("x_train", "y_train", "x_test", "y_test")
            )
    return Set(x_train[..., None], y_train), Set(x_test[..., None], y_test)


def cifar10(folder: Path | None) -> tuple[Set, Set]:
    """Return CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 x 3."""
    if folder is None:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
        return Set(x_train, y_train[:, 0]), Set(x_test, y_test[:, 0])
    with np.load(folder / "cifar10_jpeg.npz") as file:
        stream, offsets = file["jpeg"].tobytes(), file["offsets"]
        labels, split = file["labels"], file["split"]
    parts = []
    for which in (0, 1):
        # The file holds one class after the other.
        ids = np.random.default_rng(0).permutation(np.flatnonzero(split == which))
        images = [_decoded(stream[offsets[i] : offsets[i + 1]]) for i in ids]
        parts.append(Set(np.stack(images), labels[ids]))
    return parts[0], parts[1]


def photos(folder: Path | None, count: int | None = None) -> Set:
    """Return ImageNet photos of 224 x 224 x 3, named `ID_CLASS.jpg` in `imagenet_dev`.

    In an order by chance, so that the first few are of classes far apart.
    """
    if folder is None:
        raise SystemExit("ImageNet cannot be downloaded: give --data a folder with imagenet_dev/.")
    files = sorted((folder / "imagenet_dev").glob("*.jpg"))
    chosen = [files[i] for i in np.random.default_rng(0).permutation(len(files))[:count]]
    images = np.stack([_decoded(file.read_bytes()) for file in chosen])
    return Set(images, np.array([int(file.stem.rpartition("_")[2]) for file in chosen]))


def mobilenet(folder: Path | None) -> keras.Model:
    """Return MobileNet 0.25 with ImageNet's weights; it takes `x / 127.5 - 1`."""
    if folder is None:
        return keras.applications.MobileNet(alpha=0.25, weights="imagenet")
    return keras.saving.load_model(folder / MOBILENET, compile=False)


def class_names(folder: Path | None) -> list[str]:
    """Return the names of ImageNet's classes; their numbers if there is no file of names."""
    if folder is None:
        return [str(number) for number in range(1000)]
    with (folder / "imagenet_classes.csv").open(newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def _decoded(jpeg: bytes) -> np.ndarray:
    import tensorflow as tf

    return tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE").numpy()
