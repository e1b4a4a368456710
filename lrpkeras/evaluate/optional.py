"""Packages that one measure needs and most users do not."""

from __future__ import annotations

import importlib
from typing import Any

from lrpkeras.errors import LrpError


def needed(module: str, what: str) -> Any:
    """Import a module of the extra `evaluate`.

    Raises
    ------
    LrpError
        If it is not there, with what installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LrpError(
            f"{what} needs {module.partition('.')[0]}: pip install 'lrpkeras[evaluate]'."
        ) from error
