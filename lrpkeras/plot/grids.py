"""Grids of heatmaps: images by explanations, or images by classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.colors import Colormap
from numpy.typing import ArrayLike

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, read_pictures
from lrpkeras.plot.cells import Cells, draw_cells
from lrpkeras.plot.explained import Explained, Labels, Shown, read_relevance, read_several
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.reading import of_samples, read_images
from lrpkeras.plot.titles import Titles, read_titles


def grid(
    rows: Mapping[str, ArrayLike | Explained] | Explained,
    images: ArrayLike | None = None,
    *,
    titles: Titles = None,
    labels: Labels | None = None,
    scale: str = "row",
    clip: float | None = None,
    smooth: float | None = None,
    signed: bool | None = None,
    cmap: str | Colormap | None = None,
    colorbar: bool = True,
    axes: Any = None,
) -> Drawn:
    """Compare explanations: images by ways of explaining them, or images by classes.

    With `rows` as a dict there is a column for each image, a row for each way of explaining it, and
    a first row that holds the images. A dict of explanations of one image for several targets is
    the matrix of presets by classes of González 2020, figures 6 and 7. With one explanation there
    is a row for each image, a column for each of its targets, and a first column of images.

    Parameters
    ----------
    rows
        Relevance by row label: arrays (n, height, width, channels) or explanations; or one
        explanation. Maps of several targets of one sample stand side by side.
    images
        (n, height, width, 1 or 3), or one for all columns; values as in `heatmap`. None for none.
    titles
        Titles of the columns of maps; long ones as in `heatmap`, "" for none. Those of explanations
        are class and logit: above the columns where all rows agree, else above each map.
    labels
        Of explanations: names of the classes, one for each, or a dict by class number.
    scale
        Which maps share a range: "row" (rules differ in scale, images explained by one rule can be
        compared; of one explanation: the classes of an image), "map" (each its own) or "all".
    clip, smooth, signed, cmap
        As in `heatmap`.
    colorbar
        Whether to draw a colour bar for each scale.
    axes
        Draw here, Axes as many as are returned, not in a new figure.

    Returns
    -------
    Drawn
        As `heatmap`: the figure, and the array of Axes, (1 + number of rows, n) for a dict,
        (n, 1 + number of classes) for one explanation; without images, that of the maps alone.

    Raises
    ------
    lrpkeras.errors.InputError
        As `heatmap`, and where `rows` is empty or a row has another number of maps than there
        are images.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.ones((2, 4, 4, 3))
    >>> figure, axes = grid({"epsilon": maps, "z_plus": 9 * maps}, np.zeros((2, 8, 8, 3)))
    >>> axes.shape
    (3, 2)
    """
    if isinstance(rows, Explained):
        cells = _by_class(rows, images, titles, labels)
    else:
        cells = _by_row(rows, images, titles, labels)
    options: dict[str, Any] = {"clip": clip, "signed": signed, "cmap": cmap}
    return draw_cells(cells, scale, options, smooth=smooth, colorbar=colorbar, axes=axes)


def _by_row(
    rows: Mapping[str, ArrayLike | Explained],
    images: ArrayLike | None,
    titles: Titles,
    labels: Labels | None,
) -> Cells:
    """Return a row for each way of explaining, below the images."""
    if not isinstance(rows, Mapping):
        raise InputError("rows is a dict {label: relevance}, or one explanation")
    if not rows:
        raise InputError("rows is empty: give the grid at least one {label: relevance}")
    every = dict(zip(rows, read_several(list(rows.values()), labels), strict=True))
    maps = [
        read_images(row, f"rows[{label!r}]", has_photo=images is not None)[0].sum(axis=-1)
        for label, row in every.items()
    ]
    pictures = [] if images is None else _columns_of(images, list(every.values()), maps[0])
    count = len(pictures) or len(maps[0])
    for label, one in zip(every, maps, strict=True):
        if len(one) != count:
            of = "images" if pictures else f"of rows[{next(iter(every))!r}]"
            raise InputError(f"rows[{label!r}] has {len(one)} maps for {count} {of}")
    own = [row.titles for row in every.values()]
    above = _titles_across(own, titles, count, bool(pictures))
    return Cells(maps, pictures, True, above, list(every))


def _columns_of(images: ArrayLike, rows: list[Shown], maps: Maps) -> list[Maps]:
    """Return an image for each column: that of its sample, or the only one."""
    explained = [row for row in rows if row.samples is not None]
    if explained:
        images = of_samples(images, explained[0], explained[0].times)
    pictures = read_pictures(images)
    return pictures * len(maps) if len(pictures) == 1 else pictures


def _titles_across(
    own: Sequence[list[str] | None], titles: Titles, count: int, has_images: bool
) -> list[list[str]]:
    """Return titles above the columns if rows agree on them, else above each map."""
    blank = [""] * count
    known = [row for row in own if row is not None]
    if titles is None and any(row != known[0] for row in known):
        return [blank] * has_images + [row or blank for row in own]
    top = titles if titles is not None or not known else known[0]
    return [read_titles(top, count)] + [blank] * (len(own) - 1 + has_images)


def _by_class(
    explained: Explained, images: ArrayLike | None, titles: Titles, labels: Labels | None
) -> Cells:
    """Return a row for each sample, its image first."""
    shown = read_relevance(explained, labels)
    every = read_images(shown, has_photo=images is not None)[0].sum(axis=-1)
    samples, times = len(explained.target), shown.times
    maps = list(every.reshape(samples, times, *every.shape[1:]))
    pictures = [] if images is None else read_pictures(of_samples(images, shown, 1))
    if len(pictures) == 1:
        pictures *= samples
    names = shown.titles or [""] * len(every)
    if titles is not None:
        names = read_titles(titles, times) + [""] * (len(every) - times)
    offset = [""] * bool(pictures)
    above = [offset + names[row * times : (row + 1) * times] for row in range(samples)]
    return Cells(maps, pictures, False, above, [])
