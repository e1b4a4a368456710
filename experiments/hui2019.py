"""Hui & Binder 2019, BatchNorm Decomposition for Deep Neural Network Interpretation, measured.

Only the abstract and the references were at hand: claims are the abstract's sentences, and their
rule, batch_norm="abs", is rebuilt from code that cites the paper. It is compared with the other
ways to treat normalization: folded ("fold", "threshold"), passed unchanged ("identity"), and the
epsilon-rule ("epsilon"), each under two presets: epsilon_plus and epsilon_alpha2_beta1, with the
epsilon-rule in the last layer also where that is a convolution. The abstract does not say how it
evaluates; here squares are flipped (8 x 8 pixels of photos, 2 x 2 else, each to itself blurred:
with the mean in its place no map of a photo is better than random order), and on generated shapes
the share of positive relevance on the object is taken.

Their networks (footnotes 1 to 4: MobileNetV2, two of torchvision's, InceptionResNetV2) are not at
hand. In their place: MobileNet 0.25 with ImageNet's weights on ImageNet photos, and small networks
like MobileNetV2, ResNet and DenseNet (the last is the one where "threshold" is not "fold": a
normalization behind a convolution folds into it either way), trained here on CIFAR-10 and on
shapes. What the abstract leaves open is our guess, and says so: what the artifacts are
(`hui2019_artifacts`), and which change of ResNet makes it train faster (`hui2019_early`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

import lrpkeras
from experiments import data, hui2019_artifacts, hui2019_early, options
from experiments.hui2019_cases import (
    IMAGES,
    PHOTOS,
    SHAPES,
    Case,
    cifar,
    on_cifar,
    photos,
    shapes,
    size,
)
from experiments.hui2019_rules import MODES, PRESETS, analyzer, verdict
from experiments.outcome import Outcome, above, shown
from experiments.squares import flipped
from experiments.trained import Trained
from lrpkeras import evaluate
from lrpkeras.evaluate import Flipping, Measure
from lrpkeras.evaluate.chart import chart

PAPER = "Hui & Binder 2019"
INTUITIVE = ("identity", "epsilon")

DESCRIBED = ["accuracy", "weights"]
Key = tuple[str, str]  # preset, mode


@dataclass(frozen=True)
class Compared:
    """What each preset and mode got, sample by sample; the maps of the first hundred."""

    gaps: dict[Key, Measure] = field(default_factory=dict)
    areas: dict[Key, Measure] = field(default_factory=dict)
    masses: dict[Key, Measure] = field(default_factory=dict)
    kept: dict[Key, Measure] = field(default_factory=dict)
    maps: dict[Key, np.ndarray] = field(default_factory=dict)


def main(arguments: list[str] | None = None) -> None:
    """Run all of it."""
    given = options.parser(__doc__ or "").parse_args(arguments)
    outcome = Outcome("hui2019", PAPER, _settings(given))
    cases = [photos(given), *cifar(given), *shapes(given)]
    outcome.table(
        "Networks",
        ["network", *DESCRIBED],
        [_described(case.name, case.network) for case in cases],
    )
    compared = {case.name: compare(given, outcome, case) for case in cases}
    intuitive_rules(outcome, {name: one.gaps for name, one in compared.items()})
    advantages(outcome, compared)
    mobilenet = cases[0]
    hui2019_artifacts.channels(outcome, mobilenet.model, mobilenet.x[:100])
    hui2019_artifacts.grids(outcome, compared[mobilenet.name].maps)
    _shortcuts(given, outcome, {case.name: case for case in cases}["ResNet-like, CIFAR-10"])
    hui2019_early.faster(given, outcome, *data.cifar10(given.data))
    _not_tested(outcome)
    outcome.save(given.results)


def _settings(given: argparse.Namespace) -> dict[str, str]:
    return {
        "images explained": f"{size(given, *PHOTOS)} photos, {size(given, *IMAGES)} of CIFAR-10, "
        f"{size(given, *SHAPES)} shapes",
        "seed": str(given.seed),
        **({"quick": "yes, networks are hardly trained"} if given.quick else {}),
    }


def _described(name: str, network: Trained) -> list[str]:
    return [name, f"{network.accuracy:.4f}", f"{network.model.count_params():,}"]


# Rules compared


def compare(given: argparse.Namespace, outcome: Outcome, case: Case) -> Compared:
    """Measure all rules on one network, and tell it in a table and a picture of each kind."""
    compared, curves = Compared(), {}
    judge = lrpkeras.Analyzer(case.model, "epsilon")  # of which only the decisions are used
    random = flipped(np.zeros(case.x.shape, "float32"), case.x, judge, "random", region=case.region)
    for key in ((preset, mode) for preset in PRESETS for mode in MODES):
        explaining = analyzer(case.model, *key)
        relevance = explaining.explain(case.x, batch_size=16, verbose=0).relevance
        most = flipped(relevance, case.x, judge, "most", region=case.region)
        flipping = Flipping({**most.curves, **random.curves})
        compared.gaps[key], compared.areas[key] = flipping.gap, flipping.area
        compared.kept[key] = evaluate.conservation(relevance, case.x, model=explaining, verbose=0)
        compared.maps[key] = relevance[:100].copy()  # a view would keep all of them
        if case.masks is not None:
            compared.masses[key] = evaluate.relevance_mass(
                relevance, case.x, case.masks, 0, verbose=0
            )
        curves[key] = flipping.curves["most"]
    _table(outcome, case.name, compared)
    _draw(given, outcome, case, compared.maps)
    _draw_curves(given, outcome, case, {**curves, ("", "random order"): random.curves["random"]})
    return compared


def _table(outcome: Outcome, name: str, compared: Compared) -> None:
    against = ["gap", "area", "gap less identity's", "sum of relevance / logit (median)"]
    rows = []
    for preset, mode in compared.gaps:
        gap, other = (compared.gaps[preset, one] for one in (mode, "identity"))
        kept = np.median(compared.kept[preset, mode].values)
        row = [shown(gap), shown(compared.areas[preset, mode]), shown(gap.minus(other))]
        row.append(f"{kept:.3g}")
        if compared.masses:
            mass, other = (compared.masses[preset, one] for one in (mode, "identity"))
            row += [shown(mass), shown(mass.minus(other))]
        rows.append([preset, mode, *row])
    masses = ["relevance mass", "mass less identity's"] if compared.masses else []
    heads = ["preset", "batch normalization", *against, *masses]
    outcome.table(f"{name}: flipping (probability of the winner) and masks", heads, rows)


def intuitive_rules(outcome: Outcome, gaps: Mapping[str, Mapping[Key, Measure]]) -> None:
    """Say where "identity" and "epsilon" get less than half of the gap that the best rule gets."""
    poor = {
        mode: [
            f"{name}, {preset}"
            for name, found in gaps.items()
            for preset in PRESETS
            if is_poor(found, preset, mode)
        ]
        for mode in INTUITIVE
    }
    counts = [len({text.rpartition(", ")[0] for text in texts}) for texts in poor.values()]
    outcome.claim(
        "abstract",
        "Several intuitive choices of published LRP rules perform poorly for a number of networks",
        "reproduced" if min(counts) > 1 else "partly" if max(counts) else "not reproduced",
        "criterion: identity and epsilon, each in two networks or more, have less than half of the "
        "best rule's flipping gap under the same preset, by the interval. "
        + "; ".join(f"{mode}: {', '.join(texts) or 'nowhere'}" for mode, texts in poor.items()),
    )


def is_poor(gaps: Mapping[Key, Measure], preset: str, mode: str) -> bool:
    """Whether a rule's gap is below half of the best one's, with an interval that says so.

    Where even the best rule is not known to be above chance, none is poor beside it.
    """
    best = max((gaps[preset, other] for other in MODES), key=lambda gap: gap.mean)
    if above(best) is not True:
        return False
    return above(Measure("half of the best", best.values / 2).minus(gaps[preset, mode])) is True


def advantages(outcome: Outcome, compared: Mapping[str, Compared]) -> None:
    """Say for each network whether "abs" is better than the rules that it was proposed against."""
    verdicts = []
    for name, found in compared.items():
        parts = {"flipping gap": found.gaps}
        if found.masses:
            parts["relevance mass"] = found.masses
        differences = {
            f"{what}, {preset}, less {mode}'s": measures[preset, "abs"].minus(
                measures[preset, mode]
            )
            for what, measures in parts.items()
            for preset in PRESETS
            for mode in INTUITIVE
        }
        verdicts.append(verdict(differences.values()))
        outcome.claim(
            f"abstract, {name}",
            "Our quantitatively evaluated results show advantage of our novel LRP rule",
            verdicts[-1],
            "abs, criterion: all of these above 0: " + _listed(differences),
        )
    against_folding = {
        f"{name}, {preset}": one.gaps[preset, "abs"].minus(one.gaps[preset, "fold"])
        for name, one in compared.items()
        for preset in PRESETS
    }
    outcome.claim(
        "abstract",
        "... and its wide applicability to common deep neural network architectures",
        "reproduced"
        if set(verdicts) == {"reproduced"}
        else "partly"
        if {"reproduced", "partly"} & set(verdicts)
        else "not reproduced",
        f"the claim above is reproduced in {verdicts.count('reproduced')} of {len(verdicts)} "
        f"networks, partly in {verdicts.count('partly')}. Beside it, the flipping gap of abs less "
        f"that of folding, which they do not name: {_listed(against_folding)}",
    )


def _listed(measures: Mapping[str, Measure]) -> str:
    return "; ".join(f"{name} {shown(measure)}" for name, measure in measures.items())


# The shortcut of ResNet, what is missing, pictures


def _shortcuts(given: argparse.Namespace, outcome: Outcome, strided: Case) -> None:
    """Compare the network whose shortcuts have a stride with the one where they pool."""
    networks = {"stride": strided.network, "pool": on_cifar(given, "pooled")}
    rows = [_described(f"shortcuts with {kind}", one) for kind, one in networks.items()]
    outcome.table("ResNet-like, CIFAR-10", ["network", *DESCRIBED], rows)
    models = {kind: one.model for kind, one in networks.items()}
    maps = hui2019_artifacts.shortcuts(outcome, models, strided.x)
    rows = {f"{kind}\n{mode}": one[:6] for (kind, mode), one in maps.items()}
    figure, _ = lrpkeras.plot.grid(rows, _unit(strided.images[:6]), clip=99.5)
    caption = f"Shortcuts with stride, and with pooling in its place, preset {PRESETS[0]}"
    outcome.figure(given.results, "shortcuts", caption, figure)


def _not_tested(outcome: Outcome) -> None:
    for says, missing in (
        ("The causes for such failures are analyzed deeply and thoroughly", "the paper's text"),
        (
            "Some assumptions on the LRP decomposition rules are broken given specific networks",
            "the paper's text, which names assumptions and networks",
        ),
        (
            "The networks of footnotes 1 to 4: MobileNetV2, torchvision's, InceptionResNetV2",
            "their weights, and the paper's numbers",
        ),
    ):
        outcome.claim("abstract", says, "not tested", f"missing: {missing}")


def _unit(images: np.ndarray) -> np.ndarray:
    return images / 255 if images.dtype == np.uint8 else images


def _draw(
    given: argparse.Namespace, outcome: Outcome, case: Case, maps: Mapping[Key, np.ndarray]
) -> None:
    rows = {mode: maps[PRESETS[0], mode][:6] for mode in MODES}
    figure, _ = lrpkeras.plot.grid(rows, _unit(case.images[:6]), clip=99.5)
    caption = f"{case.name}: the first six images under preset {PRESETS[0]}"
    outcome.figure(given.results, _file_name(case.name), caption, figure)


def _draw_curves(
    given: argparse.Namespace, outcome: Outcome, case: Case, curves: Mapping[Key, evaluate.Curve]
) -> None:
    figure, panel = chart()
    for (preset, mode), curve in curves.items():
        if preset in ("", PRESETS[0]):
            curve.plot(panel, mode)
    caption = f"{case.name}: flipping, most relevant first, preset {PRESETS[0]}"
    outcome.figure(given.results, f"{_file_name(case.name)}_flipping", caption, figure)


def _file_name(name: str) -> str:
    return name.lower().replace(", ", "_")


if __name__ == "__main__":
    main()
