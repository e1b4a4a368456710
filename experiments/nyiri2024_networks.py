"""Section 5.3, figure 22: whether networks use the same pixels.

In place of VGG16, VGG19 and ResNet50: the convolutional network of section 3, one with a third
convolution, and a small residual network with batch normalization, all for the modified MNIST. The
latter two learn for 2 epochs: of their accuracy the paper says nothing.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import combinations

import keras
import numpy as np

import lrpkeras
from experiments import modified_mnist as mnist
from experiments import nyiri2024_methods as methods
from experiments.data import Set
from experiments.modified_mnist import scaled
from experiments.nyiri2024_digits import OURS, Found
from experiments.nyiri2024_methods import count
from experiments.outcome import Outcome, above, judged, shown
from experiments.trained import Training, trained
from lrpkeras.evaluate import Curve, Measure

ALIKE, OTHER = ("two convolutions", "three convolutions"), "residual"
NETWORKS = {"three convolutions": partial(mnist.convolutional, 3), OTHER: mnist.residual}
Pair = tuple[str, str]


def run(given: argparse.Namespace, outcome: Outcome, digits: Found) -> None:
    """Judge by every network what every network finds relevant."""
    networks = {ALIKE[0]: digits.network, **_trained(given, digits)}
    x = scaled(digits.test.images[: count(given, 1000, 60)])
    judges = {name: lrpkeras.Analyzer(one, "epsilon") for name, one in networks.items()}
    maps = {name: methods.relevance(one, x, *OURS) for name, one in networks.items()}
    decided = {
        name: one.predict(x, batch_size=64, verbose=0).argmax(axis=1)
        for name, one in networks.items()
    }
    same = {pair: decided[pair[0]] == decided[pair[1]] for pair in combinations(networks, 2)}
    curves = {
        (by, of): methods.retention(judges[of], x, maps[of], absolute=True, other_model=judges[by])
        for by in networks
        for of in networks
    }
    _table(outcome, curves, same)
    _pixels(outcome, curves)
    _almost_all(outcome, curves, same)
    _agreement(outcome, curves, same)
    _figure(given, outcome, curves)


def _trained(given: argparse.Namespace, digits: Found) -> dict[str, keras.Model]:
    sets = (Set(*digits.train[:2]), Set(*digits.test[:2]))
    return {
        name: trained(
            given.cache,
            f"modified-{name.replace(' ', '-')}",
            build,
            Training(count(given, 2, 1)),
            *sets,
            scaled,
            given.seed,
        ).model
        for name, build in NETWORKS.items()
    }


def _table(outcome: Outcome, curves: dict[Pair, Curve], same: dict[Pair, np.ndarray]) -> None:
    percentages = (1, 5, 10, 20, 50, 99)
    rows = []
    for (by, of), curve in curves.items():
        agree = same.get((by, of), same.get((of, by)))
        numbers = [shown(curve.value_at(one), 2) for one in percentages]
        rows.append([by, of, "" if agree is None else f"{agree.mean():.3f}", *numbers])
    heads = ["decides", "over pixels of", "same decision on whole images"]
    title = "Modified MNIST: networks over what others find relevant (figure 22)"
    outcome.table(title, [*heads, *(f"{one} %" for one in percentages)], rows)


def _pixels(outcome: Outcome, curves: dict[Pair, Curve]) -> None:
    """Whether networks that are alike use the same pixels, and the residual one others."""
    less = {
        by: methods.small(curves[by, of]).minus(methods.small(curves[by, OTHER]))
        for by, of in (ALIKE, ALIKE[::-1])
    }
    outcome.claim(
        "section 5.3, figure 22",
        "Networks that are alike (VGG16, VGG19) use the same pixels, a residual one others",
        methods.verdict(above(one) for one in less.values()),
        "accuracy up to 25 % of the pixels of the network that is alike, less that over those of "
        f"the residual one: {methods.listed(less)}",
    )


def _almost_all(outcome: Outcome, curves: dict[Pair, Curve], same: dict[Pair, np.ndarray]) -> None:
    """Whether a decision is lost with the last percent by another network's relevance."""
    lost = {by: Measure("lost", 1 - curves[by, OTHER].value_at(99).values) for by in ALIKE}
    less = {by: curves[by, by].value_at(99).minus(curves[by, OTHER].value_at(99)) for by in ALIKE}
    differs = ", ".join(f"{1 - same[by, OTHER].mean():.0%}" for by in ALIKE)
    outcome.claim(
        "section 5.3, figure 22",
        "VGG networks have an accuracy of only 82 % with 99 % of ResNet50's pixels",
        methods.verdict(above(one) for one in less.values()),
        f"a network's own decisions lost with 99 % of the residual one's pixels: "
        f"{methods.listed(lost)}; more than with 99 % of its own: {methods.listed(less)}. Of whole "
        f"images they say something else for {differs}; VGG16 and ResNet50 in the paper for 41 %",
    )


def _agreement(outcome: Outcome, curves: dict[Pair, Curve], same: dict[Pair, np.ndarray]) -> None:
    """Whether networks that are alike agree on more images, and share more pixels."""
    agree = {pair: Measure("same decision", one.astype(float)) for pair, one in same.items()}
    shared = {pair: _shared(curves, pair) for pair in same}
    others = [pair for pair in same if pair != ALIKE]
    more = [one[ALIKE].minus(one[pair]) for one in (agree, shared) for pair in others]
    outcome.claim(
        "section 5.3",
        "VGG16 and VGG19 give more images the same category (1464 of 2000) than either and "
        "ResNet50 (1178, 1194), which confirms figure 22",
        judged(*map(above, more)),
        "same decision, and accuracy up to 25 % of each other's pixels: "
        + "; ".join(
            f"{by} and {of} {shown(agree[by, of])}, {shown(shared[by, of])}" for by, of in same
        )
        + f"; those alike more than others by {', '.join(map(shown, more))}",
    )


def _shared(curves: dict[Pair, Curve], pair: Pair) -> Measure:
    """Return the accuracy by small shares of each other's pixels, the mean of two networks."""
    both = [methods.small(curves[one]).values for one in (pair, pair[::-1])]
    return Measure("accuracy by each other's pixels", np.mean(both, axis=0))


def _figure(given: argparse.Namespace, outcome: Outcome, curves: dict[Pair, Curve]) -> None:
    figure, panels = methods.panels(len(NETWORKS) + 1)
    for (by, of), curve in curves.items():
        panel = panels[list(dict.fromkeys(one for one, _ in curves)).index(by)]
        curve.plot(panel, f"over pixels of: {of}")
        panel.set_title(f"{by} decides")
    caption = "Networks over what each other finds relevant, R-LRP, absolute values (figure 22)"
    outcome.figure(given.results, "networks", caption, figure)
