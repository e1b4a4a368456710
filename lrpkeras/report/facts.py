"""What templates and scripts are told: all that a page shows but the maps themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import Colormap, to_hex

from lrpkeras.ledger import Check
from lrpkeras.plot import colours
from lrpkeras.plot.explained import Caption
from lrpkeras.report import charts, scales
from lrpkeras.report.budget import Fineness
from lrpkeras.report.measures import read_charts, read_numbers
from lrpkeras.report.places import Place
from lrpkeras.report.samples import Content
from lrpkeras.report.words import logit_in_words
from lrpkeras.summary import About

PHOTO = 40  # per cent of a photo that is seen below a map, as in `lrpkeras.plot.heatmap`
STARTS = {
    "unit": "Relevance started here from 1, with the sign of what the last rule divides by.",
    "contrast": "Relevance started here from the logit's lead over the mean of the other logits.",
}
UNNAMED = "chosen outputs"  # what is explained where relevance starts from an array


@dataclass(frozen=True)
class Frame:
    """What stands around the maps.

    Attributes
    ----------
    title
        Of the page.
    names, captions
        Of each sample, and of each of its maps.
    about, check, measures
        What made the maps, the ledger, and results of measures by name.
    left_out
        What cannot be drawn.
    clip
        At which of the percentiles colours end when the page opens.
    """

    title: str
    names: Sequence[str]
    captions: Sequence[Sequence[Caption]]
    about: About | None
    check: Check | None
    measures: Mapping[str, Any]
    left_out: Sequence[str]
    clip: int


def for_scripts(frame: Frame, content: Content, fineness: Fineness | None) -> dict[str, Any]:
    """Return what scripts know of the whole page."""
    levels = fineness.coding.levels if fineness else 0
    return {
        "stop": frame.clip,
        "stops": content.stops,
        "photo": PHOTO,
        "unnamed": UNNAMED,
        "colours": {"light": _table(colours.signed()), "dark": _table(colours.signed(dark=True))},
        "places": [_place(place, content, levels) for place in content.places],
        "samples": [
            {"name": name, "captions": list(map(_caption, captions))}
            for name, captions in zip(frame.names, frame.captions, strict=True)
        ],
        "sorts": _sorts(frame),
    }


def _caption(caption: Caption) -> dict[str, str | None]:
    logit = None if caption.logit is None else logit_in_words(caption.logit)
    return {"name": caption.name, "logit": logit, "condition": caption.condition}


def _table(cmap: Colormap) -> str:
    """Return all colours of a map, six digits each."""
    return "".join(to_hex(cmap(i))[1:] for i in range(cmap.N))


def _place(place: Place, content: Content, levels: int) -> dict[str, Any]:
    rows, columns = place.size
    return {
        "name": place.name,
        "kind": place.kind,
        "rows": rows,
        "columns": columns,
        "fullRows": place.full[0],
        "fullColumns": place.full[1],
        "levels": levels,
        "all": scales.limits([place.maps], content.stops) if levels else [],
        "photo": content.photo_of(place),
        "resolution": resolution(place),
    }


def resolution(place: Place) -> str:
    """Return how many values a map of a place has, and what they are, in words.

    Examples
    --------
    >>> import numpy as np
    >>> resolution(Place("x", True, "image", np.zeros((1, 1, 4, 4)), (8, 8), 3))
    '4 × 4 values of 8 × 8, sums of 2 × 2, and over 3 channels'
    """
    image = place.kind == "image"
    (rows, columns), (all_rows, all_columns) = place.size, place.full
    full = f"{all_rows} × {all_columns}" if image else str(all_columns)
    over = f"over {place.channels} channels" if place.channels > 1 else ""
    if place.size == place.full:
        return f"{full} values" + (f", sums {over}" if over else "")
    each = [f"{whole / part:.3g}" for whole, part in ((all_rows, rows), (all_columns, columns))]
    parts = " × ".join(each) if image else each[1]
    shown = f"{rows} × {columns}" if image else str(columns)
    return f"{shown} values of {full}, sums of {parts}" + (f", and {over}" if over else "")


def _sorts(frame: Frame) -> list[dict[str, Any]]:
    """Return by what samples can be sorted, with a value for each."""
    firsts = [captions[0] for captions in frame.captions]
    count, logits = len(frame.names), [caption.logit for caption in firsts]
    found: list[tuple[str, Sequence[Any], bool]] = [("name", frame.names, False)]
    if any(logit is not None for logit in logits):
        found.append(("logit", logits, False))
    numbers = [one for one in read_numbers(frame.measures) if len(one.values) == count]
    found += [(one.name, list(map(_plain, one.values)), True) for one in numbers]
    return [
        {"name": name, "values": values, "isMeasure": is_measure}
        for name, values, is_measure in found
    ]


def _plain(value: float) -> float | None:
    """Return a number that JSON has; None for one that is not finite."""
    return value if math.isfinite(value) else None


def for_templates(frame: Frame, content: Content, fineness: Fineness | None) -> dict[str, Any]:
    """Return what templates show."""
    captions = [caption for each in frame.captions for caption in each]
    about = frame.about
    return {
        "title": frame.title,
        "facts": _facts(frame, content),
        "about": about,
        "counts": _counts(about),
        "settings": _settings(about),
        "check": frame.check,
        "shares": _shares(frame.check),
        "numbers": [charts.strip(one) for one in read_numbers(frame.measures)],
        "charts": [charts.drawing(one) for one in read_charts(frame.measures)],
        "samples": [
            {"name": name, "captions": each}
            for name, each in zip(frame.names, frame.captions, strict=True)
        ],
        "places": [
            {"name": p.name, "label": _label(p), "resolution": resolution(p)}
            for p in content.places
        ],
        "left_out": frame.left_out,
        "sorts": _sorts(frame),
        "stops": content.stops,
        "stop": frame.clip,
        "photo": PHOTO,
        "has_photos": any(content.photo_of(place) is not None for place in content.places),
        "unnamed": UNNAMED,
        "negative": any(one.logit is not None and one.logit < 0 for one in captions),
        "array_targets": any(not one.name for one in captions),
        "start": None if about is None else STARTS.get(str(about.settings.get("initial"))),
        "conditions": any(one.condition for one in captions),
        "precision": _precision(fineness),
    }


def _label(place: Place) -> str:
    return place.name if place.is_input else f"layer {place.name}"


def _facts(frame: Frame, content: Content) -> list[str]:
    """Return the line below the title."""
    kind = "image" if content.places[0].kind == "image" else "sample"
    each = len(frame.captions[0])
    facts = [_many(content.count, kind)]
    if each > 1:
        facts.append(f"{each} maps each")
    if frame.about is not None:
        facts += [f"preset {frame.about.summary.preset}", f"model {frame.about.fingerprint}"]
        facts.append(f"lrpkeras {frame.about.versions.get('lrpkeras', '')}".strip())
    return facts


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _counts(about: About | None) -> list[tuple[str, int]]:
    """Return how many nodes have each rule, the most frequent first."""
    if about is None:
        return []
    return Counter(row.rule for row in about.summary.rows if row.rule != "-").most_common()


def _settings(about: About | None) -> list[tuple[str, str]]:
    if about is None:
        return []
    settings = {name: value for name, value in about.settings.items() if value is not None}
    every = {**settings, "model": about.fingerprint, **about.versions}
    return [(name, str(value)) for name, value in every.items()]


def _shares(check: Check | None) -> list[tuple[str, float, float]]:
    """Return where relevance went: a name, how much, and how long its bar is, in per cent."""
    if check is None:
        return []
    went = {"inputs": check.inputs, **check.sinks}
    sizes = {name: abs(value) for name, value in went.items() if math.isfinite(value)}
    largest = max(sizes.values(), default=0.0) or 1.0
    return [
        (name, value, round(min(100.0, 100 * sizes.get(name, 0.0) / largest), 2))
        for name, value in went.items()
    ]


def _precision(fineness: Fineness | None) -> str:
    if fineness is None:
        return ""
    return (
        f"Every value is kept in {fineness.coding.bits} bits, with levels that lie closer together "
        "near zero; how far it may be from the array's stands beside it (±). Sums are of the "
        "arrays themselves."
    )
