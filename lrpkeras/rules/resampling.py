"""Rules for images that are resized, and for rows that are looked up or masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Lookup, Masked, Node, Resample
from lrpkeras.graph.resample import Matrices
from lrpkeras.rules.linear import inverse
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class Resampling:
    """A resampling node at one input: its matrices, and where what it adds up cancels."""

    node: Resample
    x: Array
    output: Array
    matrices: Matrices
    magnitude: Array | None = None
    cancelled: Array | None = None


def resample_adjoint(node: Resample, array: Array, matrices: Matrices) -> Array:
    """Return the adjoint of resampling at `array`, `(k, batch, ...)`."""
    k = array.shape[0]
    return backend.split_leading(node.adjoint(backend.merge_leading(array), matrices), k)


@dataclass(frozen=True)
class ResampleRule(Rule):
    """What the rules for resampling share."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Resample,)

    def linearize(
        self, node: Resample, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Resampling:
        x = inputs[0]
        return Resampling(node, x, output, node.matrices(x, prepared))


@dataclass(frozen=True)
class ResampleShare(ResampleRule):
    """`Proportional` for resampling: `R_i = sum_j w_ij x_i / z_j R_j`, `z_j = sum_i w_ij x_i`.

    Where the terms cancel, `|z| < delta sum |w x|`, shares are `|w_ij x_i| / sum |w x|`.
    """

    delta: float = 1e-6

    def linearize(
        self, node: Resample, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Resampling:
        x = inputs[0]
        matrices = node.matrices(x, prepared)
        if self.delta == 0 or not (node.facts.signed or node.signed):
            return Resampling(node, x, output, matrices)
        magnitude = node.apply(ops.absolute(x), _absolute(matrices))
        cancelled = ops.absolute(output) < self.delta * magnitude
        return Resampling(node, x, output, matrices, magnitude, cancelled)

    def propagate(self, state: Resampling, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, x, z = state.node, state.x, state.output
        alive = ops.cast(z != 0, z.dtype)
        ratio = relevance.array * (alive if relevance.is_ratio else inverse(z))
        if state.cancelled is None:
            return (Relevance(resample_adjoint(node, ratio, state.matrices), "ratio"),)
        by_size = relevance.absolute(z) * inverse(state.magnitude)
        none = ops.zeros_like(ratio)
        plain = ops.where(state.cancelled, none, ratio)
        guarded = ops.where(state.cancelled, by_size, none)
        sizes = resample_adjoint(node, guarded, _absolute(state.matrices))
        back = resample_adjoint(node, plain, state.matrices) + ops.sign(x) * sizes
        return (Relevance(back, "ratio"),)

    def denominator(self, state: Resampling) -> Array | None:
        return state.output

    def vanishing(self, node: Resample, output: Vanishing) -> Vanishing:
        return Vanishing(True, not node.facts.signed)

    def losses(self, state: Resampling, relevance: Array) -> dict[str, Array]:
        whole = state.output if state.magnitude is None else state.magnitude
        return {"zero sum": relevance * ops.cast(whole == 0, relevance.dtype)}


@dataclass(frozen=True)
class ResampleFlat(ResampleRule):
    """`Flat` for resampling: all pixels that a new pixel is made of get the same."""

    def linearize(
        self, node: Resample, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Resampling:
        matrices = node.matrices(inputs[0], prepared)
        return Resampling(node, inputs[0], output, (_equal(matrices[0]), _equal(matrices[1])))

    def propagate(self, state: Resampling, relevance: Relevance) -> tuple[Relevance | None, ...]:
        array = relevance.absolute(state.output)
        return (Relevance(resample_adjoint(state.node, array, state.matrices)),)


@dataclass(frozen=True)
class ResampleAdjoint(ResampleRule):
    """`Adjoint` for resampling: `R_i = sum_j w_ij R_j`, by the weights alone.

    All is conserved as far as the weights of a new pixel add up to one.
    """

    def propagate(self, state: Resampling, relevance: Relevance) -> tuple[Relevance | None, ...]:
        array = relevance.absolute(state.output)
        return (Relevance(resample_adjoint(state.node, array, state.matrices)),)

    def losses(self, state: Resampling, relevance: Array) -> dict[str, Array]:
        sums = state.node.apply(ops.ones_like(state.x), state.matrices)
        return {"design": relevance * (1 - sums)}


def _absolute(matrices: Matrices) -> Matrices:
    rows, columns = (None if m is None else ops.absolute(m) for m in matrices)
    return rows, columns


def _equal(matrix: Array | None) -> Array | None:
    """Return the matrix with one weight for all that it reads, each row adding up to one."""
    if matrix is None:
        return None
    read = ops.cast(matrix != 0, matrix.dtype)
    return read / ops.sum(read, axis=1, keepdims=True)


@dataclass(frozen=True)
class RowSum(Rule):
    """`Adjoint` for looked-up rows: an index gets the sum of its row's relevance.

    As an input, it stands for the table's row it takes once, and for none of the others: of
    `z = sum_v x_v w_v` it is the one term, and gets all.
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Lookup,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        return (Relevance(ops.sum(relevance.absolute(state[3]), axis=-1)),)


@dataclass(frozen=True)
class MaskAdjoint(Rule):
    """`Adjoint` for masks: relevance stays where it is, and what is masked out gets none."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Masked,)

    def linearize(
        self, node: Masked, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Array:
        return node.weights(inputs)

    def propagate(self, state: Array, relevance: Relevance) -> tuple[Relevance | None, ...]:
        factor = state if relevance.is_ratio else ops.cast(state != 0, state.dtype)
        return (relevance.with_array(relevance.array * factor),)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return output

    def losses(self, state: Array, relevance: Array) -> dict[str, Array]:
        return {"padding": relevance * ops.cast(state == 0, state.dtype)}
