"""The three hypotheses of Gonzalez 2020 on MNIST (section 4), as numbers over many digits."""

from __future__ import annotations

import argparse

import keras
import numpy as np

import lrpkeras
from experiments.gonzalez2020_maps import CONVOLUTIONS, DENSE, MATRIX, Digits, normalized
from experiments.outcome import Outcome, above, judged, shown
from experiments.pattern import agreement, negative_share, neighbours, upscaled, variation
from lrpkeras.evaluate import Measure

QUESTIONS = ("negative", "winner")
SPLIT = ("α2β1", "α1β0")
FIRST_LAYERS = {
    **{label: preset for label, preset in MATRIX.items() if label.startswith("α1β0 preset")},
    "flat preset": CONVOLUTIONS["flat"],
}
CLOSE = 0.05
MOST = 0.99


# Hypothesis 1


def dense_layers(outcome: Outcome, digits: Digits) -> None:
    """Measure which rule dense layers need, by the relevance of the pool behind them."""
    _red_frames(outcome, digits)
    _neurons(outcome, digits)
    kinds = [(label, initial) for label in DENSE for initial in ("logit", "unit")]
    kinds.remove(("ε", "unit"))
    numbers = {
        (label, initial, question): _dense_numbers(digits, label, initial, question)
        for label, initial in kinds
        for question in QUESTIONS
    }
    outcome.table(
        "MNIST, hypothesis 1: rules of dense layers, convolutions flat",
        ["rule", "starts from", "logit asked for", "agreement with ε", "negative share", "gap"],
        [[*key, *map(shown, row)] for key, row in numbers.items()],
    )
    _inverted(outcome, numbers)
    _upright(outcome, numbers)
    _started_from_one(outcome, numbers)


def _dense_numbers(digits: Digits, label: str, initial: str, question: str) -> tuple:
    """Return agreement with epsilon and negative share at the pool, and the flipping gap."""
    pool = digits.maps(DENSE[label], question, initial).pool
    same = agreement(pool, digits.maps(DENSE["ε"], question).pool)
    return same, negative_share(pool), digits.gap(DENSE[label], question, initial)


def _red_frames(outcome: Outcome, digits: Digits) -> None:
    """Compare maps at the input that differ by the rule of dense layers alone."""
    same = {
        question: agreement(
            digits.maps(MATRIX["α2β1"], question).input,
            digits.maps(MATRIX["α2β1 preset"], question).input,
        )
        for question in QUESTIONS
    }
    outcome.claim(
        "section 4, figure 6, red frames",
        "By α2β1 everywhere, maps of classes with negative logits are inverted against the others",
        judged(above(same["negative"]) is False, above(same["winner"])),
        "rank correlation of α2β1 with α2β1 preset, logit negative "
        f"{shown(same['negative'])}, logit positive {shown(same['winner'])}",
    )


def _neurons(outcome: Outcome, digits: Digits) -> None:
    """Compare the relevance of the dense layer's neurons with what they contribute."""
    for question, where in zip(QUESTIONS, ("figure 9", "figure 11"), strict=True):
        dense = {label: digits.maps(preset, question).dense for label, preset in DENSE.items()}
        shares = {label: opposite(dense["ε"], dense[label]) for label in SPLIT}
        says = "ε has the opposite sign of α2β1 and α1β0 where the logit is negative"
        held = [one.interval()[0] > MOST for one in shares.values()]
        if question == "winner":
            says = "ε, α2β1 and α1β0 have the same sign where the logit is positive"
            held = [one.interval()[1] < 1 - MOST for one in shares.values()]
        numbers = ", ".join(f"{label} {shown(one)}" for label, one in shares.items())
        measured = f"share of the 512 neurons, of those not 0, with another sign than ε: {numbers}"
        outcome.claim(where, says, judged(*held), measured)
    _contributions(outcome, digits)


def opposite(one: np.ndarray, other: np.ndarray) -> Measure:
    """Return the share of neurons with opposite signs, of those where neither is 0."""
    sign = np.sign(one) * np.sign(other)
    count = np.maximum((sign != 0).sum(axis=1), 1)
    return Measure("opposite signs", (sign < 0).sum(axis=1) / count)


def _contributions(outcome: Outcome, digits: Digits) -> None:
    """Compare epsilon's relevance with activation times weight."""
    hidden = keras.Model(digits.model.inputs, digits.model.get_layer("dense_1").output)
    activation = np.asarray(hidden(digits.x))
    kernel = np.asarray(digits.model.get_layer("output").kernel)
    contribution = activation * kernel[:, digits.targets["negative"]].T
    relevance = digits.maps(MATRIX["ε"], "negative").dense
    size = np.abs(contribution).sum(axis=1)
    off = Measure("difference", np.abs(relevance - contribution).sum(axis=1) / size)
    outcome.claim(
        "section 4.1",
        "By ε the relevance of neurons is very similar to their real contribution, m W",
        judged(off.interval()[1] < CLOSE),
        f"difference over contribution, both absolute: {shown(off, 6)} (similar: below {CLOSE})",
    )


