"""Section 5 of Gonzalez 2020: the three hypotheses, the flag and "why not class B" on photos.

MobileNet 0.25 stands in for VGG16. Its last convolution has 7 x 7 positions, as VGG16's last pool.
Behind it are an average and one dense layer, VGG16 has three; it is written as a convolution of
1 x 1, so that its rule is given by position ("last"). Its 27 convolutions have batch normalization,
which is folded. As in the thesis each photo is explained for the class that wins, right or wrong;
where another class is asked for, it is the second best. Flipped squares have 16 pixels a side, and
the one of the counterfactual 44; the photos' mean colour is put in.

The thesis carries the 7 x 7 map to the input by Flat in all convolutions. VGG16's convolutions have
no strides; MobileNet's have, and by Flat its 27 layers blur the map over 315 pixels. So the map of
the dense layer is taken to the photo in two ways: by Flat, and enlarged, each with its claims.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from itertools import product

import keras
import numpy as np
from matplotlib.patches import Rectangle
from scipy import ndimage

import lrpkeras
from experiments import data
from experiments.gonzalez2020_hypotheses import decisions
from experiments.gonzalez2020_maps import CONVOLUTIONS, DENSE, normalized
from experiments.outcome import Outcome, above, judged, shown
from experiments.pattern import (
    agreement,
    contrast,
    negative_share,
    neighbours,
    summed,
    upscaled,
    variation,
)
from lrpkeras import evaluate
from lrpkeras.evaluate import Counterfactual, Measure
from lrpkeras.presets.gonzalez import A1B0, A2B1, COMBINED
from lrpkeras.rules import Epsilon, Rule

SIZE = 224
WAYS = {"flat": "by Flat", "enlarged": "7 x 7 map enlarged"}
LAST = "conv_pw_13_relu"
# Behind one, two and three convolutions; all have 7 x 7 positions, as the last.
BELOW = ("conv_dw_13_relu", "conv_pw_12_relu", "conv_dw_12_relu")
HEADS: dict[str, Rule] = {"ε": Epsilon(COMBINED), "α2β1": A2B1, "α1β0": A1B0}
PROPOSED = "gonzalez_alpha1_beta_minus1_preset_flat"
# Rules of convolutions with and without Flat in the first layer [figure 28].
FIRST = {
    "α1β0": (CONVOLUTIONS["α1β0"], "gonzalez_alpha1_beta0_preset_flat"),
    "α1β(-1)": (CONVOLUTIONS["α1β(-1)"], PROPOSED),
}


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
        """Return how much lower the logit is, most relevant squares first, than by chance."""
        return evaluate.pixel_flipping(
            maps,
            self.x,
            target,
            model=self.judge,
            orders=("most", "random"),
            region=16,
            replacement="mean",
            verbose=0,
        ).gap


def run(given: argparse.Namespace, outcome: Outcome) -> None:
    """Run section 5."""
    photos = Photos.of(given)
    _dense_layers(given, outcome, photos)
    _convolutions(given, outcome, photos)
    _first_layer(outcome, photos)
    _why_not(given, outcome, photos)


# Hypothesis 1, and the flag


def _dense_layers(given: argparse.Namespace, outcome: Outcome, photos: Photos) -> None:
    """Compare rules of the dense layer [figures 24 to 26]."""
    shares, found, maps, some = {}, {}, {}, {}
    for label in DENSE:
        flat, hidden = photos.explained(CONVOLUTIONS["flat"], label)
        shares[label] = negative_share(hidden[LAST])
        some[label] = np.mean((hidden[LAST] < 0).any(axis=(1, 2)))
        maps[label] = {"flat": flat, "enlarged": _enlarged(hidden[LAST])}
        for way, score in product(WAYS, ("probability", "logit")):
            found[label, way, score] = photos.without(maps[label][way], photos.winner, score)
    outcome.claim(
        "section 5.1.1, figure 24",
        "ε gives negative values at the last 7 x 7 layer, α2β1 and α1β0 completely positive maps",
        judged(above(shares["ε"]), *(shares[one].interval()[1] < 0.01 for one in ("α2β1", "α1β0"))),
        "negative share of relevance (completely positive: below 0.01): "
        + ", ".join(
            f"{label} {shown(one, 4)} (in {some[label]:.0%} of photos)"
            for label, one in shares.items()
        ),
    )
    outcome.table(
        "Photos: the most negative square is taken away",
        ["rule of the dense layer", "map", "score", "change", "by a random square", "gain"],
        [[*key, *_changes(one)] for key, one in found.items()],
    )
    for way in WAYS:
        _flag(outcome, WAYS[way], {label: found[label, way, "probability"] for label in DENSE})
    chosen = found["ε", "enlarged", "probability"]
    _draw_flag(given, outcome, photos, {w: maps["ε"][w] for w in WAYS}, chosen)


def _enlarged(maps: np.ndarray) -> np.ndarray:
    """Return 7 x 7 maps over the photo: every stride pads at the end alone, so 15 pixels on."""
    return upscaled(maps, SIZE, 15, SIZE)


def _changes(found: Counterfactual) -> list[str]:
    chance = Measure("by chance", found.random - found.before)
    return [shown(found.change, 4), shown(chance, 4), shown(found.gain, 4)]


def _flag(outcome: Outcome, way: str, found: dict[str, Counterfactual]) -> None:
    """Say whether what epsilon calls negative speaks against the class, where anything does."""
    speaks = found["ε"].relevance < 0
    some = {label: only(one, speaks) for label, one in found.items()}
    count = f"the square is negative in {speaks.sum()} of {len(speaks)} photos"
    rises = f"section 5.1.1, figure 26, {way}"
    says = "Without the region that is most negative by ε, the probability of the class rises"
    finds = f"section 5.1.1, figure 25, {way}"
    better = "ε finds what speaks against the class, α2β1 and α1β0 do not"
    if speaks.sum() < 2:
        outcome.claim(rises, says, "not tested", count)
        outcome.claim(finds, better, "not tested", count)
        return
    epsilon = some["ε"]
    outcome.claim(
        rises,
        says,
        judged(above(epsilon.change), above(epsilon.gain)),
        f"change {shown(epsilon.change, 4)}; more than a random square changes it by "
        f"{shown(epsilon.gain, 4)}; {count}, which are counted",
    )
    more = {label: epsilon.gain.minus(some[label].gain) for label in ("α2β1", "α1β0")}
    outcome.claim(
        finds,
        better,
        judged(above(epsilon.change), *map(above, more.values())),
        "gain of probability, ε less "
        + ", ε less ".join(f"{label}: {shown(one, 4)}" for label, one in more.items())
        + f"; {count}, which are counted",
    )


def only(found: Counterfactual, kept: np.ndarray) -> Counterfactual:
    """Return some of the samples."""
    arrays = ("before", "after", "random", "corners", "relevance")
    return replace(found, **{name: getattr(found, name)[kept] for name in arrays})


def _draw_flag(
    given: argparse.Namespace,
    outcome: Outcome,
    photos: Photos,
    maps: dict[str, np.ndarray],
    found: Counterfactual,
) -> None:
    """Draw the first six photos, epsilon's map in both ways, and the square of the second."""
    some = slice(6)
    scores = zip(photos.winner[some], found.before[some], found.after[some], strict=True)
    titles = [f"{photos.names[c]}\n{before:.4f} → {after:.4f}" for c, before, after in scores]
    rows = {f"ε, {way}": normalized(one[some, ..., None]) for way, one in maps.items()}
    figure, axes = lrpkeras.plot.grid(
        rows, photos.images[some] / 255, titles=titles, colorbar=False
    )
    for panels, (row, column) in zip(axes.T, found.corners[some], strict=True):
        for panel in panels:
            square = Rectangle((column, row), found.size, found.size, fill=False, edgecolor="lime")
            panel.add_patch(square)
    caption = (
        "The flag experiment (figures 25 and 26 of the thesis) on the first six photos: the most "
        "negative square of the enlarged map, and the probability of the class with and without it"
    )
    outcome.figure(given.results, "flag", caption, figure)


