"""What every experiment is called with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from experiments import data

RESULTS = Path(__file__).with_name("results")
CACHE = Path.home() / ".cache" / "lrpkeras" / "experiments"


def parser(text: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all experiments share; `text` is a docstring."""
    heading, _, rest = text.partition("\n\n")
    made = argparse.ArgumentParser(
        description=heading, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = os.environ.get("LRPKERAS_DATA")
    add = made.add_argument
    add("--data", type=Path, default=folder, metavar="FOLDER", help=data.FOLDER_HELP)
    add("--cache", type=Path, default=CACHE, metavar="FOLDER", help="where trained models are kept")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where numbers go")
    add("--quick", action="store_true", help="fewer images and epochs: does it still run?")
    add("--seed", type=int, default=0)
    return made
