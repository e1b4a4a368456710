"""Presets of one rule for dense layers, one for convolutions, and perhaps one for the first layer.

The rule of choice differs by depth [Kohlbrenner et al. 2020; Montavon et al. 2019].
"""

from __future__ import annotations

from typing import Any

from lrpkeras.presets.preset import Entry, Preset
from lrpkeras.presets.registry import preset
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Gamma, Rule, ZPlus

FLAT: Entry = ("first", Flat())


def by_type(epsilon: float, conv: Rule) -> tuple[Entry, ...]:
    """Return the entries: `Epsilon(epsilon)` in dense layers, `conv` in convolutions."""
    return ("dense", Epsilon(epsilon)), ("conv", conv)


@preset
def epsilon_plus(epsilon: float = 1e-6) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `ZPlus()`. [zennit's EpsilonPlus.]."""
    return Preset(by_type(epsilon, ZPlus()), "epsilon_plus")


@preset
def epsilon_plus_flat(epsilon: float = 1e-6) -> Preset:
    """first: `Flat()`; dense: `Epsilon(epsilon)`; conv: `ZPlus()`. The default preset.

    [zennit's EpsilonPlusFlat.]
    """
    return Preset((FLAT, *by_type(epsilon, ZPlus())), "epsilon_plus_flat")


@preset
def epsilon_plus_box(low: Any, high: Any, epsilon: float = 1e-6) -> Preset:
    """first: `Box(low, high)`; dense: `Epsilon(epsilon)`; conv: `ZPlus()`.

    Needs `low` and `high`, the smallest and largest value of the model's input: scalars, one per
    channel, or arrays of its shape. [Montavon et al. 2017, section "bounded input".]
    """
    return Preset((("first", Box(low, high)), *by_type(epsilon, ZPlus())), "epsilon_plus_box")


@preset
def epsilon_gamma_box(low: Any, high: Any, epsilon: float = 1e-6, gamma: float = 0.25) -> Preset:
    """first: `Box(low, high)`; dense: `Epsilon(epsilon)`; conv: `Gamma(gamma)`.

    Needs `low` and `high`, as `epsilon_plus_box`. [zennit's EpsilonGammaBox; Montavon et al. 2019.]
    """
    return Preset((("first", Box(low, high)), *by_type(epsilon, Gamma(gamma))), "epsilon_gamma_box")


@preset
def epsilon_alpha2_beta1(epsilon: float = 1e-6) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `AlphaBeta(2, 1)`. [zennit's EpsilonAlpha2Beta1.]."""
    return Preset(by_type(epsilon, AlphaBeta(2.0, 1.0)), "epsilon_alpha2_beta1")


@preset
def epsilon_alpha2_beta1_flat(epsilon: float = 1e-6) -> Preset:
    """first: `Flat()`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(2, 1)`.

    [zennit's EpsilonAlpha2Beta1Flat; iNNvestigate's preset B flat with another epsilon.]
    """
    entries = by_type(epsilon, AlphaBeta(2.0, 1.0))
    return Preset((FLAT, *entries), "epsilon_alpha2_beta1_flat")
