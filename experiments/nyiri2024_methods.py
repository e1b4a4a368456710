"""The methods that Nyiri & Gibaru compare, and how R-LRP is told apart from the others."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
from matplotlib.figure import FigureBase

import lrpkeras
from experiments.outcome import Outcome, Verdict, above, shown
from lrpkeras import evaluate, presets
from lrpkeras.evaluate import Curve, Measure
from lrpkeras.evaluate.chart import chart
from lrpkeras.plot.picture import Picture
from lrpkeras.presets import Preset
from lrpkeras.rules import AlphaBeta, Epsilon, Gamma

R_LRP = "R-LRP"
METHODS: dict[str, Preset] = {
    "LRP-0": presets.get("zero"),
    "ε = 0.01": Preset((("*", Epsilon(0.01)),), "epsilon 0.01"),
    "ε = 0.001": Preset((("*", Epsilon(0.001)),), "epsilon 0.001"),
    "γ = 0.25": Preset((("*", Gamma(0.25, positive_only=True)),), "gamma 0.25"),
    "α2 β1": presets.get("alpha2_beta1"),
    "α.5 β-.5": Preset((("*", AlphaBeta(0.5, -0.5)),), "alpha beta 0.5"),
    R_LRP: presets.get("relative"),
}
# Biases are in no denominator of equations 1 to 5; in lrpkeras they are unless left out.
BIASES = {"left out": "ignore", "kept": "absorb"}
FLOOR = 0.02
AT_FLOOR = "no method reaches 0.02 here: the network decides nothing by so few pixels"
# "For small percentage values": up to 25, as six of the paper's fifteen are.
PERCENTAGES = (1, 5, 10, 15, 20, 25)
SMALL = PERCENTAGES[-1]


def count(given: argparse.Namespace, full: int, quick: int) -> int:
    """Return how many: fewer in a quick run."""
    return quick if given.quick else full


def variants(given: argparse.Namespace) -> list[tuple[str, str]]:
    """Return methods with biases left out, and with biases; in a quick run of these one alone."""
    with_biases = ["ε = 0.01"] if given.quick else [one for one in METHODS if one != R_LRP]
    return [(one, "left out") for one in METHODS] + [(one, "kept") for one in with_biases]


def analyzer(model: keras.Model, method: str, bias: str) -> lrpkeras.Analyzer:
    """Return one that explains a model by a method, biases "left out" or "kept"."""
    return lrpkeras.Analyzer(model, METHODS[method], bias=BIASES[bias])


def relevance(model: keras.Model, x: np.ndarray, method: str, bias: str) -> np.ndarray:
    """Return maps of what the model decides, shaped like `x`, as `maps_of` has them."""
    return maps_of(analyzer(model, method, bias), x)


def maps_of(explainer: lrpkeras.Analyzer, x: np.ndarray) -> np.ndarray:
    """Return maps whose largest |R| is 1.

    What is measured is the order of pixels, and scales differ by decades between images. A map that
    is not finite is zero everywhere, which says nothing: its pixels are taken by lot.
    """
    try:
        return _to_one(explainer.explain(x, verbose=0).relevance)
    except lrpkeras.errors.LrpError:  # of some image of the batch
        return np.concatenate([_one_map(explainer, one[None]) for one in x])


def _one_map(explainer: lrpkeras.Analyzer, x: np.ndarray) -> np.ndarray:
    try:
        return _to_one(explainer.explain(x, verbose=0).relevance)
    except lrpkeras.errors.LrpError:
        return np.zeros_like(x)


def _to_one(maps: np.ndarray) -> np.ndarray:
    largest = np.abs(maps).max(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def is_floor(measures: Iterable[Measure]) -> bool:
    """Whether nobody is right more often than by 0.02: nothing is told apart there."""
    return all(one.interval()[1] < FLOOR for one in measures)


def retention(judge: lrpkeras.Analyzer, x: np.ndarray, maps: np.ndarray, **how: Any) -> Curve:
    """Return how many decisions stand when only the most relevant part is kept."""
    return evaluate.retention(maps, x, 0, model=judge, batch_size=64, verbose=0, **how)


def shares(bias: str) -> dict[str, Any]:
    """Return the percentages to keep: the paper's, of its own forms; of others the small ones."""
    return {} if bias == "left out" else {"percentages": PERCENTAGES}


