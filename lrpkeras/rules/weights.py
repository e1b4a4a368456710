"""Rules that look at the weights alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.rules.linear import Weighted, adjoint, inverse
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule


@dataclass(frozen=True)
class SquaredState:
    """A node whose weights are squared, and `1 / sum_i w_ij^2` for each output."""

    node: Weighted
    x: Array
    z: Array
    squared: Array
    share: Array


@dataclass(frozen=True)
class WSquare(Rule):
    """The w^2 rule, for inputs without bounds: `R_i = sum_j w_ij^2 / sum_i w_ij^2 R_j`.

    [Montavon et al. 2017, eq. 12.] The input's value plays no part, the bias neither, and padding
    has no weight. Conserves all but what an output has whose weights are all zero.

    Examples
    --------
    Weights 3 and -1, whose squares are 9 and 1:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.WSquare()})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[0.9, 0.1]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def prepare(self, node: Weighted) -> dict[str, Array]:
        # Shares stay the same when all weights are divided by the largest; their squares do not
        # underflow then.
        largest = np.abs(node.kernel).max(initial=0)
        squared = (node.kernel / largest if largest > 0 else node.kernel) ** 2
        arrays = {**node.parameters, "squared": squared}
        shape = node.facts.input_shapes[0]
        if None not in shape[1:]:
            ones = backend.constant(np.ones((1, *shape[1:])), str(squared.dtype))
            arrays["share"] = backend.to_numpy(_share(node, ones, backend.constant(squared)))
        return arrays

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> SquaredState:
        x, squared, share = inputs[0], prepared["squared"], prepared.get("share")
        if share is None:
            share = _share(node, ops.ones_like(x[:1]), squared)
        return SquaredState(node, x, output, squared, share)

    def propagate(self, state: SquaredState, relevance: Relevance) -> tuple[Relevance | None, ...]:
        s = relevance.absolute(state.z) * state.share
        return (Relevance(adjoint(state.node, s, state.squared, state.x)),)

    def losses(self, state: SquaredState, relevance: Array) -> dict[str, Array]:
        return {"zero sum": relevance * ops.cast(state.share == 0, relevance.dtype)}


def _share(node: Weighted, ones: Array, squared: Array) -> Array:
    return inverse(node.operation.apply(ones, squared))
