"""Rules for linear nodes whose messages are products of input and weight.

Notation: x inputs, w weights, b bias, z = sum_i x_i w_ij + b_j; a+ = max(a, 0), a- = min(a, 0).
An `Affine` node is a linear node with a diagonal matrix; the same rules hold for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing, check_number

Weighted = Linear | Affine


@dataclass(frozen=True)
class Term:
    """One sum of messages: `R_i = mask_i x_i sum_j kernel_ij weight / whole_j R_j`."""

    kernel: Array
    whole: Array
    weight: float = 1.0
    mask: Array | None = None

    def shared(self, relevance: Relevance, z: Array) -> Array:
        """Return `weight R / whole`, 0 where `whole` is 0.

        From the ratio R / z by the bounded factor z / whole: where both are tiny, neither 1 / whole
        nor a product with it can be represented.
        """
        if relevance.is_ratio:
            return relevance.array * ops.divide_no_nan(self.weight * z, self.whole)
        return relevance.array * (self.weight * inverse(self.whole))


@dataclass(frozen=True)
class Linearized:
    """A linear node at one input: its terms, and what each sink takes of an output's relevance."""

    node: Weighted
    x: Array
    z: Array
    terms: tuple[Term, ...]
    fractions: Callable[[], dict[str, Array]]


def adjoint(node: Weighted, s: Array, kernel: Array, x: Array) -> Array:
    """Return the node's adjoint at `s` of shape `(k, batch, ...)`, one for each target."""
    merged = backend.merge_leading(s)
    back = node.operation.adjoint(merged, kernel, backend.shape(x))
    return backend.split_leading(back, s.shape[0])


def inverse(z: Array) -> Array:
    """Return 1 / z, and 0 where z = 0."""
    return ops.divide_no_nan(ops.ones((), dtype=z.dtype), z)


def stabilize(z: Array, epsilon: float) -> Array:
    """Move `z` away from zero by `epsilon`, keeping its sign; zero counts as positive.

    Without the last part a dead neuron (z = 0) would divide by zero.
    """
    return z + signed(epsilon, z)


def signed(epsilon: float, z: Array) -> Array:
    """Return `epsilon` with the sign of `z`; zero counts as positive."""
    size = backend.constant(epsilon, dtype=z.dtype)
    return ops.where(z < 0, -size, size)


@dataclass(frozen=True)
class ProductRule(Rule):
    """What the rules share whose messages are `x_i w_ij` times something: back comes R / x."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        total = None
        for term in state.terms:
            shared = term.shared(relevance, state.z)
            ratio = adjoint(state.node, shared, term.kernel, state.x)
            ratio = ratio if term.mask is None else ratio * term.mask
            total = ratio if total is None else total + ratio
        return (Relevance(total, "ratio"),)

    def vanishing(self, node: Weighted, output: Vanishing) -> Vanishing:
        return Vanishing(True, not node.facts.signed)

    def losses(self, state: Linearized, relevance: Array) -> dict[str, Array]:
        return {sink: relevance * share for sink, share in state.fractions().items()}


def _with_rule_kernel(node: Weighted) -> dict[str, Array]:
    """The forward parameters and, as "weights", the kernel in which the node is linear in x."""
    return {**node.parameters, "weights": node.kernel}


@dataclass(frozen=True)
class Zero(ProductRule):
    """LRP-0: `R_i = sum_j x_i w_ij / z_j R_j`, and 0 where z_j = 0 [Bach et al. 2015, eq. 56].

    The bias keeps its share. On nets of linear, ReLU, pooling, route and sum nodes it equals
    input x gradient.
    """

    divides_by_output: ClassVar[bool] = True

    def prepare(self, node: Weighted) -> dict[str, Array]:
        return _with_rule_kernel(node)

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        share = inverse(output)

        def fractions() -> dict[str, Array]:
            lost = {"zero sum": ops.cast(output == 0, output.dtype)}
            bias = node.bias_tensor(inputs, prepared)
            return lost if bias is None else {"bias": bias * share, **lost}

        term = Term(prepared["weights"], output)
        return Linearized(node, inputs[0], output, (term,), fractions)

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        if not relevance.is_ratio:
            return super().propagate(state, relevance)
        # R / z is what arrives: no division, so the result is exact where z is tiny.
        alive = ops.cast(state.z != 0, state.z.dtype)
        ratio = adjoint(state.node, relevance.array * alive, state.terms[0].kernel, state.x)
        return (Relevance(ratio, "ratio"),)


@dataclass(frozen=True)
class Epsilon(ProductRule):
    """LRP-epsilon: `R_i = sum_j x_i w_ij / (z_j + epsilon sign z_j) R_j`.

    [Bach et al. 2015, eq. 58]; sign 0 = +1. The bias keeps its share `b_j`, and
    epsilon takes `epsilon sign z_j`.

    Parameters
    ----------
    epsilon
        Stabilizer, > 0, in units of z.
    """

    epsilon: float = 1e-6

    divides_by_output: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(self, "epsilon", above=0.0)

    def prepare(self, node: Weighted) -> dict[str, Array]:
        return _with_rule_kernel(node)

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        stabilized = stabilize(output, self.epsilon)
        share = 1 / stabilized

        def fractions() -> dict[str, Array]:
            moved = {"epsilon": signed(self.epsilon, output) * share}
            bias = node.bias_tensor(inputs, prepared)
            return moved if bias is None else {"bias": bias * share, **moved}

        term = Term(prepared["weights"], stabilized)
        return Linearized(node, inputs[0], output, (term,), fractions)

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        if not relevance.is_ratio:
            return super().propagate(state, relevance)
        # z / (z + epsilon sign z) without a sign: R / z arrives, no digit is lost where z is tiny.
        size = ops.absolute(state.z)
        kept = size / (size + backend.constant(self.epsilon, dtype=size.dtype))
        ratio = adjoint(state.node, relevance.array * kept, state.terms[0].kernel, state.x)
        return (Relevance(ratio, "ratio"),)
