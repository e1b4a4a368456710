"""Maps on Axes: one heatmap, a batch of them, or a grid that compares presets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, read_greys, read_maps, read_pictures, read_rows
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.picture import Drawn, Picture
from lrpkeras.plot.scale import Scale, draw_colorbar, read_scale
from lrpkeras.plot.titles import read_titles, set_title

PANEL = 2.4  # inches
FILLED = 0.85  # of a panel's width: what titles may take
LINE = 0.2  # inches: the height of one more line of a title


def heatmap(
    relevance: ArrayLike,
    image: ArrayLike | None = None,
    *,
    titles: str | Sequence[str] | None = None,
    clip: float | None = None,
    shared_scale: bool = True,
    cmap: str | Colormap | None = None,
    signed: bool | None = None,
    alpha: float = 0.6,
    colorbar: bool = True,
    columns: int = 8,
    axes: Any = None,
) -> Drawn:
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
        What to write above each map, for instance class names; long ones are broken into lines.
    clip
        A percentile in (0, 100] of the nonzero absolute relevance: what lies beyond gets the end
        colours, and the colour bar says so. By default the largest sets the range.
    shared_scale
        Whether all maps of a batch use one range (comparable, one colour bar) or each its own.
    cmap
        A matplotlib colour map or its name, in place of ours: diverging, its centre at zero, or,
        with `signed=False`, one that begins at zero.
    signed
        Whether the scale has a half for negative values. By default it has, unless no value is
        negative: then it begins at zero.
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
    Drawn
        A pair, `figure, axes = heatmap(...)`: the figure, and the Axes, one for a single map, an
        array (n,) for a batch. At the end of a notebook's cell it is shown; a script writes it with
        `figure.savefig("map.png")`.

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
    names = read_titles(titles, len(maps))
    greys = read_greys(image, len(maps))
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise InputError(f"alpha is an opacity between 0 and 1, not {alpha!r}")
    figure, panels = _panels(len(maps), columns) if axes is None else _given(axes, len(maps))
    dark = is_dark(None if axes is None else panels[0])
    shared = [maps] * len(maps) if shared_scale else list(maps[:, np.newaxis])
    scales = [read_scale(one, clip=clip, signed=signed, cmap=cmap, dark=dark) for one in shared]
    for i, panel in enumerate(panels):
        extent = None if greys is None else _show_grey(panel, greys[i])
        _show(panel, maps[i], scales[i], extent, alpha)
    if titles is not None:
        _write_titles(figure, panels, names)
    if colorbar and shared_scale:
        draw_colorbar(figure, scales[0], list(panels))
    elif colorbar:
        for scale, panel in zip(scales, panels, strict=True):
            draw_colorbar(figure, scale, [panel])
    return Drawn(figure, panels if is_batch else panels[0])


def grid(
    rows: Mapping[str, ArrayLike],
    images: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    clip: float | None = None,
    cmap: str | Colormap | None = None,
    colorbar: bool = True,
) -> Drawn:
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
        n column titles; long ones as in `heatmap`.
    clip, cmap, colorbar
        As in `heatmap`; one colour bar a row.

    Returns
    -------
    Drawn
        As `heatmap`: the figure, and the array of Axes, (1 + number of rows, n).

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
    names = read_titles(titles, len(pictures))
    all_maps = read_rows(rows, len(pictures))
    dark = is_dark()
    shape = (1 + len(all_maps), len(pictures))
    figure, panels = _new_figure(*shape)
    for panel, picture in zip(panels[0], pictures, strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=1)
    _write_titles(figure, panels[0], names)
    for line, (label, maps) in zip(panels[1:], all_maps.items(), strict=True):
        scale = read_scale(maps, clip=clip, cmap=cmap, dark=dark)
        for panel, one in zip(line, maps, strict=True):
            _show(panel, one, scale)
        line[0].set_ylabel(label)
        if colorbar:
            draw_colorbar(figure, scale, list(line))
    return Drawn(figure, panels)


def _panels(count: int, columns: int) -> tuple[Figure, NDArray[np.object_]]:
    """Return a new figure and an array (count,) of Axes, at most `columns` in a row."""
    if not isinstance(columns, Integral) or columns < 1:
        raise InputError(f"columns is a whole number of at least 1, not {columns!r}")
    width = min(count, int(columns))
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


def _write_titles(figure: FigureBase, panels: NDArray[np.object_], names: Sequence[str]) -> None:
    """Write titles that do not reach the next panel; a figure of ours grows by their lines."""
    ours = isinstance(figure, Picture)
    lines = [
        set_title(panel, name, FILLED * _width(panel, ours))
        for panel, name in zip(panels, names, strict=True)
    ]
    if isinstance(figure, Picture):
        rows = len({panel.get_subplotspec().rowspan.start for panel in panels})
        figure.set_figheight(figure.get_figheight() + LINE * rows * (max(lines) - 1))


def _width(panel: Axes, ours: bool) -> float:
    """Return how many inches wide the picture in a panel is, of which the longer side fits in."""
    left, right, bottom, top = panel.images[0].get_extent()
    aspect = abs((right - left) / (top - bottom))
    if ours:
        return PANEL * min(1.0, aspect)
    box = panel.get_window_extent()
    return min(box.width, box.height * aspect) / panel.figure.dpi


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
    scale: Scale,
    extent: tuple[float, float, float, float] | None = None,
    alpha: float = 1.0,
) -> AxesImage:
    """Draw one map, opaque unless it lies over an image (has an extent)."""
    return panel.imshow(
        values,
        cmap=scale.cmap,
        norm=scale.norm,
        interpolation="nearest",
        extent=extent,
        alpha=None if extent is None else alpha,
    )
