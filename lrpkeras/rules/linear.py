"""Rules for linear nodes whose messages are products of input and weight.

Notation: x inputs, w weights, b bias, z = sum_i x_i w_ij + b_j; a+ = max(a, 0), a- = min(a, 0).
An `Affine` node is a linear node with a diagonal matrix; the same rules hold for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing, check_number

Weighted = Linear | Affine


@dataclass(frozen=True)
class Term:
    """One sum of messages: `R_i = mask_i x_i sum_j kernel_ij share_j R_j`."""

    kernel: Array
    share: Array
    mask: Array | None = None


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
            share = term.share * state.z if relevance.is_ratio else term.share
            ratio = adjoint(state.node, relevance.array * share, term.kernel, state.x)
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

        term = Term(prepared["weights"], share)
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

        term = Term(prepared["weights"], share)
        return Linearized(node, inputs[0], output, (term,), fractions)

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        if not relevance.is_ratio:
            return super().propagate(state, relevance)
        # z / (z + epsilon sign z) without a sign: R / z arrives, no digit is lost where z is tiny.
        size = ops.absolute(state.z)
        kept = size / (size + backend.constant(self.epsilon, dtype=size.dtype))
        ratio = adjoint(state.node, relevance.array * kept, state.terms[0].kernel, state.x)
        return (Relevance(ratio, "ratio"),)


@dataclass(frozen=True)
class AlphaBeta(ProductRule):
    """LRP-alpha-beta: positive and negative messages apart [Bach et al. 2015, eq. 60].

    `R_i = sum_j (alpha (x_i w_ij)+ / (sum (xw)+ + b+) - beta (x_i w_ij)- / (sum (xw)- + b-)) R_j`,
    alpha - beta = 1. The sign is that of the product, for x of any sign, and the bias is split by
    sign, so that each denominator holds what its numerators leave out.

    Parameters
    ----------
    alpha, beta
        Weights of the two sums, with `alpha - beta = 1`. `beta <= 0` is allowed.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "alpha")
        check_number(self, "beta")
        if abs(self.alpha - self.beta - 1) > 1e-9:
            raise RuleError(
                f"AlphaBeta(alpha={self.alpha:g}, beta={self.beta:g}) does not conserve "
                "relevance: alpha - beta must be 1."
            )

    def prepare(self, node: Weighted) -> dict[str, Array]:
        arrays = dict(node.parameters)
        if self._is_cheap(node):
            return {**arrays, "weights": node.kernel, "magnitude": np.abs(node.kernel)}
        arrays["positive"] = np.maximum(node.kernel, 0)
        if self.beta != 0 or node.facts.signed:
            arrays["negative"] = np.minimum(node.kernel, 0)
        if self._sums_parts(node):
            del arrays["kernel"]
        return arrays

    def _is_cheap(self, node: Weighted) -> bool:
        """Whether `sum (xw)+` may be computed as `(sum xw + sum |x||w|) / 2`.

        That cancels where the positive part is small beside the negative. Where a ReLU closes
        every z <= 0 it does no harm: z > 0 makes `sum (xw)+ + b+` at least half of all magnitudes.
        """
        return self.beta == 0 and node.facts.signed and node.facts.closed

    def _sums_parts(self, node: Weighted) -> bool:
        """Whether the output is the sum of the two parts, which then cost no extra pass."""
        return self.beta != 0 and getattr(node, "base_kernel", None) is None

    def evaluate(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, Linearized]:
        if not self._sums_parts(node):
            return super().evaluate(node, prepared, inputs)
        parts = self._parts(node, prepared, inputs[0])
        bias = node.bias_tensor(inputs, prepared)
        output = parts[0] + parts[1] if bias is None else parts[0] + parts[1] + bias
        return output, self._linearized(node, prepared, inputs, output, parts)

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        if self._is_cheap(node):
            return self._linearized_cheaply(node, prepared, inputs, output)
        parts = self._parts(node, prepared, inputs[0])
        return self._linearized(node, prepared, inputs, output, parts)

    def _parts(self, node: Weighted, prepared: Prepared, x: Array) -> tuple[Array, Array | None]:
        """`sum (xw)+` and, where beta needs it, `sum (xw)-`."""
        apply, positive = node.operation.apply, prepared["positive"]
        if not node.facts.signed:
            negative = None if self.beta == 0 else apply(x, prepared["negative"])
            return apply(x, positive), negative
        above, below, negative = ops.relu(x), ops.minimum(x, 0), prepared["negative"]
        plus = apply(above, positive) + apply(below, negative)
        if self.beta == 0:
            return plus, None
        return plus, apply(above, negative) + apply(below, positive)

    def _linearized(
        self,
        node: Weighted,
        prepared: Prepared,
        inputs: tuple[Array, ...],
        output: Array,
        parts: tuple[Array, Array | None],
    ) -> Linearized:
        bias = node.bias_tensor(inputs, prepared)
        sides = [(self.alpha, ops.relu, parts[0], ("positive", "negative"))]
        if parts[1] is not None:
            side = (-self.beta, lambda a: ops.minimum(a, 0), parts[1], ("negative", "positive"))
            sides.append(side)
        terms: list[Term] = []
        denominators = []
        for weight, sign, part, kernels in sides:
            own = None if bias is None else sign(bias)
            whole = part if own is None else part + own
            share = weight * inverse(whole)
            denominators.append((weight, share, whole, own))
            terms += _by_sign(node, prepared, inputs[0], kernels, share)
        fractions = _split_fractions(denominators)
        return Linearized(node, inputs[0], output, tuple(terms), fractions)

    def _linearized_cheaply(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        x, bias = inputs[0], node.bias_tensor(inputs, prepared)
        magnitude = node.operation.apply(ops.absolute(x), prepared["magnitude"])
        total = output if bias is None else output - bias
        own = None if bias is None else ops.relu(bias)
        whole = ops.relu(0.5 * (total + magnitude))
        whole = whole if own is None else whole + own
        share = self.alpha * inverse(whole)
        half = 0.5 * share
        terms = (Term(prepared["weights"], half), Term(prepared["magnitude"], half, ops.sign(x)))
        return Linearized(
            node, x, output, terms, _split_fractions([(self.alpha, share, whole, own)])
        )


def _by_sign(
    node: Weighted, prepared: Prepared, x: Array, kernels: tuple[str, str], share: Array
) -> list[Term]:
    """The terms of one sign of product: x >= 0 with the first kernel, x < 0 with the second."""
    if not node.facts.signed:
        return [Term(prepared[kernels[0]], share)]
    above, below = ops.cast(x > 0, x.dtype), ops.cast(x < 0, x.dtype)
    return [Term(prepared[kernels[0]], share, above), Term(prepared[kernels[1]], share, below)]


def _split_fractions(sides: list[tuple[float, Array, Array, Array | None]]) -> Any:
    """What the bias takes of each sum, and what is lost where a sum is empty."""

    def fractions() -> dict[str, Array]:
        biases = [share * own for _, share, _, own in sides if own is not None]
        empty = [weight * ops.cast(whole == 0, whole.dtype) for weight, _, whole, _ in sides]
        lost = {"one-signed sum": sum(empty[1:], empty[0])}
        return {"bias": sum(biases[1:], biases[0]), **lost} if biases else lost

    return fractions


@dataclass(frozen=True)
class ZPlus(AlphaBeta):
    """The z+ rule, alpha 1, beta 0: `R_i = sum_j (x_i w_ij)+ / (sum (xw)+ + b+) R_j`.

    [Montavon et al. 2017, Deep Taylor decomposition, with the sign taken of the product.]
    """

    alpha: float = field(default=1.0, init=False)
    beta: float = field(default=0.0, init=False)
