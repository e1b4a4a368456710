"""Rules of one idea for several kinds of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrpkeras.graph.nodes import AveragePool, Extremum, MaxPool, Node, Sum
from lrpkeras.rules.merge import InputWinner, SumShare
from lrpkeras.rules.pooling import AverageShare, PoolWinner
from lrpkeras.rules.rule import ByKind, Rule, check_number


@dataclass(frozen=True)
class Winner(ByKind):
    """All relevance goes to the maximum of a window or of several inputs, the first one on ties."""

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool, Extremum)

    def part(self, node: Node) -> Rule:
        return PoolWinner() if isinstance(node, MaxPool) else InputWinner()


@dataclass(frozen=True)
class Proportional(ByKind):
    """Every input of a sum or an average gets the share that it contributed.

    Parameters
    ----------
    delta
        For sums: where the terms cancel, `|sum a_i| < delta sum |a_i|`, shares are by `|a_i|`
        instead of `a_i`, so that relevance cannot blow up; >= 0, and 0 for never.
    """

    delta: float = 1e-6

    kinds: ClassVar[tuple[type[Node], ...]] = (AveragePool, Sum)

    def __post_init__(self) -> None:
        check_number(self, "delta", above=-1e-300)

    def part(self, node: Node) -> Rule:
        return AverageShare() if isinstance(node, AveragePool) else SumShare(self.delta)
