"""Does a changed ResNet train faster at first? A part of `hui2019`.

The abstract: "one observation made by LRP analysis serves to modify a ResNet for faster initial
training convergence", without saying which modification. Our guess is the shortcut, whose 1 x 1
convolution with stride 2 sees a quarter of the positions: average pooling in place of the stride.
Both networks begin with the same weights for the same seed, and see the same images in the same
order: Adam with a constant rate of 0.001, batches of 128, for a third of an epoch of CIFAR-10.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import keras
import numpy as np

from experiments.data import Set
from experiments.hui2019_networks import POOLED, resnet
from experiments.hui2019_rules import scaled, verdict
from experiments.outcome import Outcome, shown
from lrpkeras.evaluate import Curve, Measure
from lrpkeras.evaluate.chart import chart

BATCH = 128
SHORTCUTS: dict[str, Callable[..., keras.Model]] = {"stride": resnet, "pool": POOLED}


def faster(given: argparse.Namespace, outcome: Outcome, train: Set, test: Set) -> None:
    """Train both from several seeds, and compare loss and accuracy at the beginning."""
    seeds, parts, steps, tests = (2, 2, 3, 200) if given.quick else (6, 3, 48, 2000)
    x_test = scaled(test.images[:tests]), test.labels[:tests]
    found = {
        kind: np.array(
            [
                beginning(build, train, x_test, given.seed + seed, parts, steps)
                for seed in range(seeds)
            ]
        )
        for kind, build in SHORTCUTS.items()
    }
    at = steps * np.arange(1, parts + 1)
    curves = {
        (kind, name): Curve(name, at, values[..., i], "steps")
        for kind, values in found.items()
        for i, name in enumerate(("training loss", "test accuracy"))
    }
    _table(outcome, curves)
    _claim(outcome, curves, seeds)
    _draw(given, outcome, curves)


def beginning(
    build: Callable[..., keras.Model],
    train: Set,
    test: tuple[np.ndarray, np.ndarray],
    seed: int,
    parts: int,
    steps: int,
) -> list[tuple[float, float]]:
    """Return the training loss of each part of so many steps, and the test accuracy behind it."""
    keras.utils.set_random_seed(seed)
    model = build(train.images.shape[1:], int(train.labels.max()) + 1)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    order = np.random.default_rng(seed).permutation(len(train.labels))
    rows = []
    for part in range(parts):
        chosen = order[part * steps * BATCH : (part + 1) * steps * BATCH]
        x, labels = scaled(train.images[chosen]), train.labels[chosen]
        history = model.fit(x, labels, BATCH, shuffle=False, verbose=0).history
        accuracy = model.evaluate(*test, batch_size=256, verbose=0)[1]
        rows.append((float(history["loss"][0]), float(accuracy)))
    print(f"seed {seed}: loss {rows[-1][0]:.3f}, accuracy {rows[-1][1]:.3f}", flush=True)
    return rows


def _mean(curve: Curve) -> Measure:
    return Measure(curve.name, curve.values.mean(axis=1))


def _table(outcome: Outcome, curves: dict[tuple[str, str], Curve]) -> None:
    heads = ["shortcut", "measure", *(f"step {at}" for at in next(iter(curves.values())).at)]
    rows = [
        [*key, *(shown(Measure("", column)) for column in curve.values.T)]
        for key, curve in curves.items()
    ]
    outcome.table("The first steps of a ResNet-like network on CIFAR-10", heads, rows)


def _claim(outcome: Outcome, curves: dict[tuple[str, str], Curve], seeds: int) -> None:
    loss = _mean(curves["stride", "training loss"]).minus(_mean(curves["pool", "training loss"]))
    gained = _mean(curves["pool", "test accuracy"]).minus(_mean(curves["stride", "test accuracy"]))
    outcome.claim(
        "abstract",
        "One observation made by LRP analysis serves to modify a ResNet for faster initial "
        "training convergence",
        verdict([loss, gained]),
        "our guess of the modification: average pooling in place of the shortcut's stride; "
        "criterion: loss and accuracy, means over the table's columns, are both better by their "
        f"intervals over {seeds} seeds, which so few make somewhat too narrow. Training loss, "
        f"stride less pool: {shown(loss)}; test accuracy, pool less stride: {shown(gained)}",
    )


def _draw(
    given: argparse.Namespace, outcome: Outcome, curves: dict[tuple[str, str], Curve]
) -> None:
    figure, panel = chart()
    for (kind, name), curve in curves.items():
        if name == "training loss":
            curve.plot(panel, f"shortcut with {kind}")
    caption = "Training loss of a ResNet-like network on CIFAR-10, with intervals over seeds"
    outcome.figure(given.results, "early", caption, figure)
