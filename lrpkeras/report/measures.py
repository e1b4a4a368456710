"""Measures of maps as a page shows them: means with intervals, numbers of samples, curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lrpkeras.errors import InputError


@runtime_checkable
class Measured(Protocol):
    """What `lrpkeras.evaluate.Measure` has: a number for each sample."""

    name: str
    values: NDArray
    chance: NDArray | None

    @property
    def mean(self) -> Any:
        """The mean over samples."""

    def interval(self) -> tuple[Any, Any]:
        """Return the ends of its interval."""


@runtime_checkable
class Followed(Protocol):
    """What `lrpkeras.evaluate.Curve` has: numbers at several positions."""

    name: str
    at: NDArray
    values: NDArray
    along: str

    @property
    def mean(self) -> Any:
        """The mean over samples, at each position."""

    @property
    def area(self) -> Measured:
        """The area under each sample's curve."""

    def interval(self) -> tuple[Any, Any]:
        """Return the ends of its intervals."""


@dataclass(frozen=True)
class Number:
    """One measure.

    Attributes
    ----------
    name
        What is measured.
    mean, low, high
        The mean over samples, and the ends of its 95 % interval; NaN of a single sample.
    chance
        What a map without knowledge gets, on average; None where that is not known.
    values
        Of each sample.
    """

    name: str
    mean: float
    low: float
    high: float
    chance: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """A curve of a chart: its mean, and the ends of the interval at each position."""

    name: str
    at: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """Curves over the same positions."""

    name: str
    along: str
    lines: tuple[Line, ...]


def results(measures: Any) -> dict[str, Any]:
    """Return results by name: of a dict, a list, or a single one.

    Raises
    ------
    InputError
        If one of them is none of `lrpkeras.evaluate`.
    """
    if measures is None:
        return {}
    if not isinstance(measures, Mapping):
        listed = list(measures) if isinstance(measures, list | tuple) else [measures]
        measures = {str(getattr(one, "name", type(one).__name__)): one for one in listed}
        if len(measures) < len(listed):
            raise InputError("Two measures have one name: give a dict {name: measure}.")
    for name, one in measures.items():
        if not numbers(one):
            raise InputError(
                f"measures[{name!r}] is {one!r}: give what a function of lrpkeras.evaluate returns."
            )
    return {str(name): one for name, one in measures.items()}


def numbers(result: Any) -> dict[str, Measured]:
    """Return the numbers of each sample that a result comes to, by an ending of its name."""
    if hasattr(result, "curves"):
        both = {"most", "random"} <= set(result.curves)
        return {" gap": result.gap} if both else {" area": result.area}
    if isinstance(result, Followed):
        return {" area": result.area}
    if isinstance(result, Measured):
        return {"": result}
    return {"": result.change} if hasattr(result, "change") else {}


def read_numbers(found: Mapping[str, Any]) -> list[Number]:
    """Return one line for each measure."""
    return [
        _number(f"{name}{ending}", one)
        for name, result in found.items()
        for ending, one in numbers(result).items()
    ]


def _number(name: str, one: Measured) -> Number:
    low, high = map(float, one.interval())
    chance = None if one.chance is None else float(np.mean(one.chance))
    return Number(name, float(one.mean), low, high, chance, tuple(map(float, one.values)))


def read_charts(found: Mapping[str, Any]) -> list[Chart]:
    """Return a chart for each result with curves."""
    charts = []
    for name, result in found.items():
        curves = getattr(result, "curves", {"": result} if isinstance(result, Followed) else {})
        if curves:
            along = next(iter(curves.values())).along
            charts.append(Chart(name, along, tuple(_lines(curves))))
    return charts


def _lines(curves: Mapping[str, Followed]) -> Iterable[Line]:
    for name, curve in curves.items():
        low, high = curve.interval()
        yield Line(name, *map(_floats, (curve.at, curve.mean, low, high)))


def _floats(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, values))
