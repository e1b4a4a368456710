"""Linear rules worked out by hand, where a denominator is zero, cancels, or splits the bias."""

import keras
import numpy as np
import pytest
from explained import assert_close, rewritten, run
from linear_layers import float64, randomized
from neuron import EVERY_RULE, back, neuron

from lrpkeras import Analyzer, presets
from lrpkeras.rules import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Power,
    WSquare,
    Zero,
    ZPlus,
)

# Messages 1 and -1 cancel: z = 0.
CANCELLED = ([1, -1], None, [1, 1])
# Messages -1 and -2 and no bias: nothing is positive.
NEGATIVE = ([-1, -2], None, [1, 1])
# No message at all, but a bias.
BIAS_ALONE = ([1, 1], [2], [0, 0])
# Messages 3, 1 and -2, bias of either sign: z = 3, z = 1.
BIAS_ABOVE = ([3, 1, 2], [1], [1, 1, -1])
BIAS_BELOW = ([3, 1, 2], [-1], [1, 1, -1])
# Messages 1 and -4: z = -3; a bias of 5 turns its sign.
BELOW = ([1, -4], None, [1, 1])
TURNED = ([1, -4], [5], [1, 1])

BY_HAND = {
    "zero, z = 0": (Zero(), CANCELLED, [0, 0], {"zero sum": 1}),
    "epsilon, z = 0 counts as positive": (Epsilon(0.5), CANCELLED, [2, -2], {"epsilon": 1}),
    "z+, z = 0": (ZPlus(), CANCELLED, [1, 0], {}),
    "alpha-beta, z = 0": (AlphaBeta(2, 1), CANCELLED, [2, -1], {}),
    "flat, z = 0": (Flat(), CANCELLED, [0.5, 0.5], {}),
    "zero, z < 0": (Zero(), NEGATIVE, [1 / 3, 2 / 3], {}),
    "epsilon, z < 0": (Epsilon(1.0), NEGATIVE, [0.25, 0.5], {"epsilon": 0.25}),
    "z+, nothing positive": (ZPlus(), NEGATIVE, [0, 0], {"one-signed sum": 1}),
    "alpha-beta, nothing positive": (
        AlphaBeta(2, 1),
        NEGATIVE,
        [-1 / 3, -2 / 3],
        {"one-signed sum": 2},
    ),
    "alpha-beta with a negative beta": (
        AlphaBeta(0.5, -0.5),
        NEGATIVE,
        [1 / 6, 1 / 3],
        {"one-signed sum": 0.5},
    ),
    "zero, bias alone": (Zero(), BIAS_ALONE, [0, 0], {"bias": 1}),
    "epsilon, bias alone": (Epsilon(2.0), BIAS_ALONE, [0, 0], {"bias": 0.5, "epsilon": 0.5}),
    "z+, bias alone": (ZPlus(), BIAS_ALONE, [0, 0], {"bias": 1}),
    "alpha-beta, bias alone": (
        AlphaBeta(2, 1),
        BIAS_ALONE,
        [0, 0],
        {"bias": 2, "one-signed sum": -1},
    ),
    "flat, bias alone": (Flat(), BIAS_ALONE, [0.5, 0.5], {}),
    "box, at its low end": (Box(0, 1), BIAS_ALONE, [0, 0], {"one-signed sum": 1}),
    "zero, bias above": (Zero(), BIAS_ABOVE, [1, 1 / 3, -2 / 3], {"bias": 1 / 3}),
    "z+, bias above": (ZPlus(), BIAS_ABOVE, [0.6, 0.2, 0], {"bias": 0.2}),
    "alpha-beta, bias above": (AlphaBeta(2, 1), BIAS_ABOVE, [1.2, 0.4, -1], {"bias": 0.4}),
    "zero, bias below": (Zero(), BIAS_BELOW, [3, 1, -2], {"bias": -1}),
    "z+, bias below": (ZPlus(), BIAS_BELOW, [0.75, 0.25, 0], {}),
    "alpha-beta, bias below": (
        AlphaBeta(2, 1),
        BIAS_BELOW,
        [1.5, 0.5, -2 / 3],
        {"bias": -1 / 3},
    ),
    # Low -1: messages (1 + 1) 3, (1 + 1) 1, (-1 + 1) 2; the bias cancels.
    "box, signed": (Box(-1, 1), BIAS_BELOW, [0.75, 0.25, 0], {}),
    "gradient": (Gradient(), BIAS_BELOW, [3, 1, 2], {"design": -5}),
    # z = 3, positive messages and bias 4 + 1: over 3 + 5.
    "gamma, bias above": (Gamma(1), BIAS_ABOVE, [0.75, 0.25, -0.25], {"bias": 0.25}),
    "gamma, bias below": (Gamma(1), BIAS_BELOW, [1.2, 0.4, -0.4], {"bias": -0.2}),
    "gamma, z = 0 counts as positive": (Gamma(1), CANCELLED, [2, -1], {}),
    "gamma, bias alone": (Gamma(1), BIAS_ALONE, [0, 0], {"bias": 1}),
    "gamma 0 is zero": (Gamma(0), BIAS_ABOVE, [1, 1 / 3, -2 / 3], {"bias": 1 / 3}),
    # z = -3, negative messages -4: over -3 - 4.
    "gamma, z < 0": (Gamma(1), BELOW, [-1 / 7, 8 / 7], {}),
    # The positive ones, 1: over -3 + 1.
    "gamma, z < 0, positive only": (Gamma(1, positive_only=True), BELOW, [-1, 2], {}),
    "gamma, z turned by the bias": (Gamma(1), TURNED, [0.25, -0.5], {"bias": 1.25}),
    "gamma, z turned by a bias that is ignored": (
        Gamma(1, bias="ignore"),
        TURNED,
        [-1 / 7, 8 / 7],
        {},
    ),
    "gamma, distributed": (Gamma(1, bias="distribute"), TURNED, [0.875, 0.125], {}),
    "zero, ignored": (Zero(bias="ignore"), BIAS_ABOVE, [1.5, 0.5, -1], {}),
    "zero, ignored, bias alone": (Zero(bias="ignore"), BIAS_ALONE, [0, 0], {"zero sum": 1}),
    "zero, distributed": (Zero(bias="distribute"), BIAS_ABOVE, [10 / 9, 4 / 9, -5 / 9], {}),
    "zero, distributed, bias alone": (Zero(bias="distribute"), BIAS_ALONE, [0.5, 0.5], {}),
    "zero, distributed, no bias": (Zero(bias="distribute"), NEGATIVE, [1 / 3, 2 / 3], {}),
    "epsilon, ignored": (
        Epsilon(2.0, bias="ignore"),
        BIAS_ABOVE,
        [0.75, 0.25, -0.5],
        {"epsilon": 0.5},
    ),
    "epsilon, distributed": (
        Epsilon(2.0, bias="distribute"),
        BIAS_ALONE,
        [0.25, 0.25],
        {"epsilon": 0.5},
    ),
    "z+, ignored": (ZPlus(bias="ignore"), BIAS_ABOVE, [0.75, 0.25, 0], {}),
    "z+, distributed": (
        ZPlus(bias="distribute"),
        BIAS_ABOVE,
        [0.6 + 0.2 / 3, 0.2 + 0.2 / 3, 0.2 / 3],
        {},
    ),
    "alpha-beta, ignored": (AlphaBeta(2, 1, bias="ignore"), BIAS_BELOW, [1.5, 0.5, -1], {}),
    "alpha-beta, distributed": (
        AlphaBeta(2, 1, bias="distribute"),
        BIAS_BELOW,
        [1.5 - 1 / 9, 0.5 - 1 / 9, -2 / 3 - 1 / 9],
        {},
    ),
    # 1 - (alpha - beta) is the rule's own doing.
    "alpha 0, beta 1": (
        AlphaBeta(0, 1, conserve=False),
        BIAS_BELOW,
        [0, 0, -2 / 3],
        {"bias": -1 / 3, "design": 2},
    ),
    "alpha 1, beta 1": (
        AlphaBeta(1, 1, conserve=False),
        BIAS_BELOW,
        [0.75, 0.25, -2 / 3],
        {"bias": -1 / 3, "design": 1},
    ),
    "alpha 1, beta -1": (
        AlphaBeta(1, -1, conserve=False),
        BIAS_BELOW,
        [0.75, 0.25, 2 / 3],
        {"bias": 1 / 3, "design": -1},
    ),
    "alpha 0, beta 0": (AlphaBeta(0, 0, conserve=False), BIAS_BELOW, [0, 0, 0], {"design": 1}),
    "w square": (WSquare(), BIAS_ABOVE, [9 / 14, 1 / 14, 4 / 14], {}),
    "w square, bias alone": (WSquare(), BIAS_ALONE, [0.5, 0.5], {}),
    "w square, no weight": (WSquare(), ([0, 0], [1], [1, 1]), [0, 0], {"zero sum": 1}),
    # Squares 9, 1, 4 over 14 + 14; cubes 27, 1, -8 over 20 + 2, and their negatives.
    "power 2": (Power(2, 14.0), BIAS_ABOVE, [9 / 28, 1 / 28, 4 / 28], {"epsilon": 0.5}),
    "power 3": (Power(3, 2.0), BIAS_ABOVE, [27 / 22, 1 / 22, -8 / 22], {"epsilon": 1 / 11}),
    "power 3, sum < 0": (
        Power(3, 2.0),
        ([-3, -1, -2], [9], [1, 1, -1]),
        [27 / 22, 1 / 22, -8 / 22],
        {"epsilon": 1 / 11},
    ),
    "power 2, z = 0": (Power(2, 2.0), CANCELLED, [0.25, 0.25], {"epsilon": 0.5}),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_shares_and_sinks_worked_out_by_hand(name):
    rule, (w, b, x), relevance, sinks = BY_HAND[name]
    got, lost = back(neuron(w, b), rule, x)
    assert got == pytest.approx(relevance, abs=1e-14)
    assert lost == pytest.approx(sinks, abs=1e-14)


def test_relevance_in_is_relevance_out_plus_sinks_in_every_case_by_hand():
    for _, _, relevance, sinks in BY_HAND.values():
        assert sum(relevance) + sum(sinks.values()) == pytest.approx(1)


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.name)
def test_a_ratio_to_an_output_of_zero_is_no_relevance(rule):
    w, b, x = CANCELLED
    assert back(neuron(w, b), rule, x, 1.0, "ratio") == ([0, 0], {})


