"""What other libraries get wrong in silence, rows 7 to 11: models, settings and weights over time.

Named in each section: iNNvestigate 2.1.2 (7, 8), captum 0.9 (9), RelevancePropagation.jl 3.0 (10),
Quantus (11). Rows 1 to 6 are in `test_silently_wrong.py`. Expected values are by hand.
"""

import json
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import float64, randomized
from tiny_nets import chain, dense, norm, relevance, with_weights

import lrpkeras
from lrpkeras import rules
from lrpkeras.errors import UnsupportedLayerError

RANDOM = np.random.default_rng(5)
SIGNS = [[1.0], [-3.0]]


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


# Row 7: nested models are one Jacobian, unknown layers keep their gradient, a head flips signs.


def encoder(x):
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv")(x)
    return layers.MaxPooling2D(name="max")(layers.ReLU()(layers.BatchNormalization(name="bn")(x)))


def head(x):
    return layers.Dense(3, name="head")(layers.Flatten()(x))


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "alpha2_beta1"])
def test_a_nested_model_is_explained_as_the_flat_one(preset):
    flat = randomized(chain((6, 6, 2), encoder, head))
    nested = chain((6, 6, 2), chain((6, 6, 2), encoder), head)
    nested.set_weights(flat.get_weights())
    x = RANDOM.normal(size=(6, 6, 2))
    got = relevance(nested, x, preset)
    np.testing.assert_array_equal(got, relevance(flat, x, preset))
    # A Jacobian would be blind to the preset.
    gradient = relevance(flat, x, "input_x_gradient")
    assert np.abs(got - gradient).max() > 0.1 * np.abs(got).max()


def test_a_gate_gets_none_of_what_it_lets_through():
    # 4 * sigmoid(0) = 2, all of it the signal's.
    inputs = [keras.Input((1,), dtype="float64") for _ in range(2)]
    gated = layers.Multiply()([inputs[0], layers.Activation("sigmoid")(inputs[1])])
    model = keras.Model(inputs, dense([[1.0]])(gated))
    signal, gate = relevance(model, ([4.0], [0.0]))
    np.testing.assert_allclose([signal, gate], [[2.0], [0.0]])


def leaky(x):
    return layers.LeakyReLU(negative_slope=0.5)(x)


