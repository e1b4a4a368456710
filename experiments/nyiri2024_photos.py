"""Sections 4 and 5: retention by inputs and pixels, figures 12 to 21, on photos of ImageNet.

MobileNet 0.25 decides in place of VGG16, VGG19 and ResNet50. "Other inputs are set to 0" (section
4.2), which the paper also calls black. MobileNet takes `x / 127.5 - 1`: black is -1 there, and 0 a
medium grey. Verdicts are about black; the literal 0 stands beside.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import keras
import numpy as np

import lrpkeras
from experiments import data
from experiments import nyiri2024_methods as methods
from experiments.nyiri2024_methods import R_LRP, count, listed
from experiments.outcome import Outcome, above, shown
from lrpkeras.evaluate import Curve, Measure

BLACK, GREY = -1.0, 0.0
# What is kept, by what, and what stands in place of the rest.
WAYS: dict[str, dict[str, Any]] = {
    "inputs": {"unit": "input", "fill": BLACK},
    "inputs, absolute": {"unit": "input", "absolute": True, "fill": BLACK},
    "pixels, absolute": {"unit": "pixel", "absolute": True, "fill": BLACK},
    "inputs, literal 0": {"unit": "input", "fill": GREY},
    "pixels, absolute, literal 0": {"unit": "pixel", "absolute": True, "fill": GREY},
}
Key = tuple[str, str]
OURS = (R_LRP, "left out")
QUICK = ("LRP-0", "ε = 0.01", R_LRP)


def run(given: argparse.Namespace, outcome: Outcome) -> None:
    """Explain the photos by every method, keep parts of them, and hold claims against that."""
    images = data.photos(given.data, count(given, 100, 6)).images
    x, model = (images / 127.5 - 1).astype("float32"), data.mobilenet(given.data)
    judge = lrpkeras.Analyzer(model, "epsilon")
    curves: dict[str, dict[Key, Curve]] = {way: {} for way in WAYS}
    few, seconds, lost = {}, {}, {}
    for key in methods.variants(given):
        if given.quick and key[0] not in QUICK:
            continue
        maps, seconds[key] = _explained(model, x, key)
        few[key], lost[key] = maps[:6], int((maps == 0).all(axis=(1, 2, 3)).sum())
        for way, how in WAYS.items():
            if key[1] == "left out" or "literal" not in way:
                curves[way][key] = methods.retention(judge, x, maps, **how, **_shares(way, key))
    for way, found in curves.items():
        methods.table(outcome, f"Photos, MobileNet: accuracy over {way} kept", found)
    rows = [[*key, str(number)] for key, number in lost.items()]
    outcome.table("Photos: maps that are not finite", ["method", "biases", "maps"], rows)
    _claims(outcome, curves)
    _zero(outcome, curves["inputs"])
    _absolute(outcome, curves)
    _fills(outcome, curves)
    _speed(outcome, seconds)
    _figures(given, outcome, x, few, curves)


def _shares(way: str, key: Key) -> dict[str, Any]:
    """Return small percentages for what stands beside the verdicts."""
    return methods.shares("kept" if "literal" in way else key[1])


def _explained(model: keras.Model, x: np.ndarray, key: Key) -> tuple[np.ndarray, Measure]:
    """Return maps, and the seconds that each of a few calls took."""
    analyzer = methods.analyzer(model, *key)
    maps, seconds, batch = methods.maps_of(analyzer, x), [], x[:32]
    np.asarray(analyzer(batch))  # compiles
    for _ in range(7):
        start = time.perf_counter()
        np.asarray(analyzer(batch))
        seconds.append((time.perf_counter() - start) / len(batch))
    return maps, Measure("seconds of an image", np.array(seconds))


def _claims(outcome: Outcome, curves: dict[str, dict[Key, Curve]]) -> None:
    compare = partial(methods.compare, outcome)
    compare(
        "section 4.3, figure 13",
        "With 15 % of the inputs, R-LRP outperforms all the other methods (0.81 against 0.62)",
        "accuracy with 15 % of the inputs",
        curves["inputs"],
        methods.at(15),
    )
    compare(
        "section 4.4, figure 15",
        "Absolute values: R-LRP gives better results than the other methods",
        "accuracy up to 25 % of the inputs",
        curves["inputs, absolute"],
        methods.small,
    )
    compare(
        "sections 4.5 and 5.1, figures 17 and 19",
        "By pixels, absolute values: R-LRP is better than all others for small percentages",
        "accuracy up to 25 % of the pixels",
        curves["pixels, absolute"],
        methods.small,
    )


def _zero(outcome: Outcome, signed: dict[Key, Curve]) -> None:
    """Tell whether LRP-0 is behind the methods that are to mend it."""
    found = methods.of(signed, methods.small, "left out")
    less = {name: one.minus(found["LRP-0"]) for name, one in found.items() if name[0] in "γαR"}
    floor = methods.is_floor(found.values())
    outcome.claim(
        "section 1.3, figure 5",
        "With deeper networks and photos, the result of LRP-0 is quite disappointing",
        "not tested" if floor else methods.verdict(map(above, less.values())),
        f"{methods.AT_FLOOR}; "
        * floor
        + f"accuracy up to 25 % of the inputs: LRP-0 {shown(found['LRP-0'])}; more than LRP-0 have "
        f"{listed(less)} (reproduced: all of these; partly: more than half)",
    )


def _absolute(outcome: Outcome, curves: dict[str, dict[Key, Curve]]) -> None:
    """Compare ways to keep, R-LRP alone, and look at LRP-epsilon and at a single percent."""
    signed, absolute, pixels = (curves[way] for way in list(WAYS)[:3])
    rise = signed[OURS].value_at(99).minus(signed[OURS].value_at(80))
    outcome.claim(
        "section 4.4, figure 13",
        "Signed, the scores increase sharply after 80 %: negative contributions are significant",
        "reproduced"
        if rise.interval()[0] > 0.05
        else "partly"
        if above(rise)
        else "not reproduced",
        f"R-LRP, accuracy at 99 % less that at 80 % of the inputs: {shown(rise)} (reproduced: more "
        "than 0.05; partly: more than 0)",
    )
    both = [methods.small(one[OURS]) for one in (signed, absolute)]
    less, floor = both[0].minus(both[1]), methods.is_floor(both)
    outcome.claim(
        "section 4.4, figures 13 and 15",
        "For small percentages, absolute values are worse than signed ones (R-LRP)",
        "not tested" if floor else "reproduced" if above(less) else "not reproduced",
        f"{methods.AT_FLOOR}; " * floor
        + f"accuracy up to 25 % of the inputs, signed less absolute: {shown(less)}",
    )
    away = methods.whole(pixels[OURS]).minus(methods.whole(absolute[OURS]))
    outcome.claim(
        "section 4.5, figure 17",
        "Pixels give similar results as inputs (absolute values, R-LRP)",
        "reproduced" if max(map(abs, away.interval())) < 0.1 else "not reproduced",
        f"mean accuracy over all percentages, pixels less inputs: {shown(away)} (reproduced: "
        "within 0.1)",
    )
    _worst(outcome, pixels)


def _worst(outcome: Outcome, pixels: dict[Key, Curve]) -> None:
    at_25 = methods.of(pixels, methods.at(25), "left out")
    order = sorted(at_25, key=lambda name: at_25[name].mean)
    less = {
        f"{name}, {other}": at_25[other].minus(at_25[name])
        for name in order
        for other in order
        if name.startswith("ε") and other[0] in "γαR"
    }
    outcome.claim(
        "section 5.1",
        "LRP-ε gives the worst results, an accuracy around 2.5 % with 25 % of the pixels (VGG16)",
        "not tested"
        if methods.is_floor(at_25.values())
        else methods.verdict(map(above, less.values())),
        f"accuracy with 25 % of the pixels, the worst first: "
        f"{listed({name: at_25[name] for name in order})}; of two methods, the latter less the "
        f"former: {listed(less)} (reproduced: all above 0; partly: more than half; not tested: all "
        "methods below 0.02)",
    )
    one = methods.of(pixels, methods.at(1), "left out")
    outcome.claim(
        "section 5.1",
        "With 1 % of the pixels the accuracy is very low, a little more than one in a thousand",
        "reproduced" if all(found.mean < 0.02 for found in one.values()) else "not reproduced",
        f"accuracy with 1 % of the pixels: {listed(one)} (reproduced: all below 0.02)",
    )


def _fills(outcome: Outcome, curves: dict[str, dict[Key, Curve]]) -> None:
    """Tell what differs where 0 is taken by its word."""
    rows, words = [], []
    for way in ("inputs", "pixels, absolute"):
        black, grey = curves[way], curves[f"{way}, literal 0"]
        gains = {
            fill: methods.gains(methods.of(found, methods.small, "left out"))
            for fill, found in (("black", black), ("grey", grey))
        }
        rows += [
            [way, method, *(shown(methods.small(found[method, bias])) for found in (black, grey))]
            for method, bias in grey
        ]
        won = {
            fill: sum(above(one) is True for one in found.values()) for fill, found in gains.items()
        }
        words.append(
            f"{way}: with black better than {won['black']} of {len(gains['black'])} methods, with "
            f"0 than {won['grey']}; R-LRP with 0 less {listed(gains['grey'])}"
        )
        same = won["black"] == won["grey"]
        words[-1] += "" if same else " (the fill decides)"
    title = "Photos, MobileNet: accuracy up to 25 %, the rest black (-1) or 0, a medium grey"
    outcome.table(title, ["kept", "method", "black", "literal 0"], rows)
    better = [
        above(one)
        for way in ("inputs", "pixels, absolute")
        for one in methods.gains(
            methods.of(curves[f"{way}, literal 0"], methods.small, "left out")
        ).values()
    ]
    outcome.claim(
        "sections 4.2 and 5, by the word",
        "With other inputs set to 0, R-LRP is better than all others for small percentages",
        methods.verdict(better),
        "; ".join(words),
    )


def _speed(outcome: Outcome, seconds: dict[Key, Measure]) -> None:
    found = {name: one for (name, bias), one in seconds.items() if bias == "left out"}
    rows = [[*key, shown(Measure("", 1000 * one.values), 2)] for key, one in seconds.items()]
    heads = ["method", "biases", "milliseconds of a photo"]
    outcome.table("MobileNet: seven calls with up to 32 photos each", heads, rows)
    outcome.claim(
        "section 2.1",
        "Calculations are lighter and therefore faster",
        methods.verdict(above(one) for one in methods.gains(found, -1).values()),
        "seconds of a photo that the others take more than R-LRP: "
        + ", ".join(f"{n} {shown(one, 4)}" for n, one in methods.gains(found, -1).items()),
    )


def _figures(
    given: argparse.Namespace,
    outcome: Outcome,
    x: np.ndarray,
    few: dict[Key, np.ndarray],
    curves: dict[str, dict[Key, Curve]],
) -> None:
    figure, panels = methods.panels(3)
    for panel, way in zip(panels, WAYS, strict=False):
        for (method, bias), curve in curves[way].items():
            if bias == "left out":
                curve.plot(panel, method)
        panel.set_title(way)
    caption = "Photos: accuracy over what is kept, biases left out (figures 13, 15, 17, 19, 21)"
    outcome.figure(given.results, "photos", caption, figure)
    caption = "Photos, biases left out (figures 12, 14, 16, 18)"
    maps = methods.drawn_maps((x + 1) / 2, few)
    outcome.figure(given.results, "photos_maps", caption, maps)
