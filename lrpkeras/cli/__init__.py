"""The command line: `lrpkeras --help`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import lrpkeras
from lrpkeras.cli import demo, evaluate, explain, export, look, report
from lrpkeras.errors import LrpError

COMMANDS = (demo, look, explain, report, evaluate, export)
INTERRUPTED = 130  # as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The words after the program's name; None takes those of this process.

    Returns
    -------
    The exit status: 0; 1 where the command failed, with one line on stderr that says why; 130 where
    it was interrupted.

    Raises
    ------
    SystemExit
        Status 0 after `--help` and `--version`, 2 after arguments that are not understood.
    """
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files are any bytes
    try:
        status = int(options.run(options))
        _remark(options)
        return status
    except BrokenPipeError:
        # Whoever read the output has had enough: `lrpkeras presets | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except Exception as error:
        if options.debug:
            raise
        return _failed(_told(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lrpkeras", description=lrpkeras.__doc__)
    parser.add_argument("--version", action="version", version=f"lrpkeras {lrpkeras.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    for one in commands.choices.values():
        one.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _remark(options: argparse.Namespace) -> None:
    """Say that photos were not preprocessed, unless the user said so: most networks want it."""
    if getattr(options, "preprocess", "") is None:
        print(
            "lrpkeras: photos were taken as they are, 0 to 255. --preprocess says what the model "
            "was trained on; if it is that, --preprocess none.",
            file=sys.stderr,
        )


def _told(error: Exception) -> str:
    """Say what went wrong, and what to do where it is no mistake of the user's."""
    if isinstance(error, LrpError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "out of memory: a smaller --batch-size needs less."
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _failed(message: str, status: int = 1) -> int:
    print(f"lrpkeras: error: {message}", file=sys.stderr)
    return status
