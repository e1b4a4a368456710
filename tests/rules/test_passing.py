"""Activations and moves pass relevance on as it came; nets of every kind of node keep account."""

from functools import cache

import keras
import numpy as np
import oracle
import pytest
from explained import assert_close, rewritten, run
from keras import layers, ops
from linear_layers import float64, lazy, on_cpu, randomized

from lrpkeras import Analyzer, ledger
from lrpkeras.rules import AlphaBeta, Epsilon, Flat, Zero

ACTIVATIONS = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "sigmoid", "tanh",
    "softplus", "softsign", "exponential", "hard_sigmoid", "hard_silu", "hard_tanh", "mish",
    "log_sigmoid", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_relevance_passes_every_activation_unchanged(name):
    with float64():
        x = keras.Input((7, 1), dtype="float64")
        # Pooling over one value: a sigmoid at the very end would be stripped off.
        model = keras.Model(x, layers.MaxPooling1D(1)(layers.Activation(name)(x)))
    data = np.array([-7.0, -1.0, -0.2, 0.0, 0.3, 1.0, 7.0]).reshape(1, 7, 1)
    made = run(rewritten(model), {}, data, vanishes=False)
    start = np.random.default_rng(0).normal(size=(2, 1, 7, 1))
    assert_close(made.output, model(data).numpy(), 1e-12)
    assert np.array_equal(made.back(start)[0], start)
    assert_close(made.back(start, "ratio")[0], start * made.output, 1e-15)
    assert made.imbalance <= ledger.TOLERANCE["float64"]


def test_prelu_passes_relevance_unchanged_in_both_forms():
    with float64():
        x = keras.Input((3, 2), dtype="float64")
        model = randomized(keras.Model(x, layers.PReLU()(x)))
    data = np.random.default_rng(0).normal(size=(2, 3, 2))
    made = run(rewritten(model), {}, data, vanishes=False)
    start = np.random.default_rng(1).normal(size=(2, 2, 3, 2))
    assert np.array_equal(made.back(start)[0], start)
    assert_close(made.back(start, "ratio")[0], start * model(data).numpy(), 1e-15)


MOVES = {
    "flatten": (lazy(layers.Flatten), (2, 3)),
    "reshape": (lazy(layers.Reshape, (3, -1)), (2, 3, 2)),
    "permute": (lazy(layers.Permute, (3, 1, 2)), (2, 3, 4)),
    "repeat vector": (lazy(layers.RepeatVector, 3), (4,)),
    "zero padding 1d": (lazy(layers.ZeroPadding1D, (1, 2)), (3, 2)),
    "zero padding 2d": (lazy(layers.ZeroPadding2D, ((1, 0), (0, 2))), (2, 3, 2)),
    "zero padding 3d": (lazy(layers.ZeroPadding3D, 1), (1, 2, 1, 2)),
    "cropping 1d": (lazy(layers.Cropping1D, (1, 2)), (5, 2)),
    "cropping 2d": (lazy(layers.Cropping2D, ((1, 0), (0, 2))), (3, 4, 2)),
    "cropping 3d": (lazy(layers.Cropping3D, (1, 0, 0)), (3, 2, 1, 2)),
    "up-sampling 1d": (lazy(layers.UpSampling1D, 3), (2, 2)),
    "up-sampling 2d": (lazy(layers.UpSampling2D, (2, 3)), (2, 2, 2)),
    "up-sampling 3d": (lazy(layers.UpSampling3D, (1, 2, 1)), (2, 2, 1, 2)),
    "slice": (lambda: lambda x: x[:, 1:3], (4, 2)),
    "strided slice": (lambda: lambda x: x[:, ::2, :1], (5, 2)),
    "reversed": (lambda: lambda x: x[:, ::-1], (4, 2)),
    "one index": (lambda: lambda x: x[:, 1], (3, 2)),
    "transpose": (lambda: lambda x: ops.transpose(x, (0, 2, 1)), (3, 2)),
    "expand and squeeze": (lambda: lambda x: ops.squeeze(ops.expand_dims(x, 2), 2), (3, 2)),
    "take": (lambda: lambda x: ops.take(x, [2, 0, 2], axis=1), (4, 2)),
    "flip": (lambda: lambda x: ops.flip(x, axis=2), (2, 3)),
    "concatenate with itself": (lambda: lambda x: ops.concatenate([x, x], axis=-1), (2, 3)),
    "pad": (lambda: lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 2))), (2, 3)),
}


