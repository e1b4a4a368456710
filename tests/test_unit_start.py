"""Where relevance starts, for every rule at the last layer, where the logit is negative.

With `initial="unit"`, evidence for a class (messages x w > 0 into its logit) is positive whatever
the sign of the logit [Gonzalez 2020]. The maps are those of the loop oracle, layer by layer.
"""

from collections.abc import Callable
from functools import cache, partial

import keras
import numpy as np
import oracle
import pytest
from explained import assert_close
from linear_layers import float64

import lrpkeras
from lrpkeras.presets import Preset
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Gamma, Power, Rule, WSquare, Zero, ZPlus

Signed = Callable[[np.ndarray, float], float]


def one(messages: np.ndarray, bias: float) -> float:
    """Shares are positive by themselves."""
    return 1.0


def of_sum(messages: np.ndarray, bias: float) -> float:
    return messages.sum() + bias


def of_plain_sum(messages: np.ndarray, bias: float) -> float:
    return messages.sum()


def of_raised_sum(messages: np.ndarray, bias: float) -> float:
    return messages.sum() + bias + 0.5 * (np.maximum(messages, 0).sum() + max(bias, 0))


def of_cubes(messages: np.ndarray, bias: float) -> float:
    return (messages**3).sum()


def modes(name: str, rule: type, formula: Callable, absorbed: Signed, ignored: Signed) -> dict:
    """A rule with its bias absorbed, ignored and distributed."""
    signs = {"absorb": absorbed, "ignore": ignored, "distribute": absorbed}
    return {
        f"{name}, {bias}": (rule(bias=bias), partial(formula, bias=bias), sign)
        for bias, sign in signs.items()
    }


# Rule, formula, and what has the sign of its denominators.
RULES: dict[str, tuple[Rule, Callable, Signed]] = {
    **modes("zero", Zero, oracle.zero, of_sum, of_plain_sum),
    **modes("epsilon", partial(Epsilon, 0.1), partial(oracle.epsilon, e=0.1), of_sum, of_plain_sum),
    **modes("gamma", partial(Gamma, 0.5), partial(oracle.gamma, g=0.5), of_sum, of_plain_sum),
    **modes("z plus", ZPlus, partial(oracle.alpha_beta, alpha=1, beta=0), one, one),
    **modes("alpha-beta", AlphaBeta, partial(oracle.alpha_beta, alpha=2, beta=1), one, one),
    "gamma, one formula": (
        Gamma(0.5, positive_only=True),
        partial(oracle.gamma, g=0.5, positive_only=True),
        of_raised_sum,
    ),
    "alpha 1, beta -1": (
        AlphaBeta(1, -1, conserve=False),
        partial(oracle.alpha_beta, alpha=1, beta=-1),
        one,
    ),
    "alpha 1, beta 1": (
        AlphaBeta(1, 1, conserve=False),
        partial(oracle.alpha_beta, alpha=1, beta=1),
        one,
    ),
    "power 2": (Power(2, 0.1), partial(oracle.power, p=2, e=0.1), one),
    "power 3": (Power(3, 0.1), partial(oracle.power, p=3, e=0.1), of_cubes),
    "w square": (WSquare(), oracle.w_square, one),
    "flat": (Flat(), oracle.flat, one),
    "box": (Box(-2, 2), lambda d, x: oracle.box(d, x, np.full(5, -2.0), np.full(5, 2.0)), one),
}

WEIGHTS = np.array(
    [[1.5, -1.0, 0.5], [-2.0, 0.5, 1.0], [0.5, 1.0, -0.5], [-1.5, -0.5, 2.0], [1.0, 1.5, 0.25]]
)
# With x > 0 the first two logits are negative. The first stays so without its bias, which is
# positive; the second is negative because of its bias alone.
BIAS = np.array([0.25, -4.0, 0.5])
X = np.array([[0.5, 1.0, 0.25, 1.0, 0.25], [-0.25, 0.75, 1.0, 1.25, 0.5]])
NEGATIVE = (0, 1)


@cache
def network(hidden: bool) -> keras.Model:
    with float64():
        inputs = keras.Input((5,), dtype="float64")
        x = inputs
        if hidden:
            x = keras.layers.Dense(5, activation="relu", name="hidden")(x)
        model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))
    if hidden:
        kernel = np.eye(5) + np.random.default_rng(0).normal(0, 0.1, (5, 5))
        model.get_layer("hidden").set_weights([kernel, np.linspace(-0.1, 0.1, 5)])
    model.get_layer("logits").set_weights([WEIGHTS, BIAS])
    return model


