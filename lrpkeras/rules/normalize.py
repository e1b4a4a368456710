"""Rules for normalizations that are left unfolded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from lrpkeras.graph.nodes import Affine, Node
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class Abs(Rule):
    """`R_in = |s x| / (|s x| + |t|) R` for `z = s x + t` [Hui & Binder 2019].

    The share of the shift stays with it; nothing is amplified, whatever the signs. Rebuilt from
    code that cites the paper, whose text was not at hand.

    Examples
    --------
    Of `z = 2 x + 1 = 3` the shift keeps a third:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0, offset=1.0)])
    >>> lrpkeras.Analyzer(model, rules={"Affine": rules.Abs()})([[1.0]]).numpy()
    array([[2.]], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Affine,)

    def linearize(
        self, node: Affine, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        scaled = ops.absolute(inputs[0] * prepared["kernel"])
        shift = node.bias_tensor(inputs, prepared)
        shifted = ops.zeros_like(scaled) if shift is None else ops.absolute(shift) + 0 * scaled
        return output, scaled, shifted

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        output, scaled, shifted = state
        share = ops.divide_no_nan(scaled, scaled + shifted)
        return (Relevance(relevance.absolute(output) * share),)

    def vanishing(self, node: Affine, output: Vanishing) -> Vanishing:
        return Vanishing(True)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        _, scaled, shifted = state
        whole = scaled + shifted
        return {
            "bias": relevance * ops.divide_no_nan(shifted, whole),
            "zero sum": relevance * ops.cast(whole == 0, relevance.dtype),
        }
