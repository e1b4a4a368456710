"""`Analyzer(bias=)`: one setting for every rule whose denominators can hold a bias."""

import keras
import numpy as np
import pytest
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras import presets, rules
from lrpkeras.errors import RuleError

X = np.random.default_rng(1).normal(size=(2, 6, 5, 2))


@pytest.fixture(scope="module")
def model():
    with float64():
        inputs = keras.Input((6, 5, 2), dtype="float64")
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
        x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="second")(x)
        x = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x))
        return randomized(keras.Model(inputs, x), seed=5)


def chosen(analyzer):
    return {name: rule for name, rule in analyzer.rules.items() if hasattr(rule, "bias")}


@pytest.mark.parametrize("bias", ["absorb", "ignore", "distribute"])
def test_every_rule_of_preset_and_overrides_takes_the_bias(model, bias):
    overrides = {"second": rules.Gamma(bias="ignore")}
    analyzer = lrpkeras.Analyzer(model, "epsilon_plus", rules=overrides, bias=bias)
    assert chosen(analyzer) == {
        "first": rules.ZPlus(bias=bias),
        "second": rules.Gamma(bias=bias),
        "logits": rules.Epsilon(bias=bias),
    }


def test_without_the_setting_every_rule_keeps_its_own(model):
    overrides = {"second": rules.Gamma(bias="ignore")}
    analyzer = lrpkeras.Analyzer(model, "epsilon_plus", rules=overrides)
    assert {rule.bias for rule in chosen(analyzer).values()} == {"absorb", "ignore"}


@pytest.mark.parametrize("preset", ["zero", "alpha2_beta1", "gamma"])
@pytest.mark.parametrize("bias", ["ignore", "distribute"])
def test_all_relevance_reaches_the_input_where_the_bias_keeps_none(model, preset, bias):
    chosen = presets.Preset({"*": rules.Gamma()}) if preset == "gamma" else preset
    check = lrpkeras.Analyzer(model, chosen, bias=bias).check(X, 1)
    assert check.closes
    assert "bias" not in check.sinks
    lost = sum(check.sinks.values())
    assert check.inputs == pytest.approx(check.start - lost, rel=1e-9)
    absorbed = lrpkeras.Analyzer(model, chosen).check(X, 1)
    assert abs(absorbed.sinks["bias"]) > 0.01 * abs(absorbed.start)
    if preset != "alpha2_beta1":  # There a unit without messages of one sign loses their share.
        assert check.inputs == pytest.approx(check.start, rel=1e-9)


@pytest.mark.parametrize("bias", [None, "absorb", "ignore", "distribute"])
def test_a_configuration_keeps_the_bias(model, bias):
    overrides = {"second": rules.AlphaBeta(1, 1, conserve=False, bias="ignore")}
    first = lrpkeras.Analyzer(model, "epsilon_plus_flat", rules=overrides, bias=bias)
    second = lrpkeras.Analyzer.from_config(first.get_config(), model)
    assert second.get_config() == first.get_config()
    assert second.rules == first.rules
    np.testing.assert_array_equal(second(X), first(X))


def test_refreshing_follows_the_biases(model):
    analyzer = lrpkeras.Analyzer(model, "zero", bias="distribute")
    before = model.get_layer("logits").get_weights()
    try:
        model.get_layer("logits").set_weights([before[0], before[1] + 1.0])
        analyzer.refresh()
        fresh = lrpkeras.Analyzer(model, "zero", bias="distribute")
        np.testing.assert_array_equal(analyzer(X), fresh(X))
    finally:
        model.get_layer("logits").set_weights(before)


@pytest.mark.parametrize("bias", ["drop", True, 1, ""])
def test_a_bias_that_means_nothing_is_refused(model, bias):
    with pytest.raises(RuleError, match="bias=.*None or 'absorb' or 'ignore' or 'distribute'"):
        lrpkeras.Analyzer(model, bias=bias)
