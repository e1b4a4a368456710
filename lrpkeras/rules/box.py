"""The z-box rule, for inputs with known bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import Affine, Input, Linear, Node
from lrpkeras.rules.linear import Weighted, adjoint, inverse
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, refuse


@dataclass(frozen=True)
class BoxState:
    """A bounded node: its input less each bound, and the shares."""

    node: Weighted
    x: Array
    z: Array
    above_low: Array
    below_high: Array
    positive: Array
    negative: Array
    whole: Array
    share: Array


@dataclass(frozen=True)
class Box(Rule):
    """The z-box rule for inputs in [low, high] [Montavon et al. 2017, eq. 13; Guillemot eq. 7].

    `R_i = sum_j (x_i w_ij - low_i w_ij+ - high_i w_ij-) / sum_i (...) R_j`. The bias cancels.

    Parameters
    ----------
    low, high
        Bounds in units of the model's input (also behind Rescaling or padding): scalars, one value
        per channel, or arrays of the input's shape; low <= high.

    Raises
    ------
    RuleError
        If low > high, or where something else than moves and rescaling lies in front of the node.
    """

    low: Any = None
    high: Any = None

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = np.asarray(getattr(self, name))
            if bound.dtype.kind not in "iuf" or not np.isfinite(bound).all():
                raise RuleError(
                    f"Box({name}={getattr(self, name)!r}): a bound is a finite number, or an array "
                    "of them."
                )

    def validate(self, node: Weighted) -> None:
        if np.any(np.asarray(self.low) > np.asarray(self.high)):
            raise refuse(self, node, "low must not be greater than high")
        if node.facts.upstream is None:
            raise refuse(
                self,
                node,
                "its input is not the model's input, rescaled or moved, so the bounds do not hold "
                "there; put it at 'first'",
            )

    def prepare(self, node: Weighted) -> dict[str, Array]:
        if isinstance(node, Affine):
            return dict(node.parameters)
        arrays = {name: a for name, a in node.parameters.items() if name == "bias"}
        low, high = self.bounds(node)
        arrays["positive"] = np.maximum(node.kernel, 0)
        arrays["negative"] = np.minimum(node.kernel, 0)
        dtype = node.kernel.dtype
        arrays["low"], arrays["high"] = low.astype(dtype), high.astype(dtype)
        if None not in node.facts.input_shapes[0][1:]:
            arrays["constant"] = self._constant(node, arrays)
        return arrays

    def bounds(self, node: Weighted) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds at the node's input, `(1, ...)`, by interval arithmetic."""
        values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for source in node.facts.upstream or ():
            if isinstance(source, Input):
                values[source.name] = (
                    self._spread(self.low, source),
                    self._spread(self.high, source),
                )
                continue
            ends = zip(*(values[name] for name in source.inputs), strict=True)
            lows, highs = (
                backend.to_numpy(
                    source.compute(tuple(map(backend.constant, end)), source.parameters)
                )
                for end in ends
            )
            values[source.name] = (np.minimum(lows, highs), np.maximum(lows, highs))
        return values[node.inputs[0]]

    def _spread(self, bound: Any, source: Input) -> np.ndarray:
        shape = tuple(1 if n is None else n for n in source.shape)
        try:
            return np.broadcast_to(np.asarray(bound, "float64"), shape)
        except ValueError:
            raise refuse(
                self,
                source,
                f"bounds of shape {np.shape(bound)} do not broadcast to its shape {source.shape}",
            ) from None

    def _constant(self, node: Weighted, arrays: dict[str, Array]) -> np.ndarray:
        """`L(low, w+) + L(high, w-)` and the vector bias: what the two sums lack to make z."""
        wide = {name: backend.constant(a.astype("float64")) for name, a in arrays.items()}
        constant = node.operation.apply(wide["low"], wide["positive"])
        constant = constant + node.operation.apply(wide["high"], wide["negative"])
        return backend.to_numpy(constant).astype(node.kernel.dtype)

    def evaluate(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, BoxState]:
        if isinstance(node, Affine):
            z = node.compute(inputs, prepared)
            return z, self.linearize(node, prepared, inputs, z)
        state = self.linearize(node, prepared, inputs, inputs[0])
        z = state.whole + self._offset(node, prepared, inputs[0])
        bias = node.bias_tensor(inputs, prepared)
        z = z if bias is None else z + bias
        return z, replace(state, z=z)

    def _offset(self, node: Weighted, prepared: Prepared, x: Array) -> Array:
        if "constant" in prepared:
            return prepared["constant"]
        zeros = ops.zeros_like(x[:1])
        apply = node.operation.apply
        low = apply(zeros + prepared["low"], prepared["positive"])
        return low + apply(zeros + prepared["high"], prepared["negative"])

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> BoxState:
        x = inputs[0]
        if isinstance(node, Affine):
            # One input an output: it gets all, whatever the bounds.
            return BoxState(node, x, output, x, x, x, x, ops.ones_like(x), ops.ones_like(x))
        above, below = x - prepared["low"], x - prepared["high"]
        positive, negative = prepared["positive"], prepared["negative"]
        whole = node.operation.apply(above, positive) + node.operation.apply(below, negative)
        return BoxState(node, x, output, above, below, positive, negative, whole, inverse(whole))

    def propagate(self, state: BoxState, relevance: Relevance) -> tuple[Relevance | None, ...]:
        array = relevance.absolute(state.z)
        if isinstance(state.node, Affine):
            return (Relevance(array),)
        s = array * state.share
        low = state.above_low * adjoint(state.node, s, state.positive, state.x)
        high = state.below_high * adjoint(state.node, s, state.negative, state.x)
        return (Relevance(low + high),)

    def losses(self, state: BoxState, relevance: Array) -> dict[str, Array]:
        return {"one-signed sum": relevance * ops.cast(state.whole == 0, relevance.dtype)}
