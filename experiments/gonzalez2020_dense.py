"""Hypothesis 1 of Gonzalez 2020 on MNIST (section 4.1): which rule dense layers need."""

from __future__ import annotations

import keras
import numpy as np

from experiments.gonzalez2020_maps import DENSE, MATRIX, Digits, parts
from experiments.outcome import Outcome, above, judged, shown
from experiments.pattern import agreement, negative_share, summed, upscaled
from lrpkeras.evaluate import Measure, subject

QUESTIONS = ("negative", "winner")
SPLIT = ("α2β1", "α1β0")
CLOSE = 0.05
MANY = 300
MOST = 0.99


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
    hidden = keras.Model(digits.model.inputs[0], digits.model.get_layer("dense_1").output)
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


# Halves of a 3


def halves(outcome: Outcome, digits: Digits, x: np.ndarray, labels: np.ndarray) -> None:
    """Measure what the text says of a 3's halves at the max pool [figures 10 and 12].

    As there, the logit of class 2 is negative and that of class 5 positive.
    """
    threes = x[labels == 3]
    logits = subject.logits(digits.judge, threes, 100)
    against = of_halves(digits, threes[logits[:, 2] < 0][:MANY], 2)
    favour = of_halves(digits, threes[logits[:, 5] > 0][:MANY], 5)
    _against(outcome, against)
    _favour(outcome, favour)


Halves = dict[str, tuple[Measure, Measure]]


def of_halves(digits: Digits, threes: np.ndarray, target: int) -> Halves:
    """Return for each rule the relevance of upper and lower half, over all absolute relevance."""
    found = {}
    for label, preset in DENSE.items() if len(threes) else ():
        explained = digits.analyzer(preset).explain(threes, target, layers="max_pool_1", verbose=0)
        # Cell i of the pool sees pixels 2 i to 2 i + 5: its middle is where 2 i + 2 begins, and on.
        maps = upscaled(summed(explained.layers["max_pool_1"]), 24, 2, 28)
        found[label] = parts(maps, threes[..., 0] > 0, 0.5)
    return found


def _untested(outcome: Outcome, where: str, why: str, *says: str) -> None:
    for one in says:
        outcome.claim(where, one, "not tested", why)


def _against(outcome: Outcome, found: Halves) -> None:
    """Say what becomes of a 3 asked for class 2."""
    where, why = "figure 10, class 2", "no 3 has a negative logit of class 2"
    epsilon = "By ε, a 3's top half is for class 2 at the max pool, the rest against it"
    positive = "By α1β0, all is against class 2, a 3's top half the most"
    if not found:
        _untested(outcome, where, why, epsilon, positive)
        return
    (top, rest), (upper, lower) = found["ε"], found["α1β0"]
    outcome.claim(where, epsilon, judged(above(top), above(rest) is False), _numbers(found, "ε"))
    more = upper.minus(lower)
    outcome.claim(
        where,
        positive,
        judged(above(more) is False),
        f"{_numbers(found, 'α1β0')}, top less rest {shown(more)}",
    )


def _favour(outcome: Outcome, found: Halves) -> None:
    """Say what becomes of a 3 asked for class 5."""
    where, why = "figure 12, class 5", "no 3 has a positive logit of class 5"
    bottom = "By ε, α2β1 and α1β0 a 3's bottom half is for class 5 at the max pool"
    top = "By α2β1 some of a 3's top half is for class 5, by ε it is not"
    if not found:
        _untested(outcome, where, why, bottom, top)
        return
    outcome.claim(
        where, bottom, judged(*(above(one[1]) for one in found.values())), _numbers(found, *found)
    )
    more = found["α2β1"][0].minus(found["ε"][0])
    outcome.claim(
        where,
        top,
        judged(above(more), above(found["ε"][0]) is not True),
        f"{_numbers(found, 'ε', 'α2β1')}; top, α2β1 less ε {shown(more)}",
    )


def _numbers(found: Halves, *labels: str) -> str:
    numbers = (
        f"{label} top {shown(found[label][0])}, rest {shown(found[label][1])}" for label in labels
    )
    count = len(next(iter(found.values()))[0].values)
    return f"{count} images, share of all absolute relevance: " + "; ".join(numbers)
