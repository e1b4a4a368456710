"""Rules for nodes of several inputs, and for the plain routes between nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from lrpkeras import backend
from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import Extremum, Fork, Node, Product, Route, Sum
from lrpkeras.rules.linear import inverse
from lrpkeras.rules.relevance import Relevance, times
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class MoveAdjoint(Rule):
    """`Adjoint` for moves and forks: moves are undone, copies added up."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Route, Fork)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, _, inputs, _ = state
        if isinstance(node, Fork):
            return (relevance,)
        k = relevance.array.shape[0]
        shapes = tuple(backend.shape(x) for x in inputs)
        parts = node.move.adjoint(backend.merge_leading(relevance.array), shapes)
        return tuple(relevance.with_array(backend.split_leading(part, k)) for part in parts)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return output

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        node, _, inputs, _ = state
        if isinstance(node, Fork) or not node.move.fills:
            return {}
        filled = 1 - node.move.apply(*(ops.ones_like(x) for x in inputs))
        return {"padding": relevance * filled}


@dataclass(frozen=True)
class SumShare(Rule):
    """`Proportional` for sums: `R_i = a_i / z R`, `a_i = c_i x_i`, `z = sum a_i`.

    Where the terms cancel, `|z| < delta sum |a_i|`, the shares are `|a_i| / sum |a_i|` instead, so
    that relevance cannot blow up; where all terms are zero it is lost, and counted.
    """

    delta: float = 1e-6

    kinds: ClassVar[tuple[type[Node], ...]] = (Sum,)

    def denominator(self, state: Any) -> Array | None:
        return state[2]

    def linearize(
        self, node: Sum, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        return node, inputs, output

    def _cancelled(self, terms: list[Array], z: Array) -> tuple[Array, Array]:
        """Where the terms cancel, and the sum of their magnitudes."""
        magnitude = sum((ops.absolute(term) for term in terms[1:]), ops.absolute(terms[0]))
        return ops.absolute(z) < self.delta * magnitude, magnitude

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, inputs, z = state
        terms = node.terms(inputs)
        if len(terms) == 2 and 0 < self.delta <= 1:
            return self._of_two(node, terms, z, relevance)
        ratio = relevance.array if relevance.is_ratio else relevance.array * inverse(z)
        if not self.delta:
            return tuple(Relevance(_times(c, ratio), "ratio") for c in node.coefficients)
        cancelled, magnitude = self._cancelled(terms, z)
        by_size = relevance.absolute(z) * inverse(magnitude)
        return tuple(
            Relevance(
                backend.select(cancelled, by_size * c * ops.sign(term), _times(c, ratio)),
                "ratio",
            )
            for c, term in zip(node.coefficients, terms, strict=True)
        )

    def _of_two(
        self, node: Sum, terms: list[Array], z: Array, relevance: Relevance
    ) -> tuple[Relevance, ...]:
        """The same for two terms a and b, from a and z alone.

        `|a| + |b|` is the larger of `|z|` and `|a - b|`; where the terms cancel, they have opposite
        signs, so that it is the latter, and `|a| / |a - b| = a / (a - b)`.
        """
        delta = backend.constant(self.delta, dtype=z.dtype)
        share_of = _share_of_first_from_ratio if relevance.is_ratio else _share_of_first
        first = Relevance(relevance.then(share_of, terms[0], z, delta).array, "ratio")
        shares = first, first.then(_share_of_second, terms[0], z, delta)
        pairs = zip(node.coefficients, shares, strict=True)
        return tuple(
            share if c == 1 else share.then(times, backend.constant(c, dtype=z.dtype))
            for c, share in pairs
        )

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return Vanishing(True)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        node, inputs, z = state
        _, magnitude = self._cancelled(node.terms(inputs), z)
        empty = magnitude == 0 if self.delta else z == 0
        return {"zero sum": relevance * ops.cast(empty, z.dtype)}


def _share_of_first(array: Array, one: Array, z: Array, delta: Array) -> Array:
    """Return what goes to the first term of a sum z, as a ratio to the term."""
    return _guarded(array * inverse(z), array, one, z, delta)


def _share_of_first_from_ratio(ratio: Array, one: Array, z: Array, delta: Array) -> Array:
    return _guarded(ratio, ratio * z, one, z, delta)


def _share_of_second(share: Array, one: Array, z: Array, delta: Array) -> Array:
    """Return what goes to the second term: the same, with the other sign where they cancel."""
    return backend.select(_cancel(2 * one - z, z, delta), -share, share)


def _guarded(ratio: Array, relevance: Array, one: Array, z: Array, delta: Array) -> Array:
    difference = 2 * one - z
    by_size = ops.divide_no_nan(relevance, difference)
    return backend.select(_cancel(difference, z, delta), by_size, ratio)


def _cancel(difference: Array, z: Array, delta: Array) -> Array:
    """Whether two terms cancel, of the given difference and sum."""
    return ops.absolute(z) <= ops.absolute(delta * difference)


def _times(factor: float, array: Array) -> Array:
    return array if factor == 1 else -array if factor == -1 else factor * array


@dataclass(frozen=True)
class InputWinner(Rule):
    """`Winner` for a maximum or minimum: all relevance goes to the first input that won."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Extremum,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        _, _, inputs, output = state
        open_, parts = ops.ones_like(output), []
        for x in inputs:
            won = open_ * ops.cast(x == output, output.dtype)
            open_ = open_ - won
            parts.append(relevance.with_array(relevance.array * won))
        return tuple(parts)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return output


@dataclass(frozen=True)
class Equal(Rule):
    """Every term of a sum gets the same, `R_i = R / n`, whatever its value and coefficient.

    Examples
    --------
    Of 3 + 1 = 4 each term gets half:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> terms = [keras.Input((1,)), keras.Input((1,))]
    >>> model = keras.Model(terms, keras.layers.Add()(terms))
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Sum": rules.Equal()})
    >>> one, other = analyzer([np.array([[3.0]]), np.array([[1.0]])])
    >>> one.numpy().item(), other.numpy().item()
    (2.0, 2.0)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Sum,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        _, _, inputs, output = state
        share = Relevance(relevance.absolute(output) / len(inputs))
        return (share,) * len(inputs)


@dataclass(frozen=True)
class InputTies(Rule):
    """`Ties` for a maximum or minimum: all inputs that are equal to it share equally."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Extremum,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        _, _, inputs, output = state
        won = [ops.cast(x == output, output.dtype) for x in inputs]
        share = relevance.array / sum(won[1:], won[0])
        return tuple(relevance.with_array(share * each) for each in won)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return output


@dataclass(frozen=True)
class Signal(Rule):
    """A product passes relevance to its signals and none to its gates [Arras et al. 2017].

    Gates are the factors that come from a sigmoid-like function; several signals share equally.

    Examples
    --------
    Of `4 sigmoid(0) = 2` the signal gets all, the gate nothing:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> signal, switch = keras.Input((1,)), keras.Input((1,))
    >>> gate = keras.layers.Activation("sigmoid")(switch)
    >>> model = keras.Model([signal, switch], keras.layers.Multiply()([signal, gate]))
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Product": rules.Signal()})
    >>> one, other = analyzer([np.array([[4.0]]), np.array([[0.0]])])
    >>> one.numpy().item(), other.numpy().item()
    (2.0, 0.0)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Product,)

    def validate(self, node: Node) -> None:
        if not any(node.facts.gates) or all(node.facts.gates):
            raise RuleError(
                f"Signal() needs both gates and signals at {node.name!r}; use Uniform() there"
            )

    def reaches(self, node: Node) -> tuple[bool, ...]:
        return tuple(not gate for gate in node.facts.gates)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, _, inputs, output = state
        return _shared(node.facts.gates, inputs, output, relevance)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return Vanishing(output.at_zero)


@dataclass(frozen=True)
class Uniform(Rule):
    """A product passes relevance to all its factors in equal parts.

    Examples
    --------
    Of 3 x 2 = 6 each factor gets half:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> factors = [keras.Input((1,)), keras.Input((1,))]
    >>> model = keras.Model(factors, keras.layers.Multiply()(factors))
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Product": rules.Uniform()})
    >>> one, other = analyzer([np.array([[3.0]]), np.array([[2.0]])])
    >>> one.numpy().item(), other.numpy().item()
    (3.0, 3.0)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Product,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        _, _, inputs, output = state
        return _shared((False,) * len(inputs), inputs, output, relevance)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return Vanishing(output.at_zero)


def _shared(
    gates: tuple[bool, ...], inputs: tuple[Array, ...], output: Array, relevance: Relevance
) -> tuple[Relevance | None, ...]:
    share = Relevance(relevance.absolute(output) / gates.count(False))
    return tuple(None if gate else share for gate in gates)
