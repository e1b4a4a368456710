"""What the rules share whose messages are products of input and weight.

Notation: x inputs, w weights, b bias, z = sum_i x_i w_ij + b_j; a+ = max(a, 0), a- = min(a, 0).
An `Affine` node is a linear node with a diagonal matrix; the same rules hold for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.rules.equal_shares import EqualShares
from lrpkeras.rules.relevance import Relevance, plus, times
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing

Weighted = Linear | Affine


@dataclass(frozen=True)
class Term:
    """One sum of messages: `R_i = mask_i x_i sum_j kernel_ij weight_j / whole_j R_j`."""

    kernel: Array
    whole: Array
    weight: float | Array = 1.0
    mask: Array | None = None


def shared(terms: tuple[Term, ...], relevance: Relevance, z: Array) -> tuple[Array, ...]:
    """Return `weight R / whole` for each term, 0 where `whole` is 0.

    From the ratio R / z by the bounded factor z / whole: where both are tiny, neither 1 / whole nor
    a product with it can be represented.
    """
    if relevance.is_ratio:
        return relevance.each(_shared_ratio, *((z, term.whole, term.weight) for term in terms))
    return relevance.each(_shared, *((term.whole, term.weight) for term in terms))


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


def by_sign(x: Array) -> tuple[Array, Array]:
    """Return 1 where x > 0, and 1 where x < 0, and 0 elsewhere."""
    return backend.inlined(_is_above, x), backend.inlined(_is_below, x)


def _is_above(x: Array) -> Array:
    return ops.cast(x > 0, x.dtype)


def _is_below(x: Array) -> Array:
    return ops.cast(x < 0, x.dtype)


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


def _summed(ratios: list[tuple[Array, Array | None]]) -> Relevance:
    """Add up ratios, each times its mask."""
    (first, mask), *others = ratios
    total = Relevance(first, "ratio")
    total = total if mask is None else total.then(times, mask)
    for ratio, mask in others:
        total = total.then(_plus_product, ratio, *(() if mask is None else (mask,)))
    return total


def _plus_product(array: Array, *factors: Array) -> Array:
    return array + math.prod(factors[1:], start=factors[0])


@dataclass(frozen=True)
class ProductRule(Rule):
    """What the rules share whose messages are `x_i w_ij` times something: back comes R / x."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        terms, x = state.terms, state.x
        parts = zip(terms, shared(terms, relevance, state.z), strict=True)
        total = _summed([(adjoint(state.node, s, t.kernel, x), t.mask) for t, s in parts])
        if state.equal is None:
            return (total,)
        bias = relevance.absolute(state.z) * state.fractions()["bias"]
        return (total.multiplied(x).then(plus, state.equal.back(bias)),)

    def vanishing(self, node: Weighted, output: Vanishing) -> Vanishing:
        return Vanishing(True, not node.facts.signed)

    def losses(self, state: Linearized, relevance: Array) -> dict[str, Array]:
        lost = {sink: relevance * share for sink, share in state.fractions().items()}
        if state.equal is not None:
            # Where no input reaches the output, there is none to take the bias's share.
            lost["padding"] = lost.pop("bias") * state.equal.unreached
        return lost
