"""Every rule on every kind of linear layer against loops over inputs and outputs."""

from collections.abc import Callable

import keras
import numpy as np
import oracle
import pytest
from explained import Explained, assert_close, explained, linear_nodes, rewritten
from linear_layers import LAYERS, built, float64, randomized

from lrpkeras.graph.nodes import Affine
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Gradient, Rule, Zero, ZPlus

TARGETS = 2

# The relevance that goes in, the sign of the input, and whether a ReLU closes the output.
PLACES = {
    "signed": (False, False),
    "non-negative": (True, False),
    "signed, closed": (False, True),
    "non-negative, closed": (True, True),
}

RULES: dict[str, tuple[Rule, Callable]] = {
    "zero": (Zero(), oracle.zero),
    "epsilon": (Epsilon(0.1), lambda d, x, r: oracle.epsilon(d, x, r, 0.1)),
    "z plus": (ZPlus(), lambda d, x, r: oracle.alpha_beta(d, x, r, 1, 0)),
    "alpha 1 beta 0": (AlphaBeta(1, 0), lambda d, x, r: oracle.alpha_beta(d, x, r, 1, 0)),
    "alpha 2 beta 1": (AlphaBeta(2, 1), lambda d, x, r: oracle.alpha_beta(d, x, r, 2, 1)),
    "alpha 0.5 beta -0.5": (
        AlphaBeta(0.5, -0.5),
        lambda d, x, r: oracle.alpha_beta(d, x, r, 0.5, -0.5),
    ),
    "flat": (Flat(), oracle.flat),
    "gradient": (Gradient(), oracle.gradient),
}


def samples(shape: tuple[int, ...], non_negative: bool) -> np.ndarray:
    """Three samples in [0, 1] or around 0, some entries exactly zero, the last one all zero."""
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, (3, *shape)) if non_negative else rng.normal(0, 1, (3, *shape))
    x[rng.random(x.shape) < 0.2] = 0
    x[-1] = 0
    return x


def around(layer: keras.Layer, shape: tuple[int, ...], closed: bool) -> keras.Model:
    with float64():
        x = keras.Input(shape, dtype="float64")
        y = layer(x)
        return keras.Model(x, keras.layers.ReLU()(y) if closed else y)


def by_loops(layer, shape, x: np.ndarray, relevance: np.ndarray, rule: Callable) -> np.ndarray:
    """The oracle for every target and sample; `relevance` is `(k, batch, ...)`."""
    dense = oracle.dense_of(layer, shape)
    rows = [
        [rule(dense, a.reshape(-1), r.reshape(-1)).reshape(shape) for a, r in zip(x, target)]
        for target in relevance
    ]
    return np.array(rows)


def run(name: str, place: str, rule: Rule, form: str) -> tuple[Explained, np.ndarray, tuple]:
    layer, shape = built(name)
    non_negative, closed = PLACES[place]
    model = around(layer, shape, closed)
    x = samples(shape, non_negative)
    rng = np.random.default_rng(9)
    start = rng.normal(0, 1, (TARGETS, 3, *model.output_shape[1:]))
    if closed and form == "R":
        # What a ReLU gets from the rules above vanishes where it is closed.
        start = start * keras.ops.convert_to_numpy(model(x))
    input_range = (0, 1) if non_negative else None
    result = explained(model, rule, x, start, form, input_range)
    assert_close(result.output, keras.ops.convert_to_numpy(model(x)), 1e-13)
    return result, x, (layer, shape)


@pytest.mark.parametrize("form", ["R", "ratio"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", LAYERS)
def test_rules_agree_with_their_papers_on_every_linear_layer(name, place, form):
    for rule, formula in RULES.values():
        result, x, (layer, shape) = run(name, place, rule, form)
        assert_close(result.inputs[0], by_loops(layer, shape, x, result.start, formula))
