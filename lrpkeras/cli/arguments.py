"""What commands have in common: the model, its analyzer, and photos."""

from __future__ import annotations

import argparse
import glob
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import lrpkeras
from lrpkeras import loading, photos
from lrpkeras.errors import InputError, LrpError
from lrpkeras.loaded import LoadedAnalyzer
from lrpkeras.options import CHOICES

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
AnyAnalyzer: TypeAlias = "lrpkeras.Analyzer | LoadedAnalyzer"

MODEL_HELP = "a .keras, .h5 or .hdf5 file, the folder of a SavedModel, or an exported analyzer"
IMAGES_HELP = "photos, folders of photos, or patterns such as 'cats/*.jpg'"
# Settings that an exported analyzer has already.
SETTINGS = ("preset", "batch_norm", "bias", "output", "initial", "input_range", "config")


def command(
    commands: Commands,
    name: str,
    text: str,
    example: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Add a command with its help and an example."""
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Take a model, and the settings of an analyzer."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add = parser.add_argument_group("settings").add_argument
    add("--preset", metavar="P", help="which rules (epsilon_plus_flat); see: lrpkeras presets")
    for name in ("batch_norm", "bias", "initial"):
        known = [choice for choice in CHOICES[name] if choice]
        add(f"--{name.replace('_', '-')}", choices=known, help="as Analyzer takes it")
    add("--output", metavar="NAME", help="which output, or a hidden layer")
    add("--input-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of the model's inputs")
    add("--config", metavar="FILE", help="settings that analyzer.save_config wrote, in their place")


def add_images(parser: argparse.ArgumentParser) -> None:
    """Take photos."""
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=IMAGES_HELP)
    add = parser.add_argument_group("photos").add_argument
    known = ", ".join(photos.PREPROCESS)
    add("--preprocess", metavar="P", help=f"{known}, or MODULE:FUNC (none: 0 to 255)")
    add("--target", metavar="T", help="class numbers, such as 281 or 281,285 (the winner), or all")
    add("--batch-size", type=int, default=32, metavar="N", help="photos at a time (%(default)s)")


def analyzer(options: argparse.Namespace) -> AnyAnalyzer:
    """Return the analyzer that was asked for.

    Raises
    ------
    LrpError
        If the model cannot be explained so, or settings are given twice.
    """
    given = {
        name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None
    }
    if given.get("output", "").lstrip("-").isdigit():
        given["output"] = int(given["output"])
    if loading.is_exported(options.model):
        if given:
            raise LrpError(f"An exported analyzer has its settings: leave out {_flags(given)}.")
        return lrpkeras.load(options.model)
    config = given.pop("config", None)
    if config is None:
        return lrpkeras.Analyzer(options.model, **given)
    if given:
        raise LrpError(f"--config has all settings: leave out {_flags(given)}.")
    return lrpkeras.Analyzer.from_config(config, options.model)


def _flags(given: Mapping[str, Any]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def built(options: argparse.Namespace) -> lrpkeras.Analyzer:
    """Return an analyzer that has its model.

    Raises
    ------
    LrpError
        If an exported one is given.
    """
    found = analyzer(options)
    if not isinstance(found, lrpkeras.Analyzer):
        raise LrpError("This needs the model: an exported analyzer has only what explains.")
    return found


def image_files(given: Sequence[str], out: Path | None = None) -> list[str]:
    """Return the files that are meant, in order: folders in full, by name; each file once.

    Parameters
    ----------
    out
        Where results go: none of what is in there.

    Raises
    ------
    InputError
        If something is not there, or holds no photo.
    """
    found: dict[str, None] = {}
    for word in given:
        if not word:
            raise InputError("An empty name is no photo; this folder is called '.'.")
        files = [file for file in _files(word) if not _is_within(file, out)]
        if not files:
            raise InputError(f"{word!r}: no photo is there ({', '.join(photos.ENDINGS)}).")
        found.update(dict.fromkeys(files))
    return list(found)


def _files(word: str) -> Iterator[str]:
    path = Path(word)
    if path.is_dir():
        inside = sorted(path.rglob("*"))
        yield from (os.fspath(one) for one in inside if _is_photo(one))
    elif path.exists() or not glob.has_magic(word):
        # What is not there is listed at the end, like what cannot be read.
        yield word
    else:
        yield from sorted(one for one in glob.glob(word, recursive=True) if _is_photo(Path(one)))


def _is_within(file: str, out: Path | None) -> bool:
    return out is not None and Path(os.path.abspath(out)) in Path(os.path.abspath(file)).parents


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in photos.ENDINGS and path.is_file()


def read_photos(
    analyzer: AnyAnalyzer, options: argparse.Namespace, out: Path | None
) -> tuple[np.ndarray, list[str]]:
    """Return the photos that can be explained, as the model takes them, and their files.

    The others are listed.

    Raises
    ------
    InputError
        If there is none.
    """
    files = image_files(options.images, out)
    batch = analyzer.photos(files, preprocess(options.preprocess)).read(0, len(files))
    for position, why in batch.unreadable.items():
        print(f"lrpkeras: left out: {batch.ids[position]}: {why}", file=sys.stderr)
    if batch.arrays is None:
        raise InputError("No photo can be explained.")
    return batch.arrays[0][batch.readable], [batch.ids[i] for i in batch.readable]


def within_common(files: Sequence[str]) -> dict[str, Path]:
    """Return files as they are in the folder that has them all."""
    whole = {file: Path(os.path.abspath(file)) for file in files}
    common = Path(os.path.commonpath([path.parent for path in whole.values()]))
    return {file: path.relative_to(common) for file, path in whole.items()}


def preprocess(given: str | None) -> Any:
    """Return how photos are preprocessed: a name, or a function of a module of the user's.

    Raises
    ------
    InputError
        If there is no such function.
    """
    if given is None or ":" not in given:
        photos.preprocess(given)
        return given
    module, _, name = given.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--preprocess {given}: {error}.") from None
    return photos.preprocess(function)


def target(given: str | None) -> Any:
    """Return a target: None, "all", a class number, or a list of them for each photo.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if given is None or given == "all":
        return given
    try:
        numbers = [int(word) for word in given.split(",")]
    except ValueError:
        raise InputError(
            f"--target is class numbers, such as 281 or 281,285, or all; not {given!r}."
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def one_target(given: str | None) -> int | None:
    """Return a class number, or None for the winner.

    Raises
    ------
    InputError
        If several classes are asked for.
    """
    found = target(given)
    if found is not None and not isinstance(found, int):
        raise InputError("One class is followed here: --target is one number, or the winner.")
    return found


def labels(file: str | None) -> dict[int, str]:
    """Return class names by number: a line each, or JSON, a list or numbers with names.

    Raises
    ------
    InputError
        If the file is neither.
    """
    if file is None:
        return {}
    try:
        text = Path(file).read_text(encoding="utf-8")
        if not file.endswith(".json"):
            return dict(enumerate(line.strip() for line in text.splitlines()))
        known = json.loads(text)
        pairs = known.items() if isinstance(known, dict) else enumerate(known)
        return {int(number): _name(name) for number, name in pairs}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"--labels {file}: {error}.") from None


def _name(entry: Any) -> str:
    """Return a class's name: also of Keras' ImageNet file, {"281": ["n02123045", "tabby"]}."""
    return str(entry[-1] if isinstance(entry, list) else entry)
