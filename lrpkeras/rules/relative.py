"""Relative LRP: contributions without denominators [Nyiri & Gibaru 2024].

Every layer multiplies relevance by `x w Card(J) / (M N)`, so it shrinks by decades a layer; it is
carried as an array of magnitudes up to one and a log-scale per target and sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.convolutions import Convolution
from lrpkeras.graph.moves import Shape
from lrpkeras.graph.nodes import Affine, AveragePool, Linear, MaxPool, Node, Pool, Sum
from lrpkeras.rules.linear import Weighted, adjoint
from lrpkeras.rules.pooling import average_adjoint, ties_adjoint, ties_sum
from lrpkeras.rules.relevance import Relevance, normalized
from lrpkeras.rules.rule import Array, ByKind, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class Relative(ByKind):
    """R-LRP: `R_i = Card(J_i) / (M N) sum_j x_i w_ij R_j` [Nyiri & Gibaru 2024, eq. 6 and 7].

    M inputs lead to one output (all taps of a window, padding or not), N outputs the layer has, and
    Card(J_i) of them read input i, which is fewer at borders and depends on strides. No bias, no
    denominator, no parameter. Dense layers: eq. 8; convolutions: eq. 12; average and max pooling:
    Prop. 13, in which every maximum of a window has weight one. A sum gives its relevance to every
    term, `R_i = c_i R`, and where its branches part from one fork each is rescaled to sum up at the
    fork to what it sums up to at the sum (eq. 13).

    Relevance is conserved up to a factor only, by design. It is exact as long as the factor of a
    map is within exp(-50) and exp(50) in float32 (600 in float64); beyond, as in any deep network,
    a map is true up to one positive factor for each sample and target. It is linear in the starting
    relevance but for eq. 13, whose factors depend on it: there it is homogeneous.

    Examples
    --------
    Messages 3 and -2, divided by M N = 2 inputs times 1 output:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Relative()})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[ 1.5, -1. ]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine, MaxPool, AveragePool, Sum)

    def part(self, node: Node) -> Rule:
        return next(part for kind, part in PARTS.items() if isinstance(node, kind))


@dataclass(frozen=True)
class Contribution:
    """A node at one input: `x Card(J)`, and `log M N`, by which all of it is divided."""

    node: Any
    prepared: Prepared
    x: Array
    z: Array
    counted: Array
    log_size: Array | float