def at(percentage: float) -> Callable[[Curve], Measure]:
    """Return what takes the numbers of a curve at a percentage."""
    return lambda curve: curve.value_at(percentage)


def small(curve: Curve) -> Measure:
    """Return the mean over small percentages, for each sample."""
    return Measure("mean up to 25 %", curve.values[:, curve.at <= SMALL].mean(axis=1))


def whole(curve: Curve) -> Measure:
    """Return the mean over all percentages, for each sample."""
    return Measure("mean of all percentages", curve.values.mean(axis=1))


def of(
    curves: Mapping[tuple[str, str], Curve], measure: Callable[[Curve], Measure], bias: str
) -> dict[str, Measure]:
    """Return a measure of every method with biases left out, or kept; R-LRP has none."""
    return {
        method: measure(curve)
        for (method, held), curve in curves.items()
        if held == bias or method == R_LRP
    }


def gains(found: Mapping[str, Measure], sign: int = 1) -> dict[str, Measure]:
    """Return R-LRP less every other method, sample by sample; the other way round if -1."""
    less = {name: found[R_LRP].minus(one) for name, one in found.items() if name != R_LRP}
    return {name: Measure(one.name, sign * one.values) for name, one in less.items()}


def verdict(above_zero: Iterable[bool | None]) -> Verdict:
    """Tell "reproduced" if all differences are above 0, "partly" if more than half of them are."""
    known = [one is True for one in above_zero]
    many = "partly" if 2 * sum(known) > len(known) else "not reproduced"
    return "reproduced" if all(known) else many


def listed(measures: Mapping[str, Measure]) -> str:
    """Return numbers with their names."""
    return ", ".join(f"{name} {shown(one)}" for name, one in measures.items())


def compare(
    outcome: Outcome,
    where: str,
    says: str,
    what: str,
    curves: Mapping[tuple[str, str], Curve],
    measure: Callable[[Curve], Measure],
    sign: int = 1,
) -> None:
    """Claim that R-LRP is better than the other methods; -1 where less is better.

    The verdict is about the paper's formulas, without biases; with them is said beside it.
    """
    told = {bias: gains(of(curves, measure, bias), sign) for bias in BIASES}
    ours = measure(curves[R_LRP, "left out"])
    better = "R-LRP less" if sign == 1 else "what R-LRP has less than"
    parts = [f"{what}: R-LRP {shown(ours)}; {better} {listed(told['left out'])}"]
    if any(bias == "kept" for _, bias in curves):
        parts.append(f"with biases in the others' denominators: {listed(told['kept'])}")
    decided = verdict(above(one) for one in told["left out"].values())
    if sign == 1 and is_floor(of(curves, measure, "left out").values()):
        decided, parts = "not tested", [AT_FLOOR, *parts]
    outcome.claim(where, says, decided, "; ".join(parts))


def table(
    outcome: Outcome,
    title: str,
    curves: Mapping[tuple[str, str], Curve],
    percentages: tuple[float, ...] = (1, 5, 10, 15, 20, 25, 50, 80, 99),
) -> None:
    """Write curves at some percentages as a table."""
    rows = [
        [*key, *(shown(curve.value_at(one), 2) if one in curve.at else "" for one in percentages)]
        for key, curve in curves.items()
    ]
    outcome.table(title, ["method", "biases", *(f"{one} %" for one in percentages)], rows)


def drawn(curves: Mapping[tuple[str, str], Curve]) -> FigureBase:
    """Draw the curves of the paper's formulas."""
    figure, panel = chart()
    for (method, bias), curve in curves.items():
        if bias == "left out":
            curve.plot(panel, method)
    return figure


def panels(number: int) -> tuple[FigureBase, np.ndarray]:
    """Return a figure with panels side by side."""
    figure = Picture(figsize=(4 * number, 4), layout="constrained")
    return figure, figure.subplots(1, number, sharey=True)


def drawn_maps(
    x: np.ndarray, maps: Mapping[tuple[str, str], np.ndarray], images: int = 6
) -> FigureBase:
    """Draw maps of the paper's formulas, a row for each method."""
    rows = {method: one[:images] for (method, bias), one in maps.items() if bias == "left out"}
    return lrpkeras.plot.grid(rows, x[:images], clip=99.5)[0]
