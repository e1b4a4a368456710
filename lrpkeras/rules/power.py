"""Rules that look at powers of the messages."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

from lrpkeras.errors import RuleError
from lrpkeras.rules.linear import Linearized, ProductRule, Term, Weighted, signed, stabilize
from lrpkeras.rules.rule import Array, Prepared, check_number


@dataclass(frozen=True)
class Power(ProductRule):
    """Messages by powers: `R_i = sum_j (x_i w_ij)^p / (sum_i (x_i w_ij)^p + epsilon sign) R_j`.

    [Binder et al. 2016, eq. 5.] No bias in the denominator; epsilon takes its part with the sign of
    the sum, the rest is conserved. An even p makes every share positive.

    Parameters
    ----------
    p
        A whole number >= 1.
    epsilon
        Stabilizer, > 0, in units of z to the power p.

    Raises
    ------
    RuleError
        If a parameter is out of its range.

    Examples
    --------
    Messages 3 and -2, whose squares are 9 and 4:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Power(p=2)})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[0.69, 0.31]], dtype=float32)
    """

    p: int = 2
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        whole = isinstance(self.p, numbers.Integral) and not isinstance(self.p, bool)
        if not (whole and self.p >= 1):
            raise RuleError(f"Power(p={self.p!r}): p must be a whole number >= 1.")
        check_number(self, "epsilon", above=0.0)

    def denominator(self, state: Linearized) -> Array | None:
        return state.terms[0].whole

    def prepare(self, node: Weighted) -> dict[str, Array]:
        return {**node.parameters, "powers": node.kernel**self.p}

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        x = inputs[0]
        total = node.operation.apply(x**self.p, prepared["powers"])
        whole = stabilize(total, self.epsilon)
        term = Term(prepared["powers"], whole, 1.0, x ** (self.p - 1))

        def fractions() -> dict[str, Array]:
            return {"epsilon": signed(self.epsilon, total) / whole}

        return Linearized(node, x, output, (term,), fractions)
