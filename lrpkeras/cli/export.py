"""`lrpkeras export`."""

from __future__ import annotations

import argparse

from lrpkeras.cli import arguments
from lrpkeras.cli.arguments import Commands, command


def add(commands: Commands) -> None:
    """Add the command."""
    text = "write an analyzer as a SavedModel that runs without lrpkeras and Keras"
    example = "lrpkeras export model.keras explainer --preset epsilon_plus"
    parser = command(commands, "export", text, example, run)
    arguments.add_model(parser)
    parser.add_argument("out", metavar="OUT", help="a folder that is not there yet")


def run(options: argparse.Namespace) -> int:
    """Write it."""
    arguments.built(options).export(options.out)
    print(f"Exported to {options.out}: lrpkeras.load({options.out!r}) loads it.")
    return 0
