"""Traps of the rulebook that a second reader of it found."""

import copy
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras
from lrpkeras import presets, rules
from lrpkeras.errors import ModelError, RuleError
from lrpkeras.graph import nodes
from lrpkeras.presets import config

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")


@dataclass(frozen=True)
class Doubled(rules.Epsilon):
    def whole(self, z):
        return 2 * super().whole(z)


def dense(*kernels, **settings):
    """A chain of Dense layers with these kernels, without biases."""
    chain = [layers.Dense(np.shape(k)[1], use_bias=False, **settings) for k in kernels]
    model = keras.Sequential([keras.Input((np.shape(kernels[0])[0],)), *chain])
    for layer, kernel in zip(chain, kernels, strict=True):
        layer.kernel.assign(kernel)
    return model


@pytest.mark.parametrize("initial", ["logit", "unit"])
def test_a_rule_with_a_denominator_of_its_own_is_what_it_says(initial):
    draw = np.random.default_rng(0).normal
    model, x = dense(draw(size=(3, 4)), draw(size=(4, 2))), draw(size=(2, 3))
    plain = np.asarray(lrpkeras.Analyzer(model, "epsilon", initial=initial)(x, 0))
    rule = lrpkeras.Preset((("*", Doubled()),))
    got = np.asarray(lrpkeras.Analyzer(model, rule, initial=initial)(x, 0))
    # Half at each of two layers.
    np.testing.assert_allclose(got, plain / 4, rtol=1e-9)


def unit(model, preset, x, target=0, **settings):
    analyzer = lrpkeras.Analyzer(model, preset, initial="unit", **settings)
    return np.asarray(analyzer(np.asarray(x, "float64"), target))


def test_a_unit_start_asks_a_pool_that_divides_by_its_sum():
    inputs = keras.Input((4, 1))
    conv = layers.Conv1D(1, 1, use_bias=False)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D()(conv(inputs)))
    conv.kernel.assign([[[1.0]]])
    got = unit(model, "z_plus", [[[1], [2], [-3], [-4]]])
    # -1 in shares of x / sum(x) = x / -4; z+ passes on what is positive, (1, 2) / 4.
    np.testing.assert_allclose(got[0, :, 0], [0.25, 0.5, 0, 0], atol=1e-12)


def test_a_unit_start_asks_a_sum_that_divides_by_its_value():
    one, two = keras.Input((1,)), keras.Input((1,))
    a, b = (layers.Dense(1, use_bias=False) for _ in "ab")
    model = keras.Model([one, two], layers.Add()([a(one), b(two)]))
    a.kernel.assign([[1.0]])
    b.kernel.assign([[-1.0]])
    analyzer = lrpkeras.Analyzer(model, "z_plus", initial="unit")
    got = analyzer([np.array([[1.0]]), np.array([[3.0]])], 0)
    # The sum is 1 - 3 = -2: -1 in shares of 1 / -2 and -3 / -2; z+ at b finds nothing positive.
    np.testing.assert_allclose(np.ravel(got), [0.5, 0.0], atol=1e-12)


def test_a_unit_start_asks_the_branch_that_an_output_is_of():
    inputs = keras.Input((2,))
    a, b = (layers.Dense(1, use_bias=False, name=name) for name in "ab")
    model = keras.Model(inputs, layers.Concatenate()([a(inputs), b(inputs)]))
    a.kernel.assign([[1.0], [1.0]])
    b.kernel.assign([[1.0], [-9.0]])
    got = unit(model, "epsilon", [[1, 1]], 1, rules={"a": rules.ZPlus()})
    # -1 in shares of 1 / -8 and -9 / -8.
    np.testing.assert_allclose(got, [[0.125, -1.125]], rtol=1e-5)
    assert np.sign(got[0, 0]) == 1


def test_a_unit_start_behind_a_reshape_has_the_sign_without_the_bias():
    layer = layers.Dense(1)
    plain = keras.Sequential([keras.Input((2,)), layer])
    moved = keras.Sequential([keras.Input((2,)), layer, layers.Reshape((1, 1))])
    layer.kernel.assign([[1.0], [2.0]])
    layer.bias.assign([-10.0])
    expected = unit(plain, "epsilon", [[1, 1]], bias="ignore")
    np.testing.assert_allclose(expected, [[1 / 3, 2 / 3]], rtol=1e-5)
    got = unit(moved, "epsilon", [[1, 1]], np.ones((1, 1, 1)), bias="ignore")
    np.testing.assert_allclose(got, expected)


