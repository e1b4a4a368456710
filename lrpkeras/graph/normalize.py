"""The node kind that divides by statistics of the sample itself."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from lrpkeras.graph.node import Array, Node, Parameters


@dataclass(frozen=True)
class Denominator:
    """How a sample is measured: the root of a mean or sum of squares, kept above zero by epsilon.

    Parameters
    ----------
    of_centred
        Whether the squares are of `x - mean(x)`, not of `x`.
    total
        Whether the squares are added up, not averaged.
    floor
        Where epsilon goes: `max(sqrt(q), epsilon)` if true, else `sqrt(q + epsilon)`, q being the
        mean, or sum, of squares.
    """

    of_centred: bool = False
    total: bool = False
    floor: bool = False


DEVIATION = Denominator(of_centred=True)
ROOT_MEAN_SQUARE = Denominator()
NORM = Denominator(total=True, floor=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalize(Node):
    """`y = (x - centre * mean(x)) / s(x)`, mean and s taken over `axes` of each sample.

    LayerNormalization, RMSNormalization, UnitNormalization and, where its groups are an axis of
    their own, GroupNormalization; a learned scale and shift are an `Affine` node behind it.

    Parameters
    ----------
    axes
        Over which statistics are taken, counted with the batch: any but 0.
    centre
        Whether the mean is subtracted.
    denominator
        What s is.
    epsilon
        Where the denominator says; > 0 unless s cannot vanish.
    """

    axes: tuple[int, ...]
    centre: bool = True
    denominator: Denominator = DEVIATION
    epsilon: float = 1e-3

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return self.centred(inputs[0]) / self.scale(inputs[0])

    def centred(self, x: Array) -> Array:
        """Return `x - mean(x)`, or `x` itself where the mean stays."""
        return x - self.mean(x) if self.centre else x

    def scale(self, x: Array) -> Array:
        """Return s, of size 1 along `axes`."""
        q = self.pooled(ops.square(self.measured(x)))
        if self.denominator.floor:
            return ops.maximum(ops.sqrt(q), self.epsilon)
        return ops.sqrt(q + self.epsilon)

    def measured(self, x: Array) -> Array:
        """Return the values whose squares the denominator is made of."""
        return x - self.mean(x) if self.denominator.of_centred else x

    def pooled(self, values: Array) -> Array:
        """Return the mean, or sum, that the denominator takes of the squares."""
        pool = ops.sum if self.denominator.total else ops.mean
        return pool(values, axis=self.axes, keepdims=True)

    def mean(self, x: Array) -> Array:
        """Return the mean over `axes`, of size 1 along them."""
        return ops.mean(x, axis=self.axes, keepdims=True)

    def slopes(self, x: Array) -> Array:
        """Return how s grows with each entry: `ds/dx_i` for a sum of squares.

        For a mean of n squares it is `n ds/dx_i`: sums over i of what it is multiplied by are then
        means, as `pooled` takes them. Where epsilon is the floor, s is constant.
        """
        s = self.scale(x)
        slopes = self.measured(x) / s
        if not self.denominator.floor:
            return slopes
        return slopes * ops.cast(s > self.epsilon, x.dtype)

    def derivative_sums(self, x: Array) -> Array:
        """Return `sum_i dy_j / dx_i` for each output j."""
        s = self.scale(x)
        moved = ops.zeros_like(x) if self.centre else ops.ones_like(x)
        return (moved - self.centred(x) / s * self.pooled(self.slopes(x))) / s

    def adjoint(self, r: Array, x: Array) -> Array:
        """Return `sum_j dy_j / dx_i r_j`: the transpose of the Jacobian at x, applied to r.

        Parameters
        ----------
        r
            `(k, batch, ...)`.
        x
            The input, `(batch, ...)`.
        """
        s = self.scale(x)
        direct = r / s
        axes = tuple(axis + 1 for axis in self.axes)
        if self.centre:
            direct = direct - ops.mean(direct, axis=axes, keepdims=True)
        pool = ops.sum if self.denominator.total else ops.mean
        weighed = pool(r * self.centred(x) / s, axis=axes, keepdims=True)
        return direct - weighed * self.slopes(x) / s
