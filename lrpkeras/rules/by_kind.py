"""Rules of one idea for several kinds of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import (
    Activation,
    AveragePool,
    Extremum,
    Fork,
    LocalNormalize,
    Lookup,
    Masked,
    MaxPool,
    Node,
    Resample,
    Route,
    Sum,
)
from lrpkeras.rules.activation import NeuronTaylor
from lrpkeras.rules.merge import InputTies, InputWinner, MoveAdjoint, SumShare
from lrpkeras.rules.pooling import PoolShare, PoolTies, PoolWinner
from lrpkeras.rules.resampling import MaskAdjoint, ResampleAdjoint, ResampleShare, RowSum
from lrpkeras.rules.rule import ByKind, Rule, check_number, refuse
from lrpkeras.rules.statistics import LocalTaylor


@dataclass(frozen=True)
class Adjoint(ByKind):
    """Relevance takes the way back that its value came: moves are undone, copies added up.

    Resizing of images: `R_i = sum_j w_ij R_j` by the weights alone, whatever the pixels' values. A
    row that is looked up gives the index all of its relevance; what is masked out gets none.

    Examples
    --------
    What each position is copied to adds up there:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> model = keras.Sequential([keras.Input((2, 1)), keras.layers.UpSampling1D(2)])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Route": rules.Adjoint()})
    >>> analyzer([[[1.0], [3.0]]]).numpy().ravel()
    array([2., 6.], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Route, Fork, Resample, Lookup, Masked)

    def part(self, node: Node) -> Rule:
        return next(part for kind, part in ADJOINTS.items() if isinstance(node, kind))


@dataclass(frozen=True)
class Winner(ByKind):
    """All relevance goes to the maximum of a window or of several inputs, the first one on ties.

    Examples
    --------
    The first of two maxima gets it all:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> model = keras.Sequential([keras.Input((3, 1)), keras.layers.GlobalMaxPooling1D()])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"MaxPool": rules.Winner()})
    >>> analyzer([[[2.0], [2.0], [1.0]]]).numpy().ravel().round(2)
    array([2., 0., 0.], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool, Extremum)

    def part(self, node: Node) -> Rule:
        return PoolWinner() if isinstance(node, MaxPool) else InputWinner()


@dataclass(frozen=True)
class Ties(ByKind):
    """All maxima of a window, or of several inputs, share its relevance equally.

    Examples
    --------
    Two maxima get half each:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> model = keras.Sequential([keras.Input((3, 1)), keras.layers.GlobalMaxPooling1D()])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"MaxPool": rules.Ties()})
    >>> analyzer([[[2.0], [2.0], [1.0]]]).numpy().ravel().round(2)
    array([1., 1., 0.], dtype=float32)
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool, Extremum)

    def part(self, node: Node) -> Rule:
        return PoolTies() if isinstance(node, MaxPool) else InputTies()


@dataclass(frozen=True)
class Proportional(ByKind):
    """Every input of a sum, entry of a pooling window or resized pixel gets what it contributed.

    `R_i = a_i / sum a_i R`; `a_i = w_ij x_i` where images are resized. For max pooling it is the
    share in the window's sum, as for average pooling: relevance of a maximum goes to all entries.

    Parameters
    ----------
    delta
        Where the parts cancel, `|sum a_i| < delta sum |a_i|`, shares are by `|a_i|` instead of
        `a_i`, so that relevance cannot blow up; >= 0, and 0 for never.

    Raises
    ------
    RuleError
        If a parameter is out of its range.

    Examples
    --------
    Of 3 + 1 = 4 each term gets its own:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> terms = [keras.Input((1,)), keras.Input((1,))]
    >>> model = keras.Model(terms, keras.layers.Add()(terms))
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Sum": rules.Proportional()})
    >>> one, other = analyzer([np.array([[3.0]]), np.array([[1.0]])])
    >>> one.numpy().item(), other.numpy().item()
    (3.0, 1.0)
    """

    delta: float = 1e-6

    kinds: ClassVar[tuple[type[Node], ...]] = (AveragePool, MaxPool, Sum, Resample)

    def __post_init__(self) -> None:
        check_number(self, "delta", above=-1e-300)

    def part(self, node: Node) -> Rule:
        if isinstance(node, Resample):
            return ResampleShare(self.delta)
        return SumShare(self.delta) if isinstance(node, Sum) else PoolShare(self.delta)


@dataclass(frozen=True)
class Taylor(ByKind):
    """A nonlinear neuron by its first-order Taylor expansion [Binder et al. 2016, eq. 8-15].

    Activations: `R_in = (f(r) + f'(p) (x - r)) / f(x) R`: what the expansion holds of the neuron's
    value, the zero-order term included. The slope is taken at the input, p = x, as the paper does
    for local renormalization, or at the reference, p = r, the expansion of eq. 8. With r = 0 it
    equals `Pass` where f(x) = f'(x) x: at ReLU, LeakyReLU and the gates of folded normalizations.
    What the expansion misses is counted as "Taylor remainder".

    Local response normalization (eq. 15): `R_j = sum_k z_jk / sum_i z_ik R_k`, with
    `z_kk = x_k / (bias + alpha x_k^2)^beta` and, for the other channels j around k,
    `z_jk = -2 alpha beta x_k x_j^2 / (bias + alpha sum_i x_i^2)^(beta + 1)`. What suppresses a
    channel gets relevance of the other sign. All is conserved; no denominator vanishes, since
    `sum_i z_ik` is at least 0.26 z_kk. The expansion is between the input and the one in which only
    channel k is active: there is no reference to choose.

    Parameters
    ----------
    reference
        The reference point r of activations, any finite number.
    slope
        "input" or "reference": where the slope of activations is taken.
    epsilon
        Stabilizer of the denominator f(x) of activations, > 0.

    Raises
    ------
    RuleError
        If a parameter is out of its range.

    Examples
    --------
    Of `tanh(1) = 0.76` the expansion holds `tanh'(1) = 0.42`:

    >>> import keras, lrpkeras
    >>> from lrpkeras import rules
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("tanh")])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Activation": rules.Taylor()})
    >>> analyzer([[1.0]]).numpy().round(2)
    array([[0.42]], dtype=float32)
    """

    reference: float = 0.0
    slope: str = "input"
    epsilon: float = 1e-6

    kinds: ClassVar[tuple[type[Node], ...]] = (Activation, LocalNormalize)

    def __post_init__(self) -> None:
        check_number(self, "reference")
        check_number(self, "epsilon", above=0.0)
        if self.slope not in ("input", "reference"):
            raise RuleError(f"Taylor(slope={self.slope!r}): it is 'input' or 'reference'.")

    def validate(self, node: Node) -> None:
        if isinstance(node, LocalNormalize) and (self.reference or self.slope != "input"):
            why = "there, the expansion's points are given; put {'LocalNormalize': Taylor()} first"
            raise refuse(self, node, why)

    def part(self, node: Node) -> Rule:
        if isinstance(node, LocalNormalize):
            return LocalTaylor()
        return NeuronTaylor(self.reference, self.slope, self.epsilon)


ADJOINTS: dict[type[Node], Rule] = {
    Route: MoveAdjoint(),
    Fork: MoveAdjoint(),
    Resample: ResampleAdjoint(),
    Lookup: RowSum(),
    Masked: MaskAdjoint(),
}
