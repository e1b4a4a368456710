"""Words that are written anew when what they stand beside gets another size."""

from __future__ import annotations

from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.text import Text

from lrpkeras.plot.scale import Scale, write_scale
from lrpkeras.plot.titles import wrapped

CLOSE = 0.01
"""Share of a size by which another may differ and still be the same."""


@dataclass(frozen=True)
class Bar:
    """A colour bar to the right of a column, along some rows, written for a length in inches."""

    bar: Colorbar
    scale: Scale
    column: int
    rows: range
    length: float

    @property
    def axes(self) -> Axes:
        """Where it is."""
        return self.bar.ax

    def of_length(self, inches: float) -> Bar:
        """Write it anew if its length is another."""
        if abs(inches - self.length) < CLOSE * self.length:
            return self
        write_scale(self.bar, self.scale, inches)
        return replace(self, length=inches)


@dataclass(frozen=True)
class Lines:
    """A title, or the label of a row, in lines.

    Attributes
    ----------
    artist
        What draws it.
    text
        What it says.
    lines
        The same, broken into lines; if the artist says something else, somebody has changed it.
    row
        Whose panels it is as long as, for a label; None for a title, as long as a panel is wide.
    """

    artist: Text
    text: str
    lines: str
    row: int | None = None

    def broken(self, inches: float) -> Lines:
        """Break it to a length, unless it was changed."""
        if self.artist.get_text() != self.lines:
            return self
        font = self.artist.get_fontproperties()
        lines = "\n".join(wrapped(self.text, inches, font))
        self.artist.set_text(lines)
        return replace(self, lines=lines)