@pytest.mark.parametrize("name", MOVES)
def test_relevance_goes_back_the_way_that_its_value_came(name):
    # Every output is one input or a filled-in zero: the weights are 0 and 1, and the share is all.
    make, shape = MOVES[name]
    with float64():
        move = make()
        x = keras.Input(shape, dtype="float64")
        model = keras.Model(x, move(x))
    graph = rewritten(model)
    assert {node.kind for node in graph} <= {"Input", "Route", "Fork"}
    data = np.random.default_rng(0).normal(size=(2, *shape))
    made = run(graph, {}, data, vanishes=False)
    start = np.random.default_rng(1).normal(size=(2, *made.output.shape))
    weights = oracle.dense_of(on_cpu(model), shape).w
    expected = start.reshape(2, 2, -1) @ weights.T
    assert_close(made.back(start)[0].reshape(2, 2, -1), expected, 1e-15)
    filled = start.reshape(2, 2, -1) @ (1 - weights.sum(0))
    assert sum(made.sinks.values()) == pytest.approx(filled.sum())
    assert set(made.sinks) <= {"padding"}
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    expected = (start * made.output).reshape(2, 2, -1) @ weights.T
    assert_close(made.back(start, "ratio")[0].reshape(2, 2, -1), expected, 1e-15)


def test_concatenated_inputs_each_get_back_their_part():
    with float64():
        inputs = [keras.Input((2, n), dtype="float64") for n in (1, 3, 2)]
        model = keras.Model(inputs, layers.Concatenate()(inputs))
    data = [np.ones((1, 2, n)) for n in (1, 3, 2)]
    made = run(rewritten(model), {}, *data, vanishes=False)
    start = np.arange(12.0).reshape(1, 1, 2, 6)
    got = made.back(start)
    assert np.array_equal(np.concatenate(got, axis=-1), start)
    assert [r.shape[-1] for r in got] == [1, 3, 2]


@cache
def everything() -> keras.Model:
    """A net with a node of every kind, normalizations folded every way, and a sum that cancels."""
    with float64():
        x = keras.Input((6, 6, 2), dtype="float64", name="image")
        a = layers.Conv2D(4, 3, padding="same")(x)
        a = layers.ReLU()(layers.BatchNormalization()(a))
        b = layers.BatchNormalization()(layers.MaxPooling2D(2)(a))
        b = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(b))
        c = layers.SeparableConv2D(4, 2, strides=2, padding="same")(layers.ZeroPadding2D(1)(a))
        c = layers.Cropping2D(((0, 1), (0, 1)))(c)
        y = layers.Add()([b, c, layers.AveragePooling2D(2)(a)])
        y = layers.LeakyReLU()(layers.BatchNormalization()(y))
        y = layers.Maximum()([y, layers.Conv2D(4, 1)(y)])
        gate = layers.Dense(4, activation="sigmoid")(
            layers.GlobalAveragePooling2D(keepdims=True)(y)
        )
        y = layers.Multiply()([y, gate])
        y = layers.Subtract()([y, y])[:, :2] + layers.UpSampling2D((2, 1))(y[:, 1:2])
        y = layers.Conv2DTranspose(3, 2, strides=2, activation="gelu")(y)
        y = layers.Dense(5, activation="relu")(layers.Flatten()(y))
        return randomized(keras.Model(x, layers.Dense(3)(y)))


PRESETS = [
    "zero", "epsilon", "z_plus", "alpha1_beta0", "alpha2_beta1", "epsilon_plus",
    "epsilon_plus_flat", "epsilon_plus_box", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat",
    "gradient", "input_x_gradient",
]  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "input_range"),
    [
        *((preset, (-4, 4)) for preset in PRESETS),
        *((preset, (0, 4)) for preset in ("z_plus", "alpha2_beta1", "epsilon_plus_box")),
    ],
)
def test_the_ledger_closes_at_every_kind_of_node(preset, input_range):
    model = everything()
    x = np.random.default_rng(0).uniform(*input_range, (2, 6, 6, 2))
    analyzer = Analyzer(model, preset, input_range=input_range, verify=False)
    check = analyzer.check(x)
    assert check.closes, check
    assert check.fidelity < 1e-12
    kinds = {entry.kind for entry in check.entries}
    assert kinds >= {"Linear", "Activation", "MaxPool", "AveragePool", "Route", "Fork"}
    assert kinds >= {"Sum", "Extremum", "Product"}
    # Presets of gradients fold nothing.
    assert ("Gate" in kinds) == (analyzer.preset.seed == "relevance")
    # What went in came out, or went to a sink that says so.
    rest = check.start - check.inputs - sum(check.sinks.values())
    assert abs(rest) <= 1e-9 * sum(abs(e.incoming) + abs(e.outgoing) for e in check.entries)


@pytest.mark.parametrize("rule", [Zero(), Epsilon(0.1), AlphaBeta(2, 1), Flat()], ids=str)
def test_relevance_is_the_same_in_whatever_form_it_starts(rule):
    model = everything()
    x = np.random.default_rng(0).uniform(-4, 4, (2, 6, 6, 2))
    made = run(rewritten(model), rule, x)
    factors = np.random.default_rng(1).normal(size=(2, 2, 3))
    as_ratio = made.back(factors, "ratio")[0]
    assert_close(made.back(factors * made.output)[0], as_ratio, 1e-9)
