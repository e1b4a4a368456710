"""The scale of a picture: from which value to which, in which colours, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from lrpkeras.plot.titles import OMITTED, wrapped

LENGTH = 2.4
"""Inches: how long a colour bar is taken to be."""

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
    what
        What the values are.
    """

    limits: Range
    cmap: Colormap
    clip: float | None = None
    what: str = "relevance"

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
        clipped = f", clipped at percentile {self.clip:g} of |R| > 0" if self.is_clipped else ""
        return self.what + clipped

    @property
    def short_label(self) -> str:
        """What stands beside a colour bar that is too short for the label."""
        return f"{self.what}, clipped" if self.is_clipped else self.what


def read_scale(
    relevance: ArrayLike,
    *,
    clip: float | None = None,
    signed: bool | None = None,
    cmap: str | Colormap | None = None,
    dark: bool = False,
    what: str = "relevance",
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
    what
        What the values are, for the colour bar.

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
        return Scale(limits, colours.read_cmap(cmap), clip, what)
    make = colours.signed if limits[0] < 0 else colours.unsigned
    return Scale(limits, make(dark), clip, what)


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


def draw_colorbar(
    figure: FigureBase,
    scale: Scale,
    panels: Sequence[Axes] = (),
    *,
    into: Axes | None = None,
    inches: float | None = None,
) -> Colorbar:
    """Draw a scale, with pointed ends where it is clipped.

    Parameters
    ----------
    figure
        Where to.
    scale
        What to show.
    panels
        Beside these, which make room for it.
    into
        Or into Axes that are there for it.
    inches
        Its length, which decides how many numbers stand beside it and where its label is broken.
    """
    ends = ("both" if scale.is_signed else "max") if scale.is_clipped else "neither"
    where: dict[str, Any] = {"cax": into} if into else {"ax": list(panels), "pad": 0.02}
    bar = figure.colorbar(
        ScalarMappable(scale.norm, scale.cmap),
        extend=ends,
        format="%.3g",  # a power of ten set apart would push the rows of a grid out of line
        **where,
    )
    bar.ax.grid(False)
    write_scale(bar, scale, LENGTH if inches is None else inches)
    return bar


def write_scale(bar: Colorbar, scale: Scale, inches: float) -> None:
    """Write numbers and label beside a colour bar, as many and in such lines as fit its length."""
    bar.set_ticks(np.linspace(*scale.limits, 5 if inches > LENGTH / 2 else 3).tolist())
    font = bar.ax.yaxis.label.get_fontproperties()
    whole = wrapped(scale.label, 0.9 * inches, font)
    short = wrapped(scale.short_label, 0.9 * inches, font)
    bar.set_label("\n".join(short if OMITTED in whole else whole))
