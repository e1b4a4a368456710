"""The maps of an explanation side by side with their titles, as pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lrpkeras.plot import explained
from lrpkeras.plot.arrays import Maps
from lrpkeras.plot.explained import Explained, Labels
from lrpkeras.plot.pixels import Pixels, drawn, enlarged, painted, palette
from lrpkeras.plot.scale import read_scale
from lrpkeras.plot.views import view

SIDE = 112  # pixels of a map, if it is no larger
MARGIN, GAP = 6, 8
SIZE, LINE = 11, 14  # of letters, and from line to line
FONT = "fonts/ttf/DejaVuSans.ttf"  # comes with matplotlib: Latin, Greek, Cyrillic and more


def maps(
    explanation: Explained,
    below: Sequence[Maps | None],
    labels: Labels | None = None,
    clip: float | None = None,
) -> Pixels:
    """Return all maps of an explanation, each in a scale of its own, whose end its title tells.

    Parameters
    ----------
    explanation
        Of a model with one input. What is no image is drawn as `views.view` says.
    below
        For each sample the image in grey that its maps lie over, or None.
    labels
        Names of the classes: one for each, or a dict by class number.
    clip
        A percentile of the nonzero absolute relevance, see `read_scale`.

    Raises
    ------
    lrpkeras.errors.InputError
        If the relevance cannot be drawn, or labels or clip do not fit.
    """
    relevance = explained.flat(explanation)
    times = len(relevance) // len(below)
    greys = (grey for grey in below for _ in range(times))
    titles = explained.titles(explanation, labels)
    panels = [
        _panel(one, title, grey, clip)
        for one, title, grey in zip(relevance, titles, greys, strict=True)
    ]
    return montage([picture for picture, _ in panels], [text for _, text in panels])


def _panel(
    relevance: NDArray[Any], title: str, grey: Maps | None, clip: float | None
) -> tuple[Pixels, str]:
    """Return the picture of one map, and what to write above."""
    seen = view(relevance)
    scale = read_scale(seen.values, clip=clip)
    low, high = scale.limits
    end = f"±{high:.3g}" if low < 0 else f"0 to {high:.3g}"
    text = "\n".join(filter(None, (title, end, seen.note)))
    if not seen.is_plane:
        return palette(scale)[drawn(seen, scale, SIDE)], text
    return enlarged(painted(seen.values, scale, grey), SIDE), text


def montage(pictures: Sequence[Pixels], titles: Sequence[str], columns: int = 8) -> Pixels:
    """Return pictures in rows on white, each below its title.

    Parameters
    ----------
    pictures
        `(height, width, 3)` each, of any sizes.
    titles
        For each picture one; lines that are wider than it end in "…".
    columns
        The most pictures in a row.

    Examples
    --------
    >>> montage([np.zeros((48, 48, 3), "uint8")] * 3, ["one", "two", "three"]).shape
    (74, 172, 3)
    """
    lines = max(len(title.split("\n")) for title in titles)
    height = max(picture.shape[0] for picture in pictures) + lines * LINE
    width = max(picture.shape[1] for picture in pictures)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = [
        count * (side + GAP) - GAP + 2 * MARGIN
        for count, side in ((columns, width), (rows, height))
    ]
    paper = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(paper)
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        row, column = divmod(number, columns)
        left, top = MARGIN + column * (width + GAP), MARGIN + row * (height + GAP)
        for place, line in enumerate(title.split("\n")):
            draw.text((left, top + place * LINE), _fitted(line, width), "black", _font())
        paper.paste(Image.fromarray(picture), (left, top + lines * LINE))
    return np.asarray(paper)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), FONT), SIZE)


def _fitted(line: str, width: int) -> str:
    if _font().getlength(line) <= width:
        return line
    end = len(line)
    while end and _font().getlength(f"{line[:end]}…") > width:
        end -= 1
    return f"{line[:end]}…"
