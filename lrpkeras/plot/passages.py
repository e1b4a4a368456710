"""Tokens as text: parts of words joined, broken into lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps
from lrpkeras.plot.titles import POINTS, broken

PAD, SPACE = 0.12, 0.35  # of the size of the font: beside a text, and between words
# What begins a word, and what its tokenizer writes for white space: SentencePiece, GPT-2.
SPACES = {"▁": str.maketrans("▁", " "), "Ġ": str.maketrans("ĠĊĉ", " \n\t")}
SIGNS = {"\n": "⏎", "\t": "⇥", " ": "␣"}  # for what nobody would see


class Place(NamedTuple):
    """Where a piece lies, or a part of one: its number and text, line, left edge and width.

    Lengths are in points.
    """

    piece: int
    text: str
    line: int
    left: float
    width: float


@dataclass(frozen=True)
class Passage:
    """What is written, with the relevance of each piece.

    Attributes
    ----------
    pieces
        The texts, without the marks of subwords.
    joined
        Whether each follows the one before without a space.
    relevance
        Of each piece, (pieces,).
    note
        What was left out.
    """

    pieces: list[str]
    joined: list[bool]
    relevance: Maps
    note: str = ""

    @classmethod
    def of(
        cls, words: Sequence[str], relevance: Maps, padding: str | None, subwords: bool
    ) -> Passage:
        """Read tokens, and leave padding out."""
        kept = [i for i, word in enumerate(words) if padding is None or word != padding]
        if not kept:
            raise InputError(f"this text is nothing but padding {padding!r}: leave it out")
        left = np.delete(relevance, kept)
        note = f"{len(left)} of {padding!r} left out, Σ|R| {np.abs(left).sum():.3g}"
        read = pieces([words[i] for i in kept]) if subwords else [(words[i], False) for i in kept]
        return cls(
            [_visible(text) for text, _ in read],
            [joined for _, joined in read],
            relevance[kept],
            note if len(left) else "",
        )

    def placed(self, inches: float, font: FontProperties) -> Iterator[Place]:
        """Yield where each piece lies, in lines of so many inches; longer ones are broken."""
        width = _Width(font)
        size, room = font.get_size_in_points(), inches * POINTS
        line, right = 0, 0.0
        for i, text in enumerate(self.pieces):
            for n, part in enumerate(broken(text, lambda some: width(some) <= room)):
                wide = width(part)
                gap = 0.0 if self.joined[i] or n or not right else SPACE * size
                if right and right + gap + wide > room:
                    line, right, gap = line + 1, 0.0, 0.0
                yield Place(i, part, line, right + gap, wide)
                right += gap + wide
            if text.endswith(SIGNS["\n"]):
                line, right = line + 1, 0.0

    def lines(self, inches: float, font: FontProperties) -> int:
        """Return how many lines it takes."""
        return 1 + max((place.line for place in self.placed(inches, font)), default=0)


class _Width:
    """How wide a text is on its ground, in points."""

    def __init__(self, font: FontProperties) -> None:
        self._font, self._measure = font, TextToPath()
        self._known: dict[str, float] = {}

    def __call__(self, text: str) -> float:
        if text not in self._known:
            bare = self._measure.get_text_width_height_descent(text, self._font, False)[0]
            self._known[text] = bare + 2 * PAD * self._font.get_size_in_points()
        return self._known[text]


def pieces(words: Sequence[str]) -> list[tuple[str, bool]]:
    """Return what each token says, and whether it follows the one before without a space.

    Examples
    --------
    >>> pieces(["un", "##known"]), pieces(["▁un", "known"])
    ([('un', False), ('known', True)], [('un', False), ('known', True)])
    """
    for mark, meant in SPACES.items():
        if any(word.startswith(mark) for word in words):
            return [_spaced(word.translate(meant)) for word in words]
    return [(w[2:], True) if w.startswith("##") and len(w) > 2 else (w, False) for w in words]


def _spaced(text: str) -> tuple[str, bool]:
    """Read a token that begins with a space if it begins a word."""
    return (text[1:], False) if text.startswith(" ") else (text, True)


def _visible(text: str) -> str:
    """Return a text with signs for what nobody would see."""
    seen = text if text.strip() else "".join(SIGNS.get(sign, sign) for sign in text)
    return seen.replace("\n", SIGNS["\n"]).replace("\t", SIGNS["\t"]) or SIGNS[" "]
