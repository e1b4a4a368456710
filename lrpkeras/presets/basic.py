"""Presets of one rule for all linear layers."""

from __future__ import annotations

from lrpkeras.presets.preset import Preset
from lrpkeras.presets.registry import preset
from lrpkeras.rules import AlphaBeta, Epsilon, Flat, Gamma, Proportional, WSquare, Zero, ZPlus

UNGUARDED = tuple((kind, Proportional(delta=0.0)) for kind in ("Sum", "AveragePool", "Resample"))


@preset
def zero() -> Preset:
    """`Zero` everywhere; sums and means without a guard.

    all linear layers: `Zero()`; sums, average pooling, resizing: `Proportional(delta=0)`. Equals
    input x gradient on ReLU networks. [Bach et al. 2015; the identity: Shrikumar et al. 2016.]
    """
    return Preset((("*", Zero()), *UNGUARDED), "zero")


@preset
def epsilon(epsilon: float = 1e-6) -> Preset:
    """`Epsilon(epsilon)` in all linear layers. [Bach et al. 2015, eq. 58]."""
    return Preset((("*", Epsilon(epsilon)),), "epsilon")


@preset
def gamma(gamma: float = 0.25) -> Preset:
    """`Gamma(gamma)` in all linear layers. [Andeol et al. 2021, the generalized rule.]."""
    return Preset((("*", Gamma(gamma)),), "gamma")


@preset
def z_plus() -> Preset:
    """`ZPlus` in all linear layers. [Montavon et al. 2017, the z+ rule.]."""
    return Preset((("*", ZPlus()),), "z_plus")


@preset
def alpha1_beta0() -> Preset:
    """`AlphaBeta(1, 0)` in all linear layers. [Bach et al. 2015, eq. 60]."""
    return Preset((("*", AlphaBeta(1.0, 0.0)),), "alpha1_beta0")


@preset
def alpha2_beta1() -> Preset:
    """`AlphaBeta(2, 1)` in all linear layers. [Bach et al. 2015, eq. 60]."""
    return Preset((("*", AlphaBeta(2.0, 1.0)),), "alpha2_beta1")


@preset
def w_square() -> Preset:
    """`WSquare` in all linear layers. [Montavon et al. 2017, eq. 12]."""
    return Preset((("*", WSquare()),), "w_square")


@preset
def flat() -> Preset:
    """`Flat` in all linear layers and average pools. [Lapuschkin et al. 2019.]."""
    return Preset((("*", Flat()),), "flat")
