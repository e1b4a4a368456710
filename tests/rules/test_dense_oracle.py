"""Every rule on every kind of linear layer against loops over inputs and outputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import keras
import numpy as np
import oracle
import pytest
from explained import Run, assert_close, linear_nodes, rewritten, run
from linear_layers import LAYERS, built, float64, on_cpu

from lrpkeras import ledger
from lrpkeras.errors import RuleError
from lrpkeras.graph.graph import Graph
from lrpkeras.rules import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Identity,
    Power,
    Rule,
    WSquare,
    Zero,
    ZPlus,
)

Formula = Callable[..., np.ndarray]
Table = dict[str, tuple[Rule, Formula]]


def bias_modes(table: Table) -> Table:
    """Every rule with its bias absorbed, ignored and distributed."""
    return {
        f"{name}, {bias}": (replace(rule, bias=bias), partial(formula, bias=bias))
        for name, (rule, formula) in table.items()
        for bias in ("absorb", "ignore", "distribute")
    }


# The rules that take a cheaper way where a ReLU behind them closes.
CHEAPER: Table = {
    "z plus": (ZPlus(), partial(oracle.alpha_beta, alpha=1, beta=0)),
    "gamma 0.25": (Gamma(), partial(oracle.gamma, g=0.25)),
    "gamma 3, one formula": (
        Gamma(3, positive_only=True),
        partial(oracle.gamma, g=3, positive_only=True),
    ),
}

BIASED: Table = {
    **CHEAPER,
    "zero": (Zero(), oracle.zero),
    "epsilon": (Epsilon(0.1), partial(oracle.epsilon, e=0.1)),
    "alpha 2, beta 1": (AlphaBeta(2, 1), partial(oracle.alpha_beta, alpha=2, beta=1)),
    "alpha 0, beta 1": (
        AlphaBeta(0, 1, conserve=False),
        partial(oracle.alpha_beta, alpha=0, beta=1),
    ),
}

RULES: Table = {
    **bias_modes(BIASED),
    "alpha 0.5, beta -0.5": (
        AlphaBeta(0.5, -0.5),
        partial(oracle.alpha_beta, alpha=0.5, beta=-0.5),
    ),
    "alpha 1, beta 1": (
        AlphaBeta(1, 1, conserve=False),
        partial(oracle.alpha_beta, alpha=1, beta=1),
    ),
    "gamma 0": (Gamma(0), oracle.zero),
    "w square": (WSquare(), oracle.w_square),
    "power 2": (Power(2, 0.1), partial(oracle.power, p=2, e=0.1)),
    "power 3": (Power(3, 0.1), partial(oracle.power, p=3, e=0.1)),
    "flat": (Flat(), oracle.flat),
    "gradient": (Gradient(), oracle.gradient),
}


@dataclass(frozen=True)
class Case:
    """A layer in a model of its own, three samples, and relevance for two targets."""

    name: str
    shape: tuple[int, ...]
    dense: oracle.Dense
    graph: Graph
    x: np.ndarray
    y: np.ndarray
    relevance: np.ndarray

    def shares(self, formula: Formula) -> np.ndarray:
        """`(batch, inputs, outputs)`."""
        return np.array([formula(self.dense, sample.ravel()) for sample in self.x])

    def back(self, shares: np.ndarray, relevance: np.ndarray) -> np.ndarray:
        """`R_i = sum_j s_ij R_j` for every target and sample."""
        flat = relevance.reshape(*relevance.shape[:2], -1)
        return np.einsum("bij,kbj->kbi", shares, flat).reshape(len(relevance), *self.x.shape)


@cache
def case(name: str, *, non_negative: bool, closed: bool = False) -> Case:
    layer, shape = built(name)
    call = on_cpu(layer)
    with float64():
        inputs = keras.Input(shape, dtype="float64")
        output = keras.layers.ReLU()(layer(inputs)) if closed else layer(inputs)
        model = keras.Model(inputs, output)
    graph = rewritten(model, (0, 1) if non_negative else None)
    x = samples(shape, non_negative)
    y = keras.ops.convert_to_numpy(call(x))
    y = np.maximum(y, 0) if closed else y
    relevance = np.random.default_rng(9).normal(0, 1, (2, *y.shape))
    return Case(name, shape, oracle.dense_of(call, shape), graph, x, y, relevance)


def samples(shape: tuple[int, ...], non_negative: bool) -> np.ndarray:
    """Three samples in [0, 1] or around 0; some entries are exactly zero, and all of the last."""
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, (3, *shape)) if non_negative else rng.uniform(-2, 2, (3, *shape))
    x[rng.random(x.shape) < 0.2] = 0
    x[-1] = 0
    return x


def assert_agrees(made: Run, known: Case, formula: Formula) -> None:
    """Relevance of both signs goes in: any, and as a ratio, which vanishes with the output.

    Both ways the ledger must close: what does not come back went where the rule says.
    """
    shares = known.shares(formula)
    assert_close(made.output, known.y, 1e-13)
    (got,) = made.back(known.relevance)
    assert_close(got, known.back(shares, known.relevance))
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    (got,) = made.back(known.relevance, "ratio")
    assert_close(got, known.back(shares, known.relevance * known.y))
    assert made.imbalance <= ledger.TOLERANCE["float64"]


SIGNS = [
    pytest.param(False, id="signed"),
    pytest.param(True, id="non-negative", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("non_negative", SIGNS)
@pytest.mark.parametrize("name", LAYERS)
def test_rules_follow_their_papers_on_every_linear_layer(name, non_negative):
    known = case(name, non_negative=non_negative)
    (node,) = linear_nodes(known.graph)
    assert node.facts.signed != non_negative
    for rule, formula in RULES.values():
        assert_agrees(run(known.graph, rule, known.x, vanishes=False), known, formula)


@pytest.mark.slow
@pytest.mark.parametrize("non_negative", [False, True], ids=["signed", "non-negative"])
@pytest.mark.parametrize("name", LAYERS)
def test_rules_are_the_same_behind_a_relu_where_they_take_a_cheaper_way(name, non_negative):
    known = case(name, non_negative=non_negative, closed=True)
    for rule, formula in bias_modes(CHEAPER).values():
        made = run(known.graph, rule, known.x)
        (node,) = linear_nodes(made.program.graph)
        assert node.facts.closed
        expected = known.back(known.shares(formula), known.relevance * known.y)
        for start, form in ((known.relevance, "ratio"), (known.relevance * known.y, "R")):
            assert_close(made.back(start, form)[0], expected)
            assert made.imbalance <= ledger.TOLERANCE["float64"]


def bounds(
    shape: tuple[int, ...], kind: str, channels_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds around [-2, 2]: one for all, one per channel, one per entry."""
    rng = np.random.default_rng(2)
    channels = (shape[0], *(1,) * (len(shape) - 1)) if channels_first else shape[-1:]
    sizes = {"scalar": (), "per channel": channels, "full": shape}[kind]
    return -2 - rng.random(sizes), 2 + rng.random(sizes)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "full") for name in LAYERS if "norm" not in name),
        *((name, "scalar") for name in ("dense", "conv2d same", "transpose2d same")),
        *((name, "per channel") for name in ("dense", "conv2d same", "conv2d channels first")),
    ],
)
def test_box_follows_its_paper_on_every_linear_layer(name, kind):
    known = case(name, non_negative=False)
    low, high = bounds(known.shape, kind, "channels first" in name)
    ends = [np.broadcast_to(end, known.shape).ravel() for end in (low, high)]
    made = run(known.graph, Box(low, high), known.x, vanishes=False)
    assert_agrees(made, known, lambda d, x: oracle.box(d, x, *ends))


@pytest.mark.parametrize("name", [name for name in LAYERS if "norm" in name])
def test_box_passes_relevance_through_an_affine_layer_unchanged(name):
    # One input an output: numerator and denominator are the same.
    known = case(name, non_negative=False)
    made = run(known.graph, Box(-3, 3), known.x, vanishes=False)
    assert_agrees(made, known, lambda d, x: np.eye(x.size))


@pytest.mark.parametrize("name", LAYERS)
def test_identity_passes_relevance_unchanged_where_the_shapes_agree(name):
    known = case(name, non_negative=False)
    if known.x.shape != known.y.shape:
        with pytest.raises(RuleError, match="differ"):
            run(known.graph, Identity(), known.x)
        return
    made = run(known.graph, Identity(), known.x, vanishes=False)
    assert_agrees(made, known, lambda d, x: np.eye(x.size))


@pytest.mark.parametrize("name", LAYERS)
def test_as_matrix_is_what_the_layer_does_to_unit_vectors(name):
    known = case(name, non_negative=False)
    (node,) = linear_nodes(known.graph)
    assert_close(node.as_matrix(known.shape), known.dense.w, 1e-13)
