"""Hypotheses 2 and 3 of Gonzalez 2020 on MNIST (sections 4.2, 4.3): rules of convolutions."""

from __future__ import annotations

import argparse

import keras
import numpy as np

import lrpkeras
from experiments.gonzalez2020_maps import CONVOLUTIONS, DENSE, MATRIX, Digits, normalized
from experiments.outcome import Outcome, above, judged, shown
from experiments.pattern import agreement, neighbours, upscaled, variation
from lrpkeras.evaluate import Measure

FIRST_LAYERS = {
    **{label: preset for label, preset in MATRIX.items() if label.startswith("α1β0 preset")},
    "flat preset": CONVOLUTIONS["flat"],
}


# Hypothesis 2


def convolutions(outcome: Outcome, digits: Digits) -> None:
    """Measure which rule convolutions need, by the pattern that comes from the dense layers."""
    hidden, below = ({}, {})
    for label, preset in CONVOLUTIONS.items():
        maps = digits.maps(preset, "negative")
        hidden[label] = _looks(maps.conv, maps.pool, 1)
        below[label] = (*_looks(maps.input, maps.pool, 2), digits.gap(preset, "negative"))
    heads = ["rule", "agreement with the max pool", "variation", "correlation of neighbours"]
    for numbers, where in ((hidden, "at conv_1"), (below, "at the input")):
        outcome.table(
            f"MNIST, hypothesis 2: rules of convolutions, dense layers ε, {where}",
            heads + ["gap"] * (where == "at the input"),
            [[label, *map(shown, row)] for label, row in numbers.items()],
        )
    _pattern(outcome, hidden, below)
    _order(outcome, {label: row[3] for label, row in below.items()})
    for label, other in (("α2β1", "α1β0"), ("ε", "α1β0"), ("α1β1", "α1β(-1)")):
        _noisier(outcome, f"figure {16 if label == 'α1β1' else 15}", hidden, label, other)
    decisions(outcome, "section 4.2", {label: row[3] for label, row in below.items()})
    _channels(outcome, digits)


def _looks(maps: np.ndarray, pool: np.ndarray, offset: int) -> tuple[Measure, Measure, Measure]:
    """Return agreement with the pool's map, variation and correlation of neighbours.

    Cell i of the pool is of pixels 2 i and 2 i + 1 of conv_2, of 24: one pixel is lost at each
    side by every convolution.
    """
    large = upscaled(pool, 24, offset, maps.shape[1])
    return agreement(maps, large), variation(maps), neighbours(maps)


def _pattern(outcome: Outcome, hidden: dict[str, tuple], below: dict[str, tuple]) -> None:
    """Say which rules keep the pattern, and which invert it."""
    flat = [hidden["flat"][0].minus(hidden[label][0]) for label in ("ε", "α2β1", "α1β1")]
    outcome.claim(
        "figure 15",
        "α0β1 inverts the pattern that is propagated",
        judged(above(hidden["α0β1"][0]) is False),
        f"agreement of conv_1 with the max pool: α0β1 {shown(hidden['α0β1'][0])}, "
        f"α1β0 {shown(hidden['α1β0'][0])}",
    )
    outcome.claim(
        "section 5.1.2",
        "β inverts the pattern in odd layers (and turns it back in even ones)",
        judged(above(hidden["α0β1"][0]) is False, above(below["α0β1"][0])),
        f"agreement of α0β1 with the max pool, behind one convolution "
        f"{shown(hidden['α0β1'][0])}, behind two {shown(below['α0β1'][0])}",
    )
    outcome.claim(
        "figure 16",
        "Flat gives a correct map: it conserves the pattern",
        judged(above(hidden["flat"][0]), *map(above, flat)),
        f"agreement of conv_1 with the max pool: flat {shown(hidden['flat'][0])}; more than ε, "
        f"α2β1, α1β1 by {', '.join(map(shown, flat))}",
    )


def _order(outcome: Outcome, gaps: dict[str, Measure]) -> None:
    """Say whether three rules are as good as the text has them."""
    more = [gaps[one].minus(gaps[other]) for one, other in (("α2β1", "ε"), ("α1β0", "α2β1"))]
    outcome.claim(
        "section 4.2",
        "α2β1 in convolutions gives a better map than ε, and a worse one than α1β0",
        judged(*map(above, more)),
        f"flipping gap (logit): α2β1 less ε {shown(more[0])}, α1β0 less α2β1 {shown(more[1])}",
    )


