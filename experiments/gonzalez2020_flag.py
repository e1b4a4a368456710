"""What speaks against a class, on photos: section 5.1.1 of Gonzalez 2020 (the flag), and 5.2."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product

import numpy as np
from matplotlib.patches import Rectangle

import lrpkeras
from experiments.gonzalez2020_maps import CONVOLUTIONS, DENSE, LAST, PROPOSED, Photos, normalized
from experiments.outcome import Outcome, above, judged, shown
from experiments.pattern import agreement, negative_share, upscaled
from lrpkeras.evaluate import Counterfactual, Measure

SIZE = 224
WAYS = {"flat": "by Flat", "enlarged": "7 x 7 map enlarged"}


def dense_layer(given: argparse.Namespace, outcome: Outcome, photos: Photos) -> None:
    """Compare rules of the dense layer [figures 24 to 26]."""
    shares, found, maps, some = {}, {}, {}, {}
    for label in DENSE:
        flat, hidden = photos.explained(CONVOLUTIONS["flat"], label)
        shares[label] = negative_share(hidden[LAST])
        some[label] = np.mean((hidden[LAST] < 0).any(axis=(1, 2)))
        maps[label] = {"flat": flat, "enlarged": enlarged(hidden[LAST])}
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


def enlarged(maps: np.ndarray) -> np.ndarray:
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
    """Draw photos where a square is negative, epsilon's map in both ways, and the square."""
    speaks = np.flatnonzero(found.relevance < 0)[:6]
    some = speaks if len(speaks) else np.arange(6)
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
        "The flag experiment (figures 25 and 26 of the thesis) on the first photos in which a "
        "square of the enlarged map is negative (if there is none, on the first six): the most "
        "negative one, and the probability of the class with and without it"
    )
    outcome.figure(given.results, "flag", caption, figure)


# Why not class B?


def why_not(given: argparse.Namespace, outcome: Outcome, photos: Photos) -> None:
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
