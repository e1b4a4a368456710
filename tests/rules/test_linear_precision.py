"""Linear rules keep their digits in float32 where sums cancel, are tiny, or hide tiny parts."""

import numpy as np
import oracle
import pytest
from explained import assert_close
from neuron import EVERY_RULE, back, neuron

from lrpkeras.rules import AlphaBeta, Gamma, WSquare, ZPlus


@pytest.mark.parametrize("rule", [ZPlus(), AlphaBeta(1, 0), AlphaBeta(2, 1)])
def test_z_plus_keeps_tiny_positive_messages_beside_huge_negative_ones(rule):
    # In float32 half of (z + sum |x w|) is 0 here, or off by 100 %: 1e4 swallows 1e-3.
    model = neuron([1e-3, -3e-3, 1e4], 1e-3, dtype="float32")
    got, lost = back(model, rule, [1, -1, -1])
    positive = np.array([got[0], got[1], lost["bias"]]) / rule.alpha
    assert positive == pytest.approx([0.2, 0.6, 0.2], rel=1e-6)
    assert got[2] == pytest.approx(-rule.beta, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.25, 1e8])
def test_gamma_keeps_tiny_positive_messages_beside_huge_negative_ones(gamma):
    # Messages 1e-3, 3e-3 and -1e4, and as much the other way round: z < 0 and z > 0.
    w, x = [1e-3, -3e-3, 1e4], [1, -1, -1]
    for sign in (1, -1):
        model = neuron(np.multiply(w, sign), dtype="float32")
        for rule in (Gamma(gamma), Gamma(gamma, positive_only=True)):
            got, _ = back(model, rule, x)
            messages = sign * np.multiply(w, x)
            positive = rule.positive_only or sign == -1
            raised = messages + gamma * messages * ((messages > 0) == positive)
            assert got == pytest.approx(raised / raised.sum(), rel=3e-6)


@pytest.mark.parametrize("rule", [ZPlus(bias="ignore"), Gamma(1e8, True, bias="ignore")])
def test_positive_parts_are_exact_where_only_an_ignored_bias_opens_a_relu(rule):
    # z = 1e4 > 0, but without the bias -1e4: half sums would lose the 4e-3 that is positive.
    model = neuron([1e-3, -3e-3, 1e4], 2e4, relu=True, dtype="float32")
    got, _ = back(model, rule, [1, -1, -1], 1e-4, "ratio")
    messages = np.array([1e-3, 3e-3, -1e4])
    raised = (
        np.maximum(messages, 0)
        if isinstance(rule, ZPlus)
        else (messages + 1e8 * np.maximum(messages, 0))
    )
    assert got == pytest.approx(raised / raised.sum(), rel=3e-6)


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
    for rule in EVERY_RULE:
        got, _ = back(model, rule, [1e-20, 1e-20])
        assert np.isfinite(got).all()


def test_weights_whose_squares_underflow_still_give_shares():
    got, _ = back(neuron([3e-30, 4e-30], dtype="float32"), WSquare(), [1, 1])
    assert got == pytest.approx([0.36, 0.64], rel=1e-6)
