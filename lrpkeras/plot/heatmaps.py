"""Heatmaps: relevance as colours, alone or over images, one map or many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from numpy.typing import ArrayLike

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, blurred, read_greys, smoothed
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.explained import Explained, Labels, Shown, read_relevance
from lrpkeras.plot.panel import Manner, aspect_of, draw_map, mark_levels
from lrpkeras.plot.panels import Panels, given_panels, new_panels
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.reading import of_samples, read_images
from lrpkeras.plot.scale import Scale, read_scale
from lrpkeras.plot.titles import Titles, read_titles

COLOURS = ("red", "green", "blue")


def heatmap(
    relevance: ArrayLike | Explained,
    image: ArrayLike | None = None,
    *,
    titles: Titles = None,
    labels: Labels | None = None,
    clip: float | None = None,
    smooth: float | None = None,
    shared_scale: bool = True,
    cmap: str | Colormap | None = None,
    signed: bool | None = None,
    alpha: float | None = None,
    contours: int | Sequence[float] | None = None,
    fill: bool = True,
    per_channel: bool | Sequence[str] = False,
    colorbar: bool = True,
    columns: int = 8,
    axes: Any = None,
) -> Drawn:
    """Draw relevance as colours: zero is neutral, red speaks for the class, blue against it.

    Parameters
    ----------
    relevance
        One map, (height, width) or (height, width, channels), or a batch of them,
        (n, height, width, channels); or an `Explanation`, whose maps of several targets and
        conditions of one sample stand side by side. Channels are summed, so that the colours add
        up to the same total as the relevance.
    image
        What was explained: (height, width) or (height, width, 1 or 3), one for all maps or
        (n, ...) one for each (of an explanation, one for each sample). Drawn in grey below the
        maps, which are stretched over it if their sizes differ. Values in [0, 1] or [0, 255], and
        all of type uint8, are taken as they are; all others (images after preprocessing) are scaled
        from the least to the largest value of the whole batch.
    titles
        What to write above each map, long ones in several lines; "" for nothing. Those of an
        explanation are class and logit, and the condition if there is one.
    labels
        Of an explanation: names of the classes, one for each, or a dict by class number.
    clip
        A percentile in (0, 100] of the nonzero absolute relevance: what lies beyond gets the end
        colours, and the colour bar says so. By default the largest sets the range.
    smooth
        The standard deviation, in pixels of the map, of a Gaussian that blurs it and keeps its
        sum; the colour bar says so. Contours of large photos need about 3.
    shared_scale
        Whether all maps use one range (comparable, one colour bar) or each its own.
    cmap
        A matplotlib colour map or its name, in place of ours: diverging, its centre at zero, or,
        with `signed=False`, one that begins at zero.
    signed
        Whether the scale has a half for negative values. By default it has, unless no value is
        negative: then it begins at zero.
    alpha
        The opacity of the maps over an image, in [0, 1]. By default it grows with the relevance:
        what has none shows the image, made pale.
    contours
        Lines of equal relevance: how many, at equal distances from zero to the end of the scale
        (on either side of zero, if it has two), or where, as shares of the end in [-1, 1].
        Negative ones are dashed, or as the rcParams say.
    fill
        Whether to draw colours; False leaves contours alone.
    per_channel
        Whether to draw a map for each channel, not their sum. Three are titled red, green and
        blue, others by number; names may be given in place of True, as for a model that takes
        ("blue", "green", "red").
    colorbar
        Whether to draw colour bars.
    columns
        The most maps in a row of a new figure.
    axes
        Draw here (one Axes, or an array or sequence of as many as there are maps), not in a new
        figure.

    Returns
    -------
    Drawn
        A pair, `figure, axes = heatmap(...)`: the figure, and the Axes, one for a single map, an
        array (n,) for a batch; per channel (channels,) or (n, channels). At the end of a notebook's
        cell it is shown; a script writes it with `figure.savefig("map.png")`.

    Raises
    ------
    lrpkeras.errors.InputError
        Where an array has a wrong rank, is empty, or holds NaN or infinite values, where the
        numbers of maps, images, titles and axes do not fit, or where an option is out of range.

    Examples
    --------
    >>> figure, axes = heatmap([[0.0, 2.0], [-1.0, 0.0]], titles="tabby")
    >>> axes.images[0].get_clim()
    (-2.0, 2.0)
    >>> heatmap([[0.0, 2.0], [1.0, 0.0]], contours=3).axes.images[0].get_clim()
    (0.0, 2.0)
    """
    tiles = _read_tiles(read_relevance(relevance, labels), image, titles, per_channel)
    tiles = replace(tiles, maps=smoothed(tiles.maps, smooth))
    panels = new_tiles(tiles, columns) if axes is None else given_panels(axes, *tiles.rows)
    options: dict[str, Any] = {
        "clip": clip,
        "signed": signed,
        "cmap": cmap,
        "dark": is_dark(None if axes is None else panels.all[0]),
        "what": blurred("relevance", smooth),
    }
    every = [tiles.maps] if shared_scale else tiles.maps
    scales = [read_scale(values, **options) for values in every]
    return draw_tiles(tiles, panels, scales, Manner(alpha, contours, fill), colorbar)


def draw_tiles(
    tiles: Tiles, panels: Panels, scales: list[Scale], manner: Manner, colorbar: bool
) -> Drawn:
    """Draw maps, in one scale or each in its own, with their titles and labels."""
    for i, panel in enumerate(panels.all):
        grey = None if tiles.greys is None else tiles.greys[i]
        draw_map(panel, tiles.maps[i], scales[i % len(scales)], manner, grey)
    tiles.write(panels)
    if colorbar:
        _draw_scales(panels, scales, manner)
    panels.finish()
    return Drawn(panels.figure, tiles.shaped(panels.all))


@dataclass(frozen=True)
class Tiles:
    """Maps and what goes with them, in the order in which they are drawn.

    Attributes
    ----------
    maps
        (count, height, width).
    greys
        An image for each, or None.
    titles, labels
        What stands above each map, and beside each row.
    shape
        Of the array of Axes to return; () for one Axes.
    """

    maps: Maps
    greys: list[Maps] | None
    titles: list[str]
    labels: list[str]
    shape: tuple[int, ...]

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows and columns the maps fill, if a row is as long as it likes."""
        return (self.shape[0], self.shape[1]) if len(self.shape) == 2 else (1, len(self.maps))

    @property
    def aspect(self) -> float:
        """Width over height of what is drawn."""
        return aspect_of(self.maps[0] if self.greys is None else self.greys[0])

    def write(self, panels: Panels) -> None:
        """Write the titles and labels."""
        panels.write_titles(self.titles)
        for row, label in enumerate(self.labels):
            if label:
                panels.write_label(row, label)

    def shaped(self, panels: list[Axes]) -> Any:
        """Return Axes as the caller of `heatmap` gets them."""
        every = np.empty(len(panels), dtype=object)
        every[:] = panels
        return every.reshape(self.shape) if self.shape else panels[0]


