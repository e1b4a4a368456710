"""The maps that Gonzalez 2020 compares, of the digits that are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import keras
import numpy as np

import lrpkeras
from experiments.pattern import summed
from lrpkeras import evaluate
from lrpkeras.evaluate import Measure

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
HIDDEN = ("conv_1", "max_pool_1", "dense_1")


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
                replacement=0.0,
                batch_size=100,
                verbose=0,
            ).gap
        return self._made[key]


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
