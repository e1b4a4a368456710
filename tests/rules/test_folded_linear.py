"""Rules on linear layers that a normalization was folded into, as a vector, a map or a gate.

A gate leaves the layer linear in m x, m = 1[s x + t > 0], with weights `s_i w_ij` and the bias
`b_j + sum_i w_ij m_i t_i`: relu(s x + t) = s m x + m t. The oracle works on exactly these.
"""

from collections.abc import Callable, Iterable
from functools import partial

import keras
import numpy as np
import oracle
import pytest
from explained import assert_close, linear_nodes, rewritten, run
from keras import layers
from linear_layers import float64, lazy, randomized

from lrpkeras import ledger
from lrpkeras.graph.nodes import Gate, Linear
from lrpkeras.rules import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Power,
    Rule,
    WSquare,
    Zero,
    ZPlus,
)

RULES: dict[str, tuple[Rule, Callable]] = {
    "zero": (Zero(), oracle.zero),
    "epsilon": (Epsilon(0.1), lambda d, x: oracle.epsilon(d, x, 0.1)),
    "z+": (ZPlus(), lambda d, x: oracle.alpha_beta(d, x, 1, 0)),
    "alpha 2, beta 1": (AlphaBeta(2, 1), lambda d, x: oracle.alpha_beta(d, x, 2, 1)),
    "gamma": (Gamma(0.5), lambda d, x: oracle.gamma(d, x, 0.5)),
    "w square": (WSquare(), oracle.w_square),
    "power": (Power(3, 0.1), lambda d, x: oracle.power(d, x, 3, 0.1)),
    "gradient": (Gradient(), oracle.gradient),
}
for mode in ("ignore", "distribute"):
    RULES |= {
        f"zero, {mode}": (Zero(bias=mode), partial(oracle.zero, bias=mode)),
        f"epsilon, {mode}": (Epsilon(0.1, bias=mode), partial(oracle.epsilon, e=0.1, bias=mode)),
        f"z+, {mode}": (ZPlus(bias=mode), partial(oracle.alpha_beta, alpha=1, beta=0, bias=mode)),
        f"alpha-beta, {mode}": (
            AlphaBeta(2, 1, bias=mode),
            partial(oracle.alpha_beta, alpha=2, beta=1, bias=mode),
        ),
        f"gamma, {mode}": (Gamma(0.5, bias=mode), partial(oracle.gamma, g=0.5, bias=mode)),
    }

# What stands between the normalization (and its ReLU) and the end; the last layer is linear.
BEHIND: dict[str, tuple[list[Callable], tuple[int, ...]]] = {
    "dense": ([lazy(layers.Dense, 4)], (6,)),
    "conv that pads": ([lazy(layers.Conv2D, 3, 3, padding="same")], (4, 3, 4)),
    "conv that does not": ([lazy(layers.Conv2D, 3, 2)], (3, 4, 4)),
    "strided": ([lazy(layers.Conv2D, 2, 3, strides=2, padding="same")], (5, 4, 4)),
    "grouped": ([lazy(layers.Conv2D, 4, 2, groups=2, padding="same")], (3, 3, 4)),
    "depthwise": ([lazy(layers.DepthwiseConv2D, 2, depth_multiplier=2, padding="same")], (3, 3, 4)),
    "transposed": ([lazy(layers.Conv2DTranspose, 2, 3, strides=2, padding="same")], (2, 3, 4)),
    "conv1d": ([lazy(layers.Conv1D, 3, 3, padding="causal")], (5, 4)),
    "padding": (
        [lazy(layers.ZeroPadding2D, ((1, 0), (0, 2))), lazy(layers.Conv2D, 2, 2)],
        (2, 3, 4),
    ),
    "cropping": (
        [lazy(layers.Cropping2D, 1), lazy(layers.Conv2D, 3, 2, padding="same")],
        (4, 5, 4),
    ),
    "average pooling": ([lazy(layers.AveragePooling2D, 2), lazy(layers.Conv2D, 3, 1)], (4, 4, 4)),
    "global average": ([lazy(layers.GlobalAveragePooling2D), lazy(layers.Dense, 3)], (3, 2, 4)),
    "flatten": ([lazy(layers.Flatten), lazy(layers.Dense, 3)], (2, 2, 4)),
}

UNPOOLED = [name for name in BEHIND if "average" not in name]


def places(names: Iterable[str]) -> list[tuple[str, bool]]:
    """All layers behind signed inputs, and a few behind inputs known not to be negative."""
    few = ("dense", "conv that pads", "transposed", "average pooling")
    return [*((name, False) for name in names), *((name, True) for name in few if name in names)]


