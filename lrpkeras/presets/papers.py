"""Presets that a paper as a whole stands for."""

from __future__ import annotations

from typing import Any

from lrpkeras.presets.preset import Entry, Preset
from lrpkeras.presets.registry import preset
from lrpkeras.rules import Abs, Box, Epsilon, Identity, Proportional, Relative, WSquare, ZPlus

# Deep Taylor decomposition assumes biases of zero or less, whose positive part is zero.
PLUS: Entry = ("*", ZPlus(bias="ignore"))
POOLED: tuple[Entry, ...] = (("MaxPool", Proportional()), ("AveragePool", Proportional()))

# What normalizations get that are left unfolded, by the name of the mode.
UNFOLDED: dict[str, tuple[Entry, ...]] = {
    "identity": (("batch_norm", Identity()),),
    "epsilon": (("batch_norm", Epsilon()),),
    "abs": (("batch_norm", Abs()),),
}


@preset
def deep_taylor() -> Preset:
    """first: `WSquare()`; all other linear layers: `ZPlus(bias="ignore")`.

    Deep Taylor decomposition for inputs of any real value [Montavon et al. 2017, eq. 10 and 12].
    iNNvestigate's `deep_taylor` is z+ in the first layer too, and shares average pools equally.
    """
    return Preset((("first", WSquare()), PLUS), "deep_taylor")


@preset
def deep_taylor_bounded(low: Any, high: Any) -> Preset:
    """first: `Box(low, high)`; all other linear layers: `ZPlus(bias="ignore")`.

    Deep Taylor decomposition for inputs from low to high [Montavon et al. 2017, eq. 10 and 13].
    """
    return Preset((("first", Box(low, high)), PLUS), "deep_taylor_bounded")


@preset
def excitation_backprop() -> Preset:
    """All linear layers: `ZPlus(bias="ignore")`; pools and sums: `Proportional()`, max: winner.

    The probabilities of Excitation Backprop [Zhang et al. 2016, eq. 5], which start from 1:
    `Analyzer(..., initial="unit")`. [zennit's ExcitationBackprop.]
    """
    return Preset((PLUS,), "excitation_backprop")


@preset
def guillemot(low: Any, high: Any) -> Preset:
    """first: `Box(low, high)`; all other linear layers: `ZPlus()`; pools: `Proportional()`.

    Positive biases count as neurons: they are in the denominators. Pools are ReLU-detection layers,
    sharing by activation, max pooling too. Batch normalization is folded, the paper's subject.
    [Guillemot et al. 2020, eq. 6 and 7, section 3.2.]
    """
    return Preset((("first", Box(low, high)), ("*", ZPlus()), *POOLED), "guillemot")


@preset
def relative() -> Preset:
    """`Relative()` in all linear layers, pools and sums: R-LRP. [Nyiri & Gibaru 2024.]."""
    return Preset((("*", Relative()),), "relative")
