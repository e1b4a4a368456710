"""A sheet: panels in rows and columns, colour bars beside them, and nothing else around.

matplotlib's own engine leaves bands where maps are not as high as wide, and takes the longer for
each panel the more there are: 300 maps took 30 s of processor time with it, and take 14 s so. Here
panels are as large as the figure lets them be, whatever stands around them, and a new figure is as
large as they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import LayoutEngine
from numpy.typing import NDArray

from lrpkeras.plot.words import CLOSE, Bar, Lines

# Inches.
PANEL, ONLY_PANEL = 2.4, 3.2  # the side of a square one, among others and alone
SMALLEST_PANEL = 1.0
WIDEST_SHEET = 20.0  # beyond it panels shrink
GAP, EDGE = 0.08, 0.06
BAR, LONGEST_BAR = 0.14, 5.0

FILLED = 0.95  # of a panel's width: what titles may take
ROUNDS = 4  # of fitting panels to their titles and titles to their panels

Sizes = NDArray[np.float64]


@dataclass(frozen=True)
class Around:
    """What stands around the panels, in inches: for each column or row, and above them all."""

    left: Sizes
    right: Sizes
    bars: Sizes
    top: Sizes
    bottom: Sizes
    heading: float

    @property
    def width(self) -> float:
        """How much wider a sheet is than its panels together."""
        gaps = GAP * (len(self.left) - 1) + 2 * EDGE
        return float((self.left + self.right + self.bars).sum()) + gaps

    @property
    def height(self) -> float:
        """How much higher a sheet is than its panels together."""
        gaps = GAP * (len(self.top) - 1) + 2 * EDGE
        return float((self.top + self.bottom).sum()) + gaps + self.heading


class Sheet(LayoutEngine):
    """Lays out a figure whenever it is drawn, so that later titles and sizes count, too.

    Parameters
    ----------
    panels
        Axes `(rows, columns)`, None where there is none.
    aspects
        Width over height of the panels, for each row.
    """

    _adjust_compatible = False
    _colorbar_gridspec = False

    def __init__(self, panels: NDArray[Any], aspects: Sizes) -> None:
        super().__init__()
        self.panels, self.aspects = panels, aspects
        self._bars: list[Bar] = []
        self._texts: list[Lines] = []
        self._wide = self.panel_width

    @property
    def panel_width(self) -> float:
        """How wide a panel of a new figure is, in inches; its area is that of a square one."""
        side = ONLY_PANEL if self.panels.size == 1 else PANEL
        wide = side * float(np.sqrt(np.clip(self.aspects.min(), 1 / 9, 9)))
        return min(wide, max(SMALLEST_PANEL, WIDEST_SHEET / self.panels.shape[1]))

    @property
    def panel_heights(self) -> Sizes:
        """How high the panels of a new figure are, for each row, in inches."""
        return self.panel_width / self.aspects

    def new_bar(self, figure: FigureBase, rows: range) -> tuple[Axes, float]:
        """Return new Axes for a colour bar, and how long it will be, in inches."""
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), label="<colorbar>")
        return axes, self._length(rows)

    def add_bar(self, bar: Bar) -> None:
        """Lay out a colour bar, too."""
        self._bars.append(bar)

    def write_title(self, panel: Axes, text: str) -> None:
        """Write a title, in lines that are broken anew whenever the panel's width changes."""
        self._write(Lines(panel.set_title(text, parse_math=False), text, text))

    def write_label(self, panel: Axes, row: int, text: str) -> None:
        """Write a label beside a row, in lines that are broken anew as a title's."""
        self._write(Lines(panel.set_ylabel(text, parse_math=False), text, text, row))

    def _write(self, text: Lines) -> None:
        self._texts.append(self._broken(text))

    def _broken(self, text: Lines) -> Lines:
        wide = self._wide if text.row is None else self._wide / float(self.aspects[text.row])
        return text.broken(FILLED * wide)

    def _length(self, rows: range) -> float:
        """How long a colour bar along some rows is."""
        long = float((self._wide / self.aspects[rows.start : rows.stop]).sum())
        return min(long + GAP * (len(rows) - 1), LONGEST_BAR)

    def fit(self, figure: Figure) -> None:
        """Make a figure as large as its panels and all that now stands around them."""
        for _ in range(2):  # what overhangs a panel is known when that has its size
            around = self._around(figure)
            width = around.width + self.panels.shape[1] * self.panel_width
            figure.set_size_inches(width, around.height + float(self.panel_heights.sum()))
            self._place(figure, around)

    def execute(self, fig: Any) -> None:
        """Place the panels and bars anew, words broken to the sizes that come out."""
        for _ in range(ROUNDS):
            before = self._wide
            self._place(fig, self._around(fig))
            if abs(self._wide - before) < CLOSE * before:
                return
            self._texts = [self._broken(text) for text in self._texts]
            self._bars = [bar.of_length(self._length(bar.rows)) for bar in self._bars]
        self._place(fig, self._around(fig))

    def _place(self, figure: Any, around: Around) -> None:
        """Place the panels and bars in the middle of what room there is."""
        width, height = figure.get_size_inches()
        columns, heights = self.panels.shape[1], 1 / self.aspects
        spare = np.array([width - around.width, height - around.height])
        filled = np.array([columns, heights.sum()])
        self._wide = wide = max(GAP, float((spare / filled).min()))
        left, top = (spare - wide * filled) / 2 + EDGE
        x = left + _starts(np.full(columns, wide), around.left, around.right + around.bars)
        y = top + around.heading + _starts(wide * heights, around.top, around.bottom)
        for (row, column), panel in self._there():
            high = wide * float(heights[row])
            _put(panel, (x[column], height - y[row] - high, wide, high))
        for bar in self._bars:
            room = _margins(bar.axes, original=True)
            start, stop = y[bar.rows[0]], y[bar.rows[-1]] + wide * heights[bar.rows[-1]]
            long = min(stop - start, LONGEST_BAR)
            top, bottom = min(room.top, long / 8), min(room.bottom, long / 8)
            at = x[bar.column] + wide + around.right[bar.column] + GAP + room.left
            _put(bar.axes, (at, height - start - long + bottom, BAR, long - top - bottom))

    def _there(self) -> Iterator[tuple[tuple[int, ...], Axes]]:
        """Yield row and column of each panel, and the panel, unless somebody took it away."""
        for at, panel in np.ndenumerate(self.panels):
            if panel is not None and panel.figure is not None:
                yield at, panel

    def _around(self, figure: Any) -> Around:
        rows, columns = self.panels.shape
        sides = np.zeros((4, rows, columns))
        for (row, column), panel in self._there():
            sides[:, row, column] = _margins(panel)
        # At most half a panel, or a title too long for it would leave it no room at all.
        sides[[LEFT, RIGHT]] = np.minimum(sides[[LEFT, RIGHT]], self._wide / 2)
        bars = np.zeros(columns)
        for bar in self._bars:
            room = _margins(bar.axes, original=True)
            bars[bar.column] = max(bars[bar.column], GAP + room.left + BAR + room.right)
        left, bottom, right, top = sides
        return Around(
            left=left.max(axis=0),
            right=right.max(axis=0),
            bars=bars,
            top=top.max(axis=1),
            bottom=bottom.max(axis=1),
            heading=_heading(figure),
        )