def _noisier(
    outcome: Outcome, where: str, numbers: dict[str, tuple], label: str, other: str
) -> None:
    """Say whether one rule makes more noise than another, by both measures."""
    more, less = (numbers[label][i].minus(numbers[other][i]) for i in (1, 2))
    outcome.claim(
        where,
        f"{label} in convolutions is noisier than {other}",
        judged(above(more), above(less) is False),
        f"{label} less {other}: variation {shown(more)}, correlation of neighbours {shown(less)}",
    )


def decisions(outcome: Outcome, where: str, gaps: dict[str, Measure]) -> None:
    """Say whether the rules that are called good find what decides."""
    good, bad = ("α1β0", "α1β(-1)", "flat"), ("ε", "α2β1")
    for other in bad:
        more = {label: gaps[label].minus(gaps[other]) for label in good}
        outcome.claim(
            f"{where}, conclusions",
            f"{other} is no good choice in convolutions; α1β0, α1β(-1) and flat are",
            judged(*map(above, more.values())),
            f"flipping gap (logit), less that of {other}, {shown(gaps[other])}: "
            + ", ".join(f"{label} {shown(one)}" for label, one in more.items()),
        )


def _channels(outcome: Outcome, digits: Digits) -> None:
    """Compare relevance and activation channel by channel [figure 17]."""
    some, target = digits.x[:100], digits.targets["negative"][:100]
    activation = _activation(digits, some)
    found = {}
    for label in ("α1β0", "flat"):
        explained = digits.analyzer(CONVOLUTIONS[label]).explain(
            some, target, layers="conv_1", verbose=0
        )
        found[label] = explained.layers["conv_1"]
    follows = {label: followed(one, activation) for label, one in found.items()}
    flat = found["flat"]
    spread = float(flat.std(axis=-1).max() / np.abs(flat).max())
    more = follows["α1β0"].minus(follows["flat"])
    outcome.claim(
        "figure 17",
        "By α1β0 a channel's relevance follows its activation; flat gives all channels one map",
        judged(above(more), spread < 1e-4),
        "rank correlation of absolute relevance and activation, mean of channels: "
        + ", ".join(f"{label} {shown(one)}" for label, one in follows.items())
        + f"; spread of flat over channels: {spread:.1g} of the largest",
    )


def _activation(digits: Digits, x: np.ndarray) -> np.ndarray:
    """Return what conv_1 puts out."""
    hidden = keras.Model(digits.model.inputs[0], digits.model.get_layer("conv_1").output)
    return np.asarray(hidden(x))


def followed(relevance: np.ndarray, activation: np.ndarray) -> Measure:
    """Return how absolute relevance follows activation, the mean over channels that are active."""
    rows = []
    for one, other in zip(np.abs(relevance), activation, strict=True):
        active = np.flatnonzero(other.any(axis=(0, 1)))
        rows.append(agreement(*(np.moveaxis(a[..., active], -1, 0) for a in (one, other))).mean)
    return Measure("correlation with activation", np.array(rows))


# Hypothesis 3


def first_layer(outcome: Outcome, digits: Digits) -> Measure:
    """Measure what the rule of the first layer changes; return how alike figure 20's maps are."""
    numbers = {}
    for label, preset in FIRST_LAYERS.items():
        maps = digits.maps(preset, "negative").input
        gap = digits.gap(preset, "negative")
        numbers[label] = (gap, variation(maps), neighbours(maps))
    outcome.table(
        "MNIST, hypothesis 3: rules of the first layer",
        ["rules", "gap", "variation", "correlation of neighbours"],
        [[label, *map(shown, row)] for label, row in numbers.items()],
    )
    flat = "α1β0 preset flat"
    for other in ("α1β0 preset", "α1β0 preset bounded"):
        _noisier_first(outcome, numbers, other, flat)
    more = numbers[flat][0].minus(numbers["flat preset"][0])
    outcome.claim(
        "section 4.3, figure 20",
        "It is not sure that α1β0 with Flat in the first layer is better than Flat everywhere",
        judged(above(more) is not True),
        f"flipping gap (logit), α1β0 preset flat less flat preset: {shown(more)}",
    )
    inputs = (digits.maps(FIRST_LAYERS[one], "negative").input for one in (flat, "flat preset"))
    return agreement(*inputs)


