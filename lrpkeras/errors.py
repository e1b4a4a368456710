"""The errors that lrpkeras raises: each says what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "InputError",
    "LrpError",
    "ModelError",
    "RuleError",
    "TargetError",
    "UnsupportedLayerError",
    "VerificationError",
]


class LrpError(Exception):
    """Base class of every error that lrpkeras raises on purpose."""


class InputError(LrpError, ValueError):
    """The data to explain does not fit the model: rank, shape, dtype, NaN, Inf, or empty."""


class TargetError(LrpError, ValueError):
    """The target names an output that the model does not have."""


class ModelError(LrpError, ValueError):
    """The model itself cannot be read: not built, not found, corrupt, or unsafe to load."""


class UnsupportedLayerError(LrpError, NotImplementedError):
    """Layers stand in the way; the message names every one of them, why, and what helps."""


class RuleError(LrpError, ValueError):
    """A rule, preset or layer name is unknown, or a rule cannot apply where it was put."""


class VerificationError(LrpError, RuntimeError):
    """The rewritten graph does not compute what the model computes."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for names close to `name`, or an empty string.

    A name that is the last part of paths, "conv1" of "resnet50/conv1", means these.

    Examples
    --------
    >>> near_misses("epsilom", ["epsilon", "gamma"])
    "; did you mean 'epsilon'?"
    """
    others = sorted(set(known) - {name})
    nested = [path for path in others if path.rsplit("/", 1)[-1] == name]
    close = nested[:3] or difflib.get_close_matches(name, others, n=3, cutoff=0.6)
    return f"; did you mean {', '.join(map(repr, close))}?" if close else ""
