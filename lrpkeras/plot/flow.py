"""The way of relevance through a network: what each node passed on, and what sinks took."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.offsetbox import AnnotationBbox, DrawingArea, HPacker, OffsetBox, TextArea
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextToPath

from lrpkeras.errors import InputError
from lrpkeras.ledger import Check
from lrpkeras.plot import colours
from lrpkeras.plot.lanes import Row, lanes
from lrpkeras.plot.panels import given_axes
from lrpkeras.plot.picture import Drawn, Picture
from lrpkeras.plot.stages import Flow, Stage, grouped, label, read
from lrpkeras.plot.streams import bar, stream, stub
from lrpkeras.plot.titles import POINTS

# Okabe & Ito's colours, which colour-blind readers can tell apart, without those of the signs.
SINKS = {
    "bias": "#E69F00",
    "epsilon": "#009E73",
    "padding": "#CC79A7",
    "zero sum": "#999999",
    "one-signed sum": "#56B4E9",
    "design": "#8C6D46",
    "residual rescaling": "#7E57C2",
    "Taylor remainder": "#A6A600",
}
OTHER = "#999999"

ROW = 0.27  # inches
STREAMS = 4.6  # inches for the bars and streams, and margins
GAVE = "////"  # the hatching of what sinks gave
BEND = 0.02  # of the width: how far a sink's stub bends to the side


def flow(check: Check, *, most: int = 40, least: float = 1e-3, axes: Axes | None = None) -> Drawn:
    """Draw where relevance went: from the output, at the top, to the inputs, at the bottom.

    A row for each node. Streams are as wide as the relevance that passes, in one scale, and
    coloured by its sign; at the side leaves what sinks (bias, epsilon, padding, ...) took, each in
    a colour of its own, and enters what they gave. Percentages are of the relevance at the start.
    Sums run over the samples that were checked: check one alone for its own picture.

    Parameters
    ----------
    check
        What `analyzer.check(x)` returned.
    most
        The most rows, at least 2. Of a network with more nodes, chains and blocks are drawn as
        one row with a frame, beginning where that hides the least loss; the picture says so.
        Inputs stay on their own.
    least
        Sinks that took at least this share of the relevance at the start are labelled in their
        row, in [0, 1]. The key below counts all of them.
    axes
        Draw here, not in a new figure.

    Returns
    -------
    Drawn
        The figure and its Axes.

    Raises
    ------
    lrpkeras.errors.InputError
        Where `check` is no such thing or holds numbers that are not finite, or for settings out of
        range.

    Examples
    --------
    >>> import keras, lrpkeras, numpy as np
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")])
    >>> check = lrpkeras.Analyzer(model).check(np.ones((1, 4)))
    >>> figure, axes = flow(check)
    """
    whole = _checked(check, most, least)
    drawn = grouped(whole, most) if len(whole) > most else whole
    rows = lanes(drawn)
    panel = _panel(axes, len(rows), _beside(drawn, check.start, least))
    signs = _Signs(*colours.signed(colours.is_dark(panel))([0.85, 0.15]))
    _draw(panel, drawn, rows, signs)
    _write_names(panel, drawn, check.start)
    _write_sinks(panel, drawn, check.start, least)
    _write_key(panel, check, _notes(whole, drawn, check, least), signs, ours=axes is None)
    return Drawn(panel.figure, panel)


class _Signs(NamedTuple):
    """The colours of relevance for and against."""

    positive: Any
    negative: Any


def _checked(check: Any, most: int, least: float) -> Flow:
    """Return the flow of a check, a stage a node."""
    if not isinstance(check, Check):
        raise InputError(
            f"flow draws what analyzer.check(x) returns, not a {type(check).__name__}: "
            "lrpkeras.plot.flow(analyzer.check(x))"
        )
    if not isinstance(most, Integral) or most < 2:
        raise InputError(f"most is a whole number of rows of at least 2, not {most!r}")
    if not isinstance(least, Real) or not 0 <= least <= 1:
        raise InputError(f"least is a share between 0 and 1, not {least!r}")
    if not check.entries:
        raise InputError("the check has no nodes: relevance goes straight to the input")
    for entry in check.entries:
        if not all(map(math.isfinite, (entry.incoming, *entry.sent, *entry.sinks.values()))):
            raise InputError(
                f"relevance at {entry.name!r} is not finite: print the check to see where it began"
            )
    return read(check)


def _beside(drawn: Flow, start: float, least: float) -> float:
    """Return how many inches the longest name and the longest row of sinks take."""
    measure, font = TextToPath(), FontProperties(size=matplotlib.rcParams["ytick.labelsize"])

    def inches(text: str) -> float:
        return float(measure.get_text_width_height_descent(text, font, False)[0]) / POINTS

    left = [f"{label(stage, drawn)} {_amount(stage.incoming, start)}" for stage in drawn.stages]
    right = [_sinks_of(stage, start, least) for stage in drawn.stages]
    sinks = [sum(inches(f"{name} {_amount(v, start)}") + 0.25 for name, v in row) for row in right]
    return max(map(inches, left)) + max(sinks)


def _sinks_of(stage: Stage, start: float, least: float) -> list[tuple[str, float]]:
    """Return the sinks of a stage that are named beside its row."""
    return [(name, value) for name, value in stage.sinks if abs(value) >= least * abs(start)]


def _panel(axes: Any, rows: int, beside: float) -> Axes:
    """Return the Axes to draw into, a row high for each stage, and as wide as texts leave room."""
    if axes is None:
        width = max(matplotlib.rcParams["figure.figsize"][0], 8.0, STREAMS + beside)
        panel = Picture(figsize=(width, ROW * rows + 1.4), layout="constrained").add_subplot()
    else:
        [panel] = given_axes(axes, 1, "for the whole flow")
    panel.spines[:].set_visible(False)
    panel.set(xticks=[], ylim=(rows - 0.4, -0.6))
    panel.tick_params(left=False)
    return panel


def _draw(panel: Axes, drawn: Flow, rows: list[Row], signs: _Signs) -> None:
    """Draw streams and the stubs of sinks, and the bars over them."""
    end = max(row.end for row in rows) or 1.0
    for number, way in enumerate(drawn.ways):
        spans = [rows[way.source].leaving[number]]
        spans += [rows[r].passing[number] for r in range(way.source + 1, way.target)]
        path = stream([*spans, rows[way.target].arriving[number]], way.source)
        _fill(panel, path, signs.negative if way.value < 0 else signs.positive, "way")
    for number, (row, stage) in enumerate(zip(rows, drawn.stages, strict=True)):
        panel.axhline(number, color=_ink(), alpha=0.15, linewidth=0.5, zorder=0)
        for n, span in (row.taken | row.given).items():
            path, colour = (
                stub(span, number, BEND * end, n in row.taken),
                _sink_colour(stage.sinks[n][0]),
            )
            _fill(panel, path, colour, "sink", hatch=None if n in row.taken else GAVE)
        fill = panel.get_facecolor() if len(stage.nodes) > 1 else _ink()
        box = bar(row.bar, number)
        panel.add_patch(PathPatch(box, facecolor=fill, edgecolor=_ink(), zorder=3, gid="stage"))
    panel.set_xlim(-0.01 * end, (1 + BEND) * end)


def _fill(panel: Axes, path: Path, colour: Any, gid: str, hatch: str | None = None) -> None:
    """Draw a stream: at least a hairline, however little passes."""
    face = colour if hatch is None else "none"
    panel.add_patch(
        PathPatch(path, fc=face, ec=colour, hatch=hatch, alpha=0.7, linewidth=0.6, gid=gid)
    )


def _ink() -> Any:
    return matplotlib.rcParams["text.color"]


def _sink_colour(name: str) -> str:
    return SINKS.get(name, OTHER)


def _write_names(panel: Axes, drawn: Flow, start: float) -> None:
    """Write beside each row what it is, and how much relevance arrives there."""
    amounts = [_amount(stage.incoming, start) for stage in drawn.stages]
    panel.set_yticks(range(len(amounts)), amounts)
    size = float(panel.yaxis.get_ticklabels()[0].get_fontsize())
    for number, stage in enumerate(drawn.stages):
        panel.annotate(
            label(stage, drawn),
            (0, number),
            xycoords=panel.get_yaxis_transform(),
            xytext=(-0.6 * size * (2 + max(map(len, amounts))), 0),
            textcoords="offset points",
            size=size,
            ha="right",
            va="center",
            annotation_clip=False,
            parse_math=False,
        )


def _write_sinks(panel: Axes, drawn: Flow, start: float, least: float) -> None:
    """Write at the right of each row what its sinks took, with their colours."""
    for number, stage in enumerate(drawn.stages):
        shown = _sinks_of(stage, start, least)
        if shown:
            words: list[Artist] = [
                part for name, value in shown for part in _named(name, value, start)
            ]
            box = AnnotationBbox(
                HPacker(children=words, sep=4, pad=0, align="center"),
                (1.0, number),
                xycoords=panel.get_yaxis_transform(),
                box_alignment=(0.0, 0.5),
                frameon=False,
                annotation_clip=False,
            )
            panel.add_artist(box)


def _named(name: str, value: float, start: float) -> list[OffsetBox]:
    """Return a patch of a sink's colour, and what it took."""
    size = matplotlib.rcParams["ytick.labelsize"]
    patch = DrawingArea(7, 7)
    patch.add_artist(Rectangle((0, 0), 7, 7, color=_sink_colour(name)))
    return [patch, TextArea(f"{name} {_amount(value, start)}", textprops={"size": size})]


