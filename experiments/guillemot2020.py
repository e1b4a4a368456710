"""Guillemot et al. 2020, Breaking Batch Normalization, run again and measured.

Batch normalization is folded into the layers around it, or bypassed (relevance passes it unchanged,
their baseline), under their rules (preset "guillemot"). They judged maps by eye, and asked for a
measure: here are masks, flipping and randomization.

Their figures give no sizes. Chosen: Fc1 to Fc3 have two hidden layers of 512 and 256; Conv1 and
Conv2 four 3 x 3 convolutions of 32, 32, 64, 64 channels, a pool after each pair. Their text puts
Conv2's normalization before every convolution, their table after it: both are here, as Conv2 before
and Conv2 after. The CIFAR-10 network has seven convolutions of 32 to 128 channels and four pools.
MobileNet 0.25 stands in place of VGG16-BN, whose weights Keras does not have.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from keras import layers

import lrpkeras
from experiments import data, options
from experiments.data import Set
from experiments.outcome import Outcome, above, shown
from experiments.trained import Trained, Training, trained
from lrpkeras import evaluate
from lrpkeras.evaluate import Measure

THEIRS = {"Fc1": 0.9781, "Fc2": 0.9742, "Fc3": 0.9831, "Conv1": 0.9903, "Conv2": 0.9924}
MODES = {"folded": "fold", "bypassed": "identity"}
PAPER = "Guillemot 2020"


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


def main(arguments: list[str] | None = None) -> None:
    """Run all of it."""
    given = options.parser(__doc__ or "").parse_args(arguments)
    outcome = Outcome("guillemot2020", PAPER, _settings(given))
    simple = _mnist(given, outcome)
    harder = _cifar(given, outcome)
    hardest = _photos(given, outcome)
    _by_complexity(outcome, {"MNIST": simple, "CIFAR-10": harder, "ImageNet": hardest})
    outcome.save(given.results)


def _settings(given: argparse.Namespace) -> dict[str, str]:
    images, photos = (200, 40) if given.quick else (1000, 500)
    settings = {
        "images explained": f"{images} of MNIST and CIFAR-10, {photos} photos",
        "seed": str(given.seed),
    }
    return settings | ({"quick": "networks are hardly trained"} if given.quick else {})


def _count(given: argparse.Namespace, full: int, quick: int) -> int:
    return quick if given.quick else full


# MNIST


def _mnist(given: argparse.Namespace, outcome: Outcome) -> Measure:
    """Train the six networks, and measure their maps; returns what folding gains."""
    train, test = data.mnist(given.data)
    train, shown_ones = train.first(_count(given, None, 6000)), test.first(_count(given, 1000, 200))
    networks = {}
    for name, build in NETWORKS.items():
        training = Training(_count(given, 4, 2))
        networks[name] = trained(
            given.cache, name, build, training, train, test, scaled, given.seed
        )
    _accuracies(outcome, networks)
    maps = {
        (name, mode): _maps(network.model, shown_ones, mode)
        for name, network in networks.items()
        for mode in (MODES if "1" not in name else ("folded",))
    }
    ink = shown_ones.images[..., 0] > 0
    masses = {key: _mass(relevance, shown_ones, ink) for key, relevance in maps.items()}
    gaps = {
        key: _gap(networks[key[0]].model, relevance, shown_ones) for key, relevance in maps.items()
    }
    outcome.table(
        "MNIST: relevance on the strokes, and the gap of flipping to random order",
        ["network", "batch normalization", "relevance mass", "flipping gap (probability)"],
        [[*key, shown(masses[key]), shown(gaps[key])] for key in maps],
    )
    _mnist_claims(outcome, masses, gaps)
    _contours(outcome, maps, shown_ones, ink)
    _draw(given, outcome, "mnist", shown_ones, maps)
    return _gain(gaps["Conv2 after", "folded"], gaps["Conv2 after", "bypassed"])


def _maps(model: keras.Model, images: Set, mode: str) -> np.ndarray:
    analyzer = lrpkeras.Analyzer(
        model, "guillemot", batch_norm=MODES[mode], input_range=(-1.0, 1.0)
    )
    return analyzer.explain(scaled(images.images), verbose=0).relevance


def _mass(relevance: np.ndarray, images: Set, masks: np.ndarray) -> Measure:
    return evaluate.relevance_mass(relevance, images.images, masks, 0, verbose=0)


def _gap(model: keras.Model, relevance: np.ndarray, images: Set, region: int = 1) -> Measure:
    """Return how much faster the probability falls than in random order, background put in."""
    return evaluate.pixel_flipping(
        relevance,
        scaled(images.images),
        model=model,
        orders=("most", "random"),
        region=region,
        replacement=-1.0 if images.images.shape[-1] == 1 else "mean",
        score="probability",
        batch_size=64,
        verbose=0,
    ).gap


def _gain(folded: Measure, bypassed: Measure) -> Measure:
    return folded.minus(bypassed)


def _accuracies(outcome: Outcome, networks: dict[str, Trained]) -> None:
    rows = [
        [
            name,
            f"{THEIRS[name.split()[0]]:.4f}",
            f"{network.accuracy:.4f}",
            f"{network.seconds:.0f}",
        ]
        for name, network in networks.items()
    ]
    outcome.table("MNIST: accuracy", ["network", "theirs", "ours", "seconds of training"], rows)
    best = {
        kind: max(n.accuracy for name, n in networks.items() if name.startswith(kind))
        for kind in ("Fc", "Conv")
    }
    worst = min(network.accuracy for network in networks.values())
    outcome.claim(
        "table 1",
        "All networks are between 0.97 and 0.9924; convolutional ones are the best",
        "reproduced" if worst >= 0.97 and best["Conv"] > best["Fc"] else "partly",
        f"{worst:.4f} to {best['Conv']:.4f}; the best dense one {best['Fc']:.4f}",
    )


def _mnist_claims(
    outcome: Outcome, masses: dict[tuple[str, str], Measure], gaps: dict[tuple[str, str], Measure]
) -> None:
    plain = masses["Conv1", "folded"].minus(masses["Fc1", "folded"])
    outcome.claim(
        "section 5.4",
        "Convolutional networks give better maps than fully connected ones",
        "reproduced" if above(plain) else "not reproduced",
        f"relevance mass on the strokes, Conv1 less Fc1: {shown(plain)}",
    )
    lost = {
        (name, mode): gaps["Fc1", "folded"].minus(gaps[name, mode])
        for name in ("Fc2", "Fc3")
        for mode in MODES
    }
    useless = all(above(gaps[key]) is not True for key in lost)
    worse = all(above(one) for one in lost.values())
    outcome.claim(
        "section 5.4",
        "With batch normalization, maps of fully connected networks are unusable, folded or not",
        "reproduced" if useless else "partly" if worse else "not reproduced",
        "flipping gap, 0 is a map that says nothing: Fc1 "
        + "; ".join(
            [shown(gaps["Fc1", "folded"])] + [f"{n}, {m}: {shown(gaps[n, m])}" for n, m in lost]
        ),
    )
    for network in ("Conv2 after", "Conv2 before"):
        gain = _gain(gaps[network, "folded"], gaps[network, "bypassed"])
        mass = _gain(masses[network, "folded"], masses[network, "bypassed"])
        both = (above(gain), above(mass))
        outcome.claim(
            f"section 5.4, figure 5, {network}",
            "On MNIST folding makes no big difference, and eases what lies inside loops",
            "reproduced"
            if abs(gain.mean) < 0.05 and mass.mean >= 0
            else "partly"
            if True in both
            else "not reproduced",
            f"folded less bypassed: flipping gap {shown(gain)}, relevance mass {shown(mass)}",
        )


def _contours(
    outcome: Outcome, maps: dict[tuple[str, str], np.ndarray], images: Set, ink: np.ndarray
) -> None:
    """Say whether relevance is on contours with batch normalization, and inside without."""
    from scipy import ndimage

    inside = np.stack([ndimage.binary_erosion(one) for one in ink])
    has_inside = inside.any(axis=(1, 2))
    kept = Set(images.images[has_inside], images.labels[has_inside])
    shares = {
        name: _mass(maps[name, "folded"][has_inside], kept, inside[has_inside])
        for name in ("Conv1", "Conv2 after", "Conv2 before")
    }
    away = shares["Conv1"].minus(shares["Conv2 after"])
    outcome.claim(
        "section 5.4",
        "Without batch normalization all of the object is highlighted, with it its contours",
        "reproduced" if above(away) else "not reproduced",
        "relevance mass inside the strokes (eroded by a pixel): "
        + ", ".join(f"{name} {shown(share)}" for name, share in shares.items()),
    )


# CIFAR-10 and photos


def _cifar(given: argparse.Namespace, outcome: Outcome) -> Measure:
    train, test = data.cifar10(given.data)
    training = Training(_count(given, 8, 1), flips=True)
    network = trained(
        given.cache,
        "cifar7",
        CIFAR,
        training,
        train.first(_count(given, None, 5000)),
        test,
        scaled,
        given.seed,
    )
    outcome.claim(
        "section 5.2",
        "The network of seven convolutions reaches 0.9378 on CIFAR-10",
        "partly" if network.accuracy < 0.9278 else "reproduced",
        f"{network.accuracy:.4f} after {network.seconds:.0f} s of training, with "
        f"{network.model.count_params():,} weights",
    )
    images = test.first(_count(given, 1000, 200))
    return _both(given, outcome, "CIFAR-10", network.model, images, region=2)


def _photos(given: argparse.Namespace, outcome: Outcome) -> Measure:
    images = data.photos(given.data, _count(given, 500, 40))
    model = data.mobilenet(given.data)
    gain = _both(given, outcome, "ImageNet", model, images, region=8)
    complexity = np.array([_complexity(image) for image in images.images])
    from scipy import stats

    found = stats.spearmanr(complexity, gain.values)
    outcome.claim(
        "section 6",
        "The more complex an image, the more folding gains",
        "reproduced" if found.statistic > 0 and found.pvalue < 0.05 else "not reproduced",
        f"Spearman's correlation of gain and mean gradient over {len(complexity)} photos: "
        f"{found.statistic:.3f}, p = {found.pvalue:.2g}",
    )
    return gain


def _both(
    given: argparse.Namespace,
    outcome: Outcome,
    name: str,
    model: keras.Model,
    images: Set,
    region: int,
) -> Measure:
    """Compare folding and bypassing on a data set; returns what folding gains."""
    maps = {mode: _maps(model, images, mode) for mode in MODES}
    gaps = {mode: _gap(model, one, images, region) for mode, one in maps.items()}
    few = scaled(images.images[: _count(given, 20, 4)])
    random = {mode: _randomized(model, few, mode) for mode in MODES}
    gain = _gain(gaps["folded"], gaps["bypassed"])
    outcome.table(
        f"{name}: folded and bypassed",
        ["batch normalization", "flipping gap (probability)", "similarity with all layers random"],
        [[mode, shown(gaps[mode]), shown(random[mode])] for mode in MODES],
    )
    outcome.claim(
        f"section 5.4, figure {7 if name == 'CIFAR-10' else 8}",
        f"On {name} folding is significantly better",
        "reproduced" if above(gain) else "not reproduced",
        f"flipping gap, folded less bypassed: {shown(gain)}",
    )
    few_maps = {("network", mode): one[:6] for mode, one in maps.items()}
    _draw(given, outcome, name.lower(), images.first(6), few_maps)
    return gain


def _randomized(model: keras.Model, x: np.ndarray, mode: str) -> Measure:
    analyzer = lrpkeras.Analyzer(
        model, "guillemot", batch_norm=MODES[mode], input_range=(-1.0, 1.0)
    )
    curve = evaluate.randomization(analyzer, x, verbose=0)
    return Measure("similarity", curve.values[:, -1])


def _complexity(image: np.ndarray) -> float:
    """Return the mean absolute difference of neighbouring pixels."""
    grey = image.mean(axis=-1)
    return float(np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)]))


def _by_complexity(outcome: Outcome, gains: dict[str, Measure]) -> None:
    means = [gain.mean for gain in gains.values()]
    outcome.claim(
        "section 6",
        "From MNIST over CIFAR-10 to ImageNet, folding gains more and more",
        "reproduced" if means == sorted(means) else "not reproduced",
        "gain in flipping gap: "
        + ", ".join(f"{name} {shown(gain)}" for name, gain in gains.items()),
    )


def _draw(
    given: argparse.Namespace,
    outcome: Outcome,
    name: str,
    images: Set,
    maps: dict[tuple[str, str], np.ndarray],
) -> None:
    rows = {f"{network}\n{mode}": relevance[:6] for (network, mode), relevance in maps.items()}
    figure, _ = lrpkeras.plot.grid(rows, images.images[:6] / 255, clip=99.5)
    caption = f"{name}: the first six images under preset guillemot, folded and bypassed"
    outcome.figure(given.results, name, caption, figure)


if __name__ == "__main__":
    main()
