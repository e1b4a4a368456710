"""Tables as aligned text and as Markdown, and numbers as they are shown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.spread import Spread

Row = Sequence[str]


def markdown(heads: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table; the first column to the left, numbers to the right."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows))


def aligned(heads: Row, rows: Sequence[Row]) -> str:
    """Return a table in columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(_line(row, widths) for row in (heads, *rows))


def _line(row: Row, widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    return "  ".join([first, *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds, with three digits that count.

    Examples
    --------
    >>> milliseconds(0.012345), milliseconds(12.3456)
    ('12.3', '12346')
    """
    value = 1e3 * seconds
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def quartiles(found: Spread, show: str = ".2f") -> str:
    """Return a median and its quartiles.

    Examples
    --------
    >>> quartiles(Spread(2.0, 1.75, 2.251))
    '2.00 (1.75 to 2.25)'
    """
    return f"{found.median:{show}} ({found.low:{show}} to {found.high:{show}})"


def mebibytes(number: float) -> str:
    """Return bytes in MiB."""
    return f"{number / 2**20:,.0f}"
