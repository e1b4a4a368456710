"""The rule combinations of Gonzalez 2020, and the configuration that the thesis proposes.

"Preset" is its word for epsilon in dense layers and another rule in convolutions; "bounded" and
"flat" name the rule of the first layer. It worked with iNNvestigate, whose epsilon is 1e-7 alone
and 0.1 in presets. Bounded ones need `low` and `high`, the bounds of the model's input.
"""

from __future__ import annotations

from typing import Any

from lrpkeras.presets.composite import FLAT, by_type
from lrpkeras.presets.preset import Preset
from lrpkeras.presets.registry import preset
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat

ALONE, COMBINED = 1e-7, 0.1
A2B1, A1B0 = AlphaBeta(2.0, 1.0), AlphaBeta(1.0, 0.0)
A0B1 = AlphaBeta(0.0, 1.0, conserve=False)
A1B1 = AlphaBeta(1.0, 1.0, conserve=False)
A1B_1 = AlphaBeta(1.0, -1.0, conserve=False)


@preset
def gonzalez(epsilon: float = COMBINED) -> Preset:
    """first: `Flat()`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(0.5, -0.5)`.

    The proposal of section 5.2, alpha 1 and beta -1 in convolutions, halved so that it conserves
    relevance: the same map up to a factor of 2 for each convolution. [Gonzalez 2020, section 5.2.]
    """
    return Preset((FLAT, *by_type(epsilon, AlphaBeta(0.5, -0.5))), "gonzalez")


@preset
def gonzalez_epsilon(epsilon: float = ALONE) -> Preset:
    """All linear layers: `Epsilon(epsilon)`. [Gonzalez 2020, figures 6 and 7, column 1.]."""
    return Preset((("*", Epsilon(epsilon)),), "gonzalez_epsilon")


@preset
def gonzalez_epsilon_bounded(low: Any, high: Any, epsilon: float = ALONE) -> Preset:
    """first: `Box(low, high)`; all others: `Epsilon(epsilon)`.

    [Gonzalez 2020, figures 6 and 7.]
    """
    entries = (("first", Box(low, high)), ("*", Epsilon(epsilon)))
    return Preset(entries, "gonzalez_epsilon_bounded")


@preset
def gonzalez_epsilon_flat(epsilon: float = ALONE) -> Preset:
    """first: `Flat()`; all others: `Epsilon(epsilon)`. [Gonzalez 2020, figures 6 and 7.]."""
    return Preset((FLAT, ("*", Epsilon(epsilon))), "gonzalez_epsilon_flat")


@preset
def gonzalez_alpha2_beta1() -> Preset:
    """All linear layers: `AlphaBeta(2, 1)`. [Gonzalez 2020, figures 6 and 7.]."""
    return Preset((("*", A2B1),), "gonzalez_alpha2_beta1")


@preset
def gonzalez_alpha2_beta1_preset(epsilon: float = COMBINED) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `AlphaBeta(2, 1)`.

    [Gonzalez 2020, figures 6, 7, 15, 27.]
    """
    return Preset(by_type(epsilon, A2B1), "gonzalez_alpha2_beta1_preset")


@preset
def gonzalez_alpha2_beta1_preset_bounded(low: Any, high: Any, epsilon: float = COMBINED) -> Preset:
    """first: `Box(low, high)`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(2, 1)`.

    [Gonzalez 2020, figures 6 and 7.]
    """
    entries = (("first", Box(low, high)), *by_type(epsilon, A2B1))
    return Preset(entries, "gonzalez_alpha2_beta1_preset_bounded")


@preset
def gonzalez_alpha2_beta1_preset_flat(epsilon: float = COMBINED) -> Preset:
    """first: `Flat()`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(2, 1)`.

    [Gonzalez 2020, figures 6 and 7.]
    """
    return Preset((FLAT, *by_type(epsilon, A2B1)), "gonzalez_alpha2_beta1_preset_flat")


@preset
def gonzalez_alpha1_beta0() -> Preset:
    """All linear layers: `AlphaBeta(1, 0)`. [Gonzalez 2020, figures 6 and 7.]."""
    return Preset((("*", A1B0),), "gonzalez_alpha1_beta0")


@preset
def gonzalez_alpha1_beta0_preset(epsilon: float = COMBINED) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `AlphaBeta(1, 0)`.

    [Gonzalez 2020, figures 6, 7, 15, 19, 27.]
    """
    return Preset(by_type(epsilon, A1B0), "gonzalez_alpha1_beta0_preset")