def normalized(name: str, *, relu: bool, positive: bool) -> tuple[keras.Model, dict]:
    """BN, perhaps a ReLU, then the layers of the table; gammas of both signs, and one zero.

    `positive` puts a ReLU before the normalization, so that its input is known not to be negative.
    """
    makers, shape = BEHIND[name]
    with float64():
        x = keras.Input(shape, dtype="float64")
        norm, path = layers.BatchNormalization(name="norm"), [make() for make in makers]
        y = norm(layers.ReLU(name="source")(x) if positive else x)
        y = layers.ReLU(name="gate")(y) if relu else y
        for layer in path:
            y = layer(y)
        model = keras.Model(x, y)
    randomized(model)
    gamma = norm.gamma.numpy()
    gamma[:3] = abs(gamma[0]), -abs(gamma[1]), 0.0
    norm.gamma.assign(gamma)
    return model, {"norm": norm, "path": path, "shape": shape}


def samples(shape: tuple[int, ...], positive: bool) -> np.ndarray:
    x = np.random.default_rng(1).normal(0, 1.5, (2, *shape))
    return np.maximum(x, 0) if positive else x


def through(path: list[keras.Layer]) -> Callable:
    def call(x: np.ndarray) -> np.ndarray:
        for layer in path:
            x = keras.ops.convert_to_numpy(layer(x))
        return x

    return call


