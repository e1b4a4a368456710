"""What explanations should cost, and whether they do.

Times are ratios to the tape gradient of the same rounds, batch 4, unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import fresh, spread, ways
from benchmarks.peers import client
from benchmarks.results import Results

BATCH = 4
MODELS = ("VGG16", "ResNet50")
Value = Callable[[Results, str], float | None]


@dataclass(frozen=True)
class Target:
    """A limit for each network, how the value is found, and whether it should be large."""

    what: str
    limits: dict[str, float]
    value: Value
    at_least: bool = False
    unit: str = ""

    def met(self, model: str, value: float) -> bool:
        """Whether a value is within the network's limit."""
        limit = self.limits[model]
        return value >= limit if self.at_least else value <= limit


def of_times(what: str, base: str) -> Value:
    """Return the median ratio of two ways' times at batch 4."""

    def value(found: Results, model: str) -> float | None:
        cell = found.get("times", model, BATCH)
        seconds = cell["seconds"] if cell else {}
        if what not in seconds or base not in seconds:
            return None
        return spread.ratio(seconds[what], seconds[base]).median

    return value


def _first_call(found: Results, model: str) -> float | None:
    cell = found.get("fresh", model, "epsilon_plus_flat")
    return cell["build"] + cell["first_call"] if cell else None


def _ten_classes(found: Results, model: str) -> float | None:
    cell = found.get("classes", model)
    if cell is None:
        return None
    return spread.of_pair(cell["seconds"]).median


def memory_of(what: str) -> Value:
    """Return a process's peak memory in that of a process with the tape gradient."""

    def value(found: Results, model: str) -> float | None:
        cells = [found.get("fresh", model, way) for way in (what, ways.GRADIENT)]
        peaks = [fresh.peak(cell) for cell in cells if cell]
        return peaks[0] / peaks[1] if len(peaks) == 2 and all(peaks) else None

    return value


def _both(vgg16: float, resnet50: float) -> dict[str, float]:
    return dict(zip(MODELS, (vgg16, resnet50), strict=True))


PLUS_FLAT = "epsilon_plus_flat"
TARGETS = (
    Target("epsilon", _both(1.10, 1.05), of_times("epsilon", ways.GRADIENT)),
    Target(PLUS_FLAT, _both(1.40, 1.50), of_times(PLUS_FLAT, ways.GRADIENT)),
    Target(
        "epsilon_alpha2_beta1_flat",
        _both(1.90, 2.00),
        of_times("epsilon_alpha2_beta1_flat", ways.GRADIENT),
    ),
    Target("epsilon_gamma_box", _both(1.60, 1.90), of_times("epsilon_gamma_box", ways.GRADIENT)),
    Target(
        "zennit's time / ours, epsilon_plus_flat",
        _both(3.0, 3.5),
        of_times(client.ZENNIT[0], PLUS_FLAT),
        at_least=True,
    ),
    Target(
        "iNNvestigate's time / ours, preset_a_flat",
        {"VGG16": 1.7},
        of_times(client.INNVESTIGATE, ways.PRESET_A_FLAT),
        at_least=True,
    ),
    Target("build + first call, epsilon_plus_flat", {"ResNet50": 12.0}, _first_call, unit=" s"),
    Target("ten classes at once / ten calls, epsilon_plus_flat", _both(0.45, 0.45), _ten_classes),
    *(
        Target(f"peak memory, {what}, batch 16", _both(1.25, 1.25), memory_of(what))
        for what in ("epsilon", PLUS_FLAT)
    ),
    Target(
        "epsilon_plus_flat in bfloat16 / float32 gradient",
        {"VGG16": 0.8},
        of_times(ways.BFLOAT16, ways.GRADIENT),
    ),
)


def rows(found: Results) -> list[tuple[str, ...]]:
    """Return the table: what, then each network's target, and the measured value with a verdict."""
    return [
        (target.what, *(cell for model in MODELS for cell in _judged(target, model, found)))
        for target in TARGETS
    ]


def _judged(target: Target, model: str, found: Results) -> tuple[str, str]:
    if model not in target.limits:
        return "", ""
    limit = f"{'≥' if target.at_least else '≤'} {target.limits[model]:.2f}{target.unit}"
    value = target.value(found, model)
    if value is None:
        return limit, "not measured"
    verdict = "pass" if target.met(model, value) else "**miss**"
    return limit, f"{value:.2f}{target.unit}, {verdict}"
