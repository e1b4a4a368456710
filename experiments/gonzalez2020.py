"""Gonzalez 2020, Analysis and applications of explainable AI methods, run again and measured.

The thesis looks at maps of a few images; here each of its sentences is a number over many images.
"Wrong" maps are told from right ones by flipping, "noise" is measured between neighbouring pixels,
and "the pattern just after the dense layers" is the relevance of the max pool, channels summed.

The network learns for 12 epochs, not 25, which would take two cores half an hour. Chosen, where
the thesis is silent: ReLUs, valid padding (its max pool has 12 x 12 positions), Adam, input in
[0, 1], and which images: the first of the test set that the network gets right. It works with a 3
asked for class 2, of logit -16.31, and for class 5, of logit 3.09. Here every image is asked for a
class by chance among those with negative logits, and for the class that wins. Black squares of
4 x 4 pixels are flipped. MobileNet 0.25 and photos of ImageNet stand in for VGG16 and Places365
(section 5): see `gonzalez2020_photos`. MobileNet ends in a 1 x 1 convolution, which gets the rule
of convolutions; under z+ folded biases absorb all but some 1e-7 of the logit.
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from keras import layers

import lrpkeras
from experiments import data, gonzalez2020_convolutions, gonzalez2020_photos, options
from experiments.gonzalez2020_dense import dense_layers, halves
from experiments.gonzalez2020_maps import MATRIX, Digits, normalized, parts
from experiments.outcome import Outcome, Verdict, above, judged, shown
from experiments.pattern import neighbours, summed, variation
from experiments.trained import Training, trained
from lrpkeras.evaluate import Measure

PAPER = "González 2020"
# What the text asks of maps: digit, class, the share of its rows that is its top, and which of
# top and rest is for the class (1) or against it (-1). The frames themselves are lost.
GREEN = {
    ("figure 6, class 2", "a 3's top half is for class 2, the rest against it"): (3, 2, 0.5, 1, -1),
    ("figure 6, class 5", "a 3's bottom half is for class 5"): (3, 5, 0.5, 0, 1),
    ("figure 7, class 4", "a 9's top is against class 4, the rest for it"): (9, 4, 0.25, -1, 1),
}


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1]."""
    return (images / 255).astype("float32")