@pytest.mark.parametrize("rule", [ZPlus(), AlphaBeta(1, 0)])
def test_a_negative_bias_stays_out_of_the_positive_denominator(rule):
    # z = 1 - 0.05 - 0.9 = 0.05. With all of b in the denominator, 1 / (1 - 0.9) of it would be 0.5.
    got, _ = back(neuron([1, -1], -0.9), rule, [1, 0.05], 1.0, "ratio")
    assert got == pytest.approx([0.05, 0], abs=1e-12)


def test_flat_loses_what_an_output_without_inputs_has_and_calls_it_padding():
    # A window of one at stride two: every other output sees no input at all, only the bias.
    with float64():
        x = keras.Input((2, 1), dtype="float64")
        model = keras.Model(x, keras.layers.Conv1DTranspose(1, 1, strides=2)(x))
    made = run(rewritten(model), Flat(), np.ones((1, 2, 1)), vanishes=False)
    got = made.back(np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 4, 1))[0]
    assert got.ravel().tolist() == [1, 100]
    assert made.sinks == {"padding": 1010}


@pytest.mark.parametrize("rule", [Zero, ZPlus, Gamma])
def test_a_bias_is_distributed_to_no_input_where_none_reaches_its_output(rule):
    with float64():
        x = keras.Input((2, 1), dtype="float64")
        layer = keras.layers.Conv1DTranspose(1, 1, strides=2)
        model = keras.Model(x, layer(x))
    layer.set_weights([np.full((1, 1, 1), 2.0), np.ones(1)])
    made = run(rewritten(model), rule(bias="distribute"), np.ones((1, 2, 1)), vanishes=False)
    got = made.back(np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 4, 1))[0]
    assert got.ravel() == pytest.approx([1, 100])
    assert made.sinks == pytest.approx({"padding": 1010})


