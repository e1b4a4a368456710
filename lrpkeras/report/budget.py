"""How finely samples are kept, so that a page stays below a size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.report.coding import COARSE, FINE, Coding
from lrpkeras.report.pictures import Shown
from lrpkeras.report.places import Place
from lrpkeras.report.samples import Content, as_text

TRIED = 6  # samples whose size tells that of all
SMALLEST = 7  # rows and columns of a layer that are left in any case


@dataclass(frozen=True)
class Fineness:
    """How finely samples are kept.

    Attributes
    ----------
    side
        Rows and columns of inputs, at most; layers have half as many. None: all that there are.
    coding
        Of values.
    photo
        Pixels of a photo's longer side, at most.
    """

    side: int | None
    coding: Coding
    photo: int

    def of(self, content: Content) -> Content:
        """Return what is drawn with no more rows and columns than these."""
        if self.side is None:
            return content
        return replace(content, places=[self._of_place(place) for place in content.places])

    def _of_place(self, place: Place) -> Place:
        assert self.side is not None
        return place.within(self.side if place.is_input else max(SMALLEST, self.side // 2))


# From the finest on. Of half the rows and columns there is a quarter to keep; a byte for each value
# in place of two takes about a third.
LADDER = (
    Fineness(None, Coding(FINE), 448),
    Fineness(None, Coding(COARSE), 320),
    *(Fineness(side, Coding(COARSE), min(side + 96, 320)) for side in (224, 160, 112, 80, 56, 28)),
)


def fitting(content: Content, limit: float) -> tuple[Fineness, Content, list[str]]:
    """Return the finest way to keep samples that takes at most `limit` bytes, and their texts.

    Raises
    ------
    InputError
        If not even the coarsest does.
    """
    few, size = _few(content), 0.0
    for fineness in LADDER:
        size = _size(fineness, few) * content.count / few.count
        if size > limit:
            continue
        coarse = fineness.of(content)
        texts = [as_text(coarse, fineness.coding, fineness.photo, i) for i in range(content.count)]
        size = sum(map(len, texts))
        if size <= limit:
            return fineness, coarse, texts
    raise InputError(
        f"The page would take {size / 1e6:.0f} MB in the coarsest form, and megabytes allows "
        f"{limit / 1e6:.0f} of maps and photos: explain fewer samples, classes or layers, or allow "
        "more."
    )


def _few(content: Content) -> Content:
    """Return some samples, from the first to the last."""
    ends = np.linspace(0, content.count - 1, min(content.count, TRIED))
    chosen = np.unique(ends.round().astype(int))
    places = [replace(place, maps=place.maps[chosen]) for place in content.places]
    shown = {name: _chosen(one, chosen.tolist()) for name, one in content.shown.items()}
    return Content(places, shown, content.stops)


def _chosen(shown: Shown, numbers: Sequence[int]) -> Shown:
    pictures = None if shown.pictures is None else [shown.pictures[i] for i in numbers]
    values = None if shown.values is None else shown.values[numbers]
    return Shown(pictures, shown.ends, values)


def _size(fineness: Fineness, few: Content) -> int:
    coarse = fineness.of(few)
    texts = (as_text(coarse, fineness.coding, fineness.photo, i) for i in range(few.count))
    return sum(map(len, texts))
