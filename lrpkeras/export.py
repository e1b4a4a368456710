"""A SavedModel of an analyzer, which runs where neither lrpkeras nor Keras is; and reading it."""

from __future__ import annotations

import dataclasses
import json
import keyword
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrpkeras.decision import Decision
from lrpkeras.errors import ModelError
from lrpkeras.explainer import Explainer
from lrpkeras.graph.tensorflow_reader.saved import load_harmless
from lrpkeras.inputs import Intake
from lrpkeras.loading import RECORD, is_exported

Tensor = Any
Tensors = dict[str, Tensor]

FORMAT = 2
LARGEST_RECORD = 2**26  # bytes: rules may hold an image's bounds as lists
# Signatures by the mode of target that they take, and what they call it.
SIGNATURES = {
    "winner": ("serving_default", None),
    "index": ("explain", "target"),
    "array": ("explain_array", "factors"),
    "output": ("logits", None),
}


def write(
    path: str | os.PathLike,
    explainer: Explainer,
    input_range: tuple[float, float] | None,
    about: Mapping[str, Any],
    loaded: Any = None,
) -> None:
    """Write a SavedModel.

    Parameters
    ----------
    path
        A folder that is not there yet. It is complete or not there at all.
    explainer, input_range
        What is exported, and the range outside of which inputs are refused.
    about
        What is recorded beside it, as plain values.
    loaded
        A loaded SavedModel whose signatures are kept.

    Raises
    ------
    ModelError
        If there is something at `path`.
    """
    folder = Path(path)
    if folder.exists():
        raise ModelError(f"{os.fspath(path)!r} is there already: export to a new folder.")
    names = _argument_names(explainer.intake)
    record = {
        "format": FORMAT,
        "intake": _intake_to_config(explainer.intake),
        "arguments": names,
        "maps": _map_names(names),
        "signatures": SIGNATURES,
        "output_shape": list(explainer.output_shape),
        "decision": dataclasses.asdict(Decision.of(explainer.program.graph)),
        **about,
    }
    module, functions = _traced(explainer, input_range, names)
    module.original = loaded
    kept = dict(getattr(loaded, "signatures", {}))
    signatures = dict(functions)
    for name in sorted(kept):
        free = name
        while free in signatures or (free != name and free in kept):
            free = f"original_{free}"
        signatures[free] = kept[name]
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=".export-") as aside:
        file = Path(aside) / RECORD
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        module.record = tf.saved_model.Asset(os.fspath(file))
        made = Path(aside) / "model"
        with _without_places():
            tf.saved_model.save(module, os.fspath(made), signatures=signatures)
        os.replace(made, folder)


