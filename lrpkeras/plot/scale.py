"""The scale of a picture: from which value to which, in which colours, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import FigureBase
from numpy.typing import ArrayLike

from lrpkeras.errors import InputError
from lrpkeras.plot import colours
from lrpkeras.plot.arrays import SMALLEST, Range, finite, symmetric_limits

ROUNDING = 1e-6
"""Share of the largest value down to which what is negative is rounding of float32 sums."""


@dataclass(frozen=True)
class Scale:
    """Values and their colours.

    Attributes
    ----------
    limits
        What gets the end colours: (-m, m), or (0, m) where nothing is negative.
    cmap
        The colour map.
    clip
        The percentile of the nonzero absolute relevance that m is, or None for the largest.
    """

    limits: Range
    cmap: Colormap
    clip: float | None = None

    @property
    def norm(self) -> Normalize:
        """From values to [0, 1], as matplotlib asks for it."""
        return Normalize(*self.limits)

    @property
    def is_signed(self) -> bool:
        """Whether the scale has a negative half."""
        return self.limits[0] < 0

    @property
    def is_clipped(self) -> bool:
        """Whether values may lie beyond the limits."""
        return self.clip is not None and self.clip < 100

    @property
    def label(self) -> str:
        """What stands beside the colour bar."""
        if not self.is_clipped:
            return "relevance"
        return f"relevance, clipped\nat percentile {self.clip:g} of |R| > 0"


def read_scale(
    relevance: ArrayLike,
    *,
    clip: float | None = None,
    signed: bool | None = None,
    cmap: str | Colormap | None = None,
    dark: bool = False,
) -> Scale:
    """Return the scale of some relevance; zero always has the neutral colour.

    Parameters
    ----------
    relevance
        Finite numbers of any shape: all that share the scale.
    clip
        A percentile in (0, 100] of the nonzero absolute relevance; by default the largest.
    signed
        Whether the scale has two halves. By default it has, unless no value is negative and one
        is positive; what is negative by less than 1e-6 of the largest is rounding.
    cmap
        A colour map in place of `lrpkeras.plot.colours`; by default a diverging one, its centre
        at zero; with `signed=False` one that begins at zero.
    dark
        Whether the page is dark.

    Raises
    ------
    lrpkeras.errors.InputError
        Where values are not finite, `signed` is no truth value, or False of negative values.

    Examples
    --------
    >>> read_scale([0.0, 3.0, -1.0]).limits
    (-3.0, 3.0)
    >>> read_scale([0.0, 3.0, 1.0]).limits
    (0.0, 3.0)
    """
    values = finite(relevance, "relevance")
    limits = symmetric_limits(values, clip)
    if not _has_two_halves(values, signed, cmap):
        limits = 0.0, limits[1]
    if cmap is not None:
        return Scale(limits, colours.read_cmap(cmap), clip)
    make = colours.signed if limits[0] < 0 else colours.unsigned
    return Scale(limits, make(dark), clip)


def _has_two_halves(values: np.ndarray, signed: bool | None, cmap: str | Colormap | None) -> bool:
    """Read `signed`; a map of the caller's is diverging unless the caller says otherwise."""
    if not isinstance(signed, bool | None):
        raise InputError(f"signed is True, False, or None to go by the values; not {signed!r}")
    low, high = values.min(), values.max()
    is_negative = bool(low < -ROUNDING * max(high, 0))
    if signed is False and is_negative:
        raise InputError(
            f"signed=False, but relevance goes down to {low:.3g}: draw its absolute values, or "
            "leave signed out"
        )
    return (is_negative or high <= SMALLEST or cmap is not None) if signed is None else signed


def draw_colorbar(figure: FigureBase, scale: Scale, panels: Sequence[Axes]) -> Colorbar:
    """Draw a scale beside the panels; a clipped one has pointed ends and says what it is."""
    ends = ("both" if scale.is_signed else "max") if scale.is_clipped else "neither"
    return figure.colorbar(
        ScalarMappable(scale.norm, scale.cmap),
        ax=list(panels),
        label=scale.label,
        extend=ends,
        pad=0.02,
        format="%.3g",  # a power of ten set apart would push the rows of a grid out of line
    )
