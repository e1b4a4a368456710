"""What an explanation shows of itself in a notebook: a small table, and the first few maps."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot import explained, pixels
from lrpkeras.plot.explained import Explained
from lrpkeras.plot.scale import Scale, read_scale
from lrpkeras.plot.views import View, view

MAPS = 8  # at most, of all inputs together
LAYERS = 4  # that are drawn, of the first map
SIDE = 112  # pixels: what is larger is summed in blocks
SHOWN = 5  # classes, conditions and layers that the table names

Array = NDArray[Any]
Index = tuple[int, ...]

CELL = "text-align:left;padding:1px 12px 1px 0;vertical-align:top"
FIGURE = "display:inline-block;vertical-align:top;margin:0 4px 8px 0;width:100px"
IMAGE = "width:100px"  # eight side by side in JupyterLab
CAPTION = "font-size:11px;line-height:1.3;white-space:pre-line;overflow-wrap:anywhere"


def card(explanation: Explained, preset: str | None = None) -> str:
    """Return an explanation as HTML.

    Parameters
    ----------
    explanation
        Relevance of any shape and nesting: images are drawn as maps, vectors and series as bars,
        of volumes a slice; of what cannot be drawn a line tells why.
    preset
        The name of the preset, if it is known.

    Returns
    -------
    A table and pictures, less than 300 kB, without scripts or links; whatever text the
    explanation holds is escaped.
    """
    axes = _axes(explanation)
    first = _first(axes)
    titles = dict(zip(first, _titles(explanation, len(first)), strict=True))
    facts = {**({"preset": preset} if preset else {}), **_facts(explanation, axes)}
    inputs = _inputs(explanation.relevance, axes, titles)
    return f"<div>{_table(facts)}{inputs}{_layers(explanation.layers, axes, first[:1])}</div>"


def _axes(explanation: Explained) -> Index:
    """Return the sizes of the axes in front of a map: samples, targets, conditions."""
    conditions = explanation.condition
    several = (len(conditions),) if isinstance(conditions, tuple) else ()
    return (*explanation.target.shape, *several)


def _first(axes: Index) -> list[Index]:
    """Return where the first maps are."""
    count = min(MAPS, int(np.prod(axes, dtype=np.int64)))
    return [tuple(map(int, np.unravel_index(number, axes))) for number in range(count)]


@dataclass(frozen=True)
class _Head:
    """The beginning of an explanation, without its maps."""

    output: Array
    target: Array
    condition: Any
    relevance: Any = None
    layers: dict[str, Array] = field(default_factory=dict)


def _titles(explanation: Explained, count: int) -> list[str]:
    """Return class and logit, and the condition, of the first maps; only these are looked at."""
    if not count:
        return []
    output, target = explanation.output[:MAPS], explanation.target[:MAPS]
    return explained.titles(_Head(output, target, explanation.condition))[:count]


def _facts(explanation: Explained, axes: Index) -> dict[str, str]:
    """Return the rows of the table."""
    shapes = [f"{name}: {array.shape}" for name, array in explanation.layers.items()]
    facts = {"samples": f"{axes[0]}", "classes": _classes(explanation.target)}
    if explanation.condition is not None:
        words = [explained.words(condition) for condition in explained.conditions(explanation)]
        facts["conditions"] = _some(words, "; ")
    if shapes:
        facts["layers"] = _some(shapes)
    return facts


def _classes(target: Array) -> str:
    """Return the classes that are explained, the most frequent first."""
    classes, counts = np.unique(target, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    if len(classes) == 1 and classes[0] < 0:
        return "relevance starts from an array"
    return _some([f"{classes[i]} ({counts[i]} times)" for i in order])


def _some(words: Sequence[str], between: str = ", ") -> str:
    more = f"{between}... ({len(words)})" if len(words) > SHOWN else ""
    return between.join(words[:SHOWN]) + more


def _table(facts: Mapping[str, str]) -> str:
    rows = (
        f'<tr><th style="{CELL}">{escape(name)}</th><td style="{CELL}">{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _line(text: str) -> str:
    return f'<div style="margin:4px 0">{escape(text)}</div>'


def _more(count: int, of: str) -> str:
    return _line(f"{count} more {of} are not drawn.") if count > 0 else ""


def _inputs(relevance: Any, axes: Index, titles: Mapping[Index, str]) -> str:
    """Return the first maps of each input, in one scale for each; or why there are none."""
    inputs = keras.tree.flatten_with_path(relevance)
    shown = dict(list(titles.items())[: max(1, MAPS // max(1, len(inputs)))])
    parts = []
    for path, array in inputs[:MAPS]:
        shape = tuple(np.shape(array))
        name = f"Input {'/'.join(map(str, path))}, {shape}" if path else f"Relevance, {shape}"
        try:
            views = _views(array, axes, list(shown))
            scale = read_scale(np.concatenate([small.values.reshape(-1) for small in views]))
        except InputError as error:
            parts.append(_line(f"{name}: not drawn; {error}"))
            continue
        pairs = zip(views, shown.values(), strict=True)
        figures = [_figure(small, scale, [title, small.note]) for small, title in pairs]
        parts += [
            _line(f"{name}: {_limits(scale)}; red speaks for the class, blue against"),
            *figures,
        ]
    return "".join([*parts, _more(len(inputs) - MAPS, "inputs")])


def _layers(layers: Mapping[str, Array], axes: Index, first: Sequence[Index]) -> str:
    """Return the first map at each of some layers, in a scale of its own."""
    parts = []
    for name, array in list(layers.items())[:LAYERS]:
        title = f"{name}, {tuple(np.shape(array))}"
        try:
            (small,) = _views(array, axes, first)
            scale = read_scale(small.values)
        except InputError as error:
            parts.append(_line(f"{title}: not drawn; {error}"))
            continue
        parts.append(_figure(small, scale, [title, _limits(scale), small.note]))
    heading = _line("The first one at layers:") if parts else ""
    return "".join([heading, *parts, _more(len(layers) - LAYERS, "layers")])


def _views(relevance: Any, axes: Index, indices: Sequence[Index]) -> list[View]:
    """Return what is drawn of some maps, or refuse."""
    shape = tuple(np.shape(relevance))
    if shape[: len(axes)] != axes:
        raise InputError(f"its axes are not those of samples, targets and conditions, {axes}")
    if not indices:
        raise InputError("there are no samples")
    return [_small(view(relevance[index])) for index in indices]


def _small(seen: View) -> View:
    """Return a view summed in blocks, so that it is no larger than it is drawn."""
    size = -(-max(seen.values.shape) // SIDE)
    if not seen.is_plane or size == 1:
        return seen
    rows, columns = (np.arange(0, length, size) for length in seen.values.shape)
    summed = np.add.reduceat(np.add.reduceat(seen.values, rows, axis=0), columns, axis=1)
    return View(summed, "; ".join(filter(None, (seen.note, f"{size} × {size} pixels summed"))))


def _limits(scale: Scale) -> str:
    low, high = scale.limits
    return f"±{high:.3g}" if low < 0 else f"0 to {high:.3g}"


def _figure(seen: View, scale: Scale, lines: Sequence[str]) -> str:
    png = pixels.as_png(pixels.drawn(seen, scale, SIDE), pixels.palette(scale))
    data = base64.b64encode(png).decode("ascii")
    text = escape("\n".join(filter(None, lines)))
    return (
        f'<div style="{FIGURE}"><img style="{IMAGE}" alt="relevance, {text}" '
        f'src="data:image/png;base64,{data}"><div style="{CAPTION}">{text}</div></div>'
    )
