"""The colours of relevance: zero is neutral, red speaks for the class, blue against it.

Relevance that is nowhere negative has the red arm alone, so that a colour means the same in every
picture. The arms are curves through CIELAB whose steps shrink outwards, so that half of the range
is a strong colour already. They were chosen by how far apart they stay for readers with protanopia,
deuteranopia or tritanopia, and in grey print (`tests/test_colours.py` simulates all four).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb, to_rgba

from lrpkeras.errors import InputError, near_misses

STEPS = 257
"""How many colours a map has: odd, so that zero has the centre's own."""

MIDDLE = 0.184  # the luminance whose CIE lightness is 50


@dataclass(frozen=True)
class Arms:
    """Colours from zero outwards, at equal distances."""

    zero: str
    blues: str
    reds: str


LIGHT = Arms(
    zero="#f7f7f7",
    blues="#d7ddfa #bac4fc #9faefc #8699fb #6e86f9 #5574f4 #3960ea #2a52d2",
    reds="#ffd3c7 #ffb19d #ff9176 #f66e52 #e04630 #ba1d18 #9b0612 #840012",
)
# For dark pages, where zero is dark, as on white ones it is light.
DARK = Arms(
    zero="#1a1a1a",
    blues="#272443 #2f3271 #3948a5 #556fdb #7393f3 #88adfc #98c1ff #a4d2ff",
    reds="#3f2017 #612415 #832813 #a62f14 #cd3e1b #f25f32 #fe7a4a #ff8c5c",
)


def signed(dark: bool = False) -> Colormap:
    """Return the diverging map: blue below zero, neutral at zero, red above.

    Lightness falls steadily to either side, faster to the red one: in grey print the two ends
    differ. With `dark`, for dark pages, it rises.

    Examples
    --------
    >>> [round(255 * part) for part in signed()(0.5)[:3]]
    [247, 247, 247]
    """
    arms = DARK if dark else LIGHT
    colours = [*reversed(arms.blues.split()), arms.zero, *arms.reds.split()]
    return LinearSegmentedColormap.from_list("lrpkeras_signed", colours, N=STEPS)


def unsigned(dark: bool = False) -> Colormap:
    """Return the sequential map: `signed` from zero up, so that equal colours mean equal signs.

    Examples
    --------
    >>> unsigned()(0.0) == signed()(0.5), unsigned()(1.0) == signed()(1.0)
    (True, True)
    """
    arms = DARK if dark else LIGHT
    colours = [arms.zero, *arms.reds.split()]
    return LinearSegmentedColormap.from_list("lrpkeras_unsigned", colours, N=STEPS)


def read_cmap(cmap: str | Colormap) -> Colormap:
    """Return a matplotlib colour map, or one by its name, with an odd number of colours.

    Raises
    ------
    lrpkeras.errors.InputError
        Where matplotlib has no map of that name; near ones are told.

    Examples
    --------
    >>> read_cmap("bwr").N
    257
    """
    if isinstance(cmap, str):
        if cmap not in matplotlib.colormaps:
            raise InputError(
                f"no colour map is called {cmap!r}{near_misses(cmap, matplotlib.colormaps)}"
            )
        cmap = matplotlib.colormaps[cmap]
    if not isinstance(cmap, Colormap):
        raise InputError(f"cmap is a matplotlib colour map or its name, not {cmap!r}")
    return cmap.resampled(STEPS)


def is_dark(axes: Axes | None = None) -> bool:
    """Return whether Axes are dark; without any, whether new ones would be, by the rcParams.

    Dark is what is nearer to black than to white for the eye: CIE lightness below 50. What is
    transparent is as what lies below it; below all lies white.

    Examples
    --------
    >>> with matplotlib.rc_context({"axes.facecolor": "black"}):
    ...     is_dark()
    True
    """
    if axes is None:
        faces = [matplotlib.rcParams["axes.facecolor"], matplotlib.rcParams["figure.facecolor"]]
    else:
        figure: Any = axes.figure  # or a part of one
        faces = [below.get_facecolor() for below in (axes, figure, figure.figure)]
    opaque = [to_rgb(face) for face in faces if to_rgba(face)[3] > 0.5]
    return luminance((opaque or [(1.0, 1.0, 1.0)])[0]) < MIDDLE


def luminance(colour: Any) -> float:
    """Return the luminance of an opaque colour, from 0 (black) to 1 (white) [WCAG 2.1].

    Examples
    --------
    >>> luminance("white"), round(luminance("red"), 4)
    (1.0, 0.2126)
    """
    red, green, blue = (_linear(part) for part in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    """Return the light of one part of an sRGB colour [IEC 61966-2-1]."""
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
