"""Rules and presets to plain values and back, for configurations."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import Node
from lrpkeras.matching import Where
from lrpkeras.presets.preset import Entry, Preset
from lrpkeras.rules import Rule
from lrpkeras.rules.registry import find, is_shadowed


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
    if isinstance(where, type) and issubclass(where, Node):
        return where.__name__
    if isinstance(where, type):
        if getattr(keras.layers, where.__name__, where) is not where:
            raise RuleError(
                f"The layer class {where.__name__!r} of {where.__module__} has the name of one of "
                "Keras' own, which would be read in its place: rename it, or name its layers."
            )
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
    if is_shadowed(rule):
        raise RuleError(
            f"The rule {rule!r} is of a class of its own with the name of another one: give it a "
            "name of its own and register it with lrpkeras.register_rule."
        )
    fields = [field.name for field in dataclasses.fields(rule) if field.init]
    values = {name: getattr(rule, name) for name in fields}
    plain = {
        key: v.tolist() if isinstance(v, np.ndarray | np.generic) else v
        for key, v in values.items()
    }
    return {"rule": type(rule).__name__, **plain}


def _rule_from_config(config: Mapping[str, Any]) -> Rule:
    parameters = dict(config)
    found = find(parameters.pop("rule"))
    arrays = {k: np.asarray(v) if isinstance(v, list) else v for k, v in parameters.items()}
    try:
        return found(**arrays)
    except TypeError:
        raise RuleError(
            f"The rule {found.__name__} takes no parameters {sorted(parameters)}: the "
            "configuration is of another version."
        ) from None


def to_json(preset: Preset, path: str | os.PathLike | None = None) -> str:
    """Return a preset as JSON text, and write it to a file if a path is given.

    Parameters
    ----------
    preset
        Any preset of registered rules.
    path
        The file; None writes none.

    Returns
    -------
    str
        What `from_json` reads.

    Raises
    ------
    RuleError
        If a rule or layer class has a name that stands for another one.

    Examples
    --------
    >>> from lrpkeras import presets
    >>> text = presets.to_json(presets.get("epsilon_plus_flat"))
    >>> presets.from_json(text) == presets.get("epsilon_plus_flat")
    True
    """
    text = json.dumps(preset_to_config(preset), indent=2)
    if path is not None:
        Path(path).write_text(text + "\n", encoding="utf-8")
    return text


def from_json(source: str | os.PathLike) -> Preset:
    """Return the preset that JSON text, or a file of it, describes.

    Parameters
    ----------
    source
        What `to_json` returned, or the path of what it wrote.

    Returns
    -------
    Preset
        An equal one.

    Raises
    ------
    RuleError
        If it is no JSON, describes no preset, or names a rule or layer class that is not known.

    Examples
    --------
    >>> from lrpkeras import presets
    >>> presets.from_json(presets.to_json(presets.get("gonzalez"))).name
    'gonzalez'
    """
    try:
        described = isinstance(source, str) and source.lstrip().startswith("{")
        text = str(source) if described else Path(source).read_text(encoding="utf-8")
        config = json.loads(text)
        return preset_from_config(config)
    except OSError as error:
        raise RuleError(f"The preset file {str(source)!r} cannot be read: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RuleError(
            f"This describes no preset ({type(error).__name__}: {error}); it is what "
            "presets.to_json returns."
        ) from None
