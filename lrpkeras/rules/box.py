"""The z-box rule, for inputs with known bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import RuleError
from lrpkeras.graph.moves import Keep
from lrpkeras.graph.nodes import Affine, Input, Linear, Node, Route
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


@dataclass(frozen=True, eq=False)
class Box(Rule):
    """The z-box rule for inputs from low to high [Montavon et al. 2017, eq. 13; Guillemot eq. 7].

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

    Examples
    --------
    Weights 3 and -1 at x = (1, 2): 3 above the lowest message, and 4 - 2 = 2:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Box(low=0, high=4)})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[0.6, 0.4]], dtype=float32)
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

    def __eq__(self, other: object) -> bool:
        """Compare the bounds, which may be arrays."""
        if type(other) is not type(self):
            return NotImplemented
        return self._bounds == other._bounds

    def __hash__(self) -> int:
        return hash((type(self), self._bounds))

    @property
    def _bounds(self) -> tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]:
        """The shape and the values of each bound."""
        bounds = (np.asarray(bound) for bound in (self.low, self.high))
        return tuple((bound.shape, tuple(bound.ravel().tolist())) for bound in bounds)

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
        moved = any(
            isinstance(source, Route) and not isinstance(source.move, Keep)
            for source in node.facts.upstream
        )
        if moved and any(None in source.shape[1:] for source in node.facts.upstream):
            raise refuse(
                self,
                node,
                "values are moved in front of it and the input's size is unknown; give the model "
                "a static input shape",
            )

    def prepare(self, node: Weighted) -> dict[str, Array]:
        if isinstance(node, Affine):
            return dict(node.parameters)
        arrays = dict(node.parameters)
        low, high = self.bounds(node)
        arrays["positive"] = np.maximum(node.kernel, 0)
        arrays["negative"] = np.minimum(node.kernel, 0)
        dtype = node.kernel.dtype
        arrays["low"], arrays["high"] = low.astype(dtype), high.astype(dtype)
        return arrays

    @backend.precise()
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
