"""Sums, extrema, products and forks, by algebra on a few numbers."""

import keras
import numpy as np
import pytest
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64, randomized

from lrpkeras import Analyzer, ledger
from lrpkeras.errors import RuleError
from lrpkeras.rules import Flat, Gradient, Proportional, Signal, Uniform, Zero


def merged(merge, count: int = 2, shape: tuple = (1,)) -> keras.Model:
    with float64():
        inputs = [keras.Input(shape, dtype="float64") for _ in range(count)]
        return keras.Model(inputs, merge(inputs))


def shares(merge, values, rule=None, relevance=1.0, form="R") -> tuple[list[float], dict]:
    """Relevance of each input, each one number, for relevance put in; and what was lost."""
    graph = rewritten(merged(merge, len(values)))
    arrays = [np.array([[float(value)]]) for value in values]
    made = run(graph, {} if rule is None else {"*": rule}, *arrays, vanishes=False)
    got = made.back(np.array([[[relevance]]]), form)
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    return [float(r.item()) for r in got], made.sinks


SUMS = {
    "add": (layers.Add, [1, 3], [0.25, 0.75]),
    "add three": (layers.Add, [1, 3, -2], [0.5, 1.5, -1]),
    "subtract": (layers.Subtract, [3, 1], [1.5, -0.5]),
    "average": (layers.Average, [1, 3], [0.25, 0.75]),
    "operator": (lambda: lambda xs: xs[0] + xs[1], [1, 3], [0.25, 0.75]),
    "zero and something": (layers.Add, [0, 2], [0, 1]),
    "negative sum": (layers.Add, [-1, -3], [0.25, 0.75]),
}


@pytest.mark.parametrize("delta", [0.0, 1e-6])
@pytest.mark.parametrize("name", SUMS)
def test_a_term_of_a_sum_gets_what_it_contributed(name, delta):
    layer, values, expected = SUMS[name]
    with float64():
        merge = layer()
    rule = Proportional(delta)
    assert shares(merge, values, rule)[0] == pytest.approx(expected, abs=1e-15)
    # As a ratio: relevance is twice the value of the sum.
    z = merged(merge, len(values))([np.array([[float(v)]]) for v in values]).numpy().item()
    expected = [2 * z * share for share in expected]
    assert shares(merge, values, rule, 2.0, "ratio")[0] == pytest.approx(expected, abs=1e-14)


