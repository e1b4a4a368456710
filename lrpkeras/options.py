"""The settings of an analyzer, checked."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, Literal

from lrpkeras.errors import InputError, RuleError

CHOICES: dict[str, tuple[Any, ...]] = {
    "batch_norm": ("fold", "threshold", "identity", "epsilon", "abs"),
    "bias": (None, "absorb", "ignore", "distribute"),
    "initial": ("logit", "unit", "contrast"),
    "precision": (None,),
    "jit_compile": ("auto", True, False),
    "verify": (True, False),
}


@dataclass(frozen=True)
class Options:
    """What `Analyzer` takes besides model and rules, and means by it.

    Raises
    ------
    RuleError, InputError
        If a value is none of those that are known.
    """

    batch_norm: str = "fold"
    bias: str | None = None
    input_range: tuple[float, float] | None = None
    output: str | int | None = None
    initial: str = "logit"
    precision: str | None = None
    jit_compile: bool | Literal["auto"] = "auto"
    verify: bool = True

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if not any(type(value) is type(choice) and value == choice for choice in known):
                choices = " or ".join(map(repr, known))
                raise RuleError(f"{name}={value!r} is not known in this version: it is {choices}.")
        object.__setattr__(self, "output", _choice(self.output))
        if self.input_range is not None:
            object.__setattr__(self, "input_range", _ordered(self.input_range))


def _choice(output: Any) -> str | int | None:
    """Return which output is meant: a name, an index of any integer type, or None."""
    if output is None or isinstance(output, str):
        return output
    try:
        return operator.index(output)
    except TypeError:
        raise RuleError(f"output={output!r} is neither a layer's name nor an index.") from None


def _ordered(input_range: Any) -> tuple[float, float]:
    try:
        low, high = map(float, input_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (low < high and math.isfinite(high - low)):
        raise InputError(f"input_range is (low, high), finite and low < high, not {input_range!r}.")
    return low, high