@contextmanager
def _without_places() -> Iterator[None]:
    """Keep what TensorFlow says of the folder aside, gone before it is read, from notebooks."""
    logger = tf.get_logger()

    def is_serious(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO

    logger.addFilter(is_serious)
    try:
        yield
    finally:
        logger.removeFilter(is_serious)


def _argument_names(intake: Intake) -> list[str]:
    """Return what signatures call the inputs: names that Python takes, none of them ours."""
    taken = {"self", *keyword.kwlist, *(argument for _, argument in SIGNATURES.values())}
    names: list[str] = []
    for name in intake.names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = plain if plain.isidentifier() else f"input_{plain}"
        while plain in taken:
            plain += "_"
        taken.add(plain)
        names.append(plain)
    return names


def _traced(
    explainer: Explainer, input_range: tuple[float, float] | None, names: list[str]
) -> tuple[Any, dict[str, Any]]:
    """Return a module that holds all variables, and a concrete function for each signature."""
    module, functions = tf.Module(), {}
    held = {}
    for mode, (signature, argument) in SIGNATURES.items():
        inner = explainer.portable(mode).graph()
        held.update({id(variable): variable for variable in inner.graph.variables})
        function = _checking(inner, explainer, input_range, names, argument)
        specs = _specs(explainer, names, mode, argument)
        functions[signature] = tf.function(function, autograph=False).get_concrete_function(**specs)
    module.held = list(held.values())
    return module, functions


def _specs(
    explainer: Explainer, names: list[str], mode: str, argument: str | None
) -> dict[str, Any]:
    intake = explainer.intake
    described = zip(names, intake.shapes, intake.types, strict=True)
    specs = {name: tf.TensorSpec(shape, dtype) for name, shape, dtype in described}
    if mode == "index":
        specs["target"] = tf.TensorSpec((None,), "int32")
    elif argument:
        specs[argument] = tf.TensorSpec(explainer.output_shape, intake.dtype)
    return specs


def _checking(
    inner: Callable,
    explainer: Explainer,
    input_range: tuple[float, float] | None,
    names: list[str],
    argument: str | None,
) -> Callable[..., Tensors]:
    """Return a function of tensors by name, which refuses in the graph what an analyzer refuses."""
    intake, shape = explainer.intake, explainer.output_shape

    def explain(**given: Tensor) -> Tensors:
        inputs = [given[name] for name in names]
        checks = _input_checks(inputs, intake, input_range) + _size_checks(inputs)
        values = []
        if argument == "target":
            checks += _target_checks(given["target"], inputs[0], shape)
            values = [given["target"][:, None]]
        elif argument:
            values = [given[argument]]
            checks.append(_finite(given[argument], argument))
            count = tf.shape(given[argument])[0]
            fits = (count == tf.shape(inputs[0])[0]) | (count == 1)
            checks.append(_holds(fits, "factors is not one, and not one for each sample."))
        with tf.control_dependencies(checks):
            found = inner([tf.cast(x, intake.dtype) for x in inputs], *values)
        return _named(found, names) if isinstance(found, dict) else {"output": found}

    return explain


def _named(found: Mapping[str, Any], names: list[str]) -> Tensors:
    """Return what was found, flat: one relevance, or one for each input by its name."""
    finite = [
        tf.debugging.check_numerics(relevance, "The relevance is not finite: no map is better.")
        for relevance in found["relevance"]
    ]
    named = dict(zip(_map_names(names), finite, strict=True))
    return {**named, "output": found["output"], "target": found["target"]}


def _map_names(names: list[str]) -> list[str]:
    return ["relevance"] if len(names) == 1 else [f"relevance_{name}" for name in names]


def _input_checks(
    inputs: list[Tensor], intake: Intake, input_range: tuple[float, float] | None
) -> list[Any]:
    checks = []
    for x, name, rows in zip(inputs, intake.names, intake.rows, strict=True):
        if x.dtype.is_floating:
            checks.append(_finite(x, name))
        if rows is not None:
            number = tf.cast(x, "float64" if x.dtype.is_floating else "int64")
            is_row = (number >= 0) & (number < tf.cast(rows, number.dtype))
            if x.dtype.is_floating:
                is_row &= tf.floor(number) == number
            checks.append(_holds(is_row, f"Input {name!r} holds what is no row of its table."))
        elif input_range is not None:
            low, high = input_range
            slack = 1e-5 * (high - low)
            wide = tf.cast(x, intake.dtype)
            inside = (wide >= low - slack) & (wide <= high + slack)
            checks.append(_holds(inside, f"Input {name!r} lies outside of {input_range}."))
    return checks


def _size_checks(inputs: list[Tensor]) -> list[Any]:
    counts = [tf.shape(x)[0] for x in inputs]
    checks = [_holds(counts[0] > 0, "There is no sample to explain.")]
    same = "The inputs hold different numbers of samples."
    return checks + [_holds(count == counts[0], same) for count in counts[1:]]


def _target_checks(target: Tensor, x: Tensor, shape: tuple[int | None, ...]) -> list[Any]:
    classes = (shape[-1] if len(shape) > 1 else 1) or np.iinfo(np.int32).max
    return [
        _holds((target >= 0) & (target < classes), f"target is not in 0 to {classes - 1}."),
        _holds(tf.shape(target)[0] == tf.shape(x)[0], "target has not one class for each sample."),
    ]


def _finite(x: Tensor, name: str) -> Any:
    return tf.debugging.check_numerics(x, f"{name!r} holds NaN or infinite values.")


def _holds(condition: Tensor, message: str) -> Any:
    return tf.debugging.Assert(tf.reduce_all(condition), [message])


# Reading


def read(path: str | os.PathLike) -> tuple[Any, dict[str, Any]]:
    """Return the loaded SavedModel, and what was recorded.

    Raises
    ------
    ModelError
        If the folder is none that `write` wrote, or cannot be loaded.
    """
    folder = Path(path)
    if not folder.exists():
        raise ModelError(f"There is no exported analyzer {os.fspath(path)!r}.")
    if not is_exported(folder):
        raise ModelError(
            f"{os.fspath(path)!r} is no exported analyzer: analyzer.export(path) writes one. A "
            "model is explained by lrpkeras.Analyzer(path)."
        )
    record = _record(folder / "assets" / RECORD)
    loaded = load_harmless(folder)
    missing = {name for name, _ in SIGNATURES.values()} - set(getattr(loaded, "signatures", {}))
    if missing:
        raise ModelError(f"{os.fspath(path)!r} lacks the signatures {sorted(missing)}.")
    return loaded, record


def _record(file: Path) -> dict[str, Any]:
    """Read what `write` recorded."""
    try:
        if file.stat().st_size > LARGEST_RECORD:
            raise ValueError(f"larger than {LARGEST_RECORD} bytes")
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"of format {record['format']!r}, this version reads {FORMAT}")
        record["intake"] = intake_from_config(record["intake"])
        record["output_shape"] = tuple(record["output_shape"])
        record["decision"] = Decision(**record["decision"])
        _check_record(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{os.fspath(file)!r} is not what analyzer.export wrote: {type(error).__name__}: "
            f"{error}."
        ) from None
    return dict(record)


def _check_record(record: Mapping[str, Any]) -> None:
    """Raise ValueError where what is recorded could not have been written."""
    intake, names = record["intake"], record["arguments"]
    signatures = {mode: tuple(one) for mode, one in record["signatures"].items()}
    for dtype in (*intake.types, intake.dtype):
        keras.backend.standardize_dtype(dtype)
    counts = {len(names), *map(len, (intake.names, intake.shapes, intake.types, intake.rows))}
    if signatures != SIGNATURES or record["maps"] != _map_names(names) or len(counts) != 1:
        raise ValueError("its signatures are others")
    if not isinstance(record["config"]["preset"]["name"], str):
        raise ValueError("its preset has no name")


def _intake_to_config(intake: Intake) -> dict[str, Any]:
    return {
        "names": list(intake.names),
        "shapes": [list(shape) for shape in intake.shapes],
        "structure": keras.tree.map_structure(lambda leaf: None, intake.structure),
        "types": list(intake.types),
        "dtype": intake.dtype,
        "rows": list(intake.rows),
    }


def intake_from_config(config: Mapping[str, Any]) -> Intake:
    """Undo `_intake_to_config`."""
    return Intake(
        names=tuple(config["names"]),
        shapes=tuple(tuple(shape) for shape in config["shapes"]),
        structure=config["structure"],
        types=tuple(config["types"]),
        dtype=config["dtype"],
        rows=tuple(config["rows"]),
    )
