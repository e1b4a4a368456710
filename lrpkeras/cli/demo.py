"""`lrpkeras demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from lrpkeras import demo
from lrpkeras.cli.arguments import Commands, command
from lrpkeras.errors import LrpError


def add(commands: Commands) -> None:
    """Add the command."""
    text = "explain generated images under several presets: a picture, and what can be trusted"
    parser = command(commands, "demo", text, "lrpkeras demo --out demo.png", run)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo.png"),
        metavar="FILE",
        help="the picture to write, a PNG (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="which images: from 0; the network was trained on those from 1000000 (%(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Explain, write the picture, print the table."""
    demo.check_path(options.out)
    print(f"Explaining {demo.COUNT} generated images under {len(demo.PRESETS)} presets ...")
    result = demo.explain_shapes(options.seed)
    result.save(options.out)
    print(f"\n{result}\n\nPicture: {options.out.resolve()}")
    if not result.closes:
        raise LrpError("a ledger does not close: please report this with the seed.")
    return 0
