"""The Axes of a picture: a new sheet of them, or the caller's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.picture import Picture
from lrpkeras.plot.scale import Scale, draw_colorbar
from lrpkeras.plot.sheet import FILLED, Sheet
from lrpkeras.plot.titles import wrapped
from lrpkeras.plot.words import Bar

MARGIN = 1.25  # pixels of the page to a value, below which values are blended


@dataclass(frozen=True)
class Panels:
    """Axes in rows and columns.

    Attributes
    ----------
    figure
        Where they are.
    axes
        `(rows, columns)`; None where a row is not full.
    sheet
        What lays them out; None for Axes of the caller's.
    """

    figure: FigureBase
    axes: NDArray[Any]
    sheet: Sheet | None = None

    @property
    def all(self) -> list[Axes]:
        """All Axes, row by row."""
        return [panel for panel in self.axes.flat if panel is not None]

    def write_titles(self, titles: Sequence[str], row: int | None = None) -> None:
        """Write a title above each panel of a row, or of all, no wider than the panel.

        Titles that are empty leave what is there.
        """
        panels = self.all if row is None else self.axes[row]
        for panel, title in zip(panels, titles, strict=True):
            if title and self.sheet is not None:
                self.sheet.write_title(panel, title)
            elif title:
                font = panel.title.get_fontproperties()
                lines = wrapped(title, FILLED * _width(panel), font)
                panel.set_title("\n".join(lines), parse_math=False)

    def write_label(self, row: int, label: str) -> None:
        """Write a label beside the first panel of a row, in lines no longer than it is high."""
        panel = self.axes[row, 0]
        if self.sheet is not None:
            self.sheet.write_label(panel, row, label)
            return
        font = panel.yaxis.label.get_fontproperties()
        lines = wrapped(label, self._height(row), font)
        panel.set_ylabel("\n".join(lines), parse_math=False)

    def draw_scale(self, scale: Scale, rows: range, columns: range) -> Colorbar:
        """Draw a colour bar to the right of some panels."""
        if self.sheet is None:
            panels = self.axes[rows.start : rows.stop, columns.start : columns.stop].flat
            height = sum(self._height(row) for row in rows)
            return draw_colorbar(
                self.figure, scale, [one for one in panels if one is not None], inches=height
            )
        axes, length = self.sheet.new_bar(self.figure, rows)
        bar = draw_colorbar(self.figure, scale, into=axes, inches=length)
        self.sheet.add_bar(Bar(bar, scale, columns[-1], rows, length))
        return bar

    def finish(self) -> None:
        """Give a new figure the size that all this needs."""
        if self.sheet is not None and isinstance(self.figure, Figure):
            self.sheet.fit(self.figure)
        for panel in self.all:
            _keep_all(panel)

    def _height(self, row: int) -> float:
        panel = self.axes[row, 0]
        return float(panel.get_window_extent().height) / _dpi(panel)


def _width(panel: Axes) -> float:
    """Return how many inches wide the map in a panel is."""
    box = panel.get_window_extent()
    left, right, bottom, top = panel.images[0].get_extent()
    return float(min(box.width, box.height * abs((right - left) / (top - bottom)))) / _dpi(panel)


def _keep_all(panel: Axes) -> None:
    """Blend values smaller than pixels: the nearest one alone would hide its neighbours."""
    box = panel.get_window_extent()
    for drawn in panel.images:
        height, width = drawn.get_size()
        if box.width < MARGIN * width or box.height < MARGIN * height:
            drawn.set_interpolation("antialiased")


def _dpi(panel: Axes) -> float:
    figure: Any = panel.figure
    return float(figure.dpi)


def new_panels(
    rows: int, columns: int, aspects: Sequence[float], count: int | None = None
) -> Panels:
    """Return new Axes of their own figure, in rows of the given aspects (width over height).

    The last row has what is left of `count`.
    """
    figure = Picture()
    axes = figure.subplots(rows, columns, squeeze=False)
    for spare in axes.flat[rows * columns if count is None else count :]:
        spare.remove()
    if count is not None:
        axes.flat[count:] = None
    sheet = Sheet(axes, np.asarray(aspects, dtype=np.float64))
    figure.set_layout_engine(sheet)
    return Panels(figure, axes, sheet)


def given_panels(axes: Any, rows: int, columns: int) -> Panels:
    """Return the caller's Axes, in any shape, or refuse another number of them."""
    panels = given_axes(axes, rows * columns, "one for each map")
    return Panels(panels[0].figure, panels.reshape(rows, columns))


def given_axes(axes: Any, count: int, each: str) -> NDArray[Any]:
    """Return the caller's Axes, (count,): different ones, of one figure.

    Raises
    ------
    lrpkeras.errors.InputError
        Where they are not, saying what `each` of them is for.
    """
    panels = np.asarray(axes, dtype=object).reshape(-1)
    if len(panels) != count or not all(isinstance(panel, Axes) for panel in panels):
        raise InputError(f"axes must be {count} matplotlib Axes, {each}")
    if len({*map(id, panels)}) < count:
        raise InputError(f"axes holds one Axes twice: give {count} different ones, {each}")
    if any(panel.figure is None for panel in panels):
        raise InputError("axes holds one that was removed from its figure: give another")
    if len({id(panel.figure) for panel in panels}) > 1:
        raise InputError("axes must be of one figure, that of the picture")
    return panels
