"""Binder et al. 2016, LRP for networks with local renormalization layers, run again.

Relevance passes local response normalization unchanged (identity) or by a first-order Taylor
expansion (their equation 15), under the rules epsilon = 1, 0.01, 100 and beta = 1, 0 in all other
layers, biases left out as in their equations 5 and 6. Maps are judged as in their section 4:
pixels, all three colours of one, get a random colour in the order of relevance, and the area under
the curve (AUC) of the predicted class' logit says how good the map is: low is good.

Left open by the paper, and chosen here. The network: three 5 x 5 convolutions of 32, 64 and 64
channels, each followed by max pooling, the first two then by normalization, and one dense layer, as
in Krizhevsky's cuda-convnet, with its normalization for CIFAR-10: over 9 channels, b = 0.001 / 9,
c = 0.75. AUC: the mean height of the curve from 0 to all pixels, in logits; beside it that of the
first eighth of pixels. Figure 2's rule: both of table 1. Their AUC has a scale that is not given,
so that signs are compared, not sizes.

An epsilon has the units of activations, which what a network computes does not fix: with inputs,
hidden activations and hidden biases 127.5 times as large, b 127.5^2 times as small and the last
kernel 127.5 times as small, it is the same function. Published values of b are for grey levels, 0
to 255, as are the networks of that time: claims are decided in that unit, and a table says what
comes out with pixels in [-1, 1].

Their tables differ on Taylor with beta = 1: it lowers the AUC on CIFAR-10 by 2.31 (table 1) and on
MIT Places by 0.39, and not on ImageNet (table 3), which the text calls "on par or slightly worse".

A claim about signs is reproduced where all intervals are on the paper's side of 0, partly where
some are. Their ImageNet and MIT Places networks are not here: tables 2 and 3 are on CIFAR-10.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import layers

import lrpkeras
from experiments import data, options
from experiments.binder2016_claims import (
    THEIRS,
    claim_conservation,
    claim_messages,
    claim_orders,
    claim_smoothness,
    claim_table_1,
    claim_table_2,
    claim_table_3,
    early,
    not_tested,
    variation,
)
from experiments.outcome import Outcome, shown
from experiments.trained import Trained, Training, trained
from lrpkeras import evaluate, presets
from lrpkeras.evaluate import Curve, Measure
from lrpkeras.evaluate.flipping import Flipping
from lrpkeras.layers import LocalResponseNormalization
from lrpkeras.rules import Identity, Taylor

GREY_LEVELS = 127.5  # in a unit of the inputs that the network is trained with
B = 0.001 / 9
RULES = {
    "epsilon = 1": presets.get("epsilon", epsilon=1.0),
    "epsilon = 0.01": presets.get("epsilon", epsilon=0.01),
    "epsilon = 100": presets.get("epsilon", epsilon=100.0),
    "beta = 1": presets.get("alpha2_beta1"),
    "beta = 0": presets.get("alpha1_beta0"),
}
TREATMENTS = {"identity": Identity(), "Taylor": Taylor()}
BASELINES = ("gradient", "deconvnet")

Analyzers = dict[tuple[str, str], lrpkeras.Analyzer]


@dataclass(frozen=True)
class Explained:
    """A network and the images that it is explained on; scores are taken after equal steps."""

    model: keras.Model
    x: np.ndarray
    steps: int

    @cached_property
    def judge(self) -> lrpkeras.Analyzer:
        """What decides, compiled once."""
        return lrpkeras.Analyzer(self.model, "epsilon")

    def analyzer(self, rule: str, treatment: str) -> lrpkeras.Analyzer:
        """Return an analyzer of one of the rules, and a treatment of normalization."""
        normalization = {"LocalNormalize": TREATMENTS[treatment]}
        return lrpkeras.Analyzer(self.model, RULES[rule], rules=normalization, bias="ignore")

    def flipping(self, explainer: Any, orders: tuple[str, ...] = ("most",)) -> Flipping:
        """Flip whole pixels, one by one, to random colours; the logit of the winner is followed."""
        return evaluate.pixel_flipping(
            explainer,
            self.x,
            model=self.judge,
            orders=orders,
            steps=self.steps,
            batch_size=100,
            verbose=0,
        )


def network(grey_levels: float = GREY_LEVELS) -> keras.Model:
    """Return the untrained network, whose inputs have a unit of so many grey levels."""
    inputs = x = keras.Input((32, 32, 3))
    for filters, normalized in ((32, True), (64, True), (64, False)):
        x = layers.Conv2D(filters, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        if normalized:
            x = LocalResponseNormalization(4, 1.0, B * grey_levels**2, 0.75)(x)
    x = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    return keras.Model(inputs, x)


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images in [-1, 1], which the network is trained with."""
    return (images / GREY_LEVELS - 1).astype("float32")