@dataclass(frozen=True)
class RelativePart(Rule):
    """What the parts share that multiply by x and by weights."""

    def linearize(
        self, node: Any, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Contribution:
        x = inputs[0]
        card = prepared["card"] if "card" in prepared else self.card(node, x, output)
        outputs = _log_product(node.shape[1:], backend.shape(output)[1:], x.dtype)
        counted = x * ops.cast(card, x.dtype)
        return Contribution(node, prepared, x, output, counted, self.log_taps(node, x) + outputs)

    def prepare(self, node: Any) -> dict[str, Array]:
        arrays = dict(node.parameters)
        shapes = (node.facts.input_shapes[0], node.shape)
        if None not in (*shapes[0][1:], *shapes[1][1:]):
            ones = [backend.constant(np.ones((1, *shape[1:])), dtype="float32") for shape in shapes]
            arrays["card"] = backend.to_numpy(self.card(node, *ones))
        return arrays

    def propagate(self, state: Contribution, relevance: Relevance) -> tuple[Relevance, ...]:
        back = self.adjoint(state, relevance.absolute(state.z))
        return (normalized(back * state.counted, -state.log_size),)

    def vanishing(self, node: Any, output: Vanishing) -> Vanishing:
        return Vanishing(True, not node.facts.signed)

    def losses(self, state: Contribution, relevance: Array) -> dict[str, Array]:
        """What the factor adds or takes, `R_j (1 - sum_i x_i w_ij Card(J_i) / (M N))`."""
        size = ops.exp(ops.zeros((), dtype=state.x.dtype) - state.log_size)
        factor = self.forward(state, state.counted) * size
        return {"design": relevance * (1 - factor)}

    def card(self, node: Any, x: Array, output: Array) -> Array:
        """Return how many outputs read each input; it broadcasts against `x`."""
        raise NotImplementedError

    def log_taps(self, node: Any, x: Array) -> Array | float:
        """Return log M, M the number of inputs of one output."""
        raise NotImplementedError

    def adjoint(self, state: Contribution, array: Array) -> Array:
        """Return `sum_j w_ij R_j` for `array` `(k, batch, ...)`."""
        raise NotImplementedError

    def forward(self, state: Contribution, x: Array) -> Array:
        """Return `sum_i w_ij x_i`."""
        raise NotImplementedError


def _log_product(static: Shape, sizes: Shape, dtype: str) -> Array | float:
    """The logarithm of the product of sizes: a number where all of them are static."""
    known = [size for size in static if size is not None]
    if len(known) == len(static):
        return math.log(math.prod(known))
    return sum(ops.log(ops.cast(size, dtype)) for size in sizes)


@dataclass(frozen=True)
class RelativeLinear(RelativePart):
    """`Relative` for linear nodes: eq. 8 and 12."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def prepare(self, node: Weighted) -> dict[str, Array]:
        return {**super().prepare(node), "weights": node.kernel}

    def card(self, node: Weighted, x: Array, output: Array) -> Array:
        if isinstance(node, Affine):
            return ops.ones_like(output[:1])
        form = node.operation.flat(node.kernel.shape)
        ones = form.reduce(ops.ones_like(output[:1]))
        kernel = backend.constant(form.kernel, dtype=ones.dtype)
        counts = form.operation.adjoint(ones, kernel, backend.shape(x))
        alike = counts.shape[node.operation.channel_axis] == 1
        return counts if alike else form.expand(counts)

    def log_taps(self, node: Weighted, x: Array) -> float:
        return math.log(node.operation.taps(node.kernel.shape))

    def adjoint(self, state: Contribution, array: Array) -> Array:
        return adjoint(state.node, array, state.prepared["weights"], state.x)

    def forward(self, state: Contribution, x: Array) -> Array:
        return state.node.operation.apply(x, state.prepared["weights"])


@dataclass(frozen=True)
class RelativePool(RelativePart):
    """What the parts for pooling share: the geometry."""

    def card(self, node: Pool, x: Array, output: Array) -> Array:
        if node.window is None:
            return ops.ones_like(x[:1])
        spatial = backend.shape(node.last(x))[1:-1]
        ones = ops.ones_like(node.last(output)[:1, ..., :1])
        kernel = ops.ones((*node.window, 1, 1), dtype=ones.dtype)
        windows = Convolution(node.strides, _padding(node, spatial), (1,) * len(node.window))
        return node.first(windows.adjoint(ones, kernel, (1, *spatial, 1)))

    def log_taps(self, node: Pool, x: Array) -> Array | float:
        if node.window is not None:
            return math.log(math.prod(node.window))
        static, sizes = node.facts.input_shapes[0], backend.shape(x)
        return _log_product(
            tuple(static[axis] for axis in node.axes),
            tuple(sizes[axis] for axis in node.axes),
            x.dtype,
        )


def _padding(node: Pool, spatial: Any) -> Any:
    return "same" if node.padding == "same" else ((0, 0),) * len(node.window or ())


@dataclass(frozen=True)
class RelativeAverage(RelativePool):
    """`Relative` for average pooling: a convolution of equal weights (Prop. 13)."""

    kinds: ClassVar[tuple[type[Node], ...]] = (AveragePool,)

    def adjoint(self, state: Contribution, array: Array) -> Array:
        return average_adjoint(state.node, array, state.x)

    def forward(self, state: Contribution, x: Array) -> Array:
        return state.node.compute((x,), {})


@dataclass(frozen=True)
class RelativeMax(RelativePool):
    """`Relative` for max pooling: every maximum of a window has weight one (Prop. 13)."""

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool,)

    def adjoint(self, state: Contribution, array: Array) -> Array:
        return ties_adjoint(state.node, array, state.x, state.z)

    def forward(self, state: Contribution, x: Array) -> Array:
        return ties_sum(state.node, x, state.x, state.z)


@dataclass(frozen=True)
class RelativeSum(Rule):
    """`Relative` for sums: every term gets the sum's relevance, times its coefficient."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Sum,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance, ...]:
        node, _, _, output = state
        array = relevance.absolute(output)
        return tuple(Relevance(array if c == 1 else c * array) for c in node.coefficients)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        return {"design": relevance * (1 - sum(state[0].coefficients))}


PARTS: dict[Any, Rule] = {
    Linear | Affine: RelativeLinear(),
    MaxPool: RelativeMax(),
    AveragePool: RelativeAverage(),
    Sum: RelativeSum(),
}
