"""The gamma rule: messages with the sign of the output weigh more. Notation as in `linear`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.rules.bias import BiasRule
from lrpkeras.rules.linear import (
    Apart,
    Linearized,
    Term,
    Weighted,
    by_sign,
    inverse,
    take_apart,
)
from lrpkeras.rules.rule import Array, Prepared, check_flag, check_number


@dataclass(frozen=True)
class Gamma(BiasRule):
    """LRP-gamma, generalized to inputs and outputs of any sign [Andeol et al. 2021].

    Where z_j >= 0,
    `R_i = sum_j (x_i w_ij + gamma (x_i w_ij)+) / (z_j + gamma (sum (xw)+ + b+)) R_j`;
    where z_j < 0 the same with the negative parts. The bias keeps `b + gamma b+` (b-) of the
    denominator; all else is conserved where that is not zero.

    Parameters
    ----------
    gamma
        Extra weight of the messages that have the output's sign, >= 0; 0 is `Zero`.
    positive_only
        Use the one formula with positive parts for every z_j [Montavon et al. 2019; Nyiri &
        Gibaru 2024, eq. 3]; where z_j < 0 its denominator may come close to zero.
    bias
        What becomes of the bias's share, as `Analyzer(bias=)` has it. Ignored, it leaves every
        denominator, and the sign of `z_j - b_j` chooses the formula.

    Raises
    ------
    RuleError
        If a parameter is out of its range.

    Examples
    --------
    Messages 3 and -2 count as 6 and -2:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Gamma(1.0)})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[ 1.5, -0.5]], dtype=float32)
    """

    gamma: float = 0.25
    positive_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "gamma", least=0.0)
        check_flag(self, "positive_only")

    def denominator(self, state: Linearized) -> Array | None:
        return state.terms[0].whole

    def kernels(self, node: Weighted) -> dict[str, Array]:
        arrays = {**node.parameters, "weights": node.kernel}
        if self._halves(node):
            return {**arrays, "magnitude": np.abs(node.kernel)}
        gamma = np.asarray(self.gamma, node.kernel.dtype)
        arrays["raised"] = node.kernel + gamma * np.maximum(node.kernel, 0)
        if node.facts.signed or not self._one_formula(node):
            arrays["lowered"] = node.kernel + gamma * np.minimum(node.kernel, 0)
        return arrays

    def bias_parts(self, node: Weighted) -> dict[str, Callable[[Array], Array]]:
        parts: dict[str, Callable[[Array], Array]] = {
            "raised_bias": lambda bias: bias + self.gamma * ops.relu(bias)
        }
        if not self._one_formula(node):
            parts["lowered_bias"] = lambda bias: bias + self.gamma * ops.minimum(bias, 0)
        return parts

    def evaluate(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, Linearized]:
        apart = take_apart(node, prepared, inputs)
        return node.held(apart.z), self._linearized(node, prepared, inputs[0], apart)

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        return self.evaluate(node, prepared, inputs)[1]

    def _closed(self, node: Weighted) -> bool:
        """Whether relevance vanishes wherever what chooses the formula is negative."""
        return node.facts.closed and self.bias != "ignore"

    def _one_formula(self, node: Weighted) -> bool:
        return self.positive_only or self._closed(node)

    def _halves(self, node: Weighted) -> bool:
        """Whether `sum (xw)+` may be computed as `(sum xw + sum |x||w|) / 2`, (xw)- likewise.

        That cancels where the part is small beside the other. The part that has the output's sign
        makes, with the bias's, at least half of all magnitudes; only `positive_only` reads the
        smaller one, where z < 0.
        """
        return node.facts.signed and (not self.positive_only or self._closed(node))

    def _linearized(self, node: Weighted, prepared: Prepared, x: Array, apart: Apart) -> Linearized:
        bias = None if self.bias == "ignore" else apart.bias
        below = None
        if not self._one_formula(node):
            below = (apart.plain if self.bias == "ignore" else apart.z) < 0
        own = None if bias is None else self._own(node, prepared, bias, below)
        messages = self._messages(node, prepared, x, apart.plain, below)
        whole = messages if own is None else messages + own

        def fractions() -> dict[str, Array]:
            sinks = {"zero sum": ops.cast(whole == 0, whole.dtype)}
            return sinks if own is None else {"bias": own * inverse(whole), **sinks}

        terms = self._terms(node, prepared, x, whole, below)
        equal = self.equal(node, prepared, x)
        return Linearized(node, x, apart.z, terms, fractions, equal)

    def _own(self, node: Weighted, prepared: Prepared, bias: Array, below: Array | None) -> Array:
        """`b + gamma b+`, and `b + gamma b-` below."""
        raised = self.part_of_bias(node, prepared, bias, "raised_bias")
        if below is None:
            return raised
        return ops.where(below, self.part_of_bias(node, prepared, bias, "lowered_bias"), raised)

    def _messages(
        self, node: Weighted, prepared: Prepared, x: Array, plain: Array, below: Array | None
    ) -> Array:
        """`sum xw + gamma (xw)+`, and `sum xw + gamma (xw)-` below."""
        apply = node.operation.apply
        if self._halves(node):
            magnitude = apply(ops.absolute(x), prepared["magnitude"])
            half = 0.5 * self.gamma * magnitude
            return (1 + 0.5 * self.gamma) * plain + (half if below is None else flip(half, below))
        if node.facts.signed:
            negative = apply(ops.minimum(x, 0), prepared["lowered"])
            return apply(ops.relu(x), prepared["raised"]) + negative
        above = apply(x, prepared["raised"])
        if below is None:
            return above
        # The two add up to (2 + gamma) sum xw, and below nothing that matters cancels.
        return ops.where(below, (2 + self.gamma) * plain - above, above)

    def _terms(
        self, node: Weighted, prepared: Prepared, x: Array, whole: Array, below: Array | None
    ) -> tuple[Term, ...]:
        """The messages by kernel: `w + gamma w+` is raised, `w + gamma w-` lowered."""
        half = 0.5 * self.gamma
        if self._halves(node):
            sided = half if below is None else half - self.gamma * ops.cast(below, whole.dtype)
            plain = Term(prepared["weights"], whole, 1 + half)
            return plain, Term(prepared["magnitude"], whole, sided, backend.inlined(ops.sign, x))
        if node.facts.signed:
            kernels = (prepared["raised"], prepared["lowered"])
            return tuple(Term(k, whole, 1.0, m) for k, m in zip(kernels, by_sign(x), strict=True))
        if below is None:
            return (Term(prepared["raised"], whole),)
        lowered = ops.cast(below, whole.dtype)
        above = Term(prepared["raised"], whole, 1 - lowered)
        return above, Term(prepared["lowered"], whole, lowered)


def flip(array: Array, below: Array) -> Array:
    """Return `array`, with the other sign below."""
    return ops.where(below, -array, array)