def _noisier_first(outcome: Outcome, numbers: dict[str, tuple], other: str, flat: str) -> None:
    more, less = (numbers[other][i].minus(numbers[flat][i]) for i in (1, 2))
    outcome.claim(
        "section 4.3, figure 19",
        f"Flat in the first layer is smoother than {other}",
        judged(above(more), above(less) is False),
        f"{other} less {flat}: variation {shown(more)}, correlation of neighbours {shown(less)}",
    )


# Pictures


def draw(given: argparse.Namespace, outcome: Outcome, digits: Digits) -> None:
    """Draw hidden layers [figures 10, 12, 15, 16], and the input [figures 19 and 20]."""
    pool = {f"max pool\n{label}": (preset, "max_pool_1") for label, preset in DENSE.items()}
    conv = {f"conv_1\n{label}": (preset, "conv_1") for label, preset in CONVOLUTIONS.items()}
    hidden = (
        "Figures 10, 12, 15 and 16 of the thesis: a 3 asked for 2 and 5, a 9 asked for 4 and 7, "
        "the rule of dense layers varied at the max pool, that of convolutions at conv_1"
    )
    _drawn(given, outcome, digits, pool | conv, "hidden", hidden)
    names = [name.replace(" preset", "\npreset") for name in FIRST_LAYERS]
    at_input = dict(zip(names, ((one, None) for one in FIRST_LAYERS.values()), strict=True))
    below = "Figures 19 and 20 of the thesis: the rule of the first layer varied"
    _drawn(given, outcome, digits, at_input, "first_layer", below)
    _draw_channel(given, outcome, digits)


def _drawn(
    given: argparse.Namespace,
    outcome: Outcome,
    digits: Digits,
    presets: dict[str, tuple[str, str | None]],
    name: str,
    caption: str,
) -> None:
    """Draw a row for each preset, at a hidden layer or (None) at the input."""
    three, nine = (np.flatnonzero(digits.labels == digit)[0] for digit in (3, 9))
    at, target = [three, three, nine, nine], [2, 5, 4, 7]
    rows = {}
    for label, (preset, layer) in presets.items():
        found = digits.analyzer(preset).explain(digits.x[at], target, layers=layer, verbose=0)
        maps = found.layers[layer] if layer else found.relevance
        rows[label] = normalized(maps.sum(axis=-1, keepdims=True))
    pairs = zip(target, found.output, strict=True)
    titles = [f"class {number}: {logits[number]:.1f}" for number, logits in pairs]
    figure, _ = lrpkeras.plot.grid(rows, digits.x[at], titles=titles, colorbar=False)
    outcome.figure(given.results, name, caption, figure)


def _draw_channel(given: argparse.Namespace, outcome: Outcome, digits: Digits) -> None:
    """Draw a channel's activation and relevance [figure 17]."""
    at = [np.flatnonzero(digits.labels == digit)[0] for digit in (3, 9)]
    activation = _activation(digits, digits.x[at])
    channel = activation.sum(axis=(0, 1, 2)).argmax()
    rows = {"activation": activation}
    for label in ("α1β0", "flat"):
        explained = digits.analyzer(CONVOLUTIONS[label]).explain(
            digits.x[at], [2, 4], layers="conv_1", verbose=0
        )
        rows[label] = explained.layers["conv_1"]
    rows = {label: normalized(one[..., channel, None]) for label, one in rows.items()}
    figure, _ = lrpkeras.plot.grid(
        rows, digits.x[at], titles=["class 2", "class 4"], colorbar=False
    )
    caption = (
        f"Figure 17 of the thesis: the most active channel of conv_1, number {channel + 1}, and "
        "its relevance; a 3 asked for class 2, a 9 for class 4"
    )
    outcome.figure(given.results, "channel", caption, figure)
