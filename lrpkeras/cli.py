"""The command line: `lrpkeras demo`, `lrpkeras --version`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import lrpkeras
from lrpkeras import demo
from lrpkeras.errors import LrpError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The words after the program's name; None takes those of this process.

    Returns
    -------
    The exit status: 0, or 1 where the command failed, with one line on stderr that says why.

    Raises
    ------
    SystemExit
        Status 0 after `--help` and `--version`, 2 after arguments that are not understood.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except LrpError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename or 'a file'}: {error.strerror or error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lrpkeras", description=lrpkeras.__doc__)
    parser.add_argument("--version", action="version", version=f"lrpkeras {lrpkeras.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "explain generated images under several presets: a picture, and what can be trusted"
    parser = commands.add_parser("demo", help=text, description=text.capitalize() + ".")
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
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    demo.check_path(options.out)
    print(f"Explaining {demo.COUNT} generated images under {len(demo.PRESETS)} presets ...")
    result = demo.explain_shapes(options.seed)
    result.save(options.out)
    print(f"\n{result}\n\nPicture: {options.out.resolve()}")
    if not result.closes:
        return _failed("a ledger does not close: please report this with the seed.")
    return 0


def _failed(message: str) -> int:
    print(f"lrpkeras: error: {message}", file=sys.stderr)
    return 1
