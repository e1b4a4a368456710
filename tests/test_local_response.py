"""Local response normalization: TensorFlow's numbers, and Binder et al. 2016 term by term."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import assert_close, rewritten, run
from linear_layers import float64

from lrpkeras import Analyzer, backend, ledger, presets
from lrpkeras.errors import ModelError, RuleError
from lrpkeras.graph.nodes import LocalNormalize
from lrpkeras.layers import LocalResponseNormalization
from lrpkeras.presets import registry
from lrpkeras.rules import Detach, Gradient, Identity, Taylor

# The package's own: examples in docstrings register others.
NAMES = presets.names()

SHAPE = (3, 2, 3, 7)
# AlexNet's, TensorFlow's defaults, no neighbours, all channels, and strong suppression.
SETTINGS = {
    "alexnet": {"depth_radius": 2, "bias": 1.0, "alpha": 2e-5, "beta": 0.75},
    "defaults": {},
    "alone": {"depth_radius": 0, "bias": 0.5, "alpha": 0.3, "beta": 1.0},
    "all": {"depth_radius": 20, "bias": 2.0, "alpha": 0.3, "beta": 0.25},
    "strong": {"depth_radius": 1, "bias": 0.1, "alpha": 2.0, "beta": 3.0},
}


def images(seed: int = 0, signed: bool = True) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0, 2, SHAPE)
    return x if signed else np.maximum(x, 0)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_equals_tensorflow(name):
    x = images().astype("float32")
    expected = tf.nn.local_response_normalization(x, **SETTINGS[name]).numpy()
    got = backend.to_numpy(LocalResponseNormalization(**SETTINGS[name])(x))
    # Float32, and a power of sums of up to 13 squares.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_half_precision_is_computed_in_float32():
    # 300^2 is more than float16 holds.
    x = np.full((1, 1, 1, 3), 300.0, "float16")
    got = LocalResponseNormalization(1, beta=0.5, dtype="float16")(x)
    assert backend.to_numpy(got)[0, 0, 0] == pytest.approx([0.5**0.5, 3**-0.5, 0.5**0.5], rel=1e-3)


def test_it_is_saved_with_its_settings(tmp_path):
    settings = SETTINGS["strong"]
    model = keras.Sequential([keras.Input(SHAPE[1:]), LocalResponseNormalization(**settings)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {name: getattr(loaded.layers[0], name) for name in settings} == settings
    np.testing.assert_array_equal(model(images()), loaded(images()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth_radius": -1}, "whole number"),
        ({"depth_radius": 1.5}, "whole number"),
        ({"depth_radius": True}, "whole number"),
        ({"bias": 0}, "bias"),
        ({"bias": float("nan")}, "bias"),
        ({"alpha": -1}, "alpha"),
        ({"beta": float("inf")}, "beta"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, words):
    with pytest.raises(ModelError, match=words):
        LocalResponseNormalization(**settings)


def test_other_ranks_are_refused():
    with pytest.raises(ModelError, match="height, width, channels"):
        LocalResponseNormalization()(np.ones((2, 3, 4)))


def made(settings: dict, rule, x: np.ndarray):
    with float64():
        layer = LocalResponseNormalization(**settings)
        model = keras.Sequential([keras.Input(SHAPE[1:], dtype="float64"), layer])
    graph = rewritten(model)
    assert np.abs(_loop(layer, x) - model(x)).max() <= 1e-12
    return run(graph, {"LocalNormalize": rule}, x, vanishes=False), layer


def _window(layer, k: int) -> range:
    return range(max(0, k - layer.depth_radius), min(SHAPE[-1], k + layer.depth_radius + 1))


def _base(layer, x: np.ndarray, k: int) -> np.ndarray:
    return layer.bias + layer.alpha * sum(x[..., j] ** 2 for j in _window(layer, k))


def _loop(layer, x: np.ndarray) -> np.ndarray:
    """Equation 10 in TensorFlow's parameters."""
    ys = [x[..., k] / _base(layer, x, k) ** layer.beta for k in range(SHAPE[-1])]
    return np.stack(ys, axis=-1)