ELEMENTWISE = {
    # -2 * 0.5 * 3 = -3; the gradient alone would take the slope off once more.
    "LeakyReLU": (leaky, -2.0, 3.0, -3.0),
    # Saturated at 6, where the gradient is 0.
    "ReLU6": (layers.ReLU(max_value=6), 8.0, 1.0, 6.0),
    # 0.5 * 4 + 1 = 3, of which the offset keeps 1; the gradient alone would make 1.5 of it.
    "Rescaling": (layers.Rescaling(0.5, offset=1.0), 4.0, 1.0, 2.0),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_layers_have_a_rule_of_their_own(name):
    layer, x, weight, expected = ELEMENTWISE[name]
    model = chain((1,), layer, dense([[weight]]))
    np.testing.assert_allclose(relevance(model, [x]), [expected])


@pytest.mark.parametrize(
    "make", [lambda name: layers.GRU(2, name=name), lambda name: layers.LSTM(2, name=name)]
)
def test_what_has_no_rule_is_refused_by_name(make):
    model = chain((3, 2), make(name="culprit"), layers.Flatten(), layers.Dense(1))
    with pytest.raises(UnsupportedLayerError, match="'culprit'"):
        lrpkeras.Analyzer(model)


@pytest.mark.parametrize("x", [[1.0, 1.0], [4.0, 1.0]])
def test_a_sigmoid_head_keeps_the_signs_of_the_logits_evidence(x):
    # z = x1 - 3 x2, negative and positive: the first input speaks for the class, the other against.
    plain = dense(SIGNS)
    model = chain((2,), plain, layers.Activation("sigmoid"))
    np.testing.assert_allclose(relevance(model, x), [x[0], -3 * x[1]])


# Row 8: a configuration drops epsilon and bias, and a sum that cancels blows up. Building times are
# measured by the benchmarks: a test's clock depends on the machine.


def test_a_configuration_keeps_epsilon_and_bias():
    # z = 1 - 3 + 1 = -1 and epsilon is 1: (1, -3) / (-1 - 1) * -1; where the bias is ignored,
    # (1, -3) / (-2 - 1) * -1.
    model = chain((2,), dense(SIGNS, 1.0))
    x = np.ones((1, 2))
    for options, expected in (({}, [0.5, -1.5]), ({"bias": "ignore"}, [1 / 3, -1.0])):
        preset = lrpkeras.presets.get("epsilon", epsilon=1.0)
        before = lrpkeras.Analyzer(model, preset, **options)
        config = json.loads(json.dumps(before.get_config()))
        after = lrpkeras.Analyzer.from_config(config, model)
        for analyzer in (before, after):
            np.testing.assert_allclose(analyzer(x).numpy(), [expected])


def test_an_override_keeps_its_epsilon_and_bias_too():
    model = chain((2,), dense(SIGNS, 1.0))
    rule = {"*": rules.Epsilon(1.0, bias="ignore")}
    config = json.loads(json.dumps(lrpkeras.Analyzer(model, rules=rule).get_config()))
    analyzer = lrpkeras.Analyzer.from_config(config, model)
    np.testing.assert_allclose(analyzer(np.ones((1, 2))).numpy(), [[1 / 3, -1.0]])


@pytest.mark.parametrize("preset", ["epsilon", "z_plus", "epsilon_plus_flat"])
def test_a_sum_of_opposite_terms_shares_relevance_in_halves(preset):
    # a = -b = 5: a / (a + b) has no value; |a| / (|a| + |b|) is one half.
    inputs = [keras.Input((1,), dtype="float64") for _ in range(2)]
    model = keras.Model(inputs, layers.Add()(inputs))
    got = relevance(model, ([5.0], [-5.0]), preset, initial="unit")
    np.testing.assert_allclose(got, [[0.5], [0.5]])


# Row 9: operators and reused layers are wrong or refused, custom rules are lost, signs ignored.


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "zero"])
def test_a_plain_plus_is_an_add_layer(preset):
    def block(add):
        def call(x):
            y = layers.Conv2D(2, 3, padding="same")(x)
            return layers.ReLU()(add(x, y))

        return call

    operators, functions = block(lambda a, b: a + b), block(lambda a, b: layers.Add()([a, b]))
    plus = randomized(chain((4, 4, 2), operators, operators, layers.Flatten(), layers.Dense(2)))
    add = chain((4, 4, 2), functions, functions, layers.Flatten(), layers.Dense(2))
    add.set_weights(plus.get_weights())
    x = RANDOM.normal(size=(4, 4, 2))
    np.testing.assert_array_equal(relevance(plus, x, preset), relevance(add, x, preset))


def test_a_residual_written_with_operators_conserves():
    # 1 + 2 = 3, then 3 + 6: the logit, not four times it.
    def block(x):
        return x + dense([[2.0]])(x)

    np.testing.assert_allclose(relevance(chain((1,), block, block), [1.0]), [9.0])


def test_a_layer_that_is_reused_gets_relevance_at_each_call():
    # w = (1, 2; 0, 1) twice is (1, 4; 0, 1), and 4 + 1 is the winner for x = (1, 1).
    shared = layers.Dense(2, use_bias=False)
    model = chain((2,), shared, shared)
    shared.set_weights([np.array([[1.0, 2.0], [0.0, 1.0]])])
    np.testing.assert_allclose(relevance(model, [1.0, 1.0]), [4.0, 1.0])