def head(target: int, initial: str) -> oracle.Dense:
    """The target's logit as a layer of one output; contrasted, its lead over the others' mean."""
    w, b = WEIGHTS[:, [target]], BIAS[[target]]
    if initial == "contrast":
        others = [j for j in range(3) if j != target]
        w = w - WEIGHTS[:, others].mean(axis=1, keepdims=True)
        b = b - BIAS[others].mean()
    return oracle.Dense(w, b)


def started(dense: oracle.Dense, x: np.ndarray, initial: str, signed: Signed) -> float:
    if initial != "unit":
        return dense.output(x).item()
    return 1.0 if signed(x * dense.w[:, 0], dense.b.item()) >= 0 else -1.0


def explained(name: str, hidden: bool, initial: str, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Relevance of the inputs, and of what the last layer reads."""
    rule = RULES[name][0]
    preset = Preset({"*": rule})
    analyzer = lrpkeras.Analyzer(network(hidden), preset, initial=initial, verify=False)
    result = analyzer.explain(X, target, layers=["hidden"] if hidden else None, verbose=0)
    return result.relevance, result.layers["hidden"] if hidden else result.relevance


@pytest.mark.parametrize("initial", ["logit", "unit", "contrast"])
@pytest.mark.parametrize("name", RULES)
def test_the_map_of_a_negative_logit_is_what_the_rule_says(name, initial):
    _, formula, signed = RULES[name]
    for target in NEGATIVE:
        assert (network(False)(X)[:, target] < 0).numpy().all()
        got, _ = explained(name, False, initial, target)
        dense = head(target, initial)
        for sample, x in enumerate(X):
            start = started(dense, x, initial, signed)
            assert_close(got[sample], formula(dense, x)[:, 0] * start)


@pytest.mark.slow
@pytest.mark.parametrize("initial", ["logit", "unit", "contrast"])
@pytest.mark.parametrize("name", [name for name in RULES if name != "box"])
def test_the_map_through_two_layers_is_what_the_rule_says(name, initial):
    _, formula, signed = RULES[name]
    weights, bias = network(True).get_layer("hidden").get_weights()
    first, dense = oracle.Dense(weights, bias), head(0, initial)
    got, at_hidden = explained(name, True, initial, 0)
    for sample, x in enumerate(X):
        h = np.maximum(first.output(x), 0)
        middle = formula(dense, h)[:, 0] * started(dense, h, initial, signed)
        assert_close(at_hidden[sample], middle)
        assert_close(got[sample], formula(first, x) @ middle)


@pytest.mark.parametrize(
    ("name", "hidden"),
    # The bounds of a box hold at the model's input alone.
    [
        (name, hidden)
        for name in RULES
        for hidden in (False, True)
        if not (hidden and name == "box")
    ],
)
def test_evidence_for_a_class_is_positive_from_a_unit_start(name, hidden):
    for target in NEGATIVE:
        if "distribute" in name and BIAS[target] < 0:
            continue  # Inputs get a part of a bias that speaks against the class.
        _, got = explained(name, hidden, "unit", target)
        model = network(hidden)
        reads = model.get_layer("hidden")(X).numpy() if hidden else X
        evidence = reads * WEIGHTS[:, target] > 0
        assert (model(X)[:, target] < 0).numpy().all()
        assert evidence.any(axis=1).all()
        assert (got[evidence] > 0).all()


@pytest.mark.parametrize("rule", [Zero(), Gamma(), ZPlus()])
def test_a_unit_start_behind_a_move_has_the_sign_of_the_output(rule):
    with float64():
        inputs = keras.Input((5,), dtype="float64")
        dense = keras.layers.Dense(3)
        model = keras.Model(inputs, keras.layers.Reshape((3, 1))(dense(inputs)))
    dense.set_weights([WEIGHTS, BIAS])
    factors = np.zeros((2, 3, 1))
    factors[:, 0] = 1
    moved = lrpkeras.Analyzer(model, Preset({"*": rule}), initial="unit")(X, factors)
    plain = lrpkeras.Analyzer(network(False), Preset({"*": rule}), initial="unit")(X, 0)
    assert_close(moved.numpy(), plain.numpy())