# Hypotheses 2 and 3


def _convolutions(given: argparse.Namespace, outcome: Outcome, photos: Photos) -> None:
    """Compare rules of convolutions [figure 27]."""
    edges, numbers, rows, signs = _edges(photos.images), {}, {}, {}
    for label, preset in CONVOLUTIONS.items():
        maps, hidden = photos.explained(preset)
        rows[label] = normalized(maps[:6, ..., None])
        numbers[label] = (
            agreement(maps, _enlarged(hidden[LAST])),
            variation(maps),
            neighbours(maps),
            agreement(np.abs(maps), edges),
            photos.gap(maps, photos.winner),
        )
        signs[label] = [agreement(hidden[name], hidden[LAST]) for name in BELOW]
    outcome.table(
        "Photos, hypothesis 2: rules of convolutions, the dense layer ε, at the input",
        ["rule", "agreement with 7 x 7", "variation", "neighbours", "agreement with edges", "gap"],
        [[label, *map(shown, row)] for label, row in numbers.items()],
    )
    outcome.table(
        "Photos: agreement with the 7 x 7 map behind one, two and three convolutions",
        ["rule", *BELOW],
        [[label, *map(shown, row)] for label, row in signs.items()],
    )
    _claims(outcome, numbers, signs["α0β1"])
    decisions(outcome, "section 5.1.2", {label: row[-1] for label, row in numbers.items()})
    caption = "Figure 27 of the thesis on six photos: rules of convolutions, each map to its scale"
    figure, _ = lrpkeras.plot.grid(rows, photos.images[:6] / 255, clip=99.5, colorbar=False)
    outcome.figure(given.results, "figure27", caption, figure)


def _edges(images: np.ndarray) -> np.ndarray:
    """Return the gradient's size in grey photos."""
    grey = images.mean(axis=-1)
    return np.stack([ndimage.gaussian_gradient_magnitude(one, 1.0) for one in grey])


