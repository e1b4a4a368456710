"""iNNvestigate's names, with its parameters: `presets.get("lrp.sequential_preset_a_flat")`.

They mean what iNNvestigate documents. Where its code does otherwise (the whole bias in both
denominators of alpha-beta, no input-layer rule behind padding or rescaling, batch normalization
linearized wrongly), we do not follow. `input_layer_rule` is the rule of the first layers: "Flat",
"WSquare", "Z", a pair (low, high) for the bounded rule, or one of our rules. Weightless layers,
batch normalization among them, are treated as everywhere in lrpkeras.
"""

from __future__ import annotations

from typing import Any

from lrpkeras.errors import RuleError
from lrpkeras.presets.composite import by_type
from lrpkeras.presets.gradients import input_x_gradient
from lrpkeras.presets.papers import deep_taylor_bounded
from lrpkeras.presets.preset import Entry, Preset
from lrpkeras.presets.registry import alias
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Rule, WSquare, Zero

INPUT_RULES: dict[str, Rule] = {"Flat": Flat(), "WSquare": WSquare(), "Z": Zero()}


def _first(rule: Any) -> tuple[Entry, ...]:
    """The entry for `input_layer_rule`."""
    if rule is None:
        return ()
    if isinstance(rule, tuple) and len(rule) == 2:
        return (("first", Box(*rule)),)
    found = rule if isinstance(rule, Rule) else INPUT_RULES.get(str(rule))
    if found is None:
        raise RuleError(
            f"input_layer_rule={rule!r} is none of {', '.join(map(repr, INPUT_RULES))}, a pair "
            "(low, high), or a rule such as lrpkeras.rules.Flat()."
        )
    return (("first", found),)


def _mode(bias: bool) -> str:
    return "absorb" if bias else "ignore"


def _everywhere(name: str, rule: Rule, input_layer_rule: Any) -> Preset:
    return Preset((*_first(input_layer_rule), ("*", rule)), name)


def _alpha_beta(name: str, alpha: float, beta: float, bias: bool, first: Any) -> Preset:
    return _everywhere(name, AlphaBeta(alpha, beta, bias=_mode(bias)), first)


@alias("lrp.z")
def z(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `Zero()`."""
    return _everywhere("lrp.z", Zero(), input_layer_rule)


@alias("lrp.epsilon")
def epsilon(epsilon: float = 1e-7, bias: bool = True, input_layer_rule: Any = None) -> Preset:
    """All linear layers: `Epsilon(1e-7)`, the bias ignored where `bias` is False."""
    return _everywhere("lrp.epsilon", Epsilon(epsilon, bias=_mode(bias)), input_layer_rule)


@alias("lrp.w_square")
def w_square(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `WSquare()`."""
    return _everywhere("lrp.w_square", WSquare(), input_layer_rule)


@alias("lrp.flat")
def flat(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `Flat()`."""
    return _everywhere("lrp.flat", Flat(), input_layer_rule)


@alias("lrp.alpha_beta")
def alpha_beta(
    alpha: float | None = None,
    beta: float | None = None,
    bias: bool = True,
    input_layer_rule: Any = None,
) -> Preset:
    """All linear layers: `AlphaBeta(alpha, beta)`; one of the two suffices: alpha - beta = 1."""
    if alpha is None:
        if beta is None:
            raise RuleError("lrp.alpha_beta needs alpha, beta, or both, with alpha - beta = 1.")
        alpha = beta + 1
    second = alpha - 1 if beta is None else beta
    return _alpha_beta("lrp.alpha_beta", alpha, second, bias, input_layer_rule)


@alias("lrp.alpha_2_beta_1")
def alpha_2_beta_1(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `AlphaBeta(2, 1)`."""
    return _alpha_beta("lrp.alpha_2_beta_1", 2.0, 1.0, True, input_layer_rule)


@alias("lrp.alpha_2_beta_1_IB")
def alpha_2_beta_1_ignoring_bias(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `AlphaBeta(2, 1, bias="ignore")`."""
    return _alpha_beta("lrp.alpha_2_beta_1_IB", 2.0, 1.0, False, input_layer_rule)


@alias("lrp.alpha_1_beta_0")
def alpha_1_beta_0(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `AlphaBeta(1, 0)`."""
    return _alpha_beta("lrp.alpha_1_beta_0", 1.0, 0.0, True, input_layer_rule)


@alias("lrp.alpha_1_beta_0_IB")
def alpha_1_beta_0_ignoring_bias(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `AlphaBeta(1, 0, bias="ignore")`."""
    return _alpha_beta("lrp.alpha_1_beta_0_IB", 1.0, 0.0, False, input_layer_rule)


@alias("lrp.z_plus")
def z_plus(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `AlphaBeta(1, 0, bias="ignore")`."""
    return _alpha_beta("lrp.z_plus", 1.0, 0.0, False, input_layer_rule)


@alias("lrp.z_plus_fast")
def z_plus_fast(input_layer_rule: Any = None) -> Preset:
    """All linear layers: `AlphaBeta(1, 0, bias="ignore")`; ours is fast and needs no x >= 0."""
    return _alpha_beta("lrp.z_plus_fast", 1.0, 0.0, False, input_layer_rule)


def _sequential(letter: str, conv: Rule, epsilon: float, input_layer_rule: Any) -> Preset:
    entries = (*_first(input_layer_rule), *by_type(epsilon, conv))
    return Preset(entries, f"lrp.sequential_preset_{letter}")


@alias("lrp.sequential_preset_a")
def sequential_preset_a(epsilon: float = 0.1, input_layer_rule: Any = None) -> Preset:
    """dense: `Epsilon(0.1)`; conv: `AlphaBeta(1, 0)`."""
    return _sequential("a", AlphaBeta(1.0, 0.0), epsilon, input_layer_rule)


@alias("lrp.sequential_preset_b")
def sequential_preset_b(epsilon: float = 0.1, input_layer_rule: Any = None) -> Preset:
    """dense: `Epsilon(0.1)`; conv: `AlphaBeta(2, 1)`."""
    return _sequential("b", AlphaBeta(2.0, 1.0), epsilon, input_layer_rule)


@alias("lrp.sequential_preset_a_flat")
def sequential_preset_a_flat(epsilon: float = 0.1) -> Preset:
    """first: `Flat()`; dense: `Epsilon(0.1)`; conv: `AlphaBeta(1, 0)`."""
    return _sequential("a_flat", AlphaBeta(1.0, 0.0), epsilon, "Flat")


@alias("lrp.sequential_preset_b_flat")
def sequential_preset_b_flat(epsilon: float = 0.1) -> Preset:
    """first: `Flat()`; dense: `Epsilon(0.1)`; conv: `AlphaBeta(2, 1)`."""
    return _sequential("b_flat", AlphaBeta(2.0, 1.0), epsilon, "Flat")


alias("deep_taylor.bounded")(deep_taylor_bounded)
alias("input_t_gradient")(input_x_gradient)
