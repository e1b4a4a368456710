"""Where the streams of a flow lie: a row for each stage, lanes beside it for what passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lrpkeras.plot.stages import Flow

Span = tuple[float, float]
Spans = dict[int, Span]

# As shares of the widest bar:
GAP = 0.03  # between lanes
SLIDE = 0.1  # how far to the left a lane may move from one row to the next: less bends less
BAR = -1  # stands for a row's own stage among the numbers of ways


@dataclass(frozen=True)
class Row:
    """A stage, and where relevance enters, leaves and passes it; spans in units of relevance.

    `arriving`, `leaving` and `passing` hold a span for each way, by its number in the flow;
    `given` and `taken` one for each sink that gave or took relevance, by its number in the stage.
    """

    bar: Span
    arriving: Spans
    given: Spans
    leaving: Spans
    taken: Spans
    passing: Spans

    @property
    def end(self) -> float:
        """How far to the right the row reaches."""
        return max(right for _, right in (self.bar, *self.passing.values()))


def lanes(flow: Flow) -> list[Row]:
    """Lay out a flow: everything as wide as its relevance, as far left as it may be.

    What a sink takes leaves at the right, and what remains goes straight down. Of several ways out
    of a stage the one that goes farthest lies at the left.
    """
    widest = max(_row(flow, n, range(len(flow.ways))).bar[1] for n in range(len(flow)))
    rows: list[Row] = []
    active: list[int] = []  # the ways that come to a row from above, from left to right
    lefts: dict[int, float] = {}  # how far left they may be
    for number in range(len(flow)):
        bare = _row(flow, number, active)
        items = list(dict.fromkeys(BAR if n in bare.arriving else n for n in active)) or [BAR]
        lefts[BAR] = min((lefts[n] for n in bare.arriving), default=0.0)
        sizes = {n: bare.bar[1] if n == BAR else abs(flow.ways[n].value) for n in items}
        passing = _packed(sizes, lefts, GAP * widest)
        rows.append(_row(flow, number, active, passing.pop(BAR)[0], passing))
        active = [n for item in items for n in (bare.leaving if item == BAR else [item])]
        lefts = {n: left - SLIDE * widest for n, (left, _) in passing.items()}
        lefts |= {n: left for n, (left, _) in rows[-1].leaving.items()}
    return rows


def _row(
    flow: Flow, number: int, active: Iterable[int], left: float = 0.0, passing: Spans | None = None
) -> Row:
    """Return a row whose bar begins at `left`, with its ways in the order that they come in."""
    stage, sizes = flow.stages[number], [abs(way.value) for way in flow.ways]
    arriving = {n: sizes[n] for n in active if flow.ways[n].target == number}
    leaving = [n for n, way in enumerate(flow.ways) if way.source == number]
    leaving.sort(key=lambda n: -flow.ways[n].target)
    sinks = {n: value for n, (_, value) in enumerate(stage.sinks)}
    # A sink of the other sign than what arrives adds to what goes on.
    given = {n: abs(value) for n, value in sinks.items() if value * stage.incoming < 0}
    taken = {n: abs(value) for n, value in sinks.items() if n not in given}
    above = sum(arriving.values()) if arriving else abs(stage.incoming)
    below = sum(sizes[n] for n in leaving)
    width = max(above + sum(given.values()), below + sum(taken.values()))
    return Row(
        bar=(left, left + width),
        arriving=_packed(arriving, {}, 0.0, left),
        given=_packed(given, {}, 0.0, left + above),
        leaving=_packed({n: sizes[n] for n in leaving}, {}, 0.0, left),
        taken=_packed(taken, {}, 0.0, left + below),
        passing=passing or {},
    )


def _packed(
    sizes: Mapping[int, float], lefts: Mapping[int, float], space: float, cursor: float = 0.0
) -> Spans:
    """Return items side by side, `space` apart, none farther left than in `lefts`."""
    spans = {}
    for key, size in sizes.items():
        left = max(cursor, lefts.get(key, cursor))
        spans[key] = (left, left + size)
        cursor = left + size + space
    return spans
