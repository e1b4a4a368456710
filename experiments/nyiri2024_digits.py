"""Sections 1.3, 2.1 and 3: the modified MNIST, figures 4 and 8 to 11, and masks of its digits."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import keras
import numpy as np

import lrpkeras
from experiments import data
from experiments import modified_mnist as mnist
from experiments import nyiri2024_methods as methods
from experiments.data import Set
from experiments.modified_mnist import Digits, scaled
from experiments.nyiri2024_methods import R_LRP, count, listed
from experiments.outcome import Outcome, Verdict, above, judged, shown
from experiments.trained import Training, trained
from lrpkeras import evaluate
from lrpkeras.evaluate import Curve, Measure

OURS = (R_LRP, "left out")
QUICKLY = (1, 5, 10, 15, 20)
Key = tuple[str, str]


@dataclass(frozen=True)
class Found:
    """What other parts go on with: all images, and the convolutional network of section 3."""

    train: Digits
    test: Digits
    network: keras.Model


def run(given: argparse.Namespace, outcome: Outcome) -> Found:
    """Train both networks, explain the test images, and hold the claims against the numbers."""
    train, test = (
        mnist.modified(part, given.seed + number) for number, part in enumerate(_sets(given))
    )
    dense = _trained(given, outcome, "dense", train, test)
    network = _trained(given, outcome, "convolutional", train, test)
    _dense(given, outcome, dense, _identified(given, dense, test))
    known = _identified(given, network, test)
    x, judge = scaled(known.images), lrpkeras.Analyzer(network, "epsilon")
    maps = {key: methods.relevance(network, x, *key) for key in methods.variants(given)}
    signed, absolute = (
        {
            key: methods.retention(judge, x, one, absolute=sign, **methods.shares(key[1]))
            for key, one in maps.items()
        }
        for sign in (False, True)
    )
    methods.table(outcome, "Modified MNIST: accuracy over pixels kept (figure 9)", signed)
    methods.table(outcome, "Modified MNIST: the same by absolute relevance (figure 11)", absolute)
    _signed_claims(outcome, signed)
    _absolute_claims(outcome, signed[OURS], absolute[OURS], known)
    _training_images(given, outcome, judge, _identified(given, network, train), signed[OURS])
    _on_digits(outcome, x, known.masks, maps)
    _conserved(outcome, network, x)
    _conserved_by_others(outcome, network, x)
    _figures(given, outcome, x, maps, signed, absolute)
    return Found(train, test, network)


def _sets(given: argparse.Namespace) -> tuple[Set, Set]:
    train, test = data.mnist(given.data)
    return train.first(count(given, None, 2000)), test.first(count(given, None, 300))


def _trained(
    given: argparse.Namespace, outcome: Outcome, name: str, train: Digits, test: Digits
) -> keras.Model:
    """Return one of the two networks, and claim its accuracy."""
    epochs = {"dense": count(given, 50, 4), "convolutional": count(given, 5, 2)}[name]
    build = {"dense": mnist.dense, "convolutional": mnist.convolutional}[name]
    sets = (Set(*train[:2]), Set(*test[:2]))
    found = trained(
        given.cache, f"modified-{name}", build, Training(epochs), *sets, scaled, given.seed
    )
    where, says, theirs = {
        "dense": ("section 1.3", "A dense network reaches 0.91 after 50 epochs", 0.91),
        "convolutional": ("section 3", "A convolutional network reaches 98 % after 5 epochs", 0.98),
    }[name]
    outcome.claim(
        where,
        f"{says} on the modified MNIST",
        near(found.accuracy, theirs),
        f"test images {found.accuracy:.4f}, {found.model.count_params():,} weights, "
        f"{epochs} epochs (reproduced: within 0.02; partly: within 0.05)",
    )
    return found.model


def near(accuracy: float, theirs: float) -> Verdict:
    """Tell "reproduced" within 0.02 of the paper's number, "partly" within 0.05."""
    away = abs(accuracy - theirs)
    return "reproduced" if away <= 0.02 else "partly" if away <= 0.05 else "not reproduced"


def _identified(given: argparse.Namespace, network: keras.Model, digits: Digits) -> Digits:
    """Return those of the first images that a network identifies."""
    first = digits.taken(slice(count(given, 1000, 60)))
    guesses = network.predict(scaled(first.images), batch_size=64, verbose=0).argmax(axis=1)
    return first.taken(guesses == first.labels)


