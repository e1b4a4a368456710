"""Measures as drawings: where dots, lines and bands of an SVG picture lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from lrpkeras.report.measures import Chart, Line, Number
from lrpkeras.report.words import number_in_words

WIDTH, EDGE = 240, 6  # of a strip, in units of the picture
HEIGHTS = (12.0, 7.0, 17.0, 9.5, 14.5)  # dots next to each other lie at different ones


@dataclass(frozen=True)
class Strip:
    """A measure's samples as dots on a line.

    Attributes
    ----------
    number
        The measure.
    interval
        In words.
    dots
        Where each sample's dot is.
    band
        Where the interval begins, and how wide it is; None where there is none.
    mean, chance
        Where their lines are; None where there is no chance.
    low, high
        The smallest and the largest number, in words.
    """

    number: Number
    interval: str
    dots: list[tuple[float, float]]
    band: tuple[float, float] | None
    mean: float
    chance: float | None
    low: str
    high: str


def strip(number: Number) -> Strip:
    """Return a measure as a strip."""
    values = np.array([value for value in number.values if math.isfinite(value)])
    chance = None if number.chance is None or not math.isfinite(number.chance) else number.chance
    known = [*values, *([] if chance is None else [chance])]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)

    def x(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)

    has_interval = math.isfinite(number.low)
    ends = f"{number_in_words(number.low)} to {number_in_words(number.high)}"
    heights = (HEIGHTS[i % len(HEIGHTS)] for i in range(len(values)))
    return Strip(
        number,
        ends if has_interval else _why_none(number),
        list(zip(map(x, np.sort(values)), heights, strict=True)),
        (x(number.low), round(x(number.high) - x(number.low), 1)) if has_interval else None,
        x(number.mean) if math.isfinite(number.mean) else WIDTH / 2,
        None if chance is None else x(chance),
        number_in_words(low, 3),
        number_in_words(high, 3),
    )


def _why_none(number: Number) -> str:
    """Return why a measure has no interval."""
    lacking = sum(not math.isfinite(value) for value in number.values)
    if lacking:
        return f"– ({lacking} of {len(number.values)} samples have no finite value)"
    return "– (one sample)" if len(number.values) == 1 else "–"


@dataclass(frozen=True)
class Axis:
    """From values to places in a picture.

    Attributes
    ----------
    ticks
        Round numbers, rising.
    low, high
        What lies at either end.
    start, end
        Where these are.
    """

    ticks: tuple[float, ...]
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value is."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Where ticks are, and their texts."""
        within = [tick for tick in self.ticks if self.low <= tick <= self.high]
        return [(self(tick), number_in_words(tick, 3)) for tick in within]


@dataclass(frozen=True)
class Path:
    """A line as SVG has it: the points of its parts, between gaps, and those around its band."""

    name: str
    parts: list[str]
    band: str


@dataclass(frozen=True)
class Drawing:
    """A chart: its axes and lines, in a picture of fixed size."""

    name: str
    along: str
    x: Axis
    y: Axis
    lines: list[Path]
    width: int = 420
    height: int = 260


def drawing(chart: Chart) -> Drawing:
    """Return a chart with everything in its place."""
    heights = [n for line in chart.lines for part in (line.mean, line.low, line.high) for n in part]
    at = [n for line in chart.lines for n in line.at]
    rows, columns = _ticks([n for n in heights if math.isfinite(n)]), _ticks(at)
    x = Axis(columns, min(at), max(at), 54, 408)
    y = Axis(rows, rows[0], rows[-1], 218, 10)
    return Drawing(chart.name, chart.along, x, y, [_path(line, x, y) for line in chart.lines])


def _path(line: Line, x: Axis, y: Axis) -> Path:
    mean = [_points(*part, x, y) for part in _parts(line)]
    if not all(map(math.isfinite, (*line.low, *line.high))):
        return Path(line.name, mean, "")
    around = _points((*line.at, *line.at[::-1]), (*line.low, *line.high[::-1]), x, y)
    return Path(line.name, mean, around)


def _parts(line: Line) -> Iterator[tuple[Sequence[float], Sequence[float]]]:
    """Yield what lies between positions of which nothing is known: positions and values."""
    known = [False, *map(math.isfinite, line.mean), False]
    ends = np.flatnonzero(np.diff(known))
    for start, end in ends.reshape(-1, 2):
        yield line.at[start:end], line.mean[start:end]


def _points(at: Sequence[float], values: Sequence[float], x: Axis, y: Axis) -> str:
    return " ".join(f"{x(a)},{y(value)}" for a, value in zip(at, values, strict=True))


def _ticks(values: Sequence[float]) -> tuple[float, ...]:
    """Return round numbers from below the smallest value to above the largest one."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return tuple(map(float, MaxNLocator(5).tick_values(low, high)))