def _read_tiles(
    shown: Shown,
    image: ArrayLike | None,
    titles: Titles,
    per_channel: bool | Sequence[str],
) -> Tiles:
    """Read what is drawn, channels summed or apart."""
    arrays, is_batch = read_images(shown, has_photo=image is not None)
    count, height, width, channels = arrays.shape
    greys = read_greys(of_samples(image, shown, shown.times), count)
    names = read_titles(shown.titles if titles is None else titles, count)
    if not isinstance(per_channel, bool | np.bool_) or per_channel:
        above = _channel_names(per_channel, channels)
        maps = arrays.transpose(0, 3, 1, 2).reshape(-1, height, width)
        greys = None if greys is None else [grey for grey in greys for _ in range(channels)]
        shape = (count, channels) if is_batch else (channels,)
        return Tiles(maps, greys, above + [""] * (len(maps) - channels), names, shape)
    return Tiles(arrays.sum(axis=-1), greys, names, [], (count,) if is_batch else ())


def _channel_names(per_channel: bool | Sequence[str], count: int) -> list[str]:
    """Return a title for each channel."""
    if isinstance(per_channel, bool | np.bool_):
        usual = {1: [""], 3: list(COLOURS)}
        return usual.get(count, [f"channel {number}" for number in range(count)])
    if isinstance(per_channel, str) or not isinstance(per_channel, Sequence):
        raise InputError(f"per_channel is True, False or a list of names, not {per_channel!r}")
    if len(per_channel) != count:
        raise InputError(f"per_channel has {len(per_channel)} names for {count} channels")
    return [str(name) for name in per_channel]


def new_tiles(tiles: Tiles, columns: int = 8) -> Panels:
    """Return Axes of a new figure, at most `columns` in a row where rows may be broken."""
    if not isinstance(columns, Integral) or columns < 1:
        raise InputError(f"columns is a whole number of at least 1, not {columns!r}")
    rows, width = tiles.rows
    if rows == 1 and len(tiles.shape) < 2:
        width = min(width, int(columns))
        rows = math.ceil(len(tiles.maps) / width)
    return new_panels(rows, width, [tiles.aspect] * rows, len(tiles.maps))


def _draw_scales(panels: Panels, scales: list[Scale], manner: Manner) -> None:
    """Draw one colour bar beside all panels, or one beside each."""
    rows, columns = panels.axes.shape
    if len(scales) == 1:
        mark_levels(panels.draw_scale(scales[0], range(rows), range(columns)), scales[0], manner)
        return
    for i, scale in enumerate(scales):
        row, column = divmod(i, columns)
        bar = panels.draw_scale(scale, range(row, row + 1), range(column, column + 1))
        mark_levels(bar, scale, manner)
