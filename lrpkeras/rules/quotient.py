"""Rules that divide messages by the output: LRP-0 and LRP-epsilon. Notation as in `linear`."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from lrpkeras import backend
from lrpkeras.rules.bias import BiasRule
from lrpkeras.rules.linear import (
    Linearized,
    Term,
    Weighted,
    adjoint,
    inverse,
    signed,
    stabilize,
    take_apart,
)
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, check_number


@dataclass(frozen=True)
class Quotient(BiasRule):
    """What `Zero` and `Epsilon` share: `R_i = sum_j x_i w_ij / whole_j R_j`, whole made from z."""

    def whole(self, z: Array) -> Array:
        """Return the denominator made from z, or from z - b where the bias is ignored."""
        raise NotImplementedError

    def sinks(self, z: Array) -> dict[str, Array]:
        """Return what does not go to the inputs or the bias."""
        raise NotImplementedError

    def denominator(self, state: Linearized) -> Array | None:
        return state.terms[0].whole

    def evaluate(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, Linearized]:
        if self.bias != "ignore":
            return super().evaluate(node, prepared, inputs)
        apart = take_apart(node, prepared, inputs)
        z = node.held(apart.z)
        return z, self._divided(node, prepared, inputs, z, apart.plain)

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        if self.bias == "ignore":
            return self.evaluate(node, prepared, inputs)[1]
        return self._divided(node, prepared, inputs, output, output)

    def _divided(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], z: Array, base: Array
    ) -> Linearized:
        """Linearize with the denominator made from `base`."""
        whole, x = self.whole(base), inputs[0]
        equal = self.equal(node, prepared, x)
        held = None if equal is None else node.bias_tensor(inputs, prepared)

        def fractions() -> dict[str, Array]:
            sinks = self.sinks(base)
            if self.bias == "ignore":
                return sinks
            # Only read where it is asked for: behind a folded gate it costs a pass of its own.
            bias = node.bias_tensor(inputs, prepared) if held is None else held
            return sinks if bias is None else {"bias": bias * inverse(whole), **sinks}

        return Linearized(node, x, z, (Term(prepared["weights"], whole),), fractions, equal)


@dataclass(frozen=True)
class Zero(Quotient):
    """LRP-0: `R_i = sum_j x_i w_ij / z_j R_j`, and 0 where z_j = 0 [Bach et al. 2015, eq. 56].

    The bias keeps its share b_j / z_j; all else is conserved where z_j != 0. On nets of linear,
    ReLU, pooling, route and sum nodes it equals input x gradient.

    Parameters
    ----------
    bias
        What becomes of the bias's share, as `Analyzer(bias=)` has it. Ignored, it leaves z.

    Examples
    --------
    Messages 3 and -2 make z = 1:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Zero()})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[ 3., -2.]], dtype=float32)
    """

    def whole(self, z: Array) -> Array:
        return z

    def sinks(self, z: Array) -> dict[str, Array]:
        return {"zero sum": ops.cast(z == 0, z.dtype)}

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        own = type(self).whole is not Zero.whole
        if own or not relevance.is_ratio or self.bias != "absorb":
            return super().propagate(state, relevance)
        # R / z is what arrives: no division, so the result is exact where z is tiny.
        alive = relevance.then(_alive, state.z)
        ratio = adjoint(state.node, alive.array, state.terms[0].kernel, state.x)
        return (Relevance(ratio, "ratio"),)


@dataclass(frozen=True)
class Epsilon(Quotient):
    """LRP-epsilon: `R_i = sum_j x_i w_ij / (z_j + epsilon sign z_j) R_j`.

    [Bach et al. 2015, eq. 58]; sign 0 = +1. The bias keeps its share `b_j`, and
    epsilon takes `epsilon sign z_j`; the rest is conserved.

    Parameters
    ----------
    epsilon
        Stabilizer, > 0, in units of z.
    bias
        What becomes of the bias's share, as `Analyzer(bias=)` has it. Ignored, it leaves z.

    Raises
    ------
    RuleError
        If a parameter is out of its range.

    Examples
    --------
    Messages 3 and -2 make z = 1, and epsilon takes as much:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.Epsilon(1.0)})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[ 1.5, -1. ]], dtype=float32)
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "epsilon", above=0.0)

    def whole(self, z: Array) -> Array:
        return stabilize(z, self.epsilon)

    def sinks(self, z: Array) -> dict[str, Array]:
        return {"epsilon": signed(self.epsilon, z) / stabilize(z, self.epsilon)}

    def propagate(self, state: Linearized, relevance: Relevance) -> tuple[Relevance | None, ...]:
        own = type(self).whole is not Epsilon.whole
        if own or not relevance.is_ratio or self.bias != "absorb":
            return super().propagate(state, relevance)
        epsilon = backend.constant(self.epsilon, dtype=state.z.dtype)
        kept = relevance.then(_kept, state.z, epsilon)
        ratio = adjoint(state.node, kept.array, state.terms[0].kernel, state.x)
        return (Relevance(ratio, "ratio"),)


def _alive(ratio: Array, z: Array) -> Array:
    return ratio * ops.cast(z != 0, z.dtype)


def _kept(ratio: Array, z: Array, epsilon: Array) -> Array:
    """Return `ratio z / (z + epsilon sign z)`: without a sign, no digit is lost where z is tiny."""
    size = ops.absolute(z)
    return ratio * (size / (size + epsilon))
