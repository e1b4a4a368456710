"""Presets that differentiate: no decompositions, for comparison."""

from __future__ import annotations

from lrpkeras.presets.preset import Preset
from lrpkeras.presets.registry import preset
from lrpkeras.rules import Deconv, Gradient, Guided


@preset
def gradient() -> Preset:
    """The gradient of the explained logit: `Gradient()` everywhere. [Simonyan et al. 2014.]."""
    return Preset((("*", Gradient()),), "gradient", seed="gradient")


@preset
def input_x_gradient() -> Preset:
    """The gradient times the input: `Gradient()` everywhere. [Shrikumar et al. 2016.]."""
    return Preset((("*", Gradient()),), "input_x_gradient", seed="gradient", times_input=True)


@preset
def guided_backprop() -> Preset:
    """activations: `Guided()`; all else: `Gradient()`. [Springenberg et al. 2015.]."""
    entries = (("Activation", Guided()), ("*", Gradient()))
    return Preset(entries, "guided_backprop", seed="gradient")


@preset
def deconvnet() -> Preset:
    """activations: `Deconv()`; all else: `Gradient()`. [Zeiler & Fergus 2014.]."""
    return Preset((("Activation", Deconv()), ("*", Gradient())), "deconvnet", seed="gradient")
