"""A table of maps, with images as its first row or column, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, blurred, smoothed
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.panel import Manner, aspect_of, draw_image, draw_map
from lrpkeras.plot.panels import Panels, given_panels, new_panels
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.scale import Scale, read_scale

SCALES = ("row", "map", "all")


@dataclass(frozen=True)
class Cells:
    """The maps of a grid and what stands around them.

    Attributes
    ----------
    maps
        Of each row, (columns, height, width).
    pictures
        The images of the first row, or of the first column; none of them for no such.
    across
        Whether the images are the first row.
    titles
        A text above each panel, images included.
    labels
        A text beside each row of maps.
    """

    maps: list[Maps]
    pictures: list[Maps]
    across: bool
    titles: list[list[str]]
    labels: list[str]

    @property
    def first(self) -> tuple[int, int]:
        """Row and column of the first map."""
        return (int(self.across), int(not self.across)) if self.pictures else (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, images included."""
        return len(self.maps) + self.first[0], len(self.maps[0]) + self.first[1]

    @property
    def aspects(self) -> list[float]:
        """Width over height of what is widest in each row."""
        rows = [aspect_of(maps[0]) for maps in self.maps]
        if not self.pictures:
            return rows
        seen = [aspect_of(picture) for picture in self.pictures]
        return [max(seen), *rows] if self.across else list(map(max, zip(rows, seen, strict=True)))

    def map_panels(self, axes: NDArray[Any]) -> NDArray[Any]:
        """Return the Axes of the maps."""
        return axes[self.first[0] :, self.first[1] :]

    def image_panels(self, axes: NDArray[Any]) -> NDArray[Any]:
        """Return the Axes of the images."""
        return axes[: self.first[0]] if self.across else axes[:, : self.first[1]]

    def scales(self, shared: str, options: dict[str, Any]) -> list[list[Scale]]:
        """Return the scale of each map, row by row."""
        if shared == "all":
            every = np.concatenate([maps.reshape(-1) for maps in self.maps])
            return [[read_scale(every, **options)] * len(maps) for maps in self.maps]
        if shared == "row":
            return [[read_scale(maps, **options)] * len(maps) for maps in self.maps]
        return [[read_scale(one, **options) for one in maps] for maps in self.maps]

    def write(self, panels: Panels) -> None:
        """Write the titles, and the labels beside the rows of maps."""
        for row, titles in enumerate(self.titles):
            panels.write_titles(titles, row)
        for row, label in enumerate(self.labels, self.first[0]):
            panels.write_label(row, label)


def draw_cells(
    cells: Cells,
    shared: str,
    options: dict[str, Any],
    *,
    smooth: float | None,
    colorbar: bool,
    axes: Any,
) -> Drawn:
    """Draw a table, in a new figure or on the caller's Axes.

    Parameters
    ----------
    cells
        What to draw.
    shared
        Which maps share a scale: those of a "row", "all", or each "map" has its own.
    options
        Of `read_scale`.
    smooth, colorbar, axes
        As in `lrpkeras.plot.grid`.
    """
    if not isinstance(shared, str) or shared not in SCALES:
        raise InputError(f"scale is one of {', '.join(map(repr, SCALES))}, not {shared!r}")
    cells = replace(cells, maps=[smoothed(maps, smooth) for maps in cells.maps])
    if axes is None:
        panels, dark = new_panels(*cells.shape, cells.aspects), is_dark()
    else:
        panels = given_panels(axes, *cells.shape)
        dark = is_dark(panels.all[0])
    scales = cells.scales(shared, {"dark": dark, "what": blurred("relevance", smooth), **options})
    for panel, picture in zip(cells.image_panels(panels.axes).flat, cells.pictures, strict=True):
        draw_image(panel, picture)
    for (row, column), panel in np.ndenumerate(cells.map_panels(panels.axes)):
        draw_map(panel, cells.maps[row][column], scales[row][column], Manner())
    cells.write(panels)
    if colorbar:
        _draw_scales(panels, cells, scales, shared)
    panels.finish()
    return Drawn(panels.figure, panels.axes)


def _draw_scales(panels: Panels, cells: Cells, scales: list[list[Scale]], shared: str) -> None:
    """Draw a colour bar for each scale, to the right of the maps that share it."""
    row, column = cells.first
    rows, columns = len(scales), len(scales[0])
    whole = range(column, column + columns)
    if shared == "all":
        panels.draw_scale(scales[0][0], range(row, row + rows), whole)
    elif shared == "row":
        for i in range(rows):
            panels.draw_scale(scales[i][0], range(row + i, row + i + 1), whole)
    else:
        for i, j in np.ndindex(rows, columns):
            at = range(row + i, row + i + 1), range(column + j, column + j + 1)
            panels.draw_scale(scales[i][j], *at)