def test_a_condition_at_a_layer_that_is_called_twice_must_say_at_which_call():
    one, two = keras.Input((3,)), keras.Input((3,))
    shared = layers.Dense(2, name="shared")
    merged = layers.Concatenate()([shared(one), shared(two)])
    model = keras.Model([one, two], layers.Dense(2)(merged))
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    x = [np.random.default_rng(n).normal(size=(2, 3)) for n in (1, 2)]
    with pytest.raises(RuleError, match=r"2 times.*'shared#1', 'shared#2'"):
        analyzer.explain(x, 0, condition={"shared": 0})
    for call, other in ((1, 0), (2, 1)):
        found = analyzer.explain(x, 0, condition={f"shared#{call}": [0, 1]}).relevance
        assert np.abs(found[call - 1]).max() > 0
        assert np.abs(found[1 - other if call == 1 else 0]).max() == 0


@pytest.mark.parametrize("change", ["slope", "padding", "alpha"])
def test_refresh_refuses_what_is_no_weight(change):
    inputs = keras.Input((6, 2))
    conv = layers.Conv1D(2, 3, padding="same")
    leaky, elu = layers.LeakyReLU(0.1), layers.ELU(1.0)
    model = keras.Model(inputs, elu(leaky(conv(inputs))))
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    analyzer.refresh()
    if change == "slope":
        leaky.negative_slope = 0.9
    elif change == "padding":
        conv.padding = "causal"
    else:
        elu.alpha = 0.5
    with pytest.raises(ModelError, match="build it anew"):
        analyzer.refresh()


def test_node_classes_survive_a_configuration():
    preset = lrpkeras.Preset({nodes.Activation: rules.Guided(), nodes.Linear: rules.Epsilon()})
    again = config.preset_from_config(copy.deepcopy(config.preset_to_config(preset)))
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.ReLU(), layers.Dense(2)])
    x = np.random.default_rng(3).normal(size=(2, 3))
    got, expected = (np.asarray(lrpkeras.Analyzer(model, each)(x)) for each in (again, preset))
    np.testing.assert_array_equal(got, expected)


def test_what_would_be_read_as_another_class_is_not_written():
    own_layer = type("Dense", (layers.Dense,), {})
    own_rule = dataclass(frozen=True)(type("Epsilon", (rules.ZPlus,), {}))
    for entries in ({own_layer: rules.ZPlus()}, {"*": own_rule()}):
        with pytest.raises(RuleError, match="name"):
            config.preset_to_config(lrpkeras.Preset(entries))


def test_a_preset_as_overrides_must_start_as_the_base_does():
    model = dense(np.eye(2))
    with pytest.raises(RuleError, match="give it as preset="):
        lrpkeras.Analyzer(model, "epsilon", rules=presets.get("input_x_gradient"))


@pytest.mark.parametrize("mode", ["identity", "epsilon", "abs", "threshold"])
def test_a_gradient_has_one_way_to_take_batch_normalization(mode):
    with pytest.raises(RuleError, match="no meaning for 'gradient'"):
        lrpkeras.Analyzer(dense(np.eye(2)), "gradient", batch_norm=mode)


@pytest.mark.parametrize("given", ["", 0, False, "epsilon"])
def test_overrides_that_are_none_are_refused(given):
    with pytest.raises(RuleError, match="neither a dict"):
        lrpkeras.Analyzer(dense(np.eye(2)), rules=given)


def test_presets_with_settings_of_another_kind_are_refused():
    with pytest.raises(RuleError, match="times_input"):
        lrpkeras.Preset((("*", rules.Epsilon()),), times_input="no")
    with pytest.raises(RuleError, match="a name is text"):
        lrpkeras.Preset((("*", rules.Epsilon()),), name=3)


def test_a_rule_that_does_nothing_is_not_registered():
    nothing = dataclass(frozen=True)(type("Nothing", (rules.Rule,), {}))
    with pytest.raises(RuleError, match="lacks kinds and propagate"):
        lrpkeras.register_rule(nothing)


def test_a_clipped_relu_clips_where_keras_does():
    model = keras.Sequential([keras.Input((4,)), layers.ReLU(max_value=0.3)])
    assert lrpkeras.Analyzer(model).check(np.ones((1, 4)), np.ones((1, 4))).fidelity < 1e-12
