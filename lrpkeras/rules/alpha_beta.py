"""Rules that treat positive and negative messages apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from lrpkeras.errors import RuleError
from lrpkeras.rules.linear import Linearized, ProductRule, Term, Weighted
from lrpkeras.rules.rule import Array, Prepared, check_number


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
            denominators.append((weight, whole, own))
            terms += _by_sign(node, prepared, inputs[0], kernels, whole, weight)
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
        half = 0.5 * self.alpha
        terms = (
            Term(prepared["weights"], whole, half),
            Term(prepared["magnitude"], whole, half, ops.sign(x)),
        )
        return Linearized(node, x, output, terms, _split_fractions([(self.alpha, whole, own)]))


def _by_sign(
    node: Weighted,
    prepared: Prepared,
    x: Array,
    kernels: tuple[str, str],
    whole: Array,
    weight: float,
) -> list[Term]:
    """The terms of one sign of product: x >= 0 with the first kernel, x < 0 with the second."""
    if not node.facts.signed:
        return [Term(prepared[kernels[0]], whole, weight)]
    masks = (ops.cast(x > 0, x.dtype), ops.cast(x < 0, x.dtype))
    pairs = zip(kernels, masks, strict=True)
    return [Term(prepared[kernel], whole, weight, mask) for kernel, mask in pairs]


def _split_fractions(sides: list[tuple[float, Array, Array | None]]) -> Any:
    """What the bias takes of each sum, and what is lost where a sum is empty."""

    def fractions() -> dict[str, Array]:
        biases = [w * ops.divide_no_nan(own, whole) for w, whole, own in sides if own is not None]
        empty = [weight * ops.cast(whole == 0, whole.dtype) for weight, whole, _ in sides]
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