@preset
def gonzalez_alpha1_beta0_preset_bounded(low: Any, high: Any, epsilon: float = COMBINED) -> Preset:
    """first: `Box(low, high)`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(1, 0)`.

    [Gonzalez 2020, figures 6, 7 and 19.]
    """
    entries = (("first", Box(low, high)), *by_type(epsilon, A1B0))
    return Preset(entries, "gonzalez_alpha1_beta0_preset_bounded")


@preset
def gonzalez_alpha1_beta0_preset_flat(epsilon: float = COMBINED) -> Preset:
    """first: `Flat()`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(1, 0)`.

    [Gonzalez 2020, figures 6, 7, 19, 20 and 28.]
    """
    return Preset((FLAT, *by_type(epsilon, A1B0)), "gonzalez_alpha1_beta0_preset_flat")


@preset
def gonzalez_epsilon_preset(epsilon: float = COMBINED) -> Preset:
    """Dense and conv: `Epsilon(epsilon)`. [Gonzalez 2020, figures 15 and 27.]."""
    return Preset(by_type(epsilon, Epsilon(epsilon)), "gonzalez_epsilon_preset")


@preset
def gonzalez_alpha0_beta1_preset(epsilon: float = COMBINED) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `AlphaBeta(0, 1, conserve=False)`.

    [Gonzalez 2020, figures 15 and 27.]
    """
    return Preset(by_type(epsilon, A0B1), "gonzalez_alpha0_beta1_preset")


@preset
def gonzalez_alpha1_beta1_preset(epsilon: float = COMBINED) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `AlphaBeta(1, 1, conserve=False)`.

    [Gonzalez 2020, figure 16.]
    """
    return Preset(by_type(epsilon, A1B1), "gonzalez_alpha1_beta1_preset")


@preset
def gonzalez_alpha1_beta_minus1_preset(epsilon: float = COMBINED) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `AlphaBeta(1, -1, conserve=False)`.

    [Gonzalez 2020, figures 16, 27 and 28.]
    """
    return Preset(by_type(epsilon, A1B_1), "gonzalez_alpha1_beta_minus1_preset")


@preset
def gonzalez_alpha1_beta_minus1_preset_flat(epsilon: float = COMBINED) -> Preset:
    """first: `Flat()`; dense: `Epsilon(epsilon)`; conv: `AlphaBeta(1, -1, conserve=False)`.

    [Gonzalez 2020, figure 28, and the proposal of section 5.2 as it stands; `gonzalez` conserves
    relevance.]
    """
    return Preset((FLAT, *by_type(epsilon, A1B_1)), "gonzalez_alpha1_beta_minus1_preset_flat")


@preset
def gonzalez_flat_preset(epsilon: float = COMBINED) -> Preset:
    """dense: `Epsilon(epsilon)`; conv: `Flat()`. [Gonzalez 2020, figures 16, 20, 25 and 27.]."""
    return Preset(by_type(epsilon, Flat()), "gonzalez_flat_preset")


@preset
def gonzalez_alpha2_beta1_dense_flat() -> Preset:
    """dense: `AlphaBeta(2, 1)`; conv: `Flat()`. [Gonzalez 2020, figure 25.]."""
    return Preset((("dense", A2B1), ("conv", Flat())), "gonzalez_alpha2_beta1_dense_flat")


@preset
def gonzalez_alpha1_beta0_dense_flat() -> Preset:
    """dense: `AlphaBeta(1, 0)`; conv: `Flat()`. [Gonzalez 2020, figure 25.]."""
    return Preset((("dense", A1B0), ("conv", Flat())), "gonzalez_alpha1_beta0_dense_flat")
