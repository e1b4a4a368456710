"""Residual blocks under `Relative`: branches brought to one scale before they are added up.

Nyiri & Gibaru 2024, eq. 13: what a branch brings to the fork where the block begins is multiplied
by `sum z_m / sum z_l`, z_m at its end (the term of the sum), z_l at its beginning (the fork).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from lrpkeras.graph.blocks import Block, Branch, Edge
from lrpkeras.rules.relevance import Relevance, largest, per_sample, total
from lrpkeras.rules.rule import Array, Rule

# Where terms of both signs leave less than this share of their magnitudes, their sum is rounding.
CANCELLED = 1e-6


@dataclass(frozen=True)
class Rescaling(Rule):
    """Accounts for what eq. 13 adds to relevance at a fork, or takes from it."""

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        lost, log_scale = state
        unit = ops.zeros_like(largest(relevance)) if log_scale is None else log_scale
        return {"residual rescaling": sum(part.at(unit, relevance) for part in lost)}


@dataclass(frozen=True)
class Measure:
    """Sum and sum of magnitudes of relevance at one end of a branch, `(k, batch)` each."""

    sum: Array
    magnitude: Array
    log_scale: Array


@dataclass(frozen=True)
class Settled:
    """What came to a fork, branches rescaled, and what each lost by that."""

    parts: Mapping[Edge, Relevance]
    lost: tuple[Relevance, ...]


class Residual:
    """What one backward pass knows of the sums that it has passed.

    Parameters
    ----------
    blocks
        By the name of the fork where they begin, inner ones first.
    """

    def __init__(self, blocks: Mapping[str, Sequence[Block]]) -> None:
        self._blocks = blocks
        self._wanted = {
            b.end for group in blocks.values() for block in group for b in block.branches
        }
        self._ends: dict[Edge, Measure] = {}

    def leave(self, edge: Edge, part: Relevance, value: Array) -> None:
        """Take note of the relevance that a term of a sum gets, given the term's value."""
        if edge in self._wanted:
            self._ends[edge] = _measure([part], value)

    def settle(self, fork: str, parts: Mapping[Edge, Relevance], value: Array) -> Settled:
        """Rescale every branch of the blocks that begin at a fork of the given value."""
        settled, lost = dict(parts), []
        for block in self._blocks[fork]:
            for branch in block.branches:
                if branch.is_identity:
                    continue
                end, begin = self._ends[branch.end], _begin(branch, settled, value)
                for edge in branch.starts:
                    settled[edge], rest = _rescaled(settled[edge], begin, end, value)
                    lost.append(rest)
        return Settled(settled, tuple(lost))


def _begin(branch: Branch, parts: Mapping[Edge, Relevance], value: Array) -> Measure:
    return _measure([parts[edge] for edge in branch.starts], value)


def _rescaled(
    part: Relevance, begin: Measure, end: Measure, value: Array
) -> tuple[Relevance, Relevance]:
    """Return what a branch brings, multiplied by its factor, and what this took from it."""
    array, factor = part.at(begin.log_scale, value), _factor(begin, end)
    scaled = Relevance(array * per_sample(factor, array), "R", end.log_scale)
    # Where nothing begins, its scale is that of nothing; the factor is zero there.
    change = ops.minimum(end.log_scale - begin.log_scale, 80.0)
    taken = 1 - factor * ops.exp(change)
    return scaled, Relevance(array * per_sample(taken, array), "R", begin.log_scale)


def _measure(parts: Sequence[Relevance], value: Array) -> Measure:
    scales = [
        ops.zeros_like(largest(part.array)) if part.log_scale is None else part.log_scale
        for part in parts
    ]
    peak: Any = scales[0]
    for scale in scales[1:]:
        peak = ops.maximum(peak, scale)
    arrays = [part.at(peak, value) for part in parts]
    return Measure(
        sum(total(array) for array in arrays),
        sum(total(ops.absolute(array)) for array in arrays),
        peak,
    )


def _factor(begin: Measure, end: Measure) -> Array:
    """`sum z_m / sum z_l`; where z_l cancels, the same of magnitudes; 0 where there is none."""
    cancelled = ops.absolute(begin.sum) <= CANCELLED * begin.magnitude
    by_sum = ops.divide_no_nan(end.sum, begin.sum)
    by_size = ops.divide_no_nan(end.magnitude, begin.magnitude)
    return ops.where(cancelled, by_size, by_sum)