# Terms that cancel, and the shares by magnitude that they then get.
CANCELLING = {
    "exactly": (layers.Add, [1, -1], [0.5, 0.5]),
    "all but": (layers.Add, [1, -1 + 1e-9], [0.5, 0.5]),
    "three": (layers.Add, [1, 2, -3], [1 / 6, 1 / 3, 1 / 2]),
    "subtract": (layers.Subtract, [2, 2], [0.5, 0.5]),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_relevance_does_not_blow_up_where_the_terms_of_a_sum_cancel(name):
    layer, values, expected = CANCELLING[name]
    got, lost = shares(layer(dtype="float64"), values)
    assert got == pytest.approx(expected, abs=1e-8)
    assert lost == {}


def test_delta_says_what_counts_as_cancelled():
    # |z| = 1 of magnitudes 9: above 0.1 of them.
    assert shares(layers.Add(dtype="float64"), [5, -4], Proportional(0.1))[0] == pytest.approx(
        [5, -4]
    )
    guarded = shares(layers.Add(dtype="float64"), [5, -4], Proportional(0.2))[0]
    assert guarded == pytest.approx([5 / 9, 4 / 9])


def test_cancelled_terms_carry_the_same_relevance_in_both_forms():
    values, z = [1, -1 + 2**-30], 2.0**-30
    as_ratio, _ = shares(layers.Add(dtype="float64"), values, None, 1 / z, "ratio")
    assert as_ratio == pytest.approx(shares(layers.Add(dtype="float64"), values)[0], rel=1e-12)
    # A ratio times a value of exactly zero is no relevance.
    assert shares(layers.Add(dtype="float64"), [1, -1], None, 1.0, "ratio")[0] == [0, 0]


def test_a_sum_of_nothing_loses_its_relevance_and_says_so():
    assert shares(layers.Add(dtype="float64"), [0, 0]) == ([0, 0], {"zero sum": 1})
    got, lost = shares(layers.Add(dtype="float64"), [1, -1], Proportional(0.0))
    assert got == [0, 0]
    assert lost == {"zero sum": 1}


EXTREMA = {
    "maximum": (layers.Maximum, [1, 3, 2], [0, 1, 0]),
    "maximum, tie": (layers.Maximum, [1, 3, 3], [0, 1, 0]),
    "maximum, all equal": (layers.Maximum, [2, 2, 2], [1, 0, 0]),
    "minimum": (layers.Minimum, [1, -3, 2], [0, 1, 0]),
    "minimum, tie": (layers.Minimum, [2, 1, 1], [0, 1, 0]),
}


@pytest.mark.parametrize("name", EXTREMA)
def test_the_first_input_that_won_takes_all(name):
    layer, values, expected = EXTREMA[name]
    assert shares(layer(dtype="float64"), values) == (expected, {})
    extreme = values[expected.index(1)]
    as_ratio, _ = shares(layer(dtype="float64"), values, None, 2.0, "ratio")
    assert as_ratio == [2 * extreme * e for e in expected]


def sigmoid(x):
    return layers.Activation("sigmoid", dtype="float64")(x)


PRODUCTS = {
    "gate last": (lambda xs: layers.Multiply()([xs[0], sigmoid(xs[1])]), Signal(), [1, 0]),
    "gate first": (lambda xs: layers.Multiply()([sigmoid(xs[0]), xs[1]]), Signal(), [0, 1]),
    "operator": (lambda xs: xs[0] * sigmoid(xs[1]), Signal(), [1, 0]),
    "two signals": (lambda xs: layers.Multiply()(xs), Uniform(), [0.5, 0.5]),
    "two gates": (
        lambda xs: layers.Multiply()([sigmoid(xs[0]), sigmoid(xs[1])]),
        Uniform(),
        [0.5, 0.5],
    ),
    "a gate and two signals": (
        lambda xs: layers.Multiply()([xs[0], sigmoid(xs[1]), xs[2]]),
        Signal(),
        [0.5, 0, 0.5],
    ),
    "a hard gate": (
        lambda xs: layers.Multiply()(
            [xs[0], layers.Activation("hard_sigmoid", dtype="float64")(xs[1])]
        ),
        Signal(),
        [1, 0],
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_gives_all_to_its_signals_in_equal_parts(name):
    merge, rule, expected = PRODUCTS[name]
    count = len(expected)
    with float64():
        model = merged(merge, count)
    graph = rewritten(model)
    arrays = [np.array([[v]]) for v in (2.0, -3.0, 0.5)[:count]]
    made = run(graph, {}, *arrays, vanishes=False)
    product = next(node.name for node in graph if node.kind == "Product")
    assert made.program.rules[product] == rule
    assert [float(r.item()) for r in made.back(np.ones((1, 1, 1)))] == expected
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    as_ratio = [float(r.item()) for r in made.back(np.full((1, 1, 1), 3.0), "ratio")]
    assert as_ratio == pytest.approx([3 * float(made.output.item()) * e for e in expected])


def test_a_gate_that_is_repeated_over_positions_stays_a_gate():
    # Squeeze and excitation: the gate is computed from the signal itself, and gets nothing.
    with float64():
        x = keras.Input((3, 3, 2), dtype="float64")
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Dense(2, activation="sigmoid")(gate)
        model = randomized(keras.Model(x, layers.Multiply()([x, gate])))
    data = np.random.default_rng(0).normal(size=(2, 3, 3, 2))
    start = np.random.default_rng(1).normal(size=(1, 2, 3, 3, 2))
    made = run(rewritten(model), Zero(), data, vanishes=False)
    assert np.array_equal(made.back(start)[0], start)


def test_signal_refuses_a_product_without_gates():
    with pytest.raises(RuleError, match=r"use Uniform\(\)"):
        shares(layers.Multiply(dtype="float64"), [1, 2], Signal())


def test_the_gradient_of_a_product_is_the_other_factor():
    assert shares(layers.Multiply(dtype="float64"), [2, 5], Gradient()) == ([5, 2], {"design": -6})


def test_a_tensor_read_several_times_adds_up_what_comes_back():
    with float64():
        x = keras.Input((1,), dtype="float64")
        y = layers.Concatenate()([x, x, layers.ReLU()(x)])
        model = keras.Model(x, y)
    made = run(rewritten(model), {}, np.array([[2.0]]), vanishes=False)
    assert made.back(np.array([[[1.0, 10.0, 100.0]]]))[0].item() == 111
    with float64():
        doubled = keras.Model(x, x + x)
    made = run(rewritten(doubled), {}, np.array([[2.0]]), vanishes=False)
    assert made.back(np.array([[[1.0]]]))[0].item() == 1


def test_branches_add_up_whatever_form_their_rules_carry_relevance_in():
    # Flat hands back relevance, Zero the ratio to the input: the sum is that of the branches alone.
    with float64():
        x = keras.Input((3,), dtype="float64")
        left, right = layers.Dense(2, name="left")(x), layers.Dense(2, name="right")(x)
        model = randomized(keras.Model(x, layers.Concatenate()([left, right])))
    data = np.random.default_rng(0).normal(size=(2, 3))
    made = run(rewritten(model), {"left": Flat(), "right": Zero()}, data, vanishes=False)
    start = np.random.default_rng(1).normal(size=(1, 2, 4))
    left, right = start * [1, 1, 0, 0], start * [0, 0, 1, 1]
    both, alone = made.back(start)[0], made.back(left)[0] + made.back(right)[0]
    assert_close(both, alone, 1e-14)
    assert_close(made.back(left)[0], np.repeat(left.sum(-1, keepdims=True), 3, -1) / 3, 1e-14)


def test_an_addition_of_a_tensor_and_its_negative_is_finite_in_float32():
    x = keras.Input((4,))
    y = layers.Add()([x, -x])
    model = keras.Model(x, layers.Dense(3)(y))
    data = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    relevance = Analyzer(model, "epsilon")(data, target=1)
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() <= np.abs(model(data)).max()
