"""Volumes as slices, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, finite, is_bytes, unit
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.explained import Explained, Labels, Shown, read_relevance
from lrpkeras.plot.heatmaps import Tiles, draw_tiles, new_tiles
from lrpkeras.plot.panel import Manner
from lrpkeras.plot.panels import given_panels
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.scale import read_scale
from lrpkeras.plot.titles import Titles, read_titles

SPREADS = ("most", "even")


def volume(
    relevance: ArrayLike | Explained,
    image: ArrayLike | None = None,
    *,
    slices: int | Sequence[int] = 6,
    choose: str = "most",
    axis: int = 0,
    titles: Titles = None,
    labels: Labels | None = None,
    clip: float | None = None,
    signed: bool | None = None,
    cmap: str | Colormap | None = None,
    alpha: float | None = None,
    colorbar: bool = True,
    axes: Any = None,
) -> Drawn:
    """Draw slices through volumes of relevance, a row for each volume, all on one scale.

    Above each slice stands its number, and its share of all Σ|R| of the volume.

    Parameters
    ----------
    relevance
        Of one volume, (depth, height, width) or (depth, height, width, channels), or of a batch,
        (n, depth, height, width, channels); or an `Explanation` of volumes, a row for each sample,
        target and condition. Channels are summed.
    image
        What was explained, as relevance: one volume, or one for each (of an explanation, for each
        sample), with 1 or 3 channels or none. Drawn in grey below the relevance.
    slices
        How many, or which, by number.
    choose
        Of so many slices: "most", those with the largest Σ|R|; or "even", at equal distances from
        the first to the last. They stand in order.
    axis
        Across which of depth (0), height (1) and width (2) to cut.
    titles
        Of each volume, beside its row; those of an explanation are class and logit.
    labels
        Of an explanation: names of the classes, one for each, or a dict by class number.
    clip, signed, cmap, alpha
        As in `heatmap`.
    colorbar
        Whether to draw a colour bar.
    axes
        Draw here, one Axes for each slice, not in a new figure.

    Returns
    -------
    Drawn
        The figure, and the Axes: (slices,) for one volume, (n, slices) for a batch.

    Raises
    ------
    lrpkeras.errors.InputError
        Where an array has a wrong rank, is empty, or holds NaN or infinite values, where there is
        no such slice or axis, or where numbers of volumes, titles or Axes do not fit.

    Examples
    --------
    >>> relevance = np.zeros((4, 8, 8))
    >>> relevance[2, 3, 3], relevance[1, 3, 3] = 3.0, -1.0
    >>> drawn = volume(relevance, slices=2)
    >>> [panel.get_title() for panel in drawn.axes]
    ['slice 1: 25 %', 'slice 2: 75 %']
    """
    shown = read_relevance(relevance, labels)
    maps, is_batch = _read(shown.relevance, "relevance", shown.samples is not None)
    if isinstance(axis, bool) or not isinstance(axis, Integral) or axis not in (0, 1, 2):
        raise InputError(f"axis is 0 (depth), 1 (height) or 2 (width), not {axis!r}")
    maps = np.moveaxis(maps.sum(axis=-1), axis + 1, 1)
    sizes = np.abs(maps).sum(axis=(2, 3))
    chosen = [_chosen(size, slices, choose) for size in sizes]
    greys = None if image is None else _read_greys(image, maps, axis, shown)
    above = [
        f"slice {number}: {_share(row, number)}"
        for row, numbers in zip(sizes, chosen, strict=True)
        for number in numbers
    ]
    tiles = Tiles(
        _cut(maps, chosen),
        None if greys is None else list(_cut(greys, chosen)),
        above,
        read_titles(shown.titles if titles is None else titles, len(maps)),
        (len(chosen), len(chosen[0])),
    )
    panels = new_tiles(tiles) if axes is None else given_panels(axes, *tiles.rows)
    dark = is_dark(None if axes is None else panels.all[0])
    scale = read_scale(tiles.maps, clip=clip, signed=signed, cmap=cmap, dark=dark)
    drawn = draw_tiles(tiles, panels, [scale], Manner(alpha), colorbar)
    return drawn if is_batch else Drawn(drawn.figure, drawn.axes[0])


def _read(values: ArrayLike, what: str, is_batch: bool = False) -> tuple[Maps, bool]:
    """Return volumes (n, depth, height, width, channels), and whether they are a batch."""
    array = finite(values, what)
    if is_batch and array.ndim == 4:
        return array[..., np.newaxis], True
    if array.ndim not in (3, 4, 5) or (is_batch and array.ndim != 5):
        raise InputError(
            f"{what} has shape {array.shape}; a volume is (depth, height, width) or "
            "(depth, height, width, channels), several are (n, depth, height, width, channels)"
        )
    if array.ndim == 5:
        return array, True
    return (array if array.ndim == 4 else array[..., np.newaxis])[np.newaxis], False


def _read_greys(image: ArrayLike, maps: Maps, axis: int, shown: Shown) -> Maps:
    """Return a volume in [0, 1] for each of the maps, cut as they are."""
    times = shown.times
    # Of a model whose input has no channels, a batch has four axes.
    plain = shown.samples is not None and np.shape(image) == (
        shown.samples, *shown.relevance.shape[1:4],
    )  # fmt: skip
    array, _ = _read(image, "image", plain)
    if array.shape[-1] not in (1, 3):
        raise InputError(f"image has {array.shape[-1]} channels; it may have 1 or 3")
    ends = (0.0, 255.0) if is_bytes(image) else None
    grey = np.moveaxis(np.stack([unit(one, ends) for one in array]).mean(axis=-1), axis + 1, 1)
    if len(grey) * times == len(maps):
        grey = np.repeat(grey, times, axis=0)
    elif len(grey) == 1:
        grey = np.repeat(grey, len(maps), axis=0)
    if len(grey) != len(maps) or grey.shape[1] != maps.shape[1]:
        raise InputError(
            f"{array.shape} is no image of each of {len(maps)} volumes of {maps.shape[1]} slices "
            "across that axis"
        )
    return grey


def _chosen(sizes: NDArray[Any], slices: int | Sequence[int], choose: str) -> list[int]:
    """Return the numbers of the slices of one volume, in order."""
    count = len(sizes)
    if isinstance(slices, Integral) and not isinstance(slices, bool) and int(slices) > 0:
        if choose not in SPREADS:
            raise InputError(f"choose is 'most' or 'even', not {choose!r}")
        wanted = min(int(slices), count)
        even = np.linspace(0, count - 1, wanted).round()
        most = np.argsort(-sizes, kind="stable")[:wanted]
        return sorted(int(n) for n in (most if choose == "most" else even))
    given: Any = slices
    if not isinstance(given, Sequence | range | np.ndarray) or not len(given):
        raise InputError(f"slices is a number of them, or a list of numbers, not {slices!r}")
    numbers = [int(n) for n in given if isinstance(n, Integral) and -count <= int(n) < count]
    if len(numbers) != len(given):
        raise InputError(f"slices are whole numbers from 0 to {count - 1}, not {slices!r}")
    return [number % count for number in numbers]


def _cut(volumes: Maps, chosen: Sequence[Sequence[int]]) -> Maps:
    """Return the chosen slices of each volume, (n * slices, height, width)."""
    parts = [one[list(numbers)] for one, numbers in zip(volumes, chosen, strict=True)]
    return np.concatenate(parts)


def _share(sizes: NDArray[Any], number: int) -> str:
    whole = float(sizes.sum())
    return f"{sizes[number] / whole:.0%}".replace("%", " %") if whole > 0 else "0 %"
