"""Rules for normalizations by statistics of the sample itself, and of neighbouring channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import LocalNormalize, Node, Normalize
from lrpkeras.rules.linear import signed, stabilize
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing, check_number


@dataclass(frozen=True)
class Detach(Rule):
    """A normalization with its statistics held constant: `y = (x - mean) / s` is linear in x.

    With `mean="constant"`, y depends on its own centred value alone, and that takes its whole
    relevance but for epsilon's share: `R_i = y_i / (y_i + epsilon sign y_i) R_i`, sign 0 = +1. It
    is `Identity` where `|y|` is far above epsilon, never amplifies, and gives nothing to what the
    normalization makes zero.

    With `mean="linear"`, only s is held constant; centring is a matrix, and x shares by
    LRP-epsilon: `R_i = x_i (q_i - mean(q))`, `q = R / (y + epsilon sign y) / s` [Ali et al. 2022,
    the LN-rule]. Values far from zero that differ little get large relevance of both signs.

    Both conserve all relevance but what epsilon takes. Without a mean they are the same.

    Parameters
    ----------
    epsilon
        Stabilizer, > 0, in units of y.
    mean
        "constant" or "linear": what a change of x does to the mean that is subtracted.

    Raises
    ------
    RuleError
        If a parameter is out of its range.

    Examples
    --------
    Values 1 and 3 become -1 and 1. With a mean that is linear in x the value 1 counts against
    the output that lies above the mean:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> layer = keras.layers.LayerNormalization(center=False, scale=False, epsilon=1e-9)
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Normalize": rules.Detach(mean="linear")})
    >>> analyzer([[1.0, 3.0]], 1).numpy().round(2)
    array([[-0.5,  1.5]], dtype=float32)
    """

    epsilon: float = 1e-6
    mean: str = "constant"

    kinds: ClassVar[tuple[type[Node], ...]] = (Normalize, LocalNormalize)

    def __post_init__(self) -> None:
        check_number(self, "epsilon", above=0.0)
        if self.mean not in ("constant", "linear"):
            raise RuleError(f"Detach(mean={self.mean!r}): it is 'constant' or 'linear'.")

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, _, inputs, y = state
        if node.centre and self.mean == "constant":
            share = y / stabilize(y, self.epsilon)
            return (Relevance(relevance.absolute(y) * share),)
        ratio = self._ratio(relevance, y) / node.scale(inputs[0])
        if node.centre:
            axes = tuple(axis + 1 for axis in node.axes)
            ratio = ratio - ops.mean(ratio, axis=axes, keepdims=True)
        return (Relevance(ratio, "ratio"),)

    def _ratio(self, relevance: Relevance, y: Array) -> Array:
        """`R / (y + epsilon sign y)`; from R / y without a division by what may be tiny."""
        if not relevance.is_ratio:
            return relevance.array / stabilize(y, self.epsilon)
        size = ops.absolute(y)
        return relevance.array * (size / (size + self.epsilon))

    def vanishing(self, node: Normalize | LocalNormalize, output: Vanishing) -> Vanishing:
        if not node.centre:
            return Vanishing(True, output.unless_positive or not node.facts.signed)
        return Vanishing(self.mean == "linear", self.mean == "linear" and not node.facts.signed)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        y = state[3]
        return {"epsilon": relevance * signed(self.epsilon, y) / stabilize(y, self.epsilon)}


@dataclass(frozen=True)
class LocalTaylor(Rule):
    """`Taylor` for local response normalization [Binder et al. 2016, eq. 13-15].

    Output k is expanded at its input, towards the input in which only channel k is active:
    `z_kk = x_k / (bias + alpha x_k^2)^beta`, `z_jk = -2 alpha beta x_k x_j^2 / c_k^(beta + 1)`,
    and j gets `z_jk / sum_j z_jk R_k`. What suppresses k gets relevance of the other sign. All z_jk
    have the factor x_k, which is divided out, so that x_k = 0 is no exception; the sum of the rest
    is positive, at least `1 - 2 / e` of z_kk / x_k, whatever the input: all relevance is conserved,
    none blows up. With alpha = 0 or beta = 0 it is the identity, as the normalization is but for
    a factor.
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (LocalNormalize,)

    def linearize(
        self, node: LocalNormalize, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        x = inputs[0]
        squares, base = ops.square(x), node.base(x)
        # -z_jk / z_kk = suppression x_j^2; of a quotient at most 1, so that no power overflows.
        suppression = 2 * node.alpha * node.beta / base * (node.base_alone(x) / base) ** node.beta
        whole = 1 - suppression * node.others(squares)
        return node, output, squares, 1 / whole, suppression / whole

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, output, squares, own, suppression = state
        array = relevance.absolute(output)
        return (Relevance(array * own - squares * node.others(array * suppression)),)

    def vanishing(self, node: LocalNormalize, output: Vanishing) -> Vanishing:
        return Vanishing(output.at_zero)
