"""Rules and presets to plain values and back, for configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from lrpkeras import rules as rule_classes
from lrpkeras.errors import RuleError
from lrpkeras.matching import Where
from lrpkeras.presets import Entry, Preset
from lrpkeras.rules import Rule


def preset_to_config(preset: Preset) -> dict[str, Any]:
    """Return a preset as plain values."""
    return {
        "name": preset.name,
        "entries": entries_to_config(preset.entries),
        "seed": preset.seed,
        "times_input": preset.times_input,
    }


def preset_from_config(config: Mapping[str, Any]) -> Preset:
    """Undo `preset_to_config`."""
    return Preset(**{**config, "entries": entries_from_config(config["entries"])})


def entries_to_config(entries: Iterable[Entry]) -> list[list[Any]]:
    """Return entries as pairs of plain values."""
    return [[_where_to_config(where), _rule_to_config(rule)] for where, rule in entries]


def entries_from_config(config: Iterable[Any]) -> tuple[Entry, ...]:
    """Undo `entries_to_config`."""
    return tuple((_where_from_config(where), _rule_from_config(rule)) for where, rule in config)


def _where_to_config(where: Where) -> Any:
    if isinstance(where, type):
        return {"class": keras.saving.get_registered_name(where), "module": where.__module__}
    return list(where) if isinstance(where, tuple) else where


def _where_from_config(config: Any) -> Where:
    if isinstance(config, Mapping):
        found = getattr(keras.layers, config["class"], None)
        found = found or keras.saving.get_registered_object(config["class"])
        if found is None:
            raise RuleError(
                f"The layer class {config['class']!r} is not known here: import the module that "
                "registers it with keras.saving.register_keras_serializable."
            )
        return found
    return tuple(config) if isinstance(config, list) else config


def _rule_to_config(rule: Rule) -> dict[str, Any]:
    fields = [field.name for field in dataclasses.fields(rule) if field.init]
    values = {name: getattr(rule, name) for name in fields}
    plain = {
        key: v.tolist() if isinstance(v, np.ndarray | np.generic) else v
        for key, v in values.items()
    }
    return {"rule": type(rule).__name__, **plain}


def _rule_from_config(config: Mapping[str, Any]) -> Rule:
    parameters = dict(config)
    name = parameters.pop("rule")
    found = getattr(rule_classes, name, None)
    if found is None or not (isinstance(found, type) and issubclass(found, Rule)):
        raise RuleError(f"The rule {name!r} is not known here.")
    arrays = {k: np.asarray(v) if isinstance(v, list) else v for k, v in parameters.items()}
    return found(**arrays)
