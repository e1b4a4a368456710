"""Rules for elementwise functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Activation, Gate, Node, Threshold
from lrpkeras.rules.linear import signed, stabilize
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class Pass(Rule):
    """Relevance goes through an activation unchanged [Bach et al. 2015, section "multilayer"].

    Examples
    --------
    All of `tanh(1) = 0.76`:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("tanh")])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Activation": rules.Pass()})
    >>> analyzer([[1.0]]).numpy().round(2)
    array([[0.76]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Activation,)

    def linearize(
        self, node: Node, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        return node, prepared, inputs, output

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, prepared, inputs, output = state
        if not relevance.is_ratio:
            return (relevance,)
        if isinstance(node, Gate) or node.function.homogeneous:
            return (times_slope(node, prepared, inputs, relevance),)
        return (relevance.multiplied(output),)

    def vanishing(self, node: Activation, output: Vanishing) -> Vanishing:
        if isinstance(node, Gate):
            return Vanishing(output.at_zero)
        closed = output.at_zero and node.function.closes
        return Vanishing(closed, closed)


@dataclass(frozen=True)
class Guided(Rule):
    """Guided backpropagation: `R_in = f'(x) max(R, 0)` [Springenberg et al. 2015].

    Together with `Gradient` at all other nodes; not a decomposition, and not linear in relevance.

    Examples
    --------
    Gradients 2, -3 and 4 arrive, and the last ReLU is closed:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU(), dense])
    >>> dense.set_weights([np.array([[2.0], [-3.0], [4.0]])])
    >>> entries = {"Activation": rules.Guided(), "*": rules.Gradient()}
    >>> analyzer = lrpkeras.Analyzer(model, lrpkeras.Preset(entries, seed="gradient"))
    >>> analyzer([[1.0, 1.0, -1.0]]).numpy()
    array([[ 2., -0.,  0.]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Activation,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, prepared, inputs, output = state
        array = relevance.absolute(output)
        kept = _positive(node, prepared, array) * node.derivative(inputs, prepared)
        return (Relevance(array * kept),)

    def vanishing(self, node: Activation, output: Vanishing) -> Vanishing:
        closed = node.function.closes and not isinstance(node, Gate)
        return Vanishing(closed, closed)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        node, prepared, inputs, _ = state
        passed = node.derivative(inputs, prepared) * _positive(node, prepared, relevance)
        return {"design": relevance * (1 - passed)}


def times_slope(
    node: Activation, prepared: Prepared, inputs: tuple[Array, ...], relevance: Relevance
) -> Relevance:
    """Return `f'(x)` times the array of relevance, in the same form."""
    if isinstance(node, Gate | Threshold):
        return relevance.then(_where_open, inputs[0], prepared["scale"], prepared["shift"])
    if node.function.steps:
        return relevance.then(_where_positive, inputs[0])
    return relevance.with_array(relevance.array * node.derivative(inputs, prepared))


def _where_positive(array: Array, x: Array) -> Array:
    return backend.where_positive(x, array)


def _where_open(array: Array, x: Array, scale: Array, shift: Array) -> Array:
    return backend.where_positive(x * scale + shift, array)


def _positive(node: Activation, prepared: Prepared, relevance: Array) -> Array:
    """One where the relevance of the ReLU's own output is positive.

    A gate or threshold gives the ReLU's output divided by the folded scale, whose sign counts.
    """
    if isinstance(node, Gate | Threshold):
        relevance = relevance * prepared["scale"]
    return ops.cast(relevance > 0, relevance.dtype)


@dataclass(frozen=True)
class Deconv(Rule):
    """The deconvolutional network's ReLU: `R_in = max(R, 0)` [Zeiler & Fergus 2014].

    Whatever the activation and its input. Together with `Gradient` at all other nodes; not a
    decomposition, and not linear in relevance.

    Examples
    --------
    Gradients 2, -3 and 4 arrive; that the last ReLU is closed plays no part:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU(), dense])
    >>> dense.set_weights([np.array([[2.0], [-3.0], [4.0]])])
    >>> entries = {"Activation": rules.Deconv(), "*": rules.Gradient()}
    >>> analyzer = lrpkeras.Analyzer(model, lrpkeras.Preset(entries, seed="gradient"))
    >>> analyzer([[1.0, 1.0, -1.0]]).numpy()
    array([[ 2., -0.,  4.]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Activation,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, prepared, _, output = state
        array = relevance.absolute(output)
        return (Relevance(array * _positive(node, prepared, array)),)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        return {"design": relevance * (1 - _positive(state[0], state[1], relevance))}


@dataclass(frozen=True)
class NeuronTaylor(Rule):
    """`Taylor` for activations: `R_in = (f(r) + f'(p) (x - r)) / f(x) R`."""

    reference: float
    slope: str
    epsilon: float

    kinds: ClassVar[tuple[type[Node], ...]] = (Activation,)

    def linearize(
        self, node: Activation, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        return output, self._expansion(node, prepared, inputs, output)

    def _expansion(
        self, node: Activation, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Array:
        """`f(r) + f'(p) (x - r)`; a gate is linear in x already."""
        if isinstance(node, Gate):
            return output
        x = inputs[0]
        reference = (ops.full_like(x, self.reference),)
        point = inputs if self.slope == "input" else reference
        slope = node.derivative(point, prepared)
        return node.compute(reference, prepared) + slope * (x - self.reference)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        output, expansion = state
        share = expansion / stabilize(output, self.epsilon)
        return (Relevance(relevance.absolute(output) * share),)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        output, expansion = state
        whole = stabilize(output, self.epsilon)
        return {
            "Taylor remainder": relevance * (output - expansion) / whole,
            "epsilon": relevance * signed(self.epsilon, output) / whole,
        }