@pytest.mark.parametrize("rule", [Zero(bias="distribute"), WSquare(), Flat()])
def test_rules_that_count_inputs_take_images_of_any_size(rule):
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 2))
    maps = []
    for shape in ((5, 4, 2), (None, None, 2)):
        with float64():
            inputs = keras.Input(shape, dtype="float64")
            layer = keras.layers.Conv2D(3, 3, strides=2, padding="same")
            model = randomized(keras.Model(inputs, layer(inputs)))
        made = run(rewritten(model), rule, x, vanishes=False)
        maps.append(made.back(np.ones((1, *made.output.shape)))[0])
    assert_close(maps[1], maps[0], 1e-14)


def test_the_analyzers_check_says_where_relevance_went():
    # z = 3 + 1 - 2 + 1 = 3: a third of it is the bias's; epsilon takes its part of all.
    model, x = neuron([3, 1, 2], 1), np.array([[1.0, 1.0, -1.0]])
    check = Analyzer(model, "zero").check(x, target=0)
    assert check.closes
    assert (check.start, check.inputs) == pytest.approx((3, 2))
    assert check.sinks == pytest.approx({"bias": 1, "zero sum": 0})
    check = Analyzer(model, presets.get("epsilon", epsilon=0.6)).check(x, target=0)
    assert check.closes
    assert check.sinks == pytest.approx({"bias": 3 / 3.6, "epsilon": 0.6 * 3 / 3.6})
    assert check.inputs == pytest.approx(2 * 3 / 3.6)
