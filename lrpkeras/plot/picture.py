"""What drawing returns: a figure unknown to pyplot that notebooks show all the same."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

from matplotlib.figure import Figure, FigureBase, SubFigure


class Picture(Figure):
    """A figure that a notebook shows although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        return as_png(self)


class Drawn(NamedTuple):
    """The figure and its Axes; at the end of a notebook's cell, the picture itself.

    Attributes
    ----------
    figure
        What it was drawn in: `figure.savefig(path)` writes it.
    axes
        One Axes, or an array of them.

    Examples
    --------
    >>> from lrpkeras import plot
    >>> figure, axes = plot.heatmap([[1.0, -1.0]])
    >>> drawn = plot.heatmap([[1.0, -1.0]], axes=axes)
    >>> drawn.figure is figure
    True
    """

    figure: FigureBase
    axes: Any

    def _repr_png_(self) -> bytes | None:
        figure: Any = self.figure
        while isinstance(figure, SubFigure):
            figure = figure.figure
        # A notebook shows the figures of pyplot itself, which would make two of one.
        of_pyplot = figure.canvas.manager is not None
        return None if of_pyplot else as_png(figure)


def as_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
