"""The settings of an analyzer, checked."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, Literal

from lrpkeras.errors import InputError, RuleError
from lrpkeras.presets import Preset

CHOICES: dict[str, tuple[Any, ...]] = {
    "batch_norm": ("fold", "threshold", "identity", "epsilon", "abs"),
    "bias": (None, "absorb", "ignore", "distribute"),
    "initial": ("logit", "unit", "contrast"),
    "precision": (None, "bfloat16"),
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


def refuse_mixed(base: Preset, rules: Any, batch_norm: str) -> None:
    """Refuse settings that would change what a gradient is, or be lost."""
    if isinstance(rules, Preset):
        kinds = [(preset.seed, preset.times_input) for preset in (base, rules)]
        if kinds[0] != kinds[1]:
            raise RuleError(
                f"rules= takes the entries of preset {rules.name!r} alone; where it starts from, "
                f"and what it multiplies by, is not as in {base.name!r}: give it as preset=."
            )
    if base.seed == "gradient" and batch_norm != "fold":
        raise RuleError(
            f"batch_norm={batch_norm!r} has no meaning for {base.name!r}: a gradient takes batch "
            "normalization as the model has it. Leave it out."
        )


def refuse_narrow(precision: str | None, dtype: str) -> None:
    """Refuse narrow products of a model that asks for wide ones."""
    if precision is not None and dtype == "float64":
        raise RuleError(
            f"precision={precision!r} would round a float64 model to 8 bits. Leave it out, or give "
            "the model in float32."
        )
