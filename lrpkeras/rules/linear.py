"""What the rules share whose messages are products of input and weight.

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
from lrpkeras.rules.equal_shares import EqualShares
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing

Weighted = Linear | Affine


@dataclass(frozen=True)
class Term:
    """One sum of messages: `R_i = mask_i x_i sum_j kernel_ij weight_j / whole_j R_j`."""

    kernel: Array
    whole: Array
    weight: float | Array = 1.0
    mask: Array | None = None

    def shared(self, relevance: Relevance, z: Array) -> Array:
        """Return `weight R / whole`, 0 where `whole` is 0.

        From the ratio R / z by the bounded factor z / whole: where both are tiny, neither 1 / whole
        nor a product with it can be represented.
        """
        if relevance.is_ratio:
            return relevance.then(_shared_ratio, z, self.whole, self.weight).array
        return relevance.then(_shared, self.whole, self.weight).array


def _shared_ratio(ratio: Array, z: Array, whole: Array, weight: Array | float) -> Array:
    return ratio * ops.divide_no_nan(weight * z, whole)


def _shared(array: Array, whole: Array, weight: Array | float) -> Array:
    return array * (weight * inverse(whole))


@dataclass(frozen=True)
class Linearized:
    """A linear node at one input: its terms, and what each sink takes of an output's relevance.

    With `equal`, what the sink "bias" takes goes to the inputs in equal parts.
    """

    node: Weighted
    x: Array
    z: Array
    terms: tuple[Term, ...]
    fractions: Callable[[], dict[str, Array]]
    equal: EqualShares | None = None


@dataclass(frozen=True)
class Apart:
    """A linear node's output `z = plain + bias`: what its inputs give, and its bias, if any."""

    z: Array
    plain: Array
    bias: Array | None


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


def with_rule_kernel(node: Weighted) -> dict[str, Array]:
    """The forward parameters and, as "weights", the kernel in which the node is linear in x."""
    return {**node.parameters, "weights": node.kernel}


def take_apart(node: Weighted, prepared: Prepared, inputs: tuple[Array, ...]) -> Apart:
    """Compute the output from its two parts, so that neither is a difference of large numbers."""
    plain = node.operation.apply(inputs[0], prepared["weights"])
    bias = node.bias_tensor(inputs, prepared)
    return Apart(plain if bias is None else plain + bias, plain, bias)


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
        if state.equal is None:
            return (Relevance(total, "ratio"),)
        bias = relevance.absolute(state.z) * state.fractions()["bias"]
        return (Relevance(total * state.x + state.equal.back(bias)),)

    def vanishing(self, node: Weighted, output: Vanishing) -> Vanishing:
        return Vanishing(True, not node.facts.signed)

    def losses(self, state: Linearized, relevance: Array) -> dict[str, Array]:
        lost = {sink: relevance * share for sink, share in state.fractions().items()}
        if state.equal is not None:
            # Where no input reaches the output, there is none to take the bias's share.
            lost["padding"] = lost.pop("bias") * state.equal.unreached
        return lost
