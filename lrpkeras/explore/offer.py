"""What there is to choose from: presets with what explains by them, and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lrpkeras import presets
from lrpkeras.errors import RuleError
from lrpkeras.options import Options, refuse_mixed
from lrpkeras.plot.explained import Explained
from lrpkeras.presets import Preset


@dataclass(frozen=True)
class Way:
    """One way of explaining.

    Attributes
    ----------
    explain
        Called with a batch and a class, and with `layers=` names; returns an explanation.
    layers
        The names of hidden layers, each with what to call it.
    """

    explain: Callable[..., Explained]
    layers: Mapping[str, str]


@dataclass(frozen=True)
class Offer:
    """What can be explored.

    Attributes
    ----------
    preset
        The one to begin with.
    refused
        For each preset why it cannot be had; empty if it can.
    build
        From a preset to the way of explaining by it. It may take seconds.
    logits
        From a batch to its logits.
    version
        Names the weights that are explained: what was computed with others is computed again.
    note
        What is not on offer, and why; empty if all is.
    """

    preset: str
    refused: Mapping[str, str]
    build: Callable[[str], Way]
    logits: Callable[[Any], Any]
    version: Callable[[], str]
    note: str = ""


def all_presets(own: Preset, options: Options) -> tuple[str, dict[str, str]]:
    """Return what to call an analyzer's own preset, and all presets with why they are refused.

    Parameters
    ----------
    own
        The analyzer's preset. If it is not the one that is known by its name, it is an entry of
        its own.
    options
        The analyzer's settings, which others are to be built with.
    """
    known = {name: _refusal(name, options) for name in presets.names()}
    same = own.name in known and not known[own.name]
    if same and presets.named(own.name, options.input_range) == own:
        return own.name, known
    name = f"{own.name} (as given)"
    return name, {name: "", **known}


def _refusal(name: str, options: Options) -> str:
    try:
        refuse_mixed(presets.named(name, options.input_range), None, options.batch_norm)
    except RuleError as error:
        return str(error)
    return ""
