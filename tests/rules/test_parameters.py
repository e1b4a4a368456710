"""Parameters of rules and presets that mean nothing are refused when they are given."""

import numpy as np
import pytest

from lrpkeras import presets, rules
from lrpkeras.errors import RuleError


@pytest.mark.parametrize("epsilon", [-1.0, 0.0, float("nan"), float("inf"), "x", None, True])
def test_epsilon_is_a_finite_number_above_zero(epsilon):
    with pytest.raises(RuleError, match="epsilon must be a finite number greater than 0"):
        rules.Epsilon(epsilon)


@pytest.mark.parametrize(("alpha", "beta"), [("2", "1"), (None, 0.0), (float("nan"), 1.0)])
def test_alpha_and_beta_are_finite_numbers(alpha, beta):
    with pytest.raises(RuleError, match="must be a finite number"):
        rules.AlphaBeta(alpha, beta)


def test_alpha_minus_beta_is_one():
    with pytest.raises(RuleError, match="must be 1"):
        rules.AlphaBeta(2.0, 0.0)


def test_a_pair_that_does_not_conserve_is_asked_for():
    with pytest.raises(RuleError, match="conserve=False allows any pair"):
        rules.AlphaBeta(1.0, 1.0)
    assert rules.AlphaBeta(1.0, 1.0, conserve=False).name == ("AlphaBeta(alpha=1, conserve=False)")
    with pytest.raises(RuleError, match="conserve is True or False"):
        rules.AlphaBeta(2.0, 1.0, conserve="no")
    with pytest.raises(RuleError, match="alpha must be a finite number"):
        rules.AlphaBeta(float("inf"), 1.0, conserve=False)


@pytest.mark.parametrize("parameters", [{"alpha": 3.0}, {"beta": 1.0}, {"conserve": False}])
def test_z_plus_takes_no_parameters_but_the_bias(parameters):
    with pytest.raises(TypeError):
        rules.ZPlus(**parameters)
    assert rules.ZPlus(bias="ignore").bias == "ignore"


@pytest.mark.parametrize("gamma", [-0.1, float("nan"), float("inf"), "x", None, True])
def test_gamma_is_a_finite_number_of_at_least_zero(gamma):
    with pytest.raises(RuleError, match="gamma must be a finite number of at least 0"):
        rules.Gamma(gamma)
    assert rules.Gamma(0).gamma == 0


def test_positive_only_is_true_or_false():
    with pytest.raises(RuleError, match="positive_only is True or False"):
        rules.Gamma(0.25, 1)


@pytest.mark.parametrize("p", [0, -1, 2.0, "2", None, True])
def test_a_power_is_a_whole_number_of_at_least_one(p):
    with pytest.raises(RuleError, match="p must be a whole number >= 1"):
        rules.Power(p)
    assert rules.Power(np.int64(3)).p == 3


def test_epsilon_of_a_power_is_above_zero():
    with pytest.raises(RuleError, match="greater than 0"):
        rules.Power(2, 0.0)


BIASED = [rules.Zero, rules.Epsilon, rules.Gamma, rules.AlphaBeta, rules.ZPlus]


@pytest.mark.parametrize("bias", ["Absorb", "", None, True, 1, ["ignore"]])
@pytest.mark.parametrize("rule", BIASED)
def test_bias_is_one_of_three_words(rule, bias):
    with pytest.raises(RuleError, match="bias is one of 'absorb', 'ignore', 'distribute'"):
        rule(bias=bias)


@pytest.mark.parametrize("rule", BIASED)
def test_a_rule_tells_what_it_does_with_the_bias(rule):
    assert rule(bias="ignore").name == f"{rule.__name__}(bias=ignore)"
    assert rule().name == f"{rule.__name__}()"


def test_a_preset_hands_the_bias_to_every_rule_that_has_one():
    first, second, third = (
        ("first", rules.Flat()),
        ("dense", rules.Epsilon(0.5)),
        ("*", rules.ZPlus()),
    )
    preset = presets.Preset((first, second, third))
    assert preset.with_bias(None) is preset
    assert preset.with_bias("ignore").entries == (
        first,
        ("dense", rules.Epsilon(0.5, bias="ignore")),
        ("*", rules.ZPlus(bias="ignore")),
    )
    with pytest.raises(RuleError, match="bias is one of"):
        preset.with_bias("drop")


@pytest.mark.parametrize("bounds", [{}, {"low": 0}, {"low": None, "high": 1}])
def test_box_needs_low_and_high(bounds):
    with pytest.raises(RuleError, match="a bound is a finite number"):
        rules.Box(**bounds)


@pytest.mark.parametrize("low", ["a", float("nan"), np.array([0.0, np.inf])])
def test_bounds_of_a_box_are_finite_numbers(low):
    with pytest.raises(RuleError, match="low"):
        rules.Box(low, 1.0)


def test_the_seed_of_a_preset_is_known():
    with pytest.raises(RuleError, match="'relevance' or 'gradient'"):
        presets.Preset({"*": rules.Zero()}, seed="grad")


def test_a_preset_that_lacks_parameters_names_them():
    with pytest.raises(RuleError, match=r"needs \['low', 'high'\]"):
        presets.get("epsilon_plus_box")


def test_boxes_are_equal_where_their_bounds_are():
    box = rules.Box(np.zeros(3), np.ones(3))
    preset = presets.Preset([("first", box)])
    assert preset == presets.Preset([("first", rules.Box([0.0, 0, 0], [1.0, 1, 1]))])
    assert hash(box) == hash(rules.Box([0, 0, 0], [1, 1, 1]))
    assert preset != presets.Preset([("first", rules.Box(np.zeros(3), [1, 1, 2]))])
    assert rules.Box(0, 1) == rules.Box(0.0, 1.0) != box
    assert box != rules.Epsilon()