@dataclass(frozen=True)
class ToTheFirst(rules.Gradient):
    """All relevance goes to the first input."""

    def propagate(self, state, relevance):
        x, output = state[2][0], state[3]
        first = keras.ops.one_hot(0, x.shape[-1], dtype=x.dtype)
        return (rules.Relevance(first * relevance.absolute(output)),)


@pytest.mark.parametrize("rule", [ToTheFirst(), rules.WSquare()])
def test_an_override_holds_at_every_call(rule):
    # R = z = 2 * 1 - 0 * 3, and of w^2 = (1, 9) the sum is 10.
    model = chain((2,), dense(SIGNS))
    analyzer = lrpkeras.Analyzer(model, "epsilon", rules={"dense*": rule})
    expected = [2.0, 0.0] if isinstance(rule, ToTheFirst) else [0.2, 1.8]
    for _ in range(3):
        np.testing.assert_allclose(analyzer(np.array([[2.0, 0.0]])).numpy(), [expected])


@pytest.mark.parametrize("preset", ["alpha1_beta0", "z_plus"])
def test_the_sign_of_a_message_is_that_of_input_times_weight(preset):
    # x w = (1, 3) for w = (1, -1), x = (1, -3): both are positive. Of (-1, 3), one is.
    model = chain((2,), dense([[1.0], [-1.0]]))
    np.testing.assert_allclose(relevance(model, [1.0, -3.0], preset), [1.0, 3.0])
    np.testing.assert_allclose(relevance(model, [-1.0, -3.0], preset), [0.0, 2.0])


# Row 10: a normalization's epsilon is left out of the fold.


def scaled(x):
    """2 x / sqrt(1 + 3) + 1 = x + 1; without its epsilon it would be 2 x + 1."""
    return norm(2.0, 1.0, 0.0, 1.0, epsilon=3.0)(x)


EPSILONS = {
    "behind a linear layer": (dense([[1.0]]), scaled),
    "before one": (scaled, dense([[1.0]])),
    "before a ReLU and one": (scaled, layers.ReLU(), dense([[1.0]])),
}


@pytest.mark.parametrize("name", EPSILONS)
def test_a_normalizations_epsilon_is_part_of_its_scale(name):
    model = chain((1,), *EPSILONS[name])
    check = lrpkeras.Analyzer(model, "zero").check(np.array([[4.0]]))
    np.testing.assert_allclose([check.start, check.inputs, check.sinks["bias"]], [5.0, 4.0, 1.0])
    folded = lrpkeras.fold_batch_norm(model)
    np.testing.assert_allclose(folded(np.array([[4.0]])), [[5.0]])


# Row 11: a model that gets new weights is explained with its old ones.


def test_new_weights_in_the_same_model_reach_an_analyzer_by_refresh():
    # LRP-0 without a bias is x w: w at first, w' once it is refreshed.
    model = chain((2,), with_weights(layers.Dense(1, use_bias=False), SIGNS))
    x = np.ones((1, 2))
    analyzer = lrpkeras.Analyzer(model, "zero")
    np.testing.assert_allclose(analyzer(x).numpy(), [[1.0, -3.0]])
    model.set_weights([np.array([[5.0], [7.0]])])
    np.testing.assert_allclose(analyzer(x).numpy(), [[1.0, -3.0]])
    analyzer.refresh()
    np.testing.assert_allclose(analyzer(x).numpy(), [[5.0, 7.0]])


def test_a_refreshed_analyzer_is_a_new_one():
    model = randomized(chain((6, 6, 2), encoder, head))
    x = RANDOM.normal(size=(2, 6, 6, 2))
    analyzer = lrpkeras.Analyzer(model)
    before = analyzer(x).numpy()
    randomized(model, seed=11)
    np.testing.assert_array_equal(analyzer(x).numpy(), before)
    analyzer.refresh()
    after = analyzer(x).numpy()
    np.testing.assert_array_equal(after, lrpkeras.Analyzer(model)(x).numpy())
    assert np.abs(after - before).max() > 0.1 * np.abs(before).max()