def _starts(sizes: Sizes, before: Sizes, after: Sizes) -> Sizes:
    """Return where each panel starts, one after the other."""
    whole = before + sizes + after + GAP
    starts: Sizes = np.cumsum(whole) - whole + before
    return starts


def _put(axes: Axes, place: tuple[float, float, float, float]) -> None:
    """Place Axes: left, bottom, width and height in inches."""
    figure: Any = axes.figure
    left, bottom, wide, high = place
    width, height = figure.get_size_inches()
    axes.set_position((left / width, bottom / height, wide / width, max(high, GAP) / height))
    axes.set_in_layout(True)  # a place of one's own takes it out


LEFT, RIGHT = 0, 2  # in Margins


class Margins(NamedTuple):
    """How far titles, labels and ticks reach beyond Axes, in inches."""

    left: float
    bottom: float
    right: float
    top: float


def _margins(axes: Axes, original: bool = False) -> Margins:
    """Measure what stands around Axes, or around the place that they were given.

    A colour bar with pointed ends does not fill its place by itself.
    """
    figure: Any = axes.figure
    tight = axes.get_tightbbox(RendererAgg(1, 1, figure.dpi))
    if tight is None:  # invisible
        return Margins(0.0, 0.0, 0.0, 0.0)
    place = axes.get_position(original=True).transformed(figure.transFigure)
    box = place if original else axes.bbox
    beyond = (box.x0 - tight.x0, box.y0 - tight.y0, tight.x1 - box.x1, tight.y1 - box.y1)
    return Margins(*(max(0.0, float(pixels)) / figure.dpi for pixels in beyond))


def _heading(figure: Any) -> float:
    """Return how high the figure's own texts near its upper edge are, in inches."""
    renderer = RendererAgg(1, 1, figure.dpi)
    texts = [text for text in figure.texts if text.get_text() and text.get_position()[1] > 0.9]
    boxes = [text.get_window_extent(renderer) for text in texts]
    return max((box.height / figure.dpi + 2 * GAP for box in boxes), default=0.0)
