"""The networks of `hui2019`, trained, and the images that they are explained on."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TypeVar

import keras
import numpy as np

import lrpkeras
from experiments import data
from experiments.data import Set
from experiments.hui2019_networks import NETWORKS, POOLED
from experiments.hui2019_rules import scaled
from experiments.trained import Trained, Training, trained

# How many are explained: in full, and quick.
PHOTOS, IMAGES, SHAPES = (300, 8), (500, 20), (300, 20)
FIRST_TRAINING_SEED = 1_000_000  # of shapes; smaller seeds are fresh
Size = TypeVar("Size")


@dataclass(frozen=True)
class Case:
    """A network and images to explain.

    Attributes
    ----------
    name
        Of both.
    network
        With a softmax at its end, and its accuracy on test images.
    images
        As they are drawn.
    x
        What the model takes.
    region
        Side of the squares that are flipped.
    masks
        True on the object; None where that is not known.
    """

    name: str
    network: Trained
    images: np.ndarray
    x: np.ndarray
    region: int = 2
    masks: np.ndarray | None = None

    @property
    def model(self) -> keras.Model:
        """The network without its accuracy."""
        return self.network.model


def photos(given: argparse.Namespace) -> Case:
    """MobileNet on photos."""
    images, labels = data.photos(given.data, size(given, *PHOTOS))
    model, x = data.mobilenet(given.data), scaled(images)
    accuracy = float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == labels))
    return Case("MobileNet, photos", Trained(model, accuracy), images, x, region=8)


def cifar(given: argparse.Namespace) -> list[Case]:
    """Small networks on CIFAR-10; one of them if quick."""
    images = data.cifar10(given.data)[1].images[: size(given, *IMAGES)]
    return [
        Case(f"{name}, CIFAR-10", on_cifar(given, name), images, scaled(images))
        for name in size(given, tuple(NETWORKS), ("ResNet-like",))
    ]


def on_cifar(given: argparse.Namespace, name: str) -> Trained:
    """Return one of `NETWORKS`, or "pooled", trained on CIFAR-10."""
    train, test = data.cifar10(given.data)
    training = Training(size(given, 3, 1), flips=True)
    sets = train.first(size(given, 50_000, 1500)), test.first(size(given, 10_000, 200))
    return _learned(given, name, training, *sets)


def shapes(given: argparse.Namespace) -> list[Case]:
    """Small networks on generated shapes; one of them if quick."""
    made = lrpkeras.datasets.shapes(size(given, 6000, 240), FIRST_TRAINING_SEED + given.seed)
    test = lrpkeras.datasets.shapes(size(given, *SHAPES), given.seed)
    sets = [Set(255 * one.images, one.labels) for one in (made, test)]
    training = Training(size(given, 6, 1), batch_size=64, rate=3e-3)
    return [
        Case(
            f"{name}, shapes",
            _learned(given, name, training, *sets),
            test.images,
            scaled(sets[1].images),
            masks=test.masks,
        )
        for name in size(given, tuple(NETWORKS), ("DenseNet-like",))
    ]


def _learned(
    given: argparse.Namespace, name: str, training: Training, train: Set, test: Set
) -> Trained:
    """Return one of the networks, trained."""
    shape, classes = train.images.shape[1:], int(train.labels.max()) + 1
    build = {**NETWORKS, "pooled": POOLED}[name]
    return trained(
        given.cache,
        f"hui2019-{name}-{shape[0]}",
        lambda: build(shape, classes),
        training,
        train,
        test,
        scaled,
        given.seed,
    )


def size(given: argparse.Namespace, full: Size, quick: Size) -> Size:
    """Return what is meant for this run."""
    return quick if given.quick else full
