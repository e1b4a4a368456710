"""Text, each token on a ground of its relevance's colour."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, finite
from lrpkeras.plot.colours import is_dark, luminance
from lrpkeras.plot.explained import Explained, Labels, read_relevance
from lrpkeras.plot.panels import given_axes
from lrpkeras.plot.passages import PAD, Passage
from lrpkeras.plot.picture import Drawn, Picture
from lrpkeras.plot.scale import Scale, draw_colorbar, read_scale
from lrpkeras.plot.titles import POINTS, Titles, read_titles, wrapped

WIDTH = 7.0  # inches of text
LEAST_HEIGHT, BESIDE = 1.3, 1.1  # inches: a colour bar stands beside the text
EDGE, GAP, BAR, BAR_EDGE, LONGEST_BAR = 0.1, 0.15, 0.14, 0.1, 3.0  # inches
LINE = 1.7  # of the size of the font
CLIPPED = 0.6  # inches: how much more the label of a clipped scale needs, either way
CONTRAST = 0.179  # the luminance where black and white text are equally readable [WCAG 2.1]


def tokens(
    relevance: ArrayLike | Explained,
    texts: Sequence[str] | Sequence[Sequence[str]],
    *,
    padding: str | None = None,
    subwords: bool = True,
    titles: Titles = None,
    labels: Labels | None = None,
    clip: float | None = None,
    signed: bool | None = None,
    cmap: str | Colormap | None = None,
    width: float = WIDTH,
    colorbar: bool = True,
    axes: Any = None,
) -> Drawn:
    """Draw texts whose tokens are coloured by relevance, in lines as long as there is room.

    Parts of words are joined, without their marks: "##ing" to what is before it, and where any
    token begins with "▁" or "Ġ", which stand for a space, all others. Tokens of nothing but white
    space are shown as signs, and behind a line break a new line begins.

    Parameters
    ----------
    relevance
        Of one text, (tokens,) or (tokens, dimensions), of which the dimensions are summed; or an
        `Explanation` of texts, or a batch (n, tokens, dimensions).
    texts
        The tokens, a list of texts; of a batch a list for each (of an explanation, for each
        sample).
    padding
        The token that fills a text up: it is left out, and a line says how many there were and
        what Σ|R| they had.
    subwords
        Whether to join parts of words; False writes every token as it is, for languages whose
        words begin with "Ġ".
    titles
        Above each text; those of an explanation are class and logit.
    labels
        Of an explanation: names of the classes, one for each, or a dict by class number.
    clip, signed, cmap
        As in `heatmap`. All texts share the scale.
    width
        Of the text in a new figure, in inches.
    colorbar
        Whether to draw a colour bar.
    axes
        Draw here, one Axes for each text, not in a new figure.

    Returns
    -------
    Drawn
        The figure, and the Axes: one for one text, an array (n,) for a batch.

    Raises
    ------
    lrpkeras.errors.InputError
        Where an array has a wrong rank, is empty, or holds NaN or infinite values, or where numbers
        of tokens, texts, titles or Axes do not fit.

    Examples
    --------
    >>> figure, axes = tokens([0.2, 2.0, -0.5, 0.1], ["it", "work", "##s", "."])
    >>> [word.get_text() for word in axes.texts]
    ['it', 'work', 's', '.']
    """
    shown = read_relevance(relevance, labels)
    values, is_batch = _read(shown.relevance, shown.samples is not None)
    passages = [
        Passage.of(words, row, padding, subwords)
        for words, row in zip(
            _read_texts(texts, values, is_batch, shown.times), values, strict=True
        )
    ]
    above = read_titles(shown.titles if titles is None else titles, len(values))
    if isinstance(width, bool) or not isinstance(width, Real) or not 1 <= width <= 100:
        raise InputError(f"width is a number of inches between 1 and 100, not {width!r}")
    given = None if axes is None else [*given_axes(axes, len(passages), "one for each text")]
    dark = is_dark(None if given is None else given[0])
    above = [
        _above(title, passage.note, width if given is None else _width(given[number]))
        for number, (title, passage) in enumerate(zip(above, passages, strict=True))
    ]
    drawn = np.concatenate([passage.relevance for passage in passages])
    scale = read_scale(drawn, clip=clip, signed=signed, cmap=cmap, dark=dark)
    panels = given or _new_panels(passages, above, float(width), scale)
    figure: Any = panels[0].figure
    if colorbar:
        _draw_scale(figure, scale, panels, axes is None)
    for panel, passage, title in zip(panels, passages, above, strict=True):
        _draw(panel, passage, scale)
        panel.set_title(title, loc="left", parse_math=False)
    every = np.empty(len(panels), dtype=object)
    every[:] = panels
    return Drawn(figure, every if is_batch else panels[0])


def _read(values: ArrayLike, is_batch: bool) -> tuple[Maps, bool]:
    """Return the relevance of tokens, (n, tokens), and whether it is a batch."""
    array = finite(values, "relevance")
    if array.ndim not in (1, 2, 3) or (is_batch and array.ndim == 1):
        raise InputError(
            f"relevance has shape {array.shape}; that of a text is (tokens,) or "
            "(tokens, dimensions), of several (n, tokens, dimensions)"
        )
    if is_batch or array.ndim == 3:
        return array.reshape(*array.shape[:2], -1).sum(axis=-1), True
    return array.reshape(1, len(array), -1).sum(axis=-1), False


def _read_texts(texts: Any, values: Maps, is_batch: bool, times: int) -> list[list[str]]:
    """Return the tokens of each text, as many as there are relevances."""
    several = [*texts] if is_batch else [texts]
    several = [one for one in several for _ in range(times)]
    if len(several) != len(values):
        raise InputError(f"{len(several)} texts for {len(values)} relevances: give one for each")
    for one in several:
        if isinstance(one, str) or not all(isinstance(word, str) for word in one):
            raise InputError(f"texts are lists of tokens, each a text; not {one!r:.80}")
        if len(one) != values.shape[1]:
            raise InputError(
                f"{len(one)} tokens for {values.shape[1]} relevances: give one for each"
            )
    return [[*one] for one in several]


def _above(title: str, note: str, inches: float) -> str:
    """Return a title in lines as long as those of the text below, and what was left out of it."""
    font = FontProperties(size=matplotlib.rcParams["axes.titlesize"])
    return "\n".join(line for text in (title, note) if text for line in wrapped(text, inches, font))


def _width(panel: Axes) -> float:
    return float(panel.get_window_extent().width) / _dpi(panel)


def _new_panels(
    passages: Sequence[Passage], above: Sequence[str], width: float, scale: Scale
) -> list[Axes]:
    """Return new Axes, one below the other, each as high as its text and as wide as asked for."""
    font, title = FontProperties(), FontProperties(size=matplotlib.rcParams["axes.titlesize"])
    line = LINE * font.get_size_in_points() / POINTS
    heights = [line * passage.lines(width, font) for passage in passages]
    words = [1.4 * title.get_size_in_points() / POINTS * _count(text) for text in above]
    whole = 2 * EDGE + sum(heights) + sum(words) + GAP * (len(heights) - 1)
    label = CLIPPED * scale.is_clipped
    size = 2 * EDGE + width + BESIDE + label, max(whole, LEAST_HEIGHT + label)
    figure = Picture(figsize=size)
    across, down = figure.get_size_inches()
    panels: list[Axes] = []
    top = down - EDGE
    for height, room in zip(heights, words, strict=True):
        top -= room + height
        place = EDGE / across, top / down, width / across, height / down
        panels.append(figure.add_axes(place, label=f"text {len(panels)}"))
        top -= GAP
    return panels


def _count(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _draw_scale(figure: FigureBase, scale: Scale, panels: list[Axes], is_new: bool) -> None:
    """Draw the colour bar to the right of the texts."""
    if not is_new:
        height = sum(panel.get_window_extent().height for panel in panels)
        draw_colorbar(figure, scale, panels, inches=height / _dpi(panels[0]))
        return
    own: Any = figure
    across, down = own.get_size_inches()
    high = min(down - 2 * EDGE - BAR_EDGE, LONGEST_BAR)
    left = panels[0].get_position().x1 + EDGE / across
    place = left, (down - EDGE - high) / down, BAR / across, high / down
    into = own.add_axes(place, label="<colorbar>")
    draw_colorbar(figure, scale, into=into, inches=high)


def _dpi(panel: Axes) -> float:
    figure: Any = panel.figure
    return float(figure.dpi)


def _draw(panel: Axes, passage: Passage, scale: Scale) -> None:
    """Write one text; the units of the panel are points."""
    font = FontProperties()
    size = font.get_size_in_points()
    box = panel.get_window_extent()
    wide, high = (POINTS * side / _dpi(panel) for side in (box.width, box.height))
    panel.set_axis_off()
    panel.set_xlim(0, wide)
    panel.set_ylim(high, 0)
    for place in passage.placed(wide / POINTS, font):
        colour = scale.cmap(scale.norm(passage.relevance[place.piece]))
        corner = place.left, (place.line + PAD) * LINE * size
        height = (1 - 2 * PAD) * LINE * size
        panel.add_patch(Rectangle(corner, place.width, height, facecolor=colour, linewidth=0))
        panel.text(
            place.left + place.width / 2,
            (place.line + 0.5) * LINE * size,
            place.text,
            color="white" if luminance(colour) < CONTRAST else "black",
            ha="center",
            va="center_baseline",
            fontproperties=font,
            parse_math=False,
        )
