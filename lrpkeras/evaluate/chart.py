"""Axes to draw numbers on: a figure of its own, or the caller's."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from lrpkeras.errors import InputError
from lrpkeras.plot.picture import Picture


def chart(axes: Any = None) -> tuple[FigureBase, Axes]:
    """Return a figure and one Axes: the caller's, or new ones."""
    if axes is None:
        figure = Picture(figsize=(6, 4), layout="constrained")
        return figure, figure.subplots()
    if not isinstance(axes, Axes):
        raise InputError(f"axes is one matplotlib Axes, not {type(axes).__name__}.")
    return axes.figure, axes


def drawn_curve(
    panel: Axes,
    at: np.ndarray,
    mean: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
    label: str,
) -> None:
    """Draw a line with a band around it."""
    (line,) = panel.plot(at, mean, marker=".", label=label)
    panel.fill_between(at, *interval, color=line.get_color(), alpha=0.2, linewidth=0)