def _dense(
    given: argparse.Namespace, outcome: Outcome, network: keras.Model, known: Digits
) -> None:
    """Tell whether LRP-0 on the dense network is as bad as figure 4 has it."""
    x = scaled(known.images)
    maps = {name: methods.relevance(network, x, name, "left out") for name in ("LRP-0", R_LRP)}
    shares = {name: _share(one, x, known.masks).value_at(10) for name, one in maps.items()}
    zero = shares["LRP-0"]
    assert zero.chance is not None
    gain = Measure("over chance", zero.values - zero.chance)
    less = shares[R_LRP].minus(zero)
    outcome.claim(
        "section 1.3, figure 4",
        "On a dense network, the contributions of LRP-0 are not so relevant",
        "reproduced" if not above(gain) else "partly" if above(less) else "not reproduced",
        f"share of the 10 % most relevant pixels on the digit: {shown(zero)}, chance "
        f"{zero.chance.mean():.3f}; R-LRP less LRP-0 {shown(less)} (reproduced: not above chance; "
        "partly: below R-LRP)",
    )
    drawn = lrpkeras.plot.grid({name: one[:6] for name, one in maps.items()}, x[:6], clip=99.5)[0]
    outcome.figure(given.results, "dense", "The dense network of section 1.3 (figure 4)", drawn)


def _share(maps: np.ndarray, x: np.ndarray, masks: np.ndarray, absolute: bool = False) -> Curve:
    return evaluate.mask_share(maps, x, masks, 0, absolute=absolute, verbose=0)


def _distance(maps: np.ndarray, x: np.ndarray, masks: np.ndarray, absolute: bool = False) -> Curve:
    return evaluate.mask_distance(maps, x, masks, 0, absolute=absolute, verbose=0)


def _signed_claims(outcome: Outcome, signed: dict[Key, Curve]) -> None:
    paper = _paper_form(signed)
    best = {name: max((c.value_at(p) for p in QUICKLY), key=_mean) for name, c in paper.items()}
    reached = [one.mean > 0.95 for one in best.values()]
    outcome.claim(
        "section 3, figure 9",
        "All these methods achieve quickly more than 95 % of success",
        "reproduced" if all(reached) else "partly" if any(reached) else "not reproduced",
        f"best accuracy with at most 20 % of the pixels: {listed(best)}",
    )
    fall = {name: curve.value_at(20).minus(curve.value_at(80)) for name, curve in paper.items()}
    outcome.claim(
        "section 3.1, figure 9",
        "Between about 20 % and 80 % of the most relevant pixels, all the accuracies decrease: "
        "pixels with negative contributions are significant, too",
        methods.verdict(above(one) for one in fall.values()),
        f"accuracy at 20 % less that at 80 %: {listed(fall)}",
    )


def _mean(measure: Measure) -> float:
    return measure.mean


def _paper_form(curves: dict[Key, Curve]) -> dict[str, Curve]:
    return {name: curve for (name, bias), curve in curves.items() if bias == "left out"}


def _absolute_claims(outcome: Outcome, signed: Curve, absolute: Curve, known: Digits) -> None:
    at_five = absolute.value_at(5)
    digits = sorted(set(known.labels.tolist()))
    worst = min(float(at_five.values[known.labels == digit].mean()) for digit in digits)
    outcome.claim(
        "section 3.1, figure 11",
        "With 5 % of the pixels by absolute R-LRP, accuracy is over 98 % for each category",
        "reproduced" if worst > 0.98 else "partly" if at_five.mean > 0.98 else "not reproduced",
        f"all {shown(at_five)}, the worst digit {worst:.3f} (partly: over 98 % for all together)",
    )
    less = methods.small(signed).minus(methods.small(absolute))
    outcome.claim(
        "section 3.1, figure 11",
        "With small percentages, absolute values are worse than signed ones (R-LRP)",
        "reproduced" if above(less) else "not reproduced",
        f"accuracy up to 25 %, signed less absolute: {shown(less)}",
    )


