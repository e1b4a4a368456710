"""The flat rule: every input of an output gets the same, whatever its value and weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrpkeras.graph.nodes import Affine, AveragePool, Linear, Node, Resample
from lrpkeras.rules import equal_shares
from lrpkeras.rules.equal_shares import EqualShares
from lrpkeras.rules.pooling import AverageFlat
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.resampling import ResampleFlat
from lrpkeras.rules.rule import Array, ByKind, Prepared, Rule


@dataclass(frozen=True)
class Flat(ByKind):
    """Every input that reaches an output gets the same: `R_i = sum_j 1 / n_j R_j`.

    n_j counts real inputs; padding is none. [Lapuschkin et al. 2019, which counts padding.]
    Conserves all but what an output has that no input reaches.

    Examples
    --------
    Two inputs, half for each:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Flat()})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[0.5, 0.5]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine, AveragePool, Resample)

    def part(self, node: Node) -> Rule:
        if isinstance(node, Resample):
            return ResampleFlat()
        return AverageFlat() if isinstance(node, AveragePool) else LinearFlat()


@dataclass(frozen=True)
class LinearFlat(Rule):
    """`Flat` for linear nodes."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def prepare(self, node: Linear | Affine) -> dict[str, Array]:
        return {**node.parameters, **equal_shares.prepare(node)}

    def linearize(
        self, node: Linear | Affine, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> tuple[EqualShares, Array]:
        return equal_shares.equal_shares(node, prepared, inputs[0]), output

    def propagate(
        self, state: tuple[EqualShares, Array], relevance: Relevance
    ) -> tuple[Relevance | None, ...]:
        equal, output = state
        return (Relevance(equal.back(relevance.absolute(output))),)

    def losses(self, state: tuple[EqualShares, Array], relevance: Array) -> dict[str, Array]:
        equal, _ = state
        return {"padding": relevance * equal.unreached}
