"""`write`: from an explanation to a file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lrpkeras.errors import InputError
from lrpkeras.jobs.job import write_aside
from lrpkeras.ledger import Check
from lrpkeras.plot.explained import Caption, Explained, Labels, captions
from lrpkeras.report import measures as measured
from lrpkeras.report import rendering, scales
from lrpkeras.report.budget import fitting
from lrpkeras.report.facts import Frame
from lrpkeras.report.pictures import read_shown
from lrpkeras.report.places import read_places
from lrpkeras.report.samples import Content
from lrpkeras.summary import About


def write(
    explained: Explained,
    path: str | os.PathLike,
    images: Any = None,
    *,
    about: About | None = None,
    labels: Labels | None = None,
    names: Sequence[str] | None = None,
    check: Check | None = None,
    measures: Any = None,
    title: str | None = None,
    clip: float = 99.5,
    megabytes: float = 20,
) -> Path:
    """Write a report page.

    Parameters
    ----------
    explained
        An explanation.
    path, images, labels, names, check, measures, title, clip, megabytes
        As for `lrpkeras.Explanation.report`.
    about
        What made it.

    Returns
    -------
    Where the page is.

    Raises
    ------
    InputError
        As `lrpkeras.Explanation.report`.
    """
    file = check_page(path, megabytes)
    _check_ledger(check, about)
    stops = scales.stops(clip)
    found = measured.results(measures)
    places, left_out = read_places(explained)
    content = Content(
        places, read_shown(images, explained.relevance, [p for p in places if p.is_input]), stops
    )
    frame = Frame(
        title="Relevance" if title is None else str(title),
        names=_names(names, content),
        captions=_captions(explained, labels),
        about=about,
        check=check,
        measures=found,
        left_out=left_out,
        clip=stops.index(clip),
    )
    limit = megabytes * 1e6 - len(rendering.rendered(frame, content, None, []).encode())
    fineness, coarse, texts = fitting(content, limit)
    write_aside(file, rendering.rendered(frame, coarse, fineness, texts))
    return file


def check_page(path: str | os.PathLike, megabytes: float) -> Path:
    """Return where a page goes, if it can be made: before anything is explained for it.

    Raises
    ------
    InputError
        If that is a folder, or in none that is there or may be written to, or if `megabytes` is no
        positive number.
    LrpError
        If the templates' library is not there.
    """
    is_number = isinstance(megabytes, int | float) and not isinstance(megabytes, bool)
    if not is_number or not 0 < megabytes < math.inf:
        raise InputError(f"megabytes is a positive number, not {megabytes!r}.")
    rendering.needed()
    file = Path(path)
    if not os.fspath(path):
        raise InputError("The path is empty: name a file, such as report.html.")
    if file.is_dir():
        raise InputError(f"{os.fspath(path)!r} is a folder: name a file, such as report.html.")
    if not file.parent.is_dir():
        raise InputError(f"{os.fspath(path)!r}: there is no folder {str(file.parent)!r}.")
    if not os.access(file.parent, os.W_OK):
        raise InputError(f"{os.fspath(path)!r}: nothing may be written to {str(file.parent)!r}.")
    return file


def _check_ledger(check: Check | None, about: About | None) -> None:
    """Refuse a ledger of other rules than the maps were made by."""
    if not isinstance(check, Check | None):
        raise InputError(f"check is what analyzer.check(x) returns, not {check!r}.")
    if check is None or about is None:
        return
    rules = {row.node: row.rule for row in about.summary.rows}
    for entry in check.entries:
        if entry.kind == "Linear" and rules.get(entry.name, entry.rule) != entry.rule:
            raise InputError(
                f"check is of another analyzer: there {entry.name!r} has the rule {entry.rule}, "
                f"and {rules[entry.name]} in what is explained."
            )


def _names(names: Sequence[str] | None, content: Content) -> list[str]:
    """Return a name for each sample."""
    if names is None:
        kind = "Image" if content.places[0].kind == "image" else "Sample"
        return [f"{kind} {number + 1}" for number in range(content.count)]
    given = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    if isinstance(names, str) or len(given) != content.count:
        raise InputError(
            f"{len(given)} names for {content.count} samples: give a list, one for each."
        )
    return list(map(str, given))


def _captions(explained: Explained, labels: Labels | None) -> list[list[Caption]]:
    """Return captions by sample."""
    flat = captions(explained, labels)
    times = len(flat) // len(explained.target)
    return [flat[start : start + times] for start in range(0, len(flat), times)]