def _training_images(
    given: argparse.Namespace,
    outcome: Outcome,
    judge: lrpkeras.Analyzer,
    known: Digits,
    test: Curve,
) -> None:
    x = scaled(known.images)
    maps = methods.relevance(judge.model, x, *OURS)
    train = methods.retention(judge, x, maps)
    both = [methods.whole(curve) for curve in (test, train)]
    away = np.abs(train.mean - test.mean).max()
    outcome.claim(
        "section 3",
        "For training images the results are similar",
        "reproduced" if abs(both[0].mean - both[1].mean) <= 0.05 else "not reproduced",
        f"R-LRP, mean accuracy over all percentages: test images {shown(both[0])}, {len(x)} "
        f"training images {shown(both[1])} (reproduced: within 0.05); at any percentage they "
        f"differ by at most {away:.3f}",
    )


def _on_digits(
    outcome: Outcome, x: np.ndarray, masks: np.ndarray, maps: dict[Key, np.ndarray]
) -> None:
    shares = {key: _share(one, x, masks) for key, one in maps.items()}
    methods.table(outcome, "Modified MNIST: share of most relevant pixels on the digit", shares)
    methods.compare(
        outcome,
        "section 3, figure 8",
        "With modified formulas contributions are not completely on the digit, as with R-LRP",
        "share of the 10 % most relevant pixels on the digit",
        shares,
        methods.at(10),
    )
    ours = maps[OURS]
    nearer = _distance(ours, x, masks).value_at(5).minus(_distance(-ours, x, masks).value_at(5))
    outcome.claim(
        "section 3.1, figure 10",
        "Pixels with negative contributions are closest to the digit (R-LRP)",
        "reproduced" if above(nearer) else "not reproduced",
        "distance from the digit (1: the farthest pixel), the 5 % most positive less the 5 % most "
        f"negative: {shown(nearer)}",
    )
    absolute = {key: _distance(one, x, masks, absolute=True) for key, one in maps.items()}
    methods.compare(
        outcome,
        "section 6.2, a sequential network",
        "R-LRP's relevant pixels are more grouped around the object (VGG16, VGG19)",
        "distance of the 20 % most relevant pixels from the digit, absolute values",
        absolute,
        methods.at(20),
        sign=-1,
    )


def _conserved(outcome: Outcome, network: keras.Model, x: np.ndarray) -> None:
    found = evaluate.conservation(methods.analyzer(network, *OURS), x, verbose=0)
    spread = float(found.values.std() / abs(found.mean))
    positive = float((found.values > 0).mean())
    outcome.claim(
        "section 2.1",
        "The sum of the contributions is the output, up to a factor",
        "reproduced" if spread < 0.01 else "partly" if positive == 1 else "not reproduced",
        f"sum / logit has the mean {found.mean:.2e}, a standard deviation of {spread:.2f} times "
        f"that, and is positive for {positive:.1%} of the images (reproduced: one factor for all; "
        "partly: always positive)",
    )


def _conserved_by_others(outcome: Outcome, network: keras.Model, x: np.ndarray) -> None:
    """Tell which of the other methods hand on all of the output."""
    names = [name for name in methods.METHODS if name[0] in "εγα"]
    found = {name: _arrived(network, x, name) for name in names}
    lost = {
        name: Measure("lost", np.abs(one.values - 1)).interval()[1] for name, one in found.items()
    }
    outcome.claim(
        "section 1.4",
        "Of the modified formulas, only LRP-γ and LRP-αβ are guaranteed to conserve relevance",
        judged(*((lost[name] < 0.01) is not name.startswith("ε") for name in names)),
        f"sum / logit, biases left out: {listed(found)} (conserved: within 0.01 on average)",
    )


def _arrived(network: keras.Model, x: np.ndarray, method: str) -> Measure:
    """Return the sum of relevance over the logit; 0 where relevance is not finite."""
    try:
        return evaluate.conservation(methods.analyzer(network, method, "left out"), x, verbose=0)
    except lrpkeras.errors.LrpError:
        return Measure("not finite", np.zeros(len(x)))


def _figures(
    given: argparse.Namespace,
    outcome: Outcome,
    x: np.ndarray,
    maps: dict[Key, np.ndarray],
    signed: dict[Key, Curve],
    absolute: dict[Key, Curve],
) -> None:
    show = outcome.figure
    drawn = methods.drawn_maps(x, maps)
    show(given.results, "digits", "Modified MNIST, biases left out (figures 8 and 10)", drawn)
    drawn = methods.drawn(signed)
    show(given.results, "digits_signed", "Modified MNIST: accuracy over pixels (figure 9)", drawn)
    drawn = methods.drawn(absolute)
    show(given.results, "digits_absolute", "The same by absolute relevance (figure 11)", drawn)
