"""CIFAR-10, photos and generated shapes: what folding gains, and whether more in complex images.

A part of `guillemot2020`. Their photos have no masks; generated shapes have, and backgrounds that
can be painted over: what folding gains is measured with and without their texture.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import pairwise

import keras
import numpy as np

import lrpkeras
from experiments import data
from experiments.guillemot2020_maps import MODES, analyzer, draw, gap, mass, randomized, size
from experiments.guillemot2020_networks import CIFAR, scaled
from experiments.outcome import Outcome, above, judged, shown
from experiments.trained import Training, trained
from lrpkeras.evaluate import Measure

THEIRS = 0.9378  # accuracy on CIFAR-10
BETTER = (
    "When batch normalization is not bypassed, results on each example are significantly better"
)
CONTRAST = "The contrast between the background and the object is more apparent with folding"
COMPLEX = "The more complex the inputs, the larger the benefits"


def cifar(given: argparse.Namespace, outcome: Outcome) -> Measure:
    """Train the network of figure 6, and return what folding gains."""
    train, test = data.cifar10(given.data)
    training, used = Training(size(given, 5, 1), flips=True), train.first(size(given, None, 5000))
    network = trained(given.cache, "cifar7", CIFAR, training, used, test, scaled, given.seed)
    outcome.claim(
        "section 5.2",
        f"The network of seven convolutions reaches {THEIRS} on CIFAR-10",
        judged(network.accuracy >= THEIRS - 0.01),
        f"{network.accuracy:.4f} after {training.epochs} epochs, with "
        f"{network.model.count_params():,} weights. Criterion: at most 0.01 less than theirs",
    )
    images = test.images[: size(given, 1000, 200)]
    gain = _compared(given, outcome, "CIFAR-10", network.model, images, region=2)
    _by_image(outcome, "CIFAR-10", images, gain)
    return gain


def photos(given: argparse.Namespace, outcome: Outcome) -> Measure:
    """Explain MobileNet, and return what folding gains."""
    images = data.photos(given.data, size(given, 500, 40)).images
    model = data.mobilenet(given.data)
    gain = _compared(given, outcome, "ImageNet", model, images, region=8)
    _by_image(outcome, "ImageNet", images, gain)
    return gain


def _compared(
    given: argparse.Namespace,
    outcome: Outcome,
    name: str,
    model: keras.Model,
    images: np.ndarray,
    region: int,
) -> Measure:
    """Compare folding and bypassing on a data set; returns what folding gains in flipping."""
    x = scaled(images)
    few = x[: size(given, 20, 4)]
    explaining = {mode: analyzer(model, mode) for mode in MODES}
    maps = {mode: one.explain(x, verbose=0).relevance for mode, one in explaining.items()}
    gaps = {mode: gap(explaining["folded"], one, x, region) for mode, one in maps.items()}
    random = {mode: randomized(one, few) for mode, one in explaining.items()}
    gain = gaps["folded"].minus(gaps["bypassed"])
    outcome.table(
        f"{name}: folded and bypassed",
        ["batch normalization", "flipping gap (probability)", "similarity with all layers random"],
        [[mode, shown(gaps[mode]), shown(random[mode])] for mode in MODES],
    )
    outcome.claim(
        f"section 5.4, figure {7 if name == 'CIFAR-10' else 8}, {name}",
        BETTER,
        judged(above(gain)),
        f"flipping gap, folded less bypassed: {shown(gain)}; above 0 in "
        f"{(gain.values > 0).mean():.0%} of {len(images)} images",
    )
    draw(given, outcome, name, images[:6] / 255, {("network", mode): maps[mode] for mode in MODES})
    return gain


# Complexity


def _by_image(outcome: Outcome, name: str, images: np.ndarray, gain: Measure) -> None:
    """Say whether folding gains more in images that are more complex."""
    from scipy import stats

    found = stats.spearmanr([complexity(image) for image in images], gain.values)
    outcome.claim(
        f"sections 5.4 and 6, {name}",
        COMPLEX,
        judged(found.statistic > 0 and found.pvalue < 0.05),
        "Spearman's correlation of what folding gains in flipping and the mean difference of "
        f"neighbouring pixels, {len(images)} images: {found.statistic:.3f}, p = {found.pvalue:.2g}",
    )


def complexity(image: np.ndarray) -> float:
    """Return the mean absolute difference of neighbouring pixels."""
    grey = image.mean(axis=-1)
    return float(np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)]))


def by_data(outcome: Outcome, gains: Mapping[str, Measure]) -> None:
    """Compare what folding gains in data sets, the simplest first, by intervals that lie apart."""
    ends = [gain.interval() for gain in gains.values()]
    rises = [harder[0] > easier[1] for easier, harder in pairwise(ends)]
    outcome.claim(
        "section 6",
        f"{COMPLEX}: from MNIST over CIFAR-10 to ImageNet",
        judged(*rises),
        "criterion: each interval above that before it. Gain in flipping gap: "
        + ", ".join(f"{name} {shown(gain)}" for name, gain in gains.items()),
    )


# Shapes


def shapes(given: argparse.Namespace, outcome: Outcome) -> None:
    """Measure by masks, with textured backgrounds and with these painted over."""
    images, labels, masks = lrpkeras.datasets.shapes(size(given, 600, 48), given.seed)
    model = lrpkeras.datasets.shapes_model()
    explaining = {mode: analyzer(model, mode, (0.0, 1.0)) for mode in MODES}
    kinds = {"textured": images, "uniform": painted(images, masks)}
    right = {
        kind: model.predict(x, verbose=0).argmax(axis=1) == labels for kind, x in kinds.items()
    }
    maps = {
        (kind, mode): one.explain(x, verbose=0).relevance
        for kind, x in kinds.items()
        for mode, one in explaining.items()
    }
    masses = {key: mass(one, masks) for key, one in maps.items()}
    gaps = {
        key: gap(explaining["folded"], one, kinds[key[0]], region=2) for key, one in maps.items()
    }
    outcome.table(
        f"Generated shapes, the network that ships with lrpkeras, {len(images)} images: share of "
        "relevance on the object, and flipping",
        ["background", "accuracy", "batch normalization", "relevance mass", "flipping gap"],
        [
            [kind, f"{right[kind].mean():.3f}", mode, shown(masses[kind, mode]), shown(one)]
            for (kind, mode), one in gaps.items()
        ],
    )
    shapes_claims(outcome, masses, gaps)
    draw(given, outcome, "shapes", images, maps)


def painted(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return images with the mean colour of the background all over it."""
    outside = ~masks[..., None]
    colour = (images * outside).sum(axis=(1, 2)) / outside.sum(axis=(1, 2))
    return np.where(outside, colour[:, None, None].astype(images.dtype), images)


def shapes_claims(
    outcome: Outcome,
    masses: Mapping[tuple[str, str], Measure],
    gaps: Mapping[tuple[str, str], Measure],
) -> None:
    """State what folding gains by background, in masses and flipping."""
    gains = {
        (kind, what): one[kind, "folded"].minus(one[kind, "bypassed"])
        for what, one in (("relevance mass", masses), ("flipping gap", gaps))
        for kind in ("textured", "uniform")
    }
    numbers = "Folded less bypassed: " + "; ".join(
        f"{', '.join(key)} {shown(gain)}" for key, gain in gains.items()
    )
    outcome.claim(
        "section 5.4, on generated shapes", CONTRAST, judged(*map(above, gains.values())), numbers
    )
    more = [
        gains["textured", what].minus(gains["uniform", what])
        for what in ("relevance mass", "flipping gap")
    ]
    outcome.claim(
        "section 5.4, on generated shapes",
        "Where the background is uniform the result of bypassing is already good; where it is not, "
        "it is poor, and that of folding much better",
        judged(*map(above, more)),
        "what folding gains with texture less what it gains without: relevance mass "
        f"{shown(more[0])}, flipping gap {shown(more[1])}. {numbers}",
    )
