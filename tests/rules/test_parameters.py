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


def test_z_plus_takes_no_parameters():
    with pytest.raises(TypeError):
        rules.ZPlus(3.0, 2.0)


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