def _taylor(layer, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Equations 15 and 7, one output and one input at a time."""
    back = np.zeros_like(relevance)
    for k in range(SHAPE[-1]):
        z = {k: x[..., k] / (layer.bias + layer.alpha * x[..., k] ** 2) ** layer.beta}
        for j in _window(layer, k):
            if j != k:
                steep = _base(layer, x, k) ** (layer.beta + 1)
                z[j] = -2 * layer.alpha * layer.beta * x[..., k] * x[..., j] ** 2 / steep
        whole = sum(z.values())
        for j, z_jk in z.items():
            back[..., j] += z_jk / whole * relevance[..., k]
    return back


@pytest.mark.parametrize("form", ["R", "ratio"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "almost zero"])
@pytest.mark.parametrize("name", SETTINGS)
def test_taylor_is_equation_15(name, signed, form):
    # 0/0 where a channel is off: a millionth of the others' size has the limit's shares.
    x = images() if signed else np.maximum(images(), 1e-6)
    explained, layer = made(SETTINGS[name], Taylor(), x)
    start = np.random.default_rng(1).normal(0, 1, (2, *SHAPE))
    relevance = start * _loop(layer, x) if form == "ratio" else start
    (got,) = explained.back(start, form)
    assert_close(got, _taylor(layer, x, relevance))
    assert explained.imbalance <= ledger.TOLERANCE["float64"]
    assert explained.sinks == {}


def test_channels_that_are_off_conserve_relevance_too():
    x = images(signed=False)
    assert (x == 0).any()
    explained, layer = made(SETTINGS["strong"], Taylor(), x)
    start = np.random.default_rng(1).normal(0, 1, (2, *SHAPE))
    (got,) = explained.back(start)
    assert_close(got, _taylor(layer, np.maximum(x, 1e-9), start))
    assert got.sum(axis=-1) == pytest.approx(start.sum(axis=-1))


@pytest.mark.parametrize("beta", [0.5, 0.75, 2.0, 50.0])
def test_no_input_makes_the_sum_of_messages_vanish(beta):
    """The docstring's bound: an output sends at most 1 / (1 - 2 / e) of its relevance to itself."""
    n = np.linspace(-8, 8, 161)
    x = np.zeros((n.size, n.size, 1, SHAPE[-1]))
    x[..., 3], x[..., 4] = 10.0 ** n[:, None, None], 10.0 ** n[None, :, None]
    explained, _ = made_any({"depth_radius": 1, "beta": beta}, x)
    start = np.zeros((1, *x.shape))
    start[..., 3] = 1.0
    (got,) = explained.back(start)
    assert got[..., 3].min() >= 1 - 1e-9
    assert got[..., 3].max() <= 1 / (1 - 2 / np.e)
    assert got.sum(axis=-1) == pytest.approx(1)


def made_any(settings: dict, x: np.ndarray):
    with float64():
        layer = LocalResponseNormalization(**settings)
        model = keras.Sequential([keras.Input(x.shape[1:], dtype="float64"), layer])
    return run(rewritten(model), {"LocalNormalize": Taylor()}, x, vanishes=False), layer


@pytest.mark.parametrize("which", ["alpha", "beta"])
def test_without_suppression_taylor_is_the_identity(which):
    x, start = images(), np.random.default_rng(1).normal(0, 1, (1, *SHAPE))
    sent = [
        made({**SETTINGS["strong"], which: value}, Taylor(), x)[0].back(start)[0]
        for value in (0.0, 1e-4, 1e-5)
    ]
    np.testing.assert_allclose(sent[0], start, rtol=1e-14)
    # The rest of the way is linear in what goes to zero.
    distances = [np.abs(r - start).max() for r in sent]
    assert distances[1] == pytest.approx(10 * distances[2], rel=0.1)


@pytest.mark.parametrize("form", ["R", "ratio"])
def test_identity_passes_relevance_unchanged(form):
    explained, layer = made(SETTINGS["strong"], Identity(), images())
    start = np.random.default_rng(1).normal(0, 1, (2, *SHAPE))
    (got,) = explained.back(start, form)
    assert_close(got, start * (_loop(layer, images()) if form == "ratio" else 1))
    assert explained.sinks == {}


def test_detach_is_the_identity_but_for_epsilon():
    explained, layer = made(SETTINGS["strong"], Detach(0.01), images())
    start = np.random.default_rng(1).normal(0, 1, (1, *SHAPE))
    y = _loop(layer, images())
    (got,) = explained.back(start)
    assert_close(got, start * np.abs(y) / (np.abs(y) + 0.01))
    assert set(explained.sinks) == {"epsilon"}


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_is_the_vector_jacobian_product(name):
    x, start = images(), np.random.default_rng(1).normal(0, 1, (1, *SHAPE))
    explained, layer = made(SETTINGS[name], Gradient(), x)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = layer(tensor)
    expected = tape.gradient(y, tensor, output_gradients=tf.constant(start[0]))
    assert_close(explained.back(start)[0][0], backend.to_numpy(expected), 1e-12)


def test_a_reference_has_no_meaning_there():
    with pytest.raises(RuleError, match=r"LocalNormalize.*Taylor\(\)"):
        made(SETTINGS["defaults"], Taylor(reference=0.5), images())


def test_every_preset_passes_it_unchanged_or_differentiates():
    with float64():
        model = keras.Sequential([keras.Input(SHAPE[1:]), LocalResponseNormalization()])
    graph = rewritten(model)
    node = next(node for node in graph if isinstance(node, LocalNormalize))
    for name in NAMES:
        bounded = "low" in inspect.signature(registry.find(name)).parameters
        preset = presets.get(name, **({"low": 0, "high": 1} if bounded else {}))
        expected = Gradient() if preset.seed == "gradient" else Identity()
        assert preset.assign(graph)[node.name] == expected, name


def test_a_network_with_it_is_explained():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(6, 3, activation="relu", use_bias=False),
            LocalResponseNormalization(2, alpha=0.1, name="lrn"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, use_bias=False),
        ]
    )
    x = np.random.default_rng(0).normal(0, 1, (2, 8, 8, 3)).astype("float32")
    analyzer = Analyzer(model, "epsilon", rules={"lrn": Taylor()})
    assert analyzer.check(x).closes
    total = backend.to_numpy(analyzer(x)).sum(axis=(1, 2, 3))
    assert total == pytest.approx(backend.to_numpy(model(x)).max(axis=1), rel=1e-3)