def network() -> keras.Model:
    """Return the network of section 4, with the names of its figures 8 to 18."""
    relu = {"activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, name="conv_1", **relu),
            layers.Conv2D(64, 3, name="conv_2", **relu),
            layers.MaxPooling2D(2, name="max_pool_1"),
            layers.Flatten(name="flatten"),
            layers.Dense(512, name="dense_1", **relu),
            layers.Dense(10, activation="softmax", name="output"),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Run all of it."""
    given = options.parser(__doc__ or "").parse_args(arguments)
    outcome = Outcome("gonzalez2020", PAPER, _settings(given))
    alike = _mnist(given, outcome)
    gonzalez2020_photos.run(given, outcome, alike)
    _left_out(outcome)
    outcome.save(given.results)


def _settings(given: argparse.Namespace) -> dict[str, str]:
    digits, photos = (60, 8) if given.quick else (1000, 300)
    settings = {
        "images explained": f"up to {digits} of MNIST, {photos} photos",
        "seed": str(given.seed),
    }
    return settings | ({"quick": "the network is hardly trained"} if given.quick else {})


def _mnist(given: argparse.Namespace, outcome: Outcome) -> Measure:
    """Train the network, and ask all of section 4; return how alike figure 20's maps are."""
    train, test = data.mnist(given.data)
    train = train.first(4000 if given.quick else None)
    training = Training(2 if given.quick else 12)
    found = trained(given.cache, "gonzalez", network, training, train, test, scaled, given.seed)
    outcome.settings["accuracy on MNIST"] = f"{found.accuracy:.4f} after {training.epochs} epochs"
    digits = Digits.of(
        found.model, scaled(test.images), test.labels, 60 if given.quick else 1000, given.seed
    )
    _matrices(given, outcome, digits)
    _green(given, outcome, digits, scaled(test.images), test.labels)
    _noise(outcome, digits)
    dense_layers(outcome, digits)
    halves(outcome, digits, scaled(test.images), test.labels)
    gonzalez2020_convolutions.convolutions(outcome, digits)
    gonzalez2020_convolutions.draw(given, outcome, digits)
    return gonzalez2020_convolutions.first_layer(outcome, digits)


# Figures 6 and 7


def _matrices(given: argparse.Namespace, outcome: Outcome, digits: Digits) -> None:
    """Draw a 3 and a 9, explained for every class by every preset of figures 6 and 7."""
    for number, digit in ((6, 3), (7, 9)):
        at = np.flatnonzero(digits.labels == digit)[:1]
        rows = {}
        for label, preset in MATRIX.items():
            every = digits.analyzer(preset).explain(digits.x[at], target="all", verbose=0)
            rows[label] = normalized(every.relevance[0])
        titles = [f"{name}: {logit:.1f}" for name, logit in enumerate(every.output[0])]
        images = np.repeat(digits.x[at], len(titles), axis=0)
        figure, _ = lrpkeras.plot.grid(rows, images, titles=titles, colorbar=False)
        caption = (
            f"Figure {number} of the thesis: a {digit} asked for every class (above: its logit); "
            "each map is scaled to itself"
        )
        outcome.figure(given.results, f"figure{number}", caption, figure)


def _green(
    given: argparse.Namespace,
    outcome: Outcome,
    digits: Digits,
    x: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Measure what the text says of maps with green frames, by the preset of figure 19."""
    analyzer = digits.analyzer(MATRIX["α1β0 preset flat"])
    for (where, says), (digit, target, top, *signs) in GREEN.items():
        some = x[labels == digit][: 20 if given.quick else 300]
        explained = analyzer.explain(some, target=target, verbose=0)
        balances = parts(summed(explained.relevance), some[..., 0] > 0, top)
        negative = np.mean(explained.output[:, target] < 0)
        verdict, measured = of_parts(balances, signs)
        measured += f"; {len(some)} images, logits negative in {negative:.0%}"
        outcome.claim(where, f"α1β0 preset flat: {says}", verdict, measured)


def of_parts(balances: tuple[Measure, Measure], signs: list[int]) -> tuple[Verdict, str]:
    """Return verdict and numbers: the parts that a sign is said of must have it."""
    held = [above(part) is (sign > 0) for part, sign in zip(balances, signs, strict=True) if sign]
    numbers = (f"{part.name} {shown(part)}" for part in balances)
    return judged(*held), "share of all absolute relevance: " + ", ".join(numbers)


def _noise(outcome: Outcome, digits: Digits) -> None:
    """Compare the noise of all eleven, asked for classes with negative logits."""
    maps = {label: digits.maps(preset, "negative").input for label, preset in MATRIX.items()}
    rough = {label: variation(one) for label, one in maps.items()}
    alike = {label: neighbours(one) for label, one in maps.items()}
    outcome.table(
        "MNIST, figures 6 and 7: noise at the input",
        ["rules", "variation of neighbours (0 smooth)", "their correlation (1 smooth)"],
        [[label, shown(rough[label]), shown(alike[label])] for label in MATRIX],
    )
    families = [label for label in MATRIX if f"{label} flat" in MATRIX]
    pairs = [(label, f"{label} {first}") for label in families for first in ("bounded", "flat")]
    less = {pair: (rough[pair[0]].minus(rough[pair[1]]), _more(alike, pair)) for pair in pairs}
    outcome.claim(
        "section 4, figures 6 and 7",
        "Maps without Bounded or Flat in the first layer are noisier",
        judged(*(above(one) for both in less.values() for one in both)),
        "variation falls, correlation of neighbours rises by: "
        + "; ".join(f"{to} {shown(one)}, {shown(two)}" for (_, to), (one, two) in less.items()),
    )
    _coarse(outcome, digits, maps)


def _coarse(outcome: Outcome, digits: Digits, maps: dict[str, np.ndarray]) -> None:
    """Compare the noise of the max pool, dense layers ε, with that of the input in its cells."""
    pool = variation(digits.maps(MATRIX["α1β0 preset"], "negative").pool)
    more = {label: variation(in_cells(one)).minus(pool) for label, one in maps.items()}
    held = sum(above(one) is True for one in more.values())
    outcome.claim(
        "section 4.1, figure 10",
        "By ε, the max pool's map is less noisy than those of many rules at the input",
        "reproduced" if 2 * held >= len(more) else "partly" if held else "not reproduced",
        f"variation of the max pool {shown(pool)}; of the input, averaged over the pool's cells, "
        + "more by "
        + ", ".join(f"{label} {shown(one)}" for label, one in more.items())
        + " (reproduced: more for half of them; partly: for some)",
    )


def in_cells(maps: np.ndarray) -> np.ndarray:
    """Return maps `(n, 28, 28)` averaged over 12 x 12 squares, each in the middle of its cell."""
    return maps[:, 2:26, 2:26].reshape(-1, 12, 2, 12, 2).mean(axis=(2, 4))


def _more(alike: dict[str, Measure], pair: tuple[str, str]) -> Measure:
    return alike[pair[1]].minus(alike[pair[0]])


def _left_out(outcome: Outcome) -> None:
    """List what cannot be tested here."""
    missing = "VGG16's weights for Places365 and the thesis' photos are not here"
    for where, says, why in (
        ("section 5", "VGG16 has 0.5524 top-1 and 0.8491 top-5 accuracy on Places365", missing),
        ("figure 26", "Without flag and window, P(recreation room) rises from 0.9971 to 0.9995",
         f"{missing}; for photos of ImageNet see section 5.1.1"),
        ("section 5.2, figures 29 to 34", "Maps name the objects that are not of the class",
         f"{missing}, nor are objects marked in photos; for runners-up see section 5.2"),
        ("figure 7, class 7", "A 9 asked for class 7 is a similar case to class 4",
         "which parts are for 7 and which against it is in the figure alone"),
        ("section 2.2", "LRP is faster than LIME or SHAP", "they are not here"),
    ):  # fmt: skip
        outcome.claim(where, says, "not tested", why)


if __name__ == "__main__":
    main()
