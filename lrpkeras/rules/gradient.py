"""Rules that do not decompose: pass on unchanged, or differentiate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from lrpkeras.graph.nodes import (
    Activation,
    Affine,
    AveragePool,
    Extremum,
    Fork,
    Linear,
    LocalNormalize,
    Masked,
    MaxPool,
    Node,
    Normalize,
    Product,
    Resample,
    Route,
    Sum,
)
from lrpkeras.rules.activation import times_slope
from lrpkeras.rules.linear import adjoint
from lrpkeras.rules.merge import InputWinner, MoveAdjoint
from lrpkeras.rules.pooling import PoolWinner, average_adjoint
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.resampling import resample_adjoint
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing, refuse

Back = Callable[[Any, Relevance], tuple[Relevance | None, ...]]


@dataclass(frozen=True)
class Identity(Rule):
    """Relevance passes unchanged, where input and output have one shape: all is conserved.

    At local response normalization it is the papers' baseline [Binder et al. 2016, section 3].

    Examples
    --------
    Values 1 and 3 become -1 and 1, and the relevance 1 of the second stays where it is:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> layer = keras.layers.LayerNormalization(center=False, scale=False, epsilon=1e-9)
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Normalize": rules.Identity()})
    >>> analyzer([[1.0, 3.0]], 1).numpy().round(2)
    array([[-0.,  1.]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine, Normalize, LocalNormalize)

    def validate(self, node: Node) -> None:
        if node.facts.input_shapes[0] != node.shape:
            raise refuse(
                self, node, f"input {node.facts.input_shapes[0]} and output {node.shape} differ"
            )

    def linearize(
        self, node: Node, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        return output

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        return (Relevance(relevance.absolute(state)),)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return Vanishing()


@dataclass(frozen=True)
class Gradient(Rule):
    """The vector-Jacobian product: `R_i = sum_j dz_j / dx_i R_j` [Simonyan et al. 2014].

    Not a decomposition: it says how the output changes, not what it is made of.

    Examples
    --------
    Weights 3 and -1, and relevance 1 at the output:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Gradient()})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[ 3., -1.]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (
        Linear,
        Affine,
        Activation,
        MaxPool,
        AveragePool,
        Route,
        Fork,
        Sum,
        Extremum,
        Product,
        Normalize,
        LocalNormalize,
        Resample,
        Masked,
    )

    def prepare(self, node: Node) -> dict[str, Array]:
        arrays = dict(node.parameters)
        return {**arrays, "weights": node.kernel} if isinstance(node, Linear | Affine) else arrays

    def linearize(
        self, node: Node, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        inner = None
        if isinstance(node, MaxPool):
            inner = PoolWinner().linearize(node, prepared, inputs, output)
        return node, prepared, inputs, output, inner

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        array = Relevance(relevance.absolute(state[3]))
        return _back(state[0])(state, array)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        """What the Jacobian adds or takes, `R_j (1 - sum_i dz_j / dx_i)`, is the rule's design."""
        node, prepared, inputs, _, _ = state
        return {"design": relevance * (1 - _row_sums(node, prepared, inputs))}


def _back(node: Node) -> Back:
    return next(back for kind, back in VJP.items() if isinstance(node, kind))


def _linear(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    node, prepared, inputs = state[:3]
    return (Relevance(adjoint(node, relevance.array, prepared["weights"], inputs[0])),)


def _activation(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    node, prepared, inputs = state[:3]
    return (times_slope(node, prepared, inputs, relevance),)


def _max_pool(state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
    return PoolWinner().propagate(state[4], relevance)


def _average_pool(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    return (Relevance(average_adjoint(state[0], relevance.array, state[2][0])),)


def _sum(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    return tuple(Relevance(c * relevance.array) for c in state[0].coefficients)


def _product(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    return tuple(Relevance(relevance.array * other) for other in _others(state[2]))


def _normalize(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    return (Relevance(state[0].adjoint(relevance.array, state[2][0])),)


def _resample(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    node, prepared, inputs = state[:3]
    matrices = node.matrices(inputs[0], prepared)
    return (Relevance(resample_adjoint(node, relevance.array, matrices)),)


def _masked(state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
    return (Relevance(relevance.array * state[0].weights(state[2])),)


def _others(inputs: tuple[Array, ...]) -> list[Array]:
    """For each input, the product of all others."""
    others = []
    for skip in range(len(inputs)):
        product = ops.ones_like(inputs[0])
        for index, x in enumerate(inputs):
            product = product if index == skip else product * x
        others.append(product)
    return others


VJP: dict[type[Node] | tuple, Back] = {
    Linear: _linear,
    Affine: _linear,
    Activation: _activation,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    Route: lambda state, relevance: MoveAdjoint().propagate(state[:4], relevance),
    Fork: lambda state, relevance: MoveAdjoint().propagate(state[:4], relevance),
    Extremum: lambda state, relevance: InputWinner().propagate(state[:4], relevance),
    Sum: _sum,
    Product: _product,
    Normalize: _normalize,
    LocalNormalize: _normalize,
    Resample: _resample,
    Masked: _masked,
}


def _row_sums(node: Node, prepared: Prepared, inputs: tuple[Array, ...]) -> Array:
    """`sum_i dz_j / dx_i` over all inputs i, for each output j."""
    if isinstance(node, Linear | Affine):
        return node.operation.apply(ops.ones_like(inputs[0]), prepared["weights"])
    if isinstance(node, Activation):
        return node.derivative(inputs, prepared)
    if isinstance(node, Sum):
        return ops.convert_to_tensor(sum(node.coefficients), dtype=inputs[0].dtype)
    if isinstance(node, Product):
        others = _others(inputs)
        return sum(others[1:], others[0])
    if isinstance(node, Normalize | LocalNormalize):
        return node.derivative_sums(inputs[0])
    if isinstance(node, Masked):
        return node.weights(inputs)
    if isinstance(node, Route | Resample):
        return node.compute(tuple(ops.ones_like(x) for x in inputs), prepared)
    return ops.ones((), dtype=inputs[0].dtype)
