"""Linear rules worked out by hand, where a denominator is zero, cancels, or splits the bias."""

import keras
import numpy as np
import oracle
import pytest
from explained import assert_close, rewritten, run
from linear_layers import float64

from lrpkeras import Analyzer, presets
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Gradient, Rule, Zero, ZPlus


def neuron(w, b=None, *, relu=False, dtype="float64") -> keras.Model:
    """A dense layer with the weights `w`, one output for each column."""
    w = np.array(w, "float64").reshape(len(w), -1)
    with float64():
        layer = keras.layers.Dense(w.shape[1], use_bias=b is not None, dtype=dtype)
        x = keras.Input((len(w),), dtype=dtype)
        y = layer(x)
        model = keras.Model(x, keras.layers.ReLU(dtype=dtype)(y) if relu else y)
    layer.set_weights([w] if b is None else [w, np.atleast_1d(b)])
    return model


def back(model: keras.Model, rule: Rule, x, relevance=1.0, form="R") -> tuple[list, dict]:
    """Relevance of the inputs for one sample and relevance put in; and what the sinks took."""
    made = run(rewritten(model), rule, np.array([x]), vanishes=form == "ratio")
    start = np.full((1, 1, model.output_shape[-1]), relevance)
    (got,) = made.back(start, form)
    return got[0, 0].tolist(), made.sinks


# Messages 1 and -1 cancel: z = 0.
CANCELLED = ([1, -1], None, [1, 1])
# Messages -1 and -2 and no bias: nothing is positive.
NEGATIVE = ([-1, -2], None, [1, 1])
# No message at all, but a bias.
BIAS_ALONE = ([1, 1], [2], [0, 0])
# Messages 3, 1 and -2, bias of either sign: z = 3, z = 1.
BIAS_ABOVE = ([3, 1, 2], [1], [1, 1, -1])
BIAS_BELOW = ([3, 1, 2], [-1], [1, 1, -1])

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


@pytest.mark.parametrize("rule", [Zero(), Epsilon(), ZPlus(), AlphaBeta(2, 1), Flat(), Box(-1, 1)])
def test_a_ratio_to_an_output_of_zero_is_no_relevance(rule):
    w, b, x = CANCELLED
    assert back(neuron(w, b), rule, x, 1.0, "ratio") == ([0, 0], {})


@pytest.mark.parametrize("rule", [ZPlus(), AlphaBeta(1, 0)])
def test_a_negative_bias_stays_out_of_the_positive_denominator(rule):
    # z = 1 - 0.05 - 0.9 = 0.05. With all of b in the denominator, 1 / (1 - 0.9) of it would be 0.5.
    got, _ = back(neuron([1, -1], -0.9), rule, [1, 0.05], 1.0, "ratio")
    assert got == pytest.approx([0.05, 0], abs=1e-12)


@pytest.mark.parametrize("rule", [ZPlus(), AlphaBeta(1, 0), AlphaBeta(2, 1)])
def test_z_plus_keeps_tiny_positive_messages_beside_huge_negative_ones(rule):
    # In float32 half of (z + sum |x w|) is 0 here, or off by 100 %: 1e4 swallows 1e-3.
    model = neuron([1e-3, -3e-3, 1e4], 1e-3, dtype="float32")
    got, lost = back(model, rule, [1, -1, -1])
    positive = np.array([got[0], got[1], lost["bias"]]) / rule.alpha
    assert positive == pytest.approx([0.2, 0.6, 0.2], rel=1e-6)
    assert got[2] == pytest.approx(-rule.beta, rel=1e-6)


def test_z_plus_gives_nothing_where_a_relu_closes_huge_negative_sums():
    model = neuron([1e-3, 3e-3, 1e4], relu=True, dtype="float32")
    assert back(model, ZPlus(), [1, 1, -1], 1.0, "ratio")[0] == [0, 0, 0]


def test_z_plus_is_exact_in_float32_where_a_relu_leaves_a_small_rest_of_large_sums():
    # Messages of a thousand that leave z around one: the worst case for the cheaper way, in which
    # the positive sum is half of z and all magnitudes. Float32 has seven digits; it may lose one.
    rng = np.random.default_rng(0)
    w, x = rng.normal(0, 30, (50, 20)), rng.normal(0, 30, 50)
    bias = rng.uniform(-1, 2, 20) - x @ w
    model = neuron(w, bias, relu=True, dtype="float32")
    got, _ = back(model, ZPlus(), x, 1.0, "ratio")
    dense = oracle.Dense(w.astype("float32"), bias.astype("float32"))
    z = np.maximum(model(x[None].astype("float32"))[0].numpy(), 0)
    assert 0 < (z > 0).sum() < 20
    expected = oracle.alpha_beta(dense, x.astype("float32"), 1, 0) @ z
    assert_close(np.array(got), expected, 1e-6)


def test_relevance_of_a_tiny_output_stays_finite_in_float32():
    # Below 1e-38, where 1 / z overflows: a dead normalization leaves such numbers.
    model = neuron([1e-20, 1e-20], dtype="float32")
    for rule in (Zero(), Epsilon(), ZPlus(), AlphaBeta(2, 1), Flat(), Box(-1, 1)):
        got, _ = back(model, rule, [1e-20, 1e-20])
        assert np.isfinite(got).all()


def test_flat_loses_what_an_output_without_inputs_has_and_calls_it_padding():
    # A window of one at stride two: every other output sees no input at all, only the bias.
    with float64():
        x = keras.Input((2, 1), dtype="float64")
        model = keras.Model(x, keras.layers.Conv1DTranspose(1, 1, strides=2)(x))
    made = run(rewritten(model), Flat(), np.ones((1, 2, 1)), vanishes=False)
    got = made.back(np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 4, 1))[0]
    assert got.ravel().tolist() == [1, 100]
    assert made.sinks == {"padding": 1010}


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
