"""Titles that stay within the width of what they stand above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from lrpkeras.errors import InputError

Titles: TypeAlias = str | Sequence[str] | None

LINES = 4
OMITTED = "…"
POINTS = 72  # to an inch


def read_titles(titles: Titles, count: int) -> list[str]:
    """Return a title for each of `count` pictures, or refuse another number of them.

    None or "" stands for no titles.
    """
    if titles is None or (isinstance(titles, str) and not titles):
        return [""] * count
    try:
        names = [titles] if isinstance(titles, str) else [*titles]
    except TypeError:
        raise InputError(f"titles is a list of texts, not {titles!r}") from None
    if len(names) != count:
        raise InputError(f"{len(names)} titles for {count} pictures: give one for each")
    return [str(name) for name in names]


def wrapped(text: str, inches: float, font: FontProperties) -> list[str]:
    """Break a text into at most four lines of a width; of a longer one the middle is left out.

    Lines that are there stay, and words are broken only where one alone is too long.
    """
    fits = _Width(inches * POINTS, font)
    lines = [line for given in text.split("\n") for line in _lines(given, fits)]
    return lines if len(lines) <= LINES else [*lines[: LINES - 2], OMITTED, lines[-1]]


class _Width:
    """Whether a text fits into a number of points."""

    def __init__(self, points: float, font: FontProperties) -> None:
        self._points, self._font, self._path = points, font, TextToPath()

    def __call__(self, text: str) -> bool:
        return self._path.get_text_width_height_descent(text, self._font, False)[0] <= self._points


def _lines(text: str, fits: _Width) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if fits(joined):
            lines[-1] = joined
        else:
            lines += broken(word, fits)
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def broken(word: str, fits: Callable[[str], bool]) -> list[str]:
    """Break one word where it reaches the width, behind its last "_", "-" or "/" if it has one."""
    parts = []
    while (end := _fitting(word, fits)) < len(word):
        joint = max(word.rfind(sign, 0, end) for sign in "_-/") + 1
        cut = joint if joint > 1 else end
        parts.append(word[:cut])
        word = word[cut:]
    return [*parts, word]


def _fitting(word: str, fits: Callable[[str], bool]) -> int:
    """Return how many letters of a word fit, one at least; what is far too long is not measured."""
    known, beyond = 1, 2
    while beyond <= len(word) and fits(word[:beyond]):
        known, beyond = beyond, 2 * beyond
    beyond = min(beyond, len(word) + 1)
    while beyond - known > 1:
        middle = (known + beyond) // 2
        known, beyond = (middle, beyond) if fits(word[:middle]) else (known, middle)
    return known
