"""Maps on Axes: one heatmap, a batch of them, or a grid that compares presets."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError, near_misses
from lrpkeras.plot.arrays import (
    Maps,
    Range,
    ranges,
    read_greys,
    read_maps,
    read_pictures,
    read_rows,
    symmetric_limits,
)

PANEL = 2.4  # inches


def heatmap(
    relevance: ArrayLike,
    image: ArrayLike | None = None,
    *,
    titles: str | Sequence[str] | None = None,
    clip: float | None = None,
    shared_scale: bool = True,
    cmap: str | Colormap = "seismic",
    alpha: float = 0.6,
    colorbar: bool = True,
    columns: int = 8,
    axes: Any = None,
) -> tuple[FigureBase, Any]:
    """Draw relevance as colours: zero is the centre of `cmap`, the range is symmetric.

    Parameters
    ----------
    relevance
        One map, (height, width) or (height, width, channels), or a batch of them,
        (n, height, width, channels). Channels are summed, so that the colours add up to the same
        total as the relevance.
    image
        What was explained: (height, width) or (height, width, 1 or 3), one for all maps or
        (n, ...) one for each. Drawn in grey below the maps, which are stretched over it if their
        sizes differ. Values in [0, 1] or [0, 255] are taken as they are, all others (images
        after preprocessing) are scaled from their own minimum to their maximum.
    titles
        What to write above each map, for instance class names.
    clip
        A percentile in (0, 100] of the nonzero absolute relevance: what lies beyond gets the end
        colours, and the colour bar says so. By default the largest sets the range.
    shared_scale
        Whether all maps of a batch use one range (comparable, one colour bar) or each its own.
    cmap
        A diverging colour map or its matplotlib name.
    alpha
        The opacity of the maps over `image`, in [0, 1].
    colorbar
        Whether to draw colour bars.
    columns
        The most maps in a row of a new figure.
    axes
        Draw here (one Axes, or an array or sequence of n), not in a new figure.

    Returns
    -------
    tuple
        The figure, and the Axes: one for a single map, an array (n,) for a batch.

    Raises
    ------
    lrpkeras.errors.InputError
        Where an array has a wrong rank, is empty, or holds NaN or infinite values, or where the
        numbers of maps, images, titles and axes do not fit.

    Examples
    --------
    >>> figure, axes = heatmap([[0.0, 2.0], [-1.0, 0.0]], titles="tabby")
    >>> axes.images[0].get_clim()
    (-2.0, 2.0)
    """
    maps, is_batch = read_maps(relevance)
    names = _titles(titles, len(maps))
    greys = read_greys(image, len(maps))
    palette = _palette(cmap)
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is an opacity between 0 and 1, not {alpha}")
    limits = ranges(maps, clip, shared_scale)
    figure, panels = _panels(len(maps), columns) if axes is None else _given(axes, len(maps))
    drawn = []
    for i, panel in enumerate(panels):
        extent = None if greys is None else _show_grey(panel, greys[i])
        drawn.append(_show(panel, maps[i], limits[i], palette, extent, alpha))
        if titles is not None:
            panel.set_title(names[i])
    if colorbar and shared_scale:
        _colorbar(figure, drawn[0], list(panels), clip)
    elif colorbar:
        for mappable, panel in zip(drawn, panels, strict=True):
            _colorbar(figure, mappable, [panel], clip)
    return figure, panels if is_batch else panels[0]


def grid(
    rows: Mapping[str, ArrayLike],
    images: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    clip: float | None = None,
    cmap: str | Colormap = "seismic",
    colorbar: bool = True,
) -> tuple[FigureBase, NDArray[np.object_]]:
    """Compare explanations: a column for each image, a row for each way of explaining it.

    The first row holds the images. Each further row has its own symmetric range, shared by its
    maps: rules differ in scale, images explained by one rule can be compared.

    Parameters
    ----------
    rows
        Relevance by row label, each (n, height, width, channels); see `heatmap`.
    images
        (n, height, width, 1 or 3), values as in `heatmap`.
    titles
        n column titles.
    clip, cmap, colorbar
        As in `heatmap`; one colour bar a row.

    Returns
    -------
    tuple
        The figure, and the array of Axes, (1 + number of rows, n).

    Raises
    ------
    lrpkeras.errors.InputError
        As `heatmap`, and where `rows` is empty or a row has another number of maps than there
        are images.

    Examples
    --------
    >>> maps = np.ones((2, 4, 4, 3))
    >>> figure, axes = grid({"epsilon": maps, "z_plus": 9 * maps}, np.zeros((2, 8, 8, 3)))
    >>> axes.shape
    (3, 2)
    """
    pictures = read_pictures(images)
    names = _titles(titles, len(pictures))
    palette = _palette(cmap)
    all_maps = read_rows(rows, len(pictures))
    limits = {label: symmetric_limits(maps, clip) for label, maps in all_maps.items()}
    shape = (1 + len(all_maps), len(pictures))
    figure, panels = _new_figure(*shape)
    for panel, picture, name in zip(panels[0], pictures, names, strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=1)
        panel.set_title(name)
    for line, (label, maps) in zip(panels[1:], all_maps.items(), strict=True):
        for panel, one in zip(line, maps, strict=True):
            mappable = _show(panel, one, limits[label], palette)
        line[0].set_ylabel(label)
        if colorbar:
            _colorbar(figure, mappable, list(line), clip)
    return figure, panels


class Picture(Figure):
    """A figure that a notebook shows although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def _titles(titles: str | Sequence[str] | None, count: int) -> list[str]:
    names = [""] * count if titles is None else [titles] if isinstance(titles, str) else [*titles]
    if len(names) != count:
        raise InputError(f"{len(names)} titles for {count} pictures: give one for each")
    return [str(name) for name in names]


