"""The multiply-adds that rules take of one convolution, counted in the traced graph.

F = one forward pass of the layer. The presets' are counted in `tests/test_multiply_adds.py`.
"""

import keras
import pytest

import lrpkeras
from benchmarks import multiply_adds
from lrpkeras import presets, rules

# What one layer takes, forward and backward, in units of F: signed input or not, a ReLU behind it
# that closes z < 0 or none.
GAMMA = {
    ("signed", "closed"): (2, 2),
    ("signed", "open"): (2, 2),
    ("non-negative", "closed"): (2, 1),
    ("non-negative", "open"): (2, 2),
}
# With positive parts alone the one formula holds everywhere; without a ReLU it may read a small
# positive part beside large negative ones, and computes it apart from signed inputs.
ONE_FORMULA = {**GAMMA, ("signed", "open"): (3, 2), ("non-negative", "open"): (2, 1)}
# Without its bias, what a ReLU leaves open may be negative.
IGNORED = {**GAMMA, ("non-negative", "closed"): (2, 2)}
Z_PLUS_IGNORED = {
    ("signed", "closed"): (3, 2),
    ("signed", "open"): (3, 2),
    ("non-negative", "closed"): (2, 1),
    ("non-negative", "open"): (2, 1),
}
PLAIN = dict.fromkeys(GAMMA, (1, 1))
POWER = dict.fromkeys(GAMMA, (2, 1))
NEGATIVE_ONLY = {case: (3, 2) if case[0] == "signed" else (2, 1) for case in GAMMA}


@pytest.mark.parametrize("case", GAMMA)
@pytest.mark.parametrize(
    ("rule", "table"),
    [
        (rules.Gamma(), GAMMA),
        (rules.Gamma(bias="distribute"), GAMMA),
        (rules.Gamma(bias="ignore"), IGNORED),
        (rules.Gamma(positive_only=True), ONE_FORMULA),
        (rules.Zero(bias="ignore"), PLAIN),
        (rules.Epsilon(bias="distribute"), PLAIN),
        (rules.ZPlus(bias="ignore"), Z_PLUS_IGNORED),
        (rules.AlphaBeta(0, 1, conserve=False), NEGATIVE_ONLY),
        (rules.WSquare(), PLAIN),
        (rules.Power(), POWER),
    ],
    ids=lambda value: value.name if isinstance(value, rules.Rule) else "",
)
def test_a_convolution_takes_what_its_rule_says(rule, table, case):
    sign, end = case
    x = keras.Input((8, 8, 6))
    y = keras.layers.Conv2D(16, 3)(x)
    model = keras.Model(x, keras.layers.ReLU()(y) if end == "closed" else y)
    forward, backward = table[case]
    input_range = (0, 1) if sign == "non-negative" else None
    analyzer = lrpkeras.Analyzer(
        model, presets.Preset({"*": rule}), input_range=input_range, verify=False
    )
    function = analyzer.concrete_function(batch_size=1)
    work = 6 * 6 * 16 * 9 * 6
    assert multiply_adds.total(function, "Conv2D") == forward * work
    box = multiply_adds.total(function, "Conv2DBackpropInput") - backward * work
    if getattr(rule, "bias", None) == "distribute":
        # A box filter from one channel to one.
        assert 0 < box <= work / (16 * 6) * 2
    else:
        assert box == 0
    assert multiply_adds.total(function) == (forward + backward) * work + box


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_gamma_box", "relative"])
def test_targets_share_all_but_the_way_back(preset):
    """Convolutions, denominators and the winners of pools are computed once, however many."""
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(keras.layers.MaxPooling2D()(y))
    model = keras.Model(x, keras.layers.Dense(4)(keras.layers.Flatten()(y)))
    explainer = lrpkeras.Analyzer(model, preset, input_range=(-1, 1), verify=False)._explainer
    one, two, four = (explainer.function("index", k, several=True).graph(1) for k in (1, 2, 4))
    way_back = multiply_adds.total(two) - multiply_adds.total(one)
    forward = 8 * 8 * 6 * 9 * 3 + 4 * 4 * 8 * 9 * 6 + 4 * 4 * 8 * 4
    assert 0 < way_back <= multiply_adds.total(one) - forward
    assert multiply_adds.total(four) == multiply_adds.total(one) + 3 * way_back
    pools = [op for op in four.graph.get_operations() if op.type == "MaxPoolGrad"]
    assert all(tuple(op.inputs[0].shape) == (1, 8, 8, 6) for op in pools)
    assert len(pools) == (preset != "relative")