def _inverted(outcome: Outcome, numbers: dict[tuple, tuple]) -> None:
    """Say what negative logits do."""
    a2b1, a1b0, epsilon = (numbers[label, "logit", "negative"] for label in (*SPLIT, "ε"))
    outcome.claim(
        "figure 10",
        "With a negative logit, the map of α2β1 at the max pool is the inverted one of ε",
        judged(above(a2b1[0]) is False),
        f"rank correlation with ε {shown(a2b1[0])}",
    )
    outcome.claim(
        "figure 10",
        "With a negative logit, all of the map of α1β0 is negative",
        judged(a1b0[1].interval()[0] > MOST),
        f"negative share of relevance: α1β0 {shown(a1b0[1])}, ε {shown(epsilon[1])}",
    )
    outcome.claim(
        "section 4.1, conclusion 1",
        "Classes with negative logits need ε: α2β1 and α1β0 say the contrary of what is so",
        judged(above(epsilon[2]), above(a2b1[2]) is False, above(a1b0[2]) is False),
        "flipping gap (logit), above 0 is right, below 0 inverted: "
        f"ε {shown(epsilon[2])}, α2β1 {shown(a2b1[2])}, α1β0 {shown(a1b0[2])}",
    )


def _upright(outcome: Outcome, numbers: dict[tuple, tuple]) -> None:
    """Say what positive logits do."""
    a2b1, a1b0, epsilon = (numbers[label, "logit", "winner"] for label in (*SPLIT, "ε"))
    outcome.claim(
        "figure 12",
        "With a positive logit nothing is inverted",
        judged(above(a2b1[0]), above(a1b0[0])),
        f"rank correlation with ε: α2β1 {shown(a2b1[0])}, α1β0 {shown(a1b0[0])}",
    )
    outcome.claim(
        "figure 12",
        "With a positive logit, α1β0 gives a completely positive map",
        judged(a1b0[1].interval()[1] < 1 - MOST),
        f"negative share of relevance: α1β0 {shown(a1b0[1])}, ε {shown(epsilon[1])}",
    )
    more, less = a2b1[2].minus(epsilon[2]), epsilon[2].minus(a1b0[2])
    outcome.claim(
        "section 4.1, conclusion 2",
        "With a positive logit α2β1 has no clear advantage over ε",
        judged(above(more) is not True),
        f"flipping gap (logit), α2β1 less ε: {shown(more)}",
    )
    outcome.claim(
        "section 4.1, conclusion 3",
        "α1β0 next to the output leads to incorrect interpretations, with a positive logit too",
        judged(above(less)),
        f"flipping gap (logit), ε less α1β0: {shown(less)}",
    )


def _started_from_one(outcome: Outcome, numbers: dict[tuple, tuple]) -> None:
    """Say whether it helps not to hand on the sign of the output."""
    a2b1, a1b0 = (numbers[label, "unit", "negative"] for label in SPLIT)
    outcome.claim(
        "section 4.1, figure 13",
        "A method that does not hand on the sign of the output avoids the inversion of α2β1 and "
        'α1β0 (here: initial="unit")',
        judged(*(above(one) for row in (a2b1, a1b0) for one in (row[0], row[2]))),
        f"rank correlation with ε: α2β1 {shown(a2b1[0])}, α1β0 {shown(a1b0[0])}; flipping gap "
        f"(logit): {shown(a2b1[2])}, {shown(a1b0[2])}",
    )


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
        judged(*map(above, flat)),
        f"agreement of conv_1 with the max pool: flat {shown(hidden['flat'][0])}; more than ε, "
        f"α2β1, α1β1 by {', '.join(map(shown, flat))}",
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
    hidden = keras.Model(digits.model.inputs, digits.model.get_layer("conv_1").output)
    activation = np.asarray(hidden(some))
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


def followed(relevance: np.ndarray, activation: np.ndarray) -> Measure:
    """Return how absolute relevance follows activation, the mean over channels that are active."""
    rows = []
    for one, other in zip(np.abs(relevance), activation, strict=True):
        active = np.flatnonzero(other.any(axis=(0, 1)))
        rows.append(agreement(*(np.moveaxis(a[..., active], -1, 0) for a in (one, other))).mean)
    return Measure("correlation with activation", np.array(rows))


# Hypothesis 3


def first_layer(outcome: Outcome, digits: Digits) -> None:
    """Measure what the rule of the first layer changes."""
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