def in_grey_levels(model: keras.Model) -> keras.Model:
    """Return a network that computes of grey levels what the trained one does of [-1, 1].

    Every hidden activation is 127.5 times as large.
    """
    same = network(1.0)
    *hidden, (kernel, bias) = (layer.get_weights() for layer in model.layers if layer.weights)
    new = [(w, GREY_LEVELS * b) for w, b in hidden] + [(kernel / GREY_LEVELS, bias)]
    for layer, weights in zip((one for one in same.layers if one.weights), new, strict=True):
        layer.set_weights(list(weights))
    return same


def strongest(analyzer: lrpkeras.Analyzer) -> Any:
    """Return an explainer: the largest magnitude of a pixel's channels [their references 8, 9]."""
    return lambda x, target: np.abs(np.asarray(analyzer(x, target))).max(axis=-1)


def main(arguments: list[str] | None = None) -> None:
    """Run all of it."""
    given = options.parser(__doc__ or "").parse_args(arguments)
    made, images, steps = _prepared(given)
    grey = Explained(in_grey_levels(made.model), (images - GREY_LEVELS).astype("float32"), steps)
    outcome = Outcome("binder2016", "Binder 2016", _settings(given, made, grey))
    _strength(outcome, grey)
    claim_messages(outcome)
    analyzers = {(rule, way): grey.analyzer(rule, way) for rule in RULES for way in TREATMENTS}
    claim_conservation(outcome, _conserved(grey, analyzers))
    found = {key: _one(grey, key, analyzer) for key, analyzer in analyzers.items()}
    orders = {rule: found[rule, "identity"] for rule in THEIRS}
    claim_orders(outcome, orders)
    areas = {key: one.area for key, one in found.items()}
    firsts = {key: early(one.curves["most"]) for key, one in found.items()}
    _areas(outcome, grey, areas, firsts, orders["beta = 1"].curves["random"])
    claim_table_1(outcome, areas)
    claim_table_2(outcome, areas)
    claim_table_3(outcome, areas, firsts)
    claim_smoothness(outcome, _variations(grey, analyzers))
    _units(outcome, Explained(made.model, scaled(images[:1000]), steps))
    not_tested(outcome)
    _draw(given, outcome, grey, orders, analyzers)
    outcome.save(given.results)


def _prepared(given: argparse.Namespace) -> tuple[Trained, np.ndarray, int]:
    """Return the network, the images that are explained, and at how many steps scores are taken."""
    train, test = data.cifar10(given.data)
    used, count, steps = (3000, 60, 16) if given.quick else (None, 2000, 32)
    training = Training(_epochs(given), flips=True)
    made = trained(
        given.cache, "lrn", network, training, train.first(used), test, scaled, given.seed
    )
    return made, test.images[:count], steps


def _epochs(given: argparse.Namespace) -> int:
    return 2 if given.quick else 6


def _settings(given: argparse.Namespace, network: Trained, grey: Explained) -> dict[str, str]:
    settings = {
        "images explained": str(len(grey.x)),
        "network": f"{network.model.count_params():,} weights, accuracy {network.accuracy:.4f} "
        f"after {_epochs(given)} epochs",
        "scores taken": f"after every {1024 // grey.steps} of 1024 pixels",
        "seed": str(given.seed),
    }
    hardly = {"quick": "yes, numbers are those of a network that is hardly trained"}
    return settings | hardly if given.quick else settings


def _one(explained: Explained, key: tuple[str, str], analyzer: lrpkeras.Analyzer) -> Flipping:
    """Flip in the order of one map; in all three orders where figure 2 is drawn."""
    rule, treatment = key
    drawn = treatment == "identity" and rule in THEIRS
    found = explained.flipping(analyzer, ("most", "random", "least") if drawn else ("most",))
    print(f"{rule}, {treatment}: AUC {shown(found.area)}", flush=True)
    return found


