"""Outlines of what a flow draws: bars, the streams between them, and the stubs of sinks.

Rows lie at y = 0, 1, ... from the top down, and are half empty: streams bend between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib.path import Path

from lrpkeras.plot.lanes import Span

Point = tuple[float, float]

HALF = 0.13  # of a row: half the height of a bar
REACH = 0.8  # of a row: how far from its middle a stub ends


def bar(span: Span, row: int) -> Path:
    """Return the outline of a stage's bar."""
    (left, right), top, bottom = span, row - HALF, row + HALF
    return Path([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])


def stream(spans: Sequence[Span], row: int) -> Path:
    """Return the outline of a stream: from the bottom of a row through others to the top of one.

    Parameters
    ----------
    spans
        Where it lies in each row, from `row` on.
    row
        The row where it begins.
    """
    left, right = (_down([span[side] for span in spans], row) for side in (0, 1))
    return _outline(left, right)


def stub(span: Span, row: int, bend: float, down: bool) -> Path:
    """Return the outline of a sink's stub: to the side by `bend`, down from a bar or up from it."""
    direction = 1 if down else -1
    ends = [row + direction * HALF, row + direction * REACH]
    left, right = ([(x, ends[0]), (x + bend, ends[1])] for x in span)
    return _outline(left, right)


def _down(xs: Sequence[float], row: int) -> list[Point]:
    points = [(x, row + i + side) for i, x in enumerate(xs) for side in (-HALF, HALF)]
    return points[1:-1]


def _outline(left: list[Point], right: list[Point]) -> Path:
    """Join two sides, each drawn as a curve that stays upright at its points."""
    points = [left[0], *_curves(left), right[-1], *_curves(right[::-1]), left[0]]
    curve = [Path.CURVE4] * (3 * (len(left) - 1))
    return Path(points, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.LINETO])


def _curves(points: list[Point]) -> Iterator[Point]:
    """Yield the control points of cubic curves from each point to the next."""
    for (x, y), (next_x, next_y) in pairwise(points):
        middle = (y + next_y) / 2
        yield from ((x, middle), (next_x, middle), (next_x, next_y))
