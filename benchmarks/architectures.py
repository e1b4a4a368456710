"""Explain every network of `keras.applications`; write the table of `docs/architectures.md`.

    python benchmarks/architectures.py [names ...]

Weights are random: gammas of both signs, normalizations calibrated on images. Without names, all
are measured (half an hour on two cores) and the page is written.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import applications

import lrpkeras
from lrpkeras.graph import keras_reader

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
PRESETS = ("epsilon_plus_flat", "alpha2_beta1", "gamma", "epsilon")
NAMES = tuple(name for name in dir(applications) if name[0].isupper())
# The smallest input that each takes, where it is not 32; and those that take pixels as they are.
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
OF_PIXELS = ("ConvNeXt", "EfficientNet", "MobileNetV3")
SAMPLES = 32


@dataclass(frozen=True)
class Row:
    """What is measured of one network."""

    name: str
    size: int
    layers: int
    read: int
    rewritten: int
    norms: int
    folded: int
    seconds: float
    fidelity: float
    imbalance: float
    closes: bool


def measure(name: str) -> Row:
    """Build, verify and explain one network with four presets.

    `fidelity` is the largest difference of a logit, relative to the largest logit; `imbalance` the
    largest of any node's account, of any preset; `closes` whether all are finite and balance.
    """
    model, images = calibrated(name)
    start = time.perf_counter()
    analyzer = lrpkeras.Analyzer(model, PRESETS[0])
    seconds = time.perf_counter() - start
    fidelity, imbalance, closes = 0.0, 0.0, True
    for preset in PRESETS:
        if preset != PRESETS[0]:
            analyzer = lrpkeras.Analyzer(model, preset, verify=False)
        check = analyzer.check(images[:1])
        fidelity = max(fidelity, check.fidelity)
        imbalance = max(imbalance, *(entry.imbalance for entry in check.entries))
        closes = closes and check.closes
    norms = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in flat(model))
    left = sum(getattr(node, "batch_norm", False) for node in analyzer.graph)
    return Row(
        name,
        images.shape[1],
        len(flat(model)),
        len(keras_reader.read(model)),
        len(analyzer.graph),
        norms,
        norms - left,
        seconds,
        fidelity,
        imbalance,
        closes,
    )


def calibrated(name: str) -> tuple[keras.Model, np.ndarray]:
    """Return a network whose normalizations hold the statistics of some images, and the images."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    size = SIZES.get(name, 32)
    make = getattr(applications, name)
    settings = {"weights": None, "classes": 10, "classifier_activation": None}
    model = make(input_shape=(size, size, 3), **settings)
    rng = np.random.default_rng(0)
    for layer in flat(model):
        if getattr(layer, "gamma", None) is not None:
            sign = rng.choice([-1, 1], layer.gamma.shape)
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape) * sign)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(rng.normal(0, 2.0, layer.beta.shape))
            layer.momentum = 0.0
    images = smooth(SAMPLES, size)
    if name.startswith(OF_PIXELS):
        images = 127.5 + 60 * images
    model(images, training=True)
    return model, images


def flat(model: keras.Model) -> list[keras.layers.Layer]:
    """Return a model's layers, those of nested models in their place."""
    return [x for x in model._flatten_layers() if not isinstance(x, keras.Model)]


def smooth(samples: int, size: int) -> np.ndarray:
    """Return images whose colours change slowly, each of its own contrast and mean."""
    rng = np.random.default_rng(1)
    images = keras.ops.image.resize(rng.normal(size=(samples, 4, 4, 3)), (size, size), "bicubic")
    contrast, mean = rng.uniform(0.3, 2.0, (samples, 1, 1, 1)), rng.normal(size=(samples, 1, 1, 3))
    return np.asarray(images * contrast + mean, "float32")


def line(row: Row) -> str:
    """Return a row of the table."""
    name, size, layers, read, rewritten, norms, folded, seconds, fidelity, imbalance, _ = astuple(
        row
    )
    return (
        f"| {name} | {size} | {layers} | {read} | {rewritten} | {folded} / {norms} "
        f"| {seconds:.1f} | {fidelity:.0e} | {imbalance:.0e} |"
    )


HEAD = """# All of `keras.applications`

Every network of Keras {version}, at the smallest input that it takes, with random weights: gammas
of both signs, normalizations calibrated on {samples} images. Each is built, verified layer by layer
and explained with `{presets}`; all maps are finite and all ledgers close.

"nodes" are counted as read, and as rewritten; "folded" counts batch normalizations. "build" is in
seconds, of an analyzer with verification, on two cores. "fidelity" is the largest difference
between the rewritten network's logits and the model's, relative to the largest logit; "ledger" the
largest imbalance of any node with any of the presets, relative to the relevance there.

Written by `python benchmarks/architectures.py`.

| network | input | layers | nodes read | nodes | folded | build | fidelity | ledger |
|---|---|---|---|---|---|---|---|---|
"""


def main(names: list[str]) -> None:
    """Measure; write the page if all were."""
    rows = []
    for name in names or NAMES:
        rows.append(measure(name))
        print(line(rows[-1]), flush=True)
        assert rows[-1].closes, name
        gc.collect()
    if not names:
        head = HEAD.format(version=keras.__version__, samples=SAMPLES, presets="`, `".join(PRESETS))
        PAGE.write_text(head + "\n".join(map(line, rows)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