def _strength(outcome: Outcome, explained: Explained) -> None:
    """Say how much normalization does: where it does nothing, no treatment can matter."""
    chosen = [one for one in explained.model.layers if isinstance(one, LocalResponseNormalization)]
    ends = [tensor for layer in chosen for tensor in (layer.input, layer.output)]
    values = keras.Model(explained.model.inputs, ends).predict(explained.x[:200], verbose=0)
    rows = []
    for number, (x, y) in enumerate(zip(values[::2], values[1::2], strict=True), start=1):
        left = np.quantile(y[x > 0] / x[x > 0], (0.05, 0.5, 0.95))
        rows.append([str(number), f"{x[x > 0].mean():.1f}", *(f"{one:.3f}" for one in left)])
    heads = ["layer", "mean active input", "left: 5 %", "left: median", "left: 95 %"]
    outcome.table("What normalization leaves of an active channel (output / input)", heads, rows)


def _conserved(explained: Explained, analyzers: Analyzers) -> dict[tuple[str, str], Measure]:
    """Return which share of the logit arrives, for the rules of table 1."""
    few = explained.x[:500]
    return {
        (rule, way): evaluate.conservation(analyzers[rule, way], few, verbose=0)
        for rule in THEIRS
        for way in TREATMENTS
    }


def _variations(explained: Explained, analyzers: Analyzers) -> dict[tuple[str, str], Measure]:
    """Return how much neighbouring pixels differ in maps."""
    few = explained.x[:500]
    return {
        key: variation(analyzer.explain(few, verbose=0).relevance)
        for key, analyzer in analyzers.items()
    }


def _areas(
    outcome: Outcome,
    explained: Explained,
    areas: dict[tuple[str, str], Measure],
    firsts: dict[tuple[str, str], Measure],
    chance: Curve,
) -> None:
    """Put all areas into a table, with those of the baselines and of random order."""
    rows = [[*key, shown(area), shown(firsts[key])] for key, area in areas.items()]
    for name in BASELINES:
        analyzer = lrpkeras.Analyzer(explained.model, name)
        found = explained.flipping(strongest(analyzer))
        rows.append([name, "gradient", shown(found.area), shown(early(found.curves["most"]))])
    rows.append(["random order", "", shown(chance.area), shown(early(chance))])
    heads = ["rule", "normalization", "AUC (logits)", "AUC, first eighth of pixels"]
    outcome.table("AUC, most relevant pixels first: low is good", heads, rows)


def _units(outcome: Outcome, small: Explained) -> None:
    """Put the rules that know units into a table for the network in other ones."""
    rows = []
    for rule in (name for name in RULES if name.startswith("epsilon")):
        both = [small.flipping(small.analyzer(rule, way)).area for way in TREATMENTS]
        rows.append([rule, *map(shown, both), shown(both[1].minus(both[0]))])
    heads = ["rule", *TREATMENTS, "Taylor - identity"]
    title = f"AUC (logits) with pixels in [-1, 1], the same function, {len(small.x)} images"
    outcome.table(title, heads, rows)


def _draw(
    given: argparse.Namespace,
    outcome: Outcome,
    grey: Explained,
    orders: dict[str, Flipping],
    analyzers: Analyzers,
) -> None:
    for (rule, found), name in zip(orders.items(), ("epsilon", "beta"), strict=True):
        caption = f"As their figure 2: {rule}, normalization as the identity"
        outcome.figure(given.results, f"orders_{name}", caption, found.plot().figure)
    few = grey.x[:6]
    rows = {}
    for key, analyzer in analyzers.items():
        maps = analyzer.explain(few, verbose=0).relevance
        rows["\n".join(key)] = maps / np.abs(maps).max(axis=(1, 2, 3), keepdims=True)
    drawn = lrpkeras.plot.grid(rows, few / (2 * GREY_LEVELS) + 0.5, clip=99.5)
    caption = (
        "As their figure 3: the first six images under every rule and treatment, each map over "
        "its largest magnitude"
    )
    outcome.figure(given.results, "maps", caption, drawn.figure)


if __name__ == "__main__":
    main()
