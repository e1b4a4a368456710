"""Presets: which rule each node gets, by name or as a list of (where, rule)."""

# Each family registers its presets when it is imported.
from lrpkeras.presets import basic, composite, gonzalez, gradients, innvestigate, papers
from lrpkeras.presets.config import from_json, to_json
from lrpkeras.presets.papers import UNFOLDED
from lrpkeras.presets.preset import DEFAULTS, Entry, Match, Preset, as_entries
from lrpkeras.presets.registry import (
    REGISTRY,
    aliases,
    get,
    named,
    names,
    register_preset,
)

__all__ = [
    "DEFAULTS",
    "REGISTRY",
    "UNFOLDED",
    "Entry",
    "Match",
    "Preset",
    "aliases",
    "as_entries",
    "basic",
    "composite",
    "from_json",
    "get",
    "gonzalez",
    "gradients",
    "innvestigate",
    "named",
    "names",
    "papers",
    "register_preset",
    "to_json",
]