def _claims(outcome: Outcome, numbers: dict[str, tuple], signs: list[Measure]) -> None:
    """Say what figure 27 does of each rule."""
    for label, other in (("ε", "α1β(-1)"), ("α2β1", "α1β0"), ("α2β1", "α1β(-1)")):
        more, less = (numbers[label][i].minus(numbers[other][i]) for i in (1, 2))
        outcome.claim(
            "section 5.1.2, figure 27",
            f"On photos, {label} in convolutions is noisier than {other}",
            judged(above(more), above(less) is False),
            f"{label} less {other}: variation {shown(more)}, correlation of neighbours "
            f"{shown(less)}",
        )
    one, two, three = signs
    outcome.claim(
        "section 5.1.2, figure 27",
        "On photos, α0β1 inverts the pattern in odd layers",
        judged(above(one) is False, above(two), above(three) is False),
        f"agreement with the 7 x 7 map behind one, two, three convolutions: {shown(one)}, "
        f"{shown(two)}, {shown(three)}; at the input, behind 27, {shown(numbers['α0β1'][0])}",
    )
    flat, others = numbers["flat"], ("ε", "α1β0", "α2β1", "α1β(-1)")
    outcome.claim(
        "section 5.1.2, figure 27",
        "Flat enlarges the 7 x 7 map without changing it; other rules colour edges",
        judged(
            *(above(flat[0].minus(numbers[label][0])) for label in others),
            *(above(numbers[label][3].minus(flat[3])) for label in others),
        ),
        "agreement with the 7 x 7 map, and with edges: "
        + "; ".join(f"{n} {shown(numbers[n][0])}, {shown(numbers[n][3])}" for n in numbers),
    )


def _first_layer(outcome: Outcome, photos: Photos) -> None:
    """Compare maps with and without Flat in the first layer [figure 28]."""
    numbers: dict[tuple[str, str], tuple] = {}
    for label, presets in FIRST.items():
        for first, preset in zip(("as all", "flat"), presets, strict=True):
            maps, _ = photos.explained(preset)
            numbers[label, first] = (variation(maps), neighbours(maps), contrast(maps))
    outcome.table(
        "Photos, hypothesis 3: rules of the first layer",
        ["rule of convolutions", "first layer", "variation", "neighbours", "contrast"],
        [[*key, *map(shown, row)] for key, row in numbers.items()],
    )
    for label in FIRST:
        plain, flat = numbers[label, "as all"], numbers[label, "flat"]
        more, less, clear = (after.minus(one) for one, after in zip(plain, flat, strict=True))
        outcome.claim(
            "section 5.1.3, figure 28",
            f"With {label}, Flat in the first layer reduces noise, and adds contrast",
            judged(above(more) is False, above(less), above(clear)),
            f"flat less not: variation {shown(more)}, correlation of neighbours {shown(less)}, "
            f"contrast {shown(clear)}",
        )
    clear = numbers["α1β(-1)", "flat"][2].minus(numbers["α1β0", "flat"][2])
    outcome.claim(
        "section 5.2",
        "α1β(-1) has slightly higher contrast than α1β0, both with Flat in the first layer",
        judged(above(clear)),
        f"standard deviation of maps scaled to a largest value of 1, the difference: "
        f"{shown(clear)}",
    )


# Why not class B?


def _why_not(given: argparse.Namespace, outcome: Outcome, photos: Photos) -> None:
    """Ask for the second best class by the thesis' proposal [section 5.2]."""
    won, _ = photos.explained(PROPOSED)
    asked, _ = photos.explained(PROPOSED, target=photos.second)
    found = photos.without(asked, photos.second, "logit")
    gap = photos.gap(asked, photos.second)
    other = photos.gap(won, photos.second)
    outcome.claim(
        "section 5.2, figures 29 to 34",
        "Asked for another class B, what is negative speaks against B, what is positive for it",
        judged(above(found.change), above(found.gain), above(gap)),
        f"B is the second best class; without the most negative square its logit changes by "
        f"{shown(found.change)}, by {shown(found.gain)} more than without a random one; the "
        f"square is negative in {np.mean(found.relevance < 0):.0%}; flipping gap (logit) "
        f"{shown(gap)}",
    )
    more = gap.minus(other)
    outcome.claim(
        "section 5.2, figures 29 to 34",
        "The map asked for class B is about B, not about the class that wins",
        judged(above(more)),
        f"flipping gap of B's logit, by B's map less by the winner's: {shown(more)}; rank "
        f"correlation of the two maps {shown(agreement(won, asked))}",
    )
    some = slice(6)
    rows = {
        label: normalized(maps[some, ..., None])
        for label, maps in (("winner", won), ("second", asked))
    }
    pairs = zip(photos.winner[some], photos.second[some], strict=True)
    titles = [f"{photos.names[one]}\nor {photos.names[two]}" for one, two in pairs]
    figure, _ = lrpkeras.plot.grid(
        rows, photos.images[some] / 255, titles=titles, clip=99.5, colorbar=False
    )
    caption = "Why, and why not the other class? The proposal of section 5.2 on six photos"
    outcome.figure(given.results, "why_not", caption, figure)