def _amount(value: float, start: float) -> str:
    """Return relevance as a percentage of that at the start; where there is none, as it is."""
    return f"{100 * value / start:.3g} %" if start else f"{value:.3g}"


def _notes(whole: Flow, drawn: Flow, check: Check, least: float) -> list[str]:
    """Return what a reader must know to read the picture right."""
    notes = [f"start {check.start:.4g} = 100 %" if check.start else "start 0: no percentages"]
    if len(drawn) < len(whole):
        notes.append(f"{len(whole)} nodes in {len(drawn)} rows: a frame is a chain or a block")
    if any(value * stage.incoming < 0 for stage in drawn.stages for _, value in stage.sinks):
        notes.append("hatched: what a sink gave")
    if least and check.start:
        notes.append(f"sinks below {100 * least:g} % of the start have no label")
    if not check.closes:
        notes.append("THE LEDGER DOES NOT CLOSE: print the check")
    return notes


def _write_key(panel: Axes, check: Check, notes: list[str], signs: _Signs, ours: bool) -> None:
    """Write below the picture what the colours mean, and where everything went in the end."""
    ends = {name: value for name, value in check.sinks.items() if value}
    shown = {"inputs": check.inputs} | ends
    share = [f" ({_amount(v, check.start)})" if check.start else "" for v in shown.values()]
    texts = [f"{name} {v:.3g}{s}" for (name, v), s in zip(shown.items(), share, strict=True)]
    fills = ["none", *map(_sink_colour, ends), signs.positive, signs.negative]
    names = [*texts, "relevance for", "relevance against"]
    patches = [Patch(color=c, label=name) for c, name in zip(fills, names, strict=True)]
    place = {"loc": "outside lower center"} if ours else {"loc": "upper center"}
    host: Any = panel.figure if ours else panel
    key = host.legend(
        handles=patches,
        title="\n".join(notes),
        bbox_to_anchor=None if ours else (0.5, 0),
        ncols=2,
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        **place,
    )
    for text in key.get_texts():
        text.set_parse_math(False)
