"""Rules of one idea for several kinds of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrpkeras.graph.nodes import AveragePool, Extremum, MaxPool, Node, Sum
from lrpkeras.rules.merge import InputTies, InputWinner, SumShare
from lrpkeras.rules.pooling import PoolShare, PoolTies, PoolWinner
from lrpkeras.rules.rule import ByKind, Rule, check_number


@dataclass(frozen=True)
class Winner(ByKind):
    """All relevance goes to the maximum of a window or of several inputs, the first one on ties."""

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool, Extremum)

    def part(self, node: Node) -> Rule:
        return PoolWinner() if isinstance(node, MaxPool) else InputWinner()


@dataclass(frozen=True)
class Ties(ByKind):
    """All maxima of a window, or of several inputs, share its relevance equally."""

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool, Extremum)

    def part(self, node: Node) -> Rule:
        return PoolTies() if isinstance(node, MaxPool) else InputTies()


@dataclass(frozen=True)
class Proportional(ByKind):
    """Every input of a sum, or entry of a pooling window, gets the share that it contributed.

    `R_i = a_i / sum a_i R`. For max pooling it is the share in the window's sum, as for average
    pooling: relevance of a maximum goes to all entries.

    Parameters
    ----------
    delta
        Where the parts cancel, `|sum a_i| < delta sum |a_i|`, shares are by `|a_i|` instead of
        `a_i`, so that relevance cannot blow up; >= 0, and 0 for never.
    """

    delta: float = 1e-6

    kinds: ClassVar[tuple[type[Node], ...]] = (AveragePool, MaxPool, Sum)

    def __post_init__(self) -> None:
        check_number(self, "delta", above=-1e-300)

    def part(self, node: Node) -> Rule:
        return SumShare(self.delta) if isinstance(node, Sum) else PoolShare(self.delta)
