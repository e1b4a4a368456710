"""`lrpkeras presets`, `summary` and `check`: what a model gets, and whether it adds up."""

from __future__ import annotations

import argparse
import inspect

from lrpkeras import presets
from lrpkeras.batching import positive
from lrpkeras.cli import arguments
from lrpkeras.cli.arguments import Commands, command
from lrpkeras.errors import InputError
from lrpkeras.presets.registry import REGISTRY


def add(commands: Commands) -> None:
    """Add the commands."""
    command(commands, "presets", "list the presets", "lrpkeras presets", list_presets)
    text = "print every node of a model with its rule"
    example = "lrpkeras summary model.keras --preset epsilon_gamma_box --input-range -1 1"
    arguments.add_model(command(commands, "summary", text, example, summarize))
    text = "compare the rewritten network with the model, and account for all relevance"
    example = "lrpkeras check model.keras cat.jpg --preprocess mobilenet"
    parser = command(commands, "check", text, example, check)
    arguments.add_model(parser)
    arguments.add_images(parser)


def list_presets(options: argparse.Namespace) -> int:
    """Print names with the first sentence of what each is."""
    names = presets.names()
    width = max(map(len, names))
    for name in names:
        said = (inspect.getdoc(REGISTRY[name]) or "").partition("\n\n")[0].replace("\n", " ")
        print(f"{name:{width}}  {said}")
    return 0


def summarize(options: argparse.Namespace) -> int:
    """Print the table."""
    arguments.analyzer(options).summary()
    return 0


def check(options: argparse.Namespace) -> int:
    """Print fidelity and ledger, of all photos together, batch by batch."""
    analyzer = arguments.built(options)
    made = arguments.preprocess(options.preprocess)
    files = arguments.image_files(options.images)
    samples = analyzer.photos(files, made)
    size, target = positive(options.batch_size), arguments.one_target(options.target)
    closes = True
    for start in range(0, samples.count, size):
        batch = samples.read(start, start + size)
        if batch.unreadable:
            position, why = min(batch.unreadable.items())
            raise InputError(f"{batch.ids[position]!r} cannot be checked: {why}")
        found = analyzer.check(batch.arrays, target)
        print(f"{batch.ids[0]} to {batch.ids[-1]}\n{found}\n")
        closes = closes and found.closes
    if not closes:
        raise InputError("A ledger does not close: please report this with the model.")
    return 0
