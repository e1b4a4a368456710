"""Samples as a page holds them: each is plain values of its own, read when it is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrpkeras.report import scales
from lrpkeras.report.coding import Coding, packed
from lrpkeras.report.pictures import Shown, numbers, photo
from lrpkeras.report.places import Place

# What ends a script, or begins what browsers read in other ways, in JSON that stands in one.
_MARKUP = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


@dataclass(frozen=True)
class Content:
    """All that is drawn.

    Attributes
    ----------
    places
        Inputs, then layers.
    shown
        What was explained, by the input's name.
    stops
        Percentiles at which colours may end.
    """

    places: Sequence[Place]
    shown: Mapping[str, Shown]
    stops: Sequence[float]

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.places[0].maps)

    def photo_of(self, place: Place) -> str | None:
        """Return the name of the input whose photo lies below the maps of a place.

        Layers lie over the photo if there is one input that can be meant.
        """
        images = [p.name for p in self.places if p.is_input and p.kind == "image"]
        if not place.is_input:
            name = images[0] if place.kind == "image" and len(images) == 1 else ""
        else:
            name = place.name
        return name if name in self.shown and self.shown[name].pictures is not None else None


def as_text(content: Content, coding: Coding, side: int, number: int) -> str:
    """Return one sample as JSON that may stand in a page.

    Parameters
    ----------
    content
        What is drawn.
    coding
        Of the maps.
    side
        Pixels of a photo's longer side, at most.
    number
        Which sample.
    """
    shown = content.shown
    photos = {n: photo(s.pictures[number], s.ends, side) for n, s in shown.items() if s.pictures}
    values = {
        place.name: numbers(found[number], place.size[1])
        for place in content.places
        if place.is_input and (found := _values(shown, place)) is not None
    }
    places = [_at(place, coding, content.stops, number) for place in content.places]
    return json_in_page({"photos": photos, "values": values, "places": places})


def _values(shown: Mapping[str, Shown], place: Place) -> Any:
    return shown[place.name].values if place.name in shown else None


def _at(place: Place, coding: Coding, stops: Sequence[float], number: int) -> dict[str, Any]:
    """Return the maps of one sample at one place."""
    maps = place.maps[number]
    codes, largest = coding.encode(maps)
    return {
        "codes": packed(codes),
        "largest": largest.tolist(),
        "sums": maps.sum(axis=(1, 2)).tolist(),
        "limits": [scales.limits([one], stops) for one in maps],
        "pooled": scales.limits(maps, stops),
    }


def json_in_page(values: Any) -> str:
    r"""Return plain values as JSON in ASCII that nothing in a page takes for markup.

    Examples
    --------
    >>> json_in_page("</script>")
    '"\\u003c/script\\u003e"'
    """
    return json.dumps(values, separators=(",", ":"), allow_nan=False).translate(_MARKUP)
