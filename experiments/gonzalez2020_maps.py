"""The maps that Gonzalez 2020 compares: its presets, and the digits and photos that are asked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import keras
import numpy as np

import lrpkeras
from experiments import data
from experiments.pattern import summed
from lrpkeras import evaluate
from lrpkeras.evaluate import Counterfactual, Measure
from lrpkeras.presets.gonzalez import A1B0, A2B1, COMBINED
from lrpkeras.rules import Epsilon, Rule

Question = Literal["negative", "winner"]

# The columns of figures 6 and 7.
MATRIX = {
    "ε": "gonzalez_epsilon",
    "ε bounded": "gonzalez_epsilon_bounded",
    "ε flat": "gonzalez_epsilon_flat",
    "α2β1": "gonzalez_alpha2_beta1",
    "α2β1 preset": "gonzalez_alpha2_beta1_preset",
    "α2β1 preset bounded": "gonzalez_alpha2_beta1_preset_bounded",
    "α2β1 preset flat": "gonzalez_alpha2_beta1_preset_flat",
    "α1β0": "gonzalez_alpha1_beta0",
    "α1β0 preset": "gonzalez_alpha1_beta0_preset",
    "α1β0 preset bounded": "gonzalez_alpha1_beta0_preset_bounded",
    "α1β0 preset flat": "gonzalez_alpha1_beta0_preset_flat",
}
# Rules of dense layers; convolutions are flat [figure 25]. The "preset" columns of others.
DENSE = {
    "ε": "gonzalez_flat_preset",
    "α2β1": "gonzalez_alpha2_beta1_dense_flat",
    "α1β0": "gonzalez_alpha1_beta0_dense_flat",
}
# Rules of convolutions; dense layers have epsilon [figures 15, 16 and 27].
CONVOLUTIONS = {
    "ε": "gonzalez_epsilon_preset",
    "α2β1": "gonzalez_alpha2_beta1_preset",
    "α1β0": "gonzalez_alpha1_beta0_preset",
    "α0β1": "gonzalez_alpha0_beta1_preset",
    "α1β1": "gonzalez_alpha1_beta1_preset",
    "α1β(-1)": "gonzalez_alpha1_beta_minus1_preset",
    "flat": "gonzalez_flat_preset",
}
# Scores are taken before, and after each tenth of the squares.
STEPS = 10
HIDDEN = ("conv_1", "max_pool_1", "dense_1")
PROPOSED = "gonzalez_alpha1_beta_minus1_preset_flat"

# MobileNet's last layer with positions, 7 x 7; and those behind one, two and three convolutions.
LAST = "conv_pw_13_relu"
BELOW = ("conv_dw_13_relu", "conv_pw_12_relu", "conv_dw_12_relu")
HEADS: dict[str, Rule] = {"ε": Epsilon(COMBINED), "α2β1": A2B1, "α1β0": A1B0}


class Maps(NamedTuple):
    """Relevance with channels summed; of the dense layer as it is."""

    input: np.ndarray
    conv: np.ndarray
    pool: np.ndarray
    dense: np.ndarray


@dataclass
class Digits:
    """Digits that the network gets right, and the classes that they are asked for.

    Attributes
    ----------
    targets
        By question: "negative", a class by chance of those with negative logits; "winner".
    """

    model: keras.Model
    x: np.ndarray
    labels: np.ndarray
    targets: dict[str, np.ndarray]
    judge: lrpkeras.Analyzer
    _made: dict = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: keras.Model, x: np.ndarray, labels: np.ndarray, count: int, seed: int
    ) -> Digits:
        """Keep what is classified right, with a positive logit, and has a negative one."""
        x, labels = x[:count], labels[:count]
        judge = lrpkeras.Analyzer(model, "epsilon")
        logits = np.asarray(judge.logits(x))
        right = (logits.argmax(axis=1) == labels) & (logits.max(axis=1) > 0)
        kept = right & (logits.min(axis=1) < 0)
        logits = logits[kept]
        lots = np.random.default_rng(seed).random(logits.shape)
        negative = np.where(logits < 0, lots, -1).argmax(axis=1)
        targets = {"negative": negative, "winner": logits.argmax(axis=1)}
        return cls(model, x[kept], labels[kept], targets, judge)

    def analyzer(self, preset: str, initial: str = "logit") -> lrpkeras.Analyzer:
        """Return the analyzer of a preset; each is built once."""
        key = (preset, initial)
        if key not in self._made:
            self._made[key] = lrpkeras.Analyzer(
                self.model, preset, initial=initial, input_range=(0.0, 1.0)
            )
        return self._made[key]

    def maps(self, preset: str, question: Question, initial: str = "logit") -> Maps:
        """Explain all digits, once."""
        key = (preset, question, initial)
        if key not in self._made:
            found = self.analyzer(preset, initial).explain(
                self.x, self.targets[question], layers=HIDDEN, batch_size=100, verbose=0
            )
            conv, pool, dense = (found.layers[name] for name in HIDDEN)
            self._made[key] = Maps(summed(found.relevance), summed(conv), summed(pool), dense)
        return self._made[key]

    def gap(self, preset: str, question: Question, initial: str = "logit") -> Measure:
        """Return how much lower the logit is, most relevant squares black first, than by chance."""
        key = (preset, question, initial, "gap")
        if key not in self._made:
            self._made[key] = evaluate.pixel_flipping(
                self.maps(preset, question, initial).input,
                self.x,
                self.targets[question],
                model=self.judge,
                orders=("most", "random"),
                region=4,
                steps=STEPS,
                replacement=0.0,
                batch_size=100,
                verbose=0,
            ).gap
        return self._made[key]


@dataclass
class Photos:
    """Photos, and the two best classes of each.

    Attributes
    ----------
    images
        uint8 `(samples, 224, 224, 3)`; `x` is what the network takes.
    winner, second
        Class numbers.
    """

    model: keras.Model
    images: np.ndarray
    x: np.ndarray
    judge: lrpkeras.Analyzer
    winner: np.ndarray
    second: np.ndarray
    names: list[str]
    _analyzers: dict[tuple[str, str], lrpkeras.Analyzer] = field(default_factory=dict)

    @classmethod
    def of(cls, given: argparse.Namespace) -> Photos:
        """Read photos, and ask the network."""
        model = data.mobilenet(given.data)
        images = data.photos(given.data, 8 if given.quick else 300).images
        x = (images / 127.5 - 1).astype("float32")
        judge = lrpkeras.Analyzer(model, "epsilon")
        parts = np.array_split(x, -(-len(x) // 50))
        logits = np.concatenate([np.asarray(judge.logits(part)) for part in parts])
        second, winner = logits.argsort(axis=1)[:, -2:].T
        return cls(model, images, x, judge, winner, second, data.class_names(given.data))

    def explained(self, preset: str, head: str = "ε", target: np.ndarray | None = None) -> tuple:
        """Return maps at the input, `(n, 224, 224)`, and at hidden layers, by name."""
        key = (preset, head)
        if key not in self._analyzers:
            rules = {"last": HEADS[head]}
            self._analyzers[key] = lrpkeras.Analyzer(self.model, preset, rules=rules)
        found = self._analyzers[key].explain(
            self.x, self.winner if target is None else target, layers=(LAST, *BELOW), verbose=0
        )
        return summed(found.relevance), {name: summed(one) for name, one in found.layers.items()}

    def without(self, maps: np.ndarray, target: np.ndarray, score: str) -> Counterfactual:
        """Take away the most negative square of each photo."""
        return evaluate.counterfactual(
            maps, self.x, target, model=self.judge, score=score, verbose=0
        )

    def gap(self, maps: np.ndarray, target: np.ndarray) -> Measure:
        """Return how much lower the logit is, most relevant squares blurred first, than by chance.

        With the mean in a square's place, no map of a photo is better than random order.
        """
        return evaluate.pixel_flipping(
            maps,
            self.x,
            target,
            model=self.judge,
            orders=("most", "random"),
            region=16,
            steps=STEPS,
            replacement="blur",
            verbose=0,
        ).gap


def normalized(maps: np.ndarray) -> np.ndarray:
    """Return maps `(n, height, width, channels)`, each with a largest absolute value of 1."""
    largest = np.abs(maps).max(axis=(1, 2, 3), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def parts(maps: np.ndarray, ink: np.ndarray, top: float) -> tuple[Measure, Measure]:
    """Return the relevance of a digit's top and of the rest, over all absolute relevance.

    Parameters
    ----------
    maps, ink
        `(samples, height, width)`: relevance, and whether a pixel is the digit's.
    top
        The share of the digit's rows that is its top.
    """
    rows = ink.any(axis=2)
    first = rows.argmax(axis=1)
    last = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    border = first + np.round(top * (last - first)).astype(int)
    is_top = (np.arange(rows.shape[1]) < border[:, None])[..., None]
    size = np.abs(maps).sum(axis=(1, 2))
    return (
        Measure("top", (maps * is_top).sum(axis=(1, 2)) / size),
        Measure("rest", (maps * ~is_top).sum(axis=(1, 2)) / size),
    )
