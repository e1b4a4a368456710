"""Two explanations side by side, their difference, and how alike they are in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from numpy.typing import ArrayLike

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, blurred, read_pictures, smoothed
from lrpkeras.plot.cells import Cells, draw_cells
from lrpkeras.plot.explained import Explained, Labels, Shown, read_several
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.reading import of_samples, read_images
from lrpkeras.plot.titles import Titles, read_titles


def compare(
    one: ArrayLike | Explained,
    other: ArrayLike | Explained,
    image: ArrayLike | None = None,
    *,
    names: Sequence[str] = ("one", "other"),
    titles: Titles = None,
    labels: Labels | None = None,
    normalize: bool = False,
    clip: float | None = None,
    smooth: float | None = None,
    cmap: str | Colormap | None = None,
    colorbar: bool = True,
    axes: Any = None,
) -> Drawn:
    """Draw two explanations and their difference, `one - other`, on one scale.

    Above the difference stands how alike the two are, see `Alike`.

    Parameters
    ----------
    one, other
        Relevance of the same size: maps or batches of them, as in `heatmap`, or explanations. A
        row for each map.
    image
        What was explained, as in `heatmap`; drawn in a first column.
    names
        What the two are called.
    titles
        A text for each map, below the names; those of explanations are class and logit.
    labels
        Of explanations: names of the classes, one for each, or a dict by class number.
    normalize
        Whether to divide each map by its sum of absolute relevance first: rules differ in scale,
        by many powers of ten in deep networks.
    clip, smooth, cmap
        As in `heatmap`. The numbers are of the maps as drawn: summed over channels, and smoothed.
    colorbar
        Whether to draw a colour bar for each row.
    axes
        Draw here, Axes as many as are returned, not in a new figure.

    Returns
    -------
    Drawn
        As `heatmap`: the figure, and the array of Axes, (n, 3), or (n, 4) with images.

    Raises
    ------
    lrpkeras.errors.InputError
        As `heatmap`, and where the two have different sizes, or names are not two.

    Examples
    --------
    >>> drawn = compare([[4.0, 0.0]], [[3.0, 1.0]], names=("epsilon", "gamma"))
    >>> " ".join(drawn.axes[0, 2].get_title().split())
    'epsilon − gamma cosine 0.95, 25% moved'
    """
    if isinstance(names, str) or len(names) != 2:
        raise InputError(f"names are two texts, not {names!r}")
    pair = read_several([one, other], labels)
    first, second = (
        read_images(shown, name, has_photo=image is not None)[0].sum(axis=-1)
        for shown, name in zip(pair, ("one", "other"), strict=True)
    )
    if first.shape != second.shape:
        raise InputError(f"one has maps {first.shape}, other {second.shape}: give them one size")
    drawn = [smoothed(maps, smooth) for maps in (first, second)]
    if normalize:
        drawn = [_normalized(maps) for maps in drawn]
    pictures = _pictures(image, pair[0], len(first))
    above = _above(names, pair, titles, len(first), bool(pictures))
    both = list(zip(*drawn, strict=True))
    for texts, (a, b) in zip(above, both, strict=True):
        texts[-1] = _lines(texts[-1], str(Alike.of(a, b)))
    rows = [np.stack([a, b, a - b]) for a, b in both]
    what = blurred("share of Σ|R|" if normalize else "relevance", smooth)
    options = {"clip": clip, "cmap": cmap, "signed": True, "what": what}
    cells = Cells(rows, pictures, False, above, [])
    return draw_cells(cells, "row", options, smooth=None, colorbar=colorbar, axes=axes)


@dataclass(frozen=True)
class Alike:
    """How alike two maps a and b are.

    Attributes
    ----------
    cosine
        Σ ab / √(Σ a² Σ b²), in [-1, 1]: whatever their scales, 1 for maps that differ by a
        positive factor. NaN where one is zero everywhere.
    moved
        Σ |a − b| / Σ (|a| + |b|), in [0, 1]: the share of their relevance that lies elsewhere or
        has the other sign; 0 for equal maps alone.
    """

    cosine: float
    moved: float

    @classmethod
    def of(cls, one: ArrayLike, other: ArrayLike) -> Alike:
        """Compare two arrays of one shape.

        Examples
        --------
        >>> Alike.of([4.0, 0.0], [0.0, 2.0])
        Alike(cosine=0.0, moved=1.0)
        """
        a, b = (np.asarray(part, dtype=np.float64).reshape(-1) for part in (one, other))
        total = np.abs(a).sum() + np.abs(b).sum()
        moved = float(np.abs(a - b).sum() / total) if total > 0 else 0.0
        # Squares of small values would be zero.
        a, b = (part / (np.abs(part).max() or math.nan) for part in (a, b))
        return cls(float(a @ b / np.sqrt((a @ a) * (b @ b))), moved)

    def __str__(self) -> str:
        cosine = "no cosine" if math.isnan(self.cosine) else f"cosine {self.cosine:.2f}"
        return f"{cosine}, {self.moved:.0%} moved"


def _normalized(maps: Maps) -> Maps:
    """Return each map over its sum of absolute values; one of zeros stays."""
    total = np.abs(maps).sum(axis=(1, 2), keepdims=True)
    return np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)


def _pictures(image: ArrayLike | None, shown: Shown, count: int) -> list[Maps]:
    """Return an image for each map, or none."""
    if image is None:
        return []
    pictures = read_pictures(of_samples(image, shown, shown.times))
    if len(pictures) not in (1, count):
        raise InputError(f"{len(pictures)} images for {count} maps: give one, or one for each")
    return pictures * count if len(pictures) == 1 else pictures


def _above(
    names: Sequence[str], pair: Sequence[Shown], titles: Titles, count: int, has_images: bool
) -> list[list[str]]:
    """Return what stands above each panel: names in the first row, titles where they are told.

    Titles on which both agree stand above the first panel of a row alone.
    """
    own = [read_titles(shown.titles if titles is None else titles, count) for shown in pair]
    agree = own[0] == own[1]
    rows = []
    for row, (one, other) in enumerate(zip(*own, strict=True)):
        heads = [*names, f"{names[0]} − {names[1]}"] if row == 0 else ["", "", ""]
        below = [one, "", ""] if agree else [one, other, ""]
        if has_images:
            heads, below = ["", *heads], [*below, ""] if agree else ["", *below]
        rows.append([_lines(*both) for both in zip(heads, below, strict=True)])
    return rows


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
