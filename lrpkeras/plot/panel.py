"""One map on one Axes: in colours, over a greyed image, with contours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import LUMINANCE, Maps
from lrpkeras.plot.scale import Scale

Extent = tuple[float, float, float, float]

LINE = 1.2  # points
COARSE = 128
"""Pixels of a side up to which each is seen by itself; finer maps may have several values to a
pixel of the screen, and would lose some."""
LONGEST = 12.0
"""Sides of a picture, one over the other, up to which its pixels are square: beyond, it would be
too thin to be seen."""


@dataclass(frozen=True)
class Manner:
    """How maps are drawn.

    Attributes
    ----------
    alpha
        The opacity over an image, in [0, 1]; None for one that grows with the relevance.
    contours
        How many lines, or where, as shares of the end of the scale; None for none.
    fill
        Whether there are colours.
    """

    alpha: float | None = None
    contours: int | Sequence[float] | None = None
    fill: bool = True

    def __post_init__(self) -> None:
        if self.alpha is not None and not (isinstance(self.alpha, Real) and 0 <= self.alpha <= 1):
            raise InputError(f"alpha is an opacity between 0 and 1, not {self.alpha!r}")
        if not self.fill and self.contours is None:
            raise InputError("fill=False draws no colours: say where lines go, such as contours=3")
        read_contours(self.contours, is_signed=True)

    def shares(self, scale: Scale) -> NDArray[np.float64]:
        """Return where lines are drawn, as shares of the end of a scale."""
        return np.array(read_contours(self.contours, scale.is_signed))


def read_contours(contours: int | Sequence[float] | None, is_signed: bool) -> list[float]:
    """Return levels as shares of the end of a scale: those given, or so many at equal distances.

    Examples
    --------
    >>> read_contours(3, is_signed=False)
    [0.25, 0.5, 0.75]
    >>> read_contours(1, is_signed=True)
    [-0.5, 0.5]
    """
    if contours is None:
        return []
    given: Any = contours
    if isinstance(given, Integral) and not isinstance(given, bool) and int(given) > 0:
        above = [k / (int(given) + 1) for k in range(1, int(given) + 1)]
        return [-share for share in reversed(above)] + above if is_signed else above
    if (
        isinstance(given, Sequence | np.ndarray)
        and not isinstance(given, str)
        and all(map(_is_share, given))
    ):
        return sorted({float(share) for share in given})
    raise InputError(
        "contours is a number of lines, or a list of shares of the scale between -1 and 1, not "
        f"{contours!r}"
    )


def _is_share(given: Any) -> bool:
    return isinstance(given, Real) and -1 <= float(given) <= 1


def bare(panel: Axes) -> None:
    """Take ticks and frame away; the axis labels stay, for the rows of a grid."""
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)


def aspect_of(picture: Maps) -> float:
    """Return width over height of the place for a picture.

    Examples
    --------
    >>> aspect_of(np.zeros((20, 30))), aspect_of(np.zeros((1, 1000)))
    (1.5, 12.0)
    """
    height, width = picture.shape[:2]
    return float(np.clip(width / height, 1 / LONGEST, LONGEST))


def draw_image(panel: Axes, picture: Maps, cmap: str | Colormap = "gray") -> AxesImage:
    """Draw an image in [0, 1], in its colours if it has any."""
    bare(panel)
    drawn = panel.imshow(picture, cmap=cmap, vmin=0, vmax=1, origin="upper")
    _keep_square(panel, drawn)
    return drawn


def _keep_square(panel: Axes, drawn: AxesImage) -> None:
    """Make pixels square, unless the picture would be a thin line."""
    left, right, bottom, top = drawn.get_extent()
    aspect = abs((right - left) / (top - bottom))
    panel.set_aspect("equal" if 1 / LONGEST <= aspect <= LONGEST else "auto")


def draw_map(
    panel: Axes, values: Maps, scale: Scale, manner: Manner, grey: Maps | None = None
) -> None:
    """Draw a map, opaque unless it lies over an image."""
    bare(panel)
    extent: Extent | None = None
    if grey is not None:
        below = "gray" if manner.alpha is not None and manner.fill else _pale(scale)
        extent = draw_image(panel, grey, below).get_extent()
    by_magnitude = grey is not None and manner.alpha is None
    if manner.fill or grey is None:
        drawn = panel.imshow(
            values if manner.fill else np.zeros_like(values),
            cmap=transparent(scale) if by_magnitude else scale.cmap,
            norm=scale.norm,
            interpolation="nearest" if max(values.shape) <= COARSE else "antialiased",
            origin="upper",
            extent=extent,
            alpha=None if grey is None else manner.alpha,
        )
        _keep_square(panel, drawn)
        extent = drawn.get_extent()
    if manner.contours is not None and extent is not None:
        _draw_lines(panel, values, scale, manner, extent)


def transparent(scale: Scale) -> Colormap:
    """Return a scale's colours, their opacity the root of the share of the scale: 0 at zero."""
    share = np.linspace(-1 if scale.is_signed else 0, 1, scale.cmap.N)
    colours = scale.cmap(np.arange(scale.cmap.N))
    colours[:, 3] = np.sqrt(np.abs(share))
    return ListedColormap(colours, name=f"{scale.cmap.name}_transparent")


def _pale(scale: Scale) -> Colormap:
    """Return greys half-way to the lightness of zero: a dark photo must not look like relevance."""
    zero = _lightness_of_zero(scale)
    ends = [(zero / 2,) * 3, ((1 + zero) / 2,) * 3]
    return LinearSegmentedColormap.from_list("pale", ends)


def _lightness_of_zero(scale: Scale) -> float:
    return float(np.dot(scale.cmap(scale.norm(0.0))[:3], LUMINANCE))


def _ink(scale: Scale) -> str:
    """Return the colour of lines over a scale's colours."""
    return "black" if _lightness_of_zero(scale) > 0.5 else "white"


def mark_levels(bar: Colorbar, scale: Scale, manner: Manner) -> None:
    """Draw the lines of the contours into a colour bar."""
    shares = manner.shares(scale)
    if len(shares):
        bar.add_lines(shares * scale.limits[1], [_ink(scale)] * len(shares), _widths(shares))


def _draw_lines(panel: Axes, values: Maps, scale: Scale, manner: Manner, extent: Extent) -> None:
    """Draw the lines that the map reaches, those below zero as the rcParams say: dashed."""
    if min(values.shape) < 2:
        raise InputError(f"contours need at least 2 x 2 values, not {values.shape}")
    every = manner.shares(scale)
    shares = [one for one in every if values.min() < one * scale.limits[1] < values.max()]
    if not shares:  # matplotlib would warn
        return
    ends = [scale.cmap(0.0) if share < 0 else scale.cmap(1.0) for share in shares]
    dashed = matplotlib.rcParams["contour.negative_linestyle"]
    left, right, bottom, top = extent
    panel.contour(
        _middles(left, right, values.shape[1]),
        _middles(top, bottom, values.shape[0]),
        values,
        levels=np.array(shares) * scale.limits[1],
        colors=[_ink(scale)] * len(shares) if manner.fill else ends,
        linewidths=_widths(shares),
        linestyles=[dashed if share < 0 else "solid" for share in shares],
    )


def _widths(shares: ArrayLike) -> list[float]:
    """Return the width of each line in points: the further from zero, the wider."""
    return list(LINE * (0.5 + np.abs(shares)))


def _middles(start: float, stop: float, count: int) -> NDArray[np.float64]:
    """Return the middles of cells of equal size."""
    return start + (np.arange(count) + 0.5) * (stop - start) / count