def scale_and_shift(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    variance, mean = norm.moving_variance.numpy(), norm.moving_mean.numpy()
    s = norm.gamma.numpy() / np.sqrt(variance + norm.epsilon)
    return s, norm.beta.numpy() - mean * s


def gated(parts: dict, x: np.ndarray) -> tuple[oracle.Dense, np.ndarray]:
    """The last layer as it is behind the gate at one sample, and what it reads there."""
    s, t = scale_and_shift(parts["norm"])
    *before, end = parts["path"]
    if before and isinstance(before[0], layers.ZeroPadding2D):
        # The convolution takes the padding over: it reads what comes before.
        before, end = [], through(parts["path"])
    opened = (s * x + t > 0) * 1.0
    carried = through(before)((opened * x)[None])[0]
    scale = through(before)(np.broadcast_to(s, (1, *x.shape)))[0]
    plain = oracle.dense_of(end, carried.shape)
    shift = through(before)((opened * t)[None])[0].ravel()
    w, b = scale.ravel()[:, None] * plain.w, plain.b + shift @ plain.w
    return oracle.Dense(w, b, plain.w), carried


@pytest.mark.parametrize(("name", "positive"), places(BEHIND))
def test_rules_behind_a_gate_see_the_scaled_weights_and_the_open_shifts(name, positive):
    model, parts = normalized(name, relu=True, positive=positive)
    graph = rewritten(model)
    assert any(isinstance(node, Gate) for node in graph)
    (node,) = linear_nodes(graph)
    x = samples(parts["shape"], positive)
    relevance = np.random.default_rng(3).normal(0, 1, (1, *model(x).shape))
    source = node.inputs[0]
    seen = [gated(parts, sample) for sample in x]
    for rule, formula in RULES.values():
        made = run(graph, rule, x, vanishes=False)
        assert_close(made.output, model(x).numpy(), 1e-13)
        got = made.back(relevance, layers=(source,))[1][0]
        for index, (dense, carried) in enumerate(seen):
            expected = formula(dense, carried.ravel()) @ relevance[0, index].ravel()
            assert_close(got[index].ravel(), expected)
        assert made.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("name", ["dense", "conv that pads", "transposed"])
def test_rules_behind_a_gate_take_their_cheaper_ways_where_a_relu_closes(name):
    model, parts = normalized(name, relu=True, positive=False)
    closing = keras.Model(model.input, layers.ReLU(dtype="float64")(model.output))
    graph, x = rewritten(closing), samples(parts["shape"], positive=False)
    relevance = np.random.default_rng(3).normal(0, 1, (1, *model(x).shape))
    for key in ("z+", "z+, ignore", "z+, distribute", "gamma", "gamma, ignore"):
        rule, formula = RULES[key]
        made = run(graph, rule, x)
        (node,) = linear_nodes(made.program.graph)
        assert node.facts.closed
        assert node.base_kernel is not None
        got = made.back(relevance, "ratio", layers=(node.inputs[0],))[1][0]
        for index, sample in enumerate(x):
            dense, carried = gated(parts, sample)
            start = relevance[0, index].ravel() * closing(x)[index].numpy().ravel()
            assert_close(got[index].ravel(), formula(dense, carried.ravel()) @ start)
        assert made.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("name", UNPOOLED)
def test_relevance_passes_an_open_gate_unchanged_and_none_comes_through_a_closed_one(name):
    model, parts = normalized(name, relu=True, positive=False)
    graph = rewritten(model)
    x = samples(parts["shape"], positive=False)
    s, t = scale_and_shift(parts["norm"])
    closed = s * x + t <= 0
    assert closed.any()
    (gate,) = [node for node in graph if isinstance(node, Gate)]
    relevance = np.random.default_rng(3).normal(0, 1, (1, *model(x).shape))
    for rule in (Zero(), Epsilon(), ZPlus(), AlphaBeta(2, 1)):
        got, at_gate = run(graph, rule, x, vanishes=False).back(relevance, layers=(gate.name,))
        assert np.array_equal(got, at_gate)
        assert not got[0][closed].any()
        assert got[0][~closed].any()


def test_flat_counts_the_weights_of_a_channel_that_its_normalization_scales_to_zero():
    model, _ = normalized("dense", relu=True, positive=False)
    x = samples((6,), positive=False)
    made = run(rewritten(model), Flat(), x, vanishes=False)
    got = made.back(np.ones((1, 2, 4)))[0]
    assert_close(got, np.full((1, 2, 6), 4 / 6))


@pytest.mark.parametrize(("name", "positive"), places(UNPOOLED))
def test_rules_behind_a_folded_normalization_see_one_linear_map(name, positive):
    # Without a ReLU, normalization and linear layer are one affine map; where the layer pads, its
    # bias is a map. The oracle probes the two together.
    model, parts = normalized(name, relu=False, positive=positive)
    graph = rewritten(model)
    (node,) = linear_nodes(graph)
    assert isinstance(node, Linear)
    dense = oracle.dense_of(through([parts["norm"], *parts["path"]]), parts["shape"])
    windows = oracle.dense_of(through(parts["path"]), parts["shape"]).w
    dense = oracle.Dense(dense.w, dense.b, windows)
    x = samples(parts["shape"], positive)
    relevance = np.random.default_rng(3).normal(0, 1, (1, *model(x).shape))
    for rule, formula in RULES.values():
        made = run(graph, rule, x, vanishes=False)
        (got,) = made.back(relevance)
        expected = [
            formula(dense, sample.ravel()) @ r.ravel()
            for sample, r in zip(x, relevance[0], strict=True)
        ]
        assert_close(got[0], np.reshape(expected, x.shape))
        assert made.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("scale", [1 / 2, -1 / 2, [0.5, -0.25]])
def test_box_bounds_are_in_units_of_the_model_input_also_behind_rescaling_and_padding(scale):
    with float64():
        x = keras.Input((3, 4, 2), dtype="float64")
        rescale, conv = layers.Rescaling(scale, offset=0.3), layers.Conv2D(3, 2, padding="same")
        model = keras.Model(x, conv(layers.ZeroPadding2D(1)(rescale(x))))
    randomized(model)
    low, high = np.array([-1.0, -2.0]), np.array([3.0, 2.0])
    data = np.random.default_rng(0).uniform(-1, 2, (2, 3, 4, 2))
    made = run(rewritten(model), Box(low, high), data, vanishes=False)
    relevance = np.random.default_rng(3).normal(0, 1, (1, *model(data).shape))
    (got,) = made.back(relevance)
    scaled = rescale(data).numpy()
    ends = [rescale(np.broadcast_to(end, (1, 3, 4, 2))).numpy().ravel() for end in (low, high)]
    low, high = np.minimum(*ends), np.maximum(*ends)
    dense = oracle.dense_of(through([layers.ZeroPadding2D(1), conv]), (3, 4, 2))
    expected = [
        oracle.box(dense, sample.ravel(), low, high) @ r.ravel()
        for sample, r in zip(scaled, relevance[0], strict=True)
    ]
    assert_close(got[0], np.reshape(expected, data.shape))


@pytest.mark.parametrize("rule", RULES)
def test_a_separable_convolution_takes_its_rule_twice(rule):
    rule, formula = RULES[rule]
    with float64():
        x = keras.Input((4, 3, 2), dtype="float64")
        layer = layers.SeparableConv2D(3, 2, depth_multiplier=2, padding="same", strides=2)
        model = keras.Model(x, layer(x))
        depthwise = layers.DepthwiseConv2D(
            2, depth_multiplier=2, padding="same", strides=2, use_bias=False
        )
        pointwise = layers.Conv2D(3, 1)
    randomized(model)
    data = samples((4, 3, 2), positive=False)
    middle = depthwise(data).shape
    pointwise.build(middle)
    depthwise.set_weights([layer.depthwise_kernel])
    pointwise.set_weights([layer.pointwise_kernel, layer.bias])
    first, second = (
        oracle.dense_of(depthwise, data.shape[1:]),
        oracle.dense_of(pointwise, middle[1:]),
    )
    relevance = np.random.default_rng(3).normal(0, 1, (1, *model(data).shape))
    (got,) = run(rewritten(model), rule, data, vanishes=False).back(relevance)
    for index, sample in enumerate(data):
        hidden = formula(second, first.output(sample.ravel())) @ relevance[0, index].ravel()
        expected = formula(first, sample.ravel()) @ hidden
        assert_close(got[0, index].ravel(), expected)
