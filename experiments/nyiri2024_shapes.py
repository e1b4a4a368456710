"""Sections 5.2 and 6 on a residual network: figures 20, 21 and 23 to 28, where masks are known.

The images are lrpkeras' shapes, the network is the small residual one that ships with it.
"""

from __future__ import annotations

import argparse

import numpy as np

import lrpkeras
from experiments import nyiri2024_methods as methods
from experiments.nyiri2024_methods import R_LRP, count, listed
from experiments.outcome import Outcome, Verdict, above, shown
from lrpkeras import evaluate
from lrpkeras.datasets import Shapes, shapes_classes
from lrpkeras.evaluate import Curve, Measure
from lrpkeras.presets import Preset
from lrpkeras.rules import Epsilon

Key = tuple[str, str]
LARGE = Preset((("*", Epsilon(2.0)),), "epsilon 2")
KNOWN_TO_HOLD = ("α2 β1", "α.5 β-.5")  # "LRP-ε and LRP-γ methods are not suitable" [section 5.2]


def run(given: argparse.Namespace, outcome: Outcome) -> None:
    """Explain the shapes by every method, and hold masks and decisions against the maps."""
    data = lrpkeras.datasets.shapes(count(given, 600, 48), given.seed)
    model = lrpkeras.datasets.shapes_model()
    x, judge = data.images, lrpkeras.Analyzer(model, "epsilon")
    maps = {key: methods.relevance(model, x, *key) for key in methods.variants(given)}
    kept = {
        key: methods.retention(judge, x, one, absolute=True, **methods.shares(key[1]))
        for key, one in maps.items()
    }
    how = {"absolute": True, "verbose": 0}
    shares = {key: evaluate.mask_share(one, x, data.masks, 0, **how) for key, one in maps.items()}
    distances = {
        key: evaluate.mask_distance(one, x, data.masks, 0, **how) for key, one in maps.items()
    }
    methods.table(outcome, "Shapes: accuracy over pixels kept, absolute values (figure 21)", kept)
    methods.table(outcome, "Shapes: share of relevant pixels in the mask (figure 25)", shares)
    methods.table(outcome, "Shapes: their distance from the mask (figure 28)", distances)
    _retained(outcome, kept)
    _in_masks(outcome, shares, distances, data)
    large = methods.maps_of(lrpkeras.Analyzer(model, LARGE, bias="ignore"), x)
    share = evaluate.mask_share(large, x, data.masks, 0, **how)
    _unsuitable(outcome, shares, share)
    _figures(given, outcome, x, maps, {"share": shares, "distance": distances, "kept": kept})


def _retained(outcome: Outcome, kept: dict[Key, Curve]) -> None:
    curves = {key: one for key, one in kept.items() if key[0] in (*KNOWN_TO_HOLD, R_LRP)}
    methods.compare(
        outcome,
        "section 5.2, figure 21",
        "On a residual network R-LRP retains more decisions than LRP-αβ",
        "accuracy up to 25 % of the pixels, absolute values",
        curves,
        methods.small,
    )


def _in_masks(
    outcome: Outcome, shares: dict[Key, Curve], distances: dict[Key, Curve], data: Shapes
) -> None:
    methods.compare(
        outcome,
        "section 6.1, figures 23 and 25",
        "R-LRP locates objects by their masks better than the other methods",
        "share of the 20 % most relevant pixels in the mask",
        shares,
        methods.at(20),
    )
    methods.compare(
        outcome,
        "section 6.2, figures 26 and 28",
        "R-LRP's relevant pixels are nearer to the masks than those of LRP-αβ and LRP-γ",
        "distance of the 20 % most relevant pixels from the mask",
        {key: one for key, one in distances.items() if key[0][0] in "αγR"},
        methods.at(20),
        sign=-1,
    )
    _each_class(outcome, distances, data.labels)


def _each_class(outcome: Outcome, distances: dict[Key, Curve], labels: np.ndarray) -> None:
    found = {
        name: one
        for name, one in methods.of(distances, methods.at(20), "left out").items()
        if name[0] in "αγR"
    }
    nearer = {}
    for label, name in enumerate(shapes_classes):
        these = {n: Measure(n, one.values[labels == label]) for n, one in found.items()}
        nearer[name] = methods.gains(these, -1)
    outcome.claim(
        "section 6.2, figure 27",
        "R-LRP gives smaller distances than the other methods for all categories",
        methods.verdict(above(one) for gains in nearer.values() for one in gains.values()),
        "what R-LRP has less than: "
        + "; ".join(f"{name}: {listed(gains)}" for name, gains in nearer.items()),
    )


def _unsuitable(outcome: Outcome, shares: dict[Key, Curve], large: Curve) -> None:
    """Tell whether LRP-gamma, and LRP-epsilon with a large epsilon, are as bad as said."""
    found = methods.of(shares, methods.at(20), "left out")
    held = {name: found[name] for name in (*KNOWN_TO_HOLD, R_LRP)}
    for says, one in (
        ("For LRP-γ we got very bad contribution images", found["γ = 0.25"]),
        ("ε > 1 is too big and gives bad contributions", large.value_at(20)),
    ):
        assert one.chance is not None
        over = Measure("over chance", one.values - one.chance)
        less = {name: better.minus(one) for name, better in held.items()}
        outcome.claim(
            "section 5.2",
            f"{says} on a residual network",
            bad(above(over), [above(gain) for gain in less.values()]),
            f"share of the 20 % most relevant pixels in the mask {shown(one)}, less chance "
            f"{shown(over)}; lower than {listed(less)} (reproduced: not above chance; partly: "
            "below R-LRP and LRP-αβ)",
        )


def bad(over_chance: bool | None, below: list[bool | None]) -> Verdict:
    """Tell "reproduced" if a method is not above chance, "partly" if it is below all others."""
    if not over_chance:
        return "reproduced"
    return "partly" if all(below) else "not reproduced"


def _figures(
    given: argparse.Namespace,
    outcome: Outcome,
    x: np.ndarray,
    maps: dict[Key, np.ndarray],
    measured: dict[str, dict[Key, Curve]],
) -> None:
    drawn = methods.drawn_maps(x, maps)
    outcome.figure(given.results, "shapes_maps", "Shapes, biases left out (figure 20)", drawn)
    captions = {
        "share": "Shapes: share of the most relevant pixels in the mask (figure 25)",
        "distance": "Shapes: distance of the most relevant pixels from the mask (figure 28)",
        "kept": "Shapes: accuracy over pixels kept, absolute values (figure 21)",
    }
    for name, curves in measured.items():
        outcome.figure(given.results, f"shapes_{name}", captions[name], methods.drawn(curves))
