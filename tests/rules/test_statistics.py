"""Normalizations by statistics of the sample, against their definitions and detached gradients."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64, randomized

from lrpkeras import Analyzer, backend, ledger, presets
from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import Affine, Normalize, Route
from lrpkeras.presets import registry
from lrpkeras.rules import Detach, Epsilon, Gradient, Identity

# The package's own: examples in docstrings register others.
NAMES = presets.names()

SHAPE = (3, 4, 6)


def layer_norm(x, hold):
    """By its definition; `hold` is what becomes of a statistic that may be held constant."""
    mean = tf.reduce_mean(x, axis=(1, 2), keepdims=True)
    variance = tf.reduce_mean((x - mean) ** 2, axis=(1, 2), keepdims=True)
    return (x - hold["mean"](mean)) / hold["scale"](tf.sqrt(variance + 1e-3))


def instance_norm(x, hold):
    mean = tf.reduce_mean(x, axis=1, keepdims=True)
    variance = tf.reduce_mean((x - mean) ** 2, axis=1, keepdims=True)
    return (x - hold["mean"](mean)) / hold["scale"](tf.sqrt(variance + 1e-3))


def group_norm(x, hold):
    """Two groups of three channels."""
    x = tf.reshape(x, (-1, 4, 2, 3))
    mean = tf.reduce_mean(x, axis=(1, 3), keepdims=True)
    variance = tf.reduce_mean((x - mean) ** 2, axis=(1, 3), keepdims=True)
    y = (x - hold["mean"](mean)) / hold["scale"](tf.sqrt(variance + 1e-3))
    return tf.reshape(y, (-1, 4, 6))


def rms_norm(x, hold):
    return x / hold["scale"](tf.sqrt(tf.reduce_mean(x**2, axis=-1, keepdims=True) + 1e-7))


def unit_norm(x, hold):
    return x / hold["scale"](tf.sqrt(tf.reduce_sum(x**2, axis=-1, keepdims=True)))


PLAIN = {"center": False, "scale": False}
CASES = {
    "layer": (lambda: layers.LayerNormalization(axis=(1, 2), **PLAIN), layer_norm),
    "instance": (lambda: layers.GroupNormalization(-1, **PLAIN), instance_norm),
    "group": (lambda: layers.GroupNormalization(2, **PLAIN), group_norm),
    "rms": (lambda: keras.ops.rms_normalization, rms_norm),
    "unit": (lambda: layers.UnitNormalization(), unit_norm),
}
FREE = {"mean": tf.identity, "scale": tf.identity}
HELD = {"mean": tf.stop_gradient, "scale": tf.stop_gradient}
SCALE_HELD = {"mean": tf.identity, "scale": tf.stop_gradient}


def made(name: str, rule, x: np.ndarray):
    with float64():
        inputs = keras.Input(SHAPE[1:], dtype="float64")
        model = keras.Model(inputs, CASES[name][0]()(inputs))
    return run(rewritten(model), {"Normalize": rule}, x, vanishes=False)


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, shape)


def sent_back(function, x: np.ndarray, start: np.ndarray, hold) -> np.ndarray:
    """The vector-Jacobian product of a definition, some of its parts held constant."""
    tensor = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensor)
        y = function(tensor, hold)
    parts = [tape.gradient(y, tensor, output_gradients=tf.constant(s)) for s in start]
    return np.stack([backend.to_numpy(part) for part in parts])


@pytest.mark.parametrize("form", ["R", "ratio"])
@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_vector_jacobian_product(name, form):
    x, start = random(1, *SHAPE), random(2, 2, *SHAPE)
    explained = made(name, Gradient(), x)
    sent = start * explained.output if form == "ratio" else start
    expected = sent_back(CASES[name][1], x, sent, FREE)
    assert_close(explained.back(start, form)[0], expected)


@pytest.mark.parametrize("form", ["R", "ratio"])
@pytest.mark.parametrize("name", CASES)
def test_detach_shares_by_the_centred_values(name, form):
    x, start = random(1, *SHAPE), random(2, 2, *SHAPE)
    explained = made(name, Detach(0.02), x)
    y = backend.to_numpy(CASES[name][1](tf.constant(x), FREE))
    assert_close(explained.output, y)
    relevance = start * y if form == "ratio" else start
    assert_close(explained.back(start, form)[0], relevance * np.abs(y) / (np.abs(y) + 0.02))
    assert explained.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("form", ["R", "ratio"])
@pytest.mark.parametrize("name", CASES)
def test_detach_with_a_linear_mean_is_input_times_the_detached_gradient(name, form):
    """Ali et al. 2022: relevance is x * gradient of the function in which s is a constant."""
    x, start = random(1, *SHAPE), random(2, 2, *SHAPE)
    explained = made(name, Detach(1e-14, "linear"), x)
    sent = start if form == "ratio" else start / explained.output
    expected = x * sent_back(CASES[name][1], x, sent, SCALE_HELD)
    assert_close(explained.back(start, form)[0], expected)


@pytest.mark.parametrize("rule", [Detach(), Detach(mean="linear"), Detach(0.3, "linear")])
@pytest.mark.parametrize("name", CASES)
def test_detach_conserves_all_but_what_epsilon_takes(name, rule):
    x, start = random(1, *SHAPE), random(2, 2, *SHAPE)
    explained = made(name, rule, x)
    (got,) = explained.back(start)
    y = explained.output
    kept = start * np.abs(y) / (np.abs(y) + rule.epsilon)
    assert got.sum(axis=(2, 3)) == pytest.approx(kept.sum(axis=(2, 3)), abs=1e-10)
    assert explained.imbalance <= ledger.TOLERANCE["float64"]
    assert set(explained.sinks) <= {"epsilon"}
    assert sum(explained.sinks.values()) == pytest.approx((start - kept).sum())


@pytest.mark.parametrize("name", CASES)
def test_detach_never_amplifies_and_gives_nothing_to_what_becomes_zero(name):
    x = random(1, *SHAPE)
    x[0] = 0.25
    x[1, 0] = 0
    explained = made(name, Detach(1e-9), x)
    start = random(2, 1, *SHAPE)
    (got,) = explained.back(start)
    assert (np.abs(got) <= np.abs(start)).all()
    assert (explained.output == 0).any()
    assert not got[0][explained.output == 0].any()


@pytest.mark.parametrize("form", ["R", "ratio"])
@pytest.mark.parametrize("name", CASES)
def test_identity_passes_relevance_unchanged(name, form):
    x, start = random(1, *SHAPE), random(2, 2, *SHAPE)
    explained = made(name, Identity(), x)
    (got,) = explained.back(start, form)
    assert_close(got, start * explained.output if form == "ratio" else start)
    assert explained.sinks == {}


def test_gamma_and_beta_are_a_linear_node_behind():
    """z = gamma y + beta: LRP-epsilon gives y its share of z, and Detach passes that on to x."""
    with float64():
        layer = layers.LayerNormalization()
        model = randomized(keras.Sequential([keras.Input(SHAPE[1:], dtype="float64"), layer]))
    x, start = random(1, *SHAPE), random(2, 1, *SHAPE)
    rules = {"Affine": Epsilon(epsilon=0.1), "Normalize": Detach(0.2)}
    explained = run(rewritten(model), rules, x, vanishes=False)
    z, gamma, beta = map(backend.to_numpy, (model(x), layer.gamma, layer.beta))
    y = (z - beta) / gamma
    expected = start * gamma * y / (z + 0.1 * np.sign(z)) * np.abs(y) / (np.abs(y) + 0.2)
    assert_close(explained.back(start)[0], expected)
    assert {node.kind for node in explained.program.graph} == {"Input", "Normalize", "Affine"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"mean": "held"}, "'constant' or 'linear'"),
    ],
)
def test_parameters_without_a_meaning_are_refused(parameters, words):
    with pytest.raises(RuleError, match=words):
        Detach(**parameters)


@pytest.mark.parametrize("name", ["layer", "unit"])
@pytest.mark.parametrize("rule", [Detach(), Detach(mean="linear"), Identity(), Gradient()])
def test_known_zeros_of_relevance_are_zeros(name, rule):
    """z+ skips work where relevance is known to vanish: the map must not depend on that."""
    with float64():
        inputs = x = keras.Input(SHAPE[1:], dtype="float64")
        x = layers.ReLU()(layers.Dense(6)(x))
        x = layers.Dense(5)(layers.ReLU()(layers.Dense(6)(CASES[name][0]()(x))))
        model = randomized(keras.Model(inputs, x))
    graph, values = rewritten(model), random(1, *SHAPE)
    preset = {"Normalize": rule, "*": presets.get("z_plus").entries[0][1]}
    start = random(3, 1, 3, 4, 5)
    known = run(graph, preset, values, vanishes=True)
    unknown = run(graph, preset, values, vanishes=False)
    assert_close(known.back(start, "ratio")[0], unknown.back(start, "ratio")[0])
    assert known.imbalance <= ledger.TOLERANCE["float64"]


def test_every_preset_detaches_or_differentiates():
    norm = layers.GroupNormalization(2)
    graph = rewritten(keras.Sequential([keras.Input(SHAPE[1:]), layers.Dense(6), norm]))
    kinds = [type(node) for node in graph][2:]
    assert kinds == [Route, Normalize, Route, Affine]
    node = next(node for node in graph if isinstance(node, Normalize))
    for name in NAMES:
        bounded = "low" in inspect.signature(registry.find(name)).parameters
        preset = presets.get(name, **({"low": 0, "high": 1} if bounded else {}))
        expected = Gradient() if preset.seed == "gradient" else Detach()
        assert preset.assign(graph)[node.name] == expected, name


def small_net() -> keras.Model:
    """One of each, in a network of images."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((8, 8, 3))
    x = layers.GroupNormalization(2, name="group")(layers.Conv2D(6, 3)(x))
    x = layers.LayerNormalization(name="layer")(layers.Conv2D(6, 3, activation="relu")(x))
    x = layers.RMSNormalization(name="rms")(layers.DepthwiseConv2D(3, activation="gelu")(x))
    x = layers.UnitNormalization(name="unit")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3)(x))


@pytest.mark.parametrize(
    "rules", [None, {"Normalize": Identity()}, {"layer": Detach(mean="linear")}]
)
def test_a_network_with_all_of_them_is_explained(rules):
    x = random(4, 2, 8, 8, 3).astype("float32")
    assert Analyzer(small_net(), "epsilon_plus_flat", rules=rules).check(x).closes


def test_the_gradient_of_a_network_with_all_of_them_is_exact():
    model = small_net()
    x = tf.constant(random(4, 2, 8, 8, 3).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        winner = tf.reduce_max(model(x), axis=1)
    got = backend.to_numpy(Analyzer(model, "gradient")(x))
    # Float32 through a dozen layers.
    assert_close(got, backend.to_numpy(tape.gradient(winner, x)), 1e-4)