def _palette(cmap: str | Colormap) -> Colormap:
    """Return the colour map with an odd number of colours, so that zero has the centre's own."""
    if isinstance(cmap, str):
        if cmap not in matplotlib.colormaps:
            raise InputError(
                f"no colour map is called {cmap!r}{near_misses(cmap, matplotlib.colormaps)}"
            )
        cmap = matplotlib.colormaps[cmap]
    return cmap.resampled(257)


def _panels(count: int, columns: int) -> tuple[Figure, NDArray[np.object_]]:
    """Return a new figure and an array (count,) of Axes, at most `columns` in a row."""
    if columns < 1:
        raise InputError(f"columns is at least 1, not {columns}")
    width = min(count, columns)
    figure, panels = _new_figure(math.ceil(count / width), width)
    for spare in panels.flat[count:]:
        spare.remove()
    return figure, panels.flat[:count]


def _given(axes: Any, count: int) -> tuple[FigureBase, NDArray[np.object_]]:
    """Return the caller's Axes as an array (count,), with their figure."""
    panels = np.asarray(axes, dtype=object).reshape(-1)
    if len(panels) != count or not all(isinstance(panel, Axes) for panel in panels):
        raise InputError(f"axes must be {count} matplotlib Axes, one for each map")
    for panel in panels:
        _bare(panel)
    return panels[0].figure, panels


def _new_figure(rows: int, columns: int) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure of its own, and its Axes as an array (rows, columns)."""
    figure = Picture(figsize=(PANEL * columns + 1, (PANEL + 0.2) * rows), layout="compressed")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        _bare(panel)
    return figure, panels


def _bare(panel: Axes) -> None:
    """Take ticks and frame away; the axis labels stay, for the rows of a grid."""
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)


def _show_grey(panel: Axes, grey: Maps) -> tuple[float, float, float, float]:
    """Draw the image in grey and return where it lies, for the map to lie there too."""
    return panel.imshow(grey, cmap="gray", vmin=0, vmax=1).get_extent()


def _show(
    panel: Axes,
    values: Maps,
    limits: Range,
    palette: Colormap,
    extent: tuple[float, float, float, float] | None = None,
    alpha: float = 1.0,
) -> AxesImage:
    """Draw one map, opaque unless it lies over an image (has an extent)."""
    return panel.imshow(
        values,
        cmap=palette,
        norm=Normalize(*limits),
        interpolation="nearest",
        extent=extent,
        alpha=None if extent is None else alpha,
    )


def _colorbar(
    figure: FigureBase, mappable: AxesImage, panels: list[Axes], clip: float | None
) -> None:
    """Draw the scale beside the panels; a clipped one has pointed ends and says what it is."""
    clipped = clip is not None and clip < 100
    figure.colorbar(
        mappable,
        ax=panels,
        label=f"relevance, clipped\nat percentile {clip:g} of |R| > 0" if clipped else "relevance",
        extend="both" if clipped else "neither",
        pad=0.02,
        format="%.3g",  # a power of ten set apart would push the rows of a grid out of line
    )
