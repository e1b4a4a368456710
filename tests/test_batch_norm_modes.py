"""What becomes of batch normalization: folded, as a thresholded ReLU, or left with its own rule."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import assert_close, run
from keras import layers
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras import ledger, presets, rules
from lrpkeras.canonize import canonize
from lrpkeras.errors import RuleError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.nodes import Affine, Gate, Threshold

MODES = ("fold", "threshold", "identity", "epsilon", "abs")
GAMMA = np.array([1.5, -0.7, 0.0, 0.4])


def block(x):
    """Before a ReLU, with pooling and padding behind it; after a ReLU; in front of a sum."""
    y = layers.ReLU()(layers.BatchNormalization(name="before")(x))
    y = layers.AveragePooling2D(2, padding="same")(y)
    y = layers.Conv2D(4, 3, padding="same")(y)
    z = layers.ReLU()(layers.BatchNormalization(name="again")(y))
    z = layers.Conv2D(4, 3, strides=2)(z)
    z = layers.BatchNormalization(name="after")(layers.ReLU()(z))
    return layers.Dense(3, name="head")(layers.Flatten()(z))


@pytest.fixture(scope="module")
def model():
    with float64():
        inputs = keras.Input((7, 6, 2), dtype="float64")
        x = layers.Conv2D(4, 3, padding="same")(inputs)
        x = layers.Add()([x, layers.ReLU()(x)])
        made = randomized(keras.Model(inputs, block(x)))
    for name in ("before", "again", "after"):
        made.get_layer(name).gamma.assign(GAMMA)
    return made


def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 7, 6, 2))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("preset", ["epsilon", "z_plus", "alpha2_beta1"])
def test_every_mode_computes_the_model_and_accounts_for_all_relevance(model, mode, preset):
    analyzer = lrpkeras.Analyzer(model, preset, batch_norm=mode)
    x = images()
    check = analyzer.check(x)
    assert check.closes
    assert check.fidelity < 1e-12  # float64: some hundred additions
    assert np.isfinite(np.asarray(analyzer(x))).all()
    assert analyzer.get_config()["batch_norm"] == mode


def test_a_threshold_stands_where_a_fold_has_a_gate(model):
    kinds = {
        mode: [type(n) for n in lrpkeras.Analyzer(model, batch_norm=mode).graph]
        for mode in ("fold", "threshold")
    }
    # "again" folds left into its convolution; "before" is read by a sum's ReLU.
    assert kinds["fold"].count(Gate) == kinds["threshold"].count(Threshold) == 1
    assert Threshold not in kinds["fold"]
    assert Gate not in kinds["threshold"]


@pytest.mark.parametrize("mode", ["identity", "epsilon", "abs"])
def test_nothing_is_folded_where_normalization_has_a_rule_of_its_own(model, mode):
    analyzer = lrpkeras.Analyzer(model, batch_norm=mode)
    left = [node for node in analyzer.graph if isinstance(node, Affine)]
    assert len(left) == 3
    rule = {"identity": rules.Identity(), "epsilon": rules.Epsilon(), "abs": rules.Abs()}[mode]
    assert all(analyzer.rules[node.name] == rule for node in left)
    assert "preset: 'batch_norm'" in analyzer.summary(print_fn=lambda _: None)


def test_overrides_go_before_the_mode(model):
    analyzer = lrpkeras.Analyzer(model, batch_norm="abs", rules={"again": rules.ZPlus()})
    assert analyzer.rules["again"] == rules.ZPlus()
    assert analyzer.rules["after"] == rules.Abs()


def one_norm() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A lone normalization; its scale and shift, worked out from its weights."""
    with float64():
        inputs = keras.Input((4,), dtype="float64")
        layer = layers.BatchNormalization(epsilon=0.3)
        made = randomized(keras.Model(inputs, layer(inputs)))
    gamma, beta, mean, variance = layer.get_weights()
    scale = gamma / np.sqrt(variance + 0.3)
    return made, scale, beta - mean * scale


def formulas(x, s, t):
    """What `R_in / R_out` is in each mode."""
    z = s * x + t
    return {
        "identity": np.ones_like(x),
        "epsilon": s * x / (z + np.where(z < 0, -1e-6, 1e-6)),
        "abs": np.abs(s * x) / (np.abs(s * x) + np.abs(t)),
    }


@pytest.mark.parametrize("mode", ["identity", "epsilon", "abs"])
def test_each_rule_of_a_normalization_is_its_formula(mode):
    made, scale, shift = one_norm()
    x = np.random.default_rng(2).normal(size=(5, 4))
    graph = with_facts(canonize(keras_reader.read(made), fold=False))
    done = run(graph, presets.Preset(presets.UNFOLDED[mode]), x, vanishes=False)
    start = np.random.default_rng(3).normal(size=(2, 5, 4))
    expected = formulas(x, scale, shift)[mode]
    assert_close(done.back(start)[0], start * expected, 1e-12)
    assert done.imbalance <= ledger.TOLERANCE["float64"]
    z = scale * x + shift
    assert_close(done.back(start, "ratio")[0], start * z * expected, 1e-12)
    assert done.imbalance <= ledger.TOLERANCE["float64"]


def test_abs_loses_what_has_neither_scale_nor_shift():
    made, *_ = one_norm()
    made.layers[1].beta.assign(np.zeros(4))
    made.layers[1].moving_mean.assign(np.zeros(4))
    graph = with_facts(canonize(keras_reader.read(made), fold=False))
    done = run(graph, presets.Preset({"batch_norm": rules.Abs()}), np.zeros((1, 4)), vanishes=False)
    assert not done.back(np.ones((1, 1, 4)))[0].any()
    assert done.sinks == {"zero sum": 4}


def by_hand_thresholded(x, w, b, s, t):
    """Epsilon through `w (s u + t) + b`, u the thresholded ReLU; s = 0 leaves a constant."""
    u = np.where(s * x + t > 0, x, np.divide(-t, s, out=np.zeros_like(s), where=s != 0))
    shift = np.where(s == 0, np.maximum(t, 0), t)
    kernel = s[:, None] * w
    z = u @ kernel + shift @ w + b
    return u[:, :, None] * kernel / (z + np.where(z < 0, -1e-6, 1e-6))[:, None, :]


def test_a_thresholded_relu_shares_as_written_out_by_hand():
    with float64():
        inputs = keras.Input((4,), dtype="float64")
        x = layers.ReLU()(layers.BatchNormalization(name="norm")(inputs))
        made = randomized(keras.Model(inputs, layers.Dense(3, name="head")(x)))
    norm = made.get_layer("norm")
    norm.gamma.assign(GAMMA)
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    data = np.random.default_rng(2).normal(size=(5, 4))
    graph = with_facts(canonize(keras_reader.read(made), thresholds=True))
    done = run(graph, rules.Epsilon(), data, vanishes=False)
    assert_close(done.output, np.asarray(made(data)), 1e-12)
    start = np.random.default_rng(3).normal(size=(2, 5, 3))
    shares = by_hand_thresholded(
        data, *made.get_layer("head").get_weights(), scale, beta - mean * scale
    )
    assert_close(done.back(start)[0], np.einsum("bij,kbj->kbi", shares, start), 1e-9)
    assert done.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("thresholds", [False, True])
def test_gradients_are_the_tapes_where_a_rewritten_relu_bends(model, thresholds):
    """A gate and a threshold open at `s x + t > 0`, which is not `x > 0`."""
    x = images()
    with tf.GradientTape() as tape:
        source = tf.constant(x)
        tape.watch(source)
        logit = model(source)[:, 1]
    graph = with_facts(canonize(keras_reader.read(model), thresholds=thresholds))
    start = np.zeros((1, 3, 3))
    start[..., 1] = 1
    done = run(graph, presets.get("gradient"), x, vanishes=False)
    (got,) = done.back(start)[0]
    assert_close(got, tape.gradient(logit, source).numpy(), 1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_refresh_takes_up_gammas_that_died_or_changed_sign(model, mode):
    analyzer = lrpkeras.Analyzer(model, "epsilon", batch_norm=mode)
    before, x = model.get_weights(), images()
    try:
        for name in ("before", "again", "after"):
            model.get_layer(name).gamma.assign(-GAMMA[::-1])
        analyzer.refresh()
        anew = lrpkeras.Analyzer(model, "epsilon", batch_norm=mode)
        assert np.array_equal(np.asarray(analyzer(x)), np.asarray(anew(x)))
    finally:
        model.set_weights(before)


def signed_norm() -> keras.Model:
    """Dense, BN of gamma 3, BN of gamma -1, ReLU, Dense; all other numbers one or zero."""
    with float64():
        inputs = keras.Input((1,), dtype="float64")
        x = layers.Dense(1, kernel_initializer="ones", name="stem")(inputs)
        x = layers.BatchNormalization(epsilon=0, name="three")(x)
        x = layers.ReLU(name="between")(x)
        x = layers.BatchNormalization(epsilon=0, name="minus")(x)
        x = layers.ReLU(name="relu")(x)
        made = keras.Model(inputs, layers.Dense(1, kernel_initializer="ones", name="head")(x))
    made.get_layer("three").gamma.assign([3.0])
    made.get_layer("minus").gamma.assign([-1.0])
    made.get_layer("minus").beta.assign([10.0])
    return made


@pytest.mark.parametrize("name", ["gradient", "guided_backprop", "deconvnet"])
def test_gradients_of_hidden_layers_are_those_of_the_model(name):
    """1 at the last ReLU, -1 in front of the norm of gamma -1, -3 in front of that of 3."""
    analyzer = lrpkeras.Analyzer(signed_norm(), name)
    explanation = analyzer.explain(np.ones((1, 1)), layers="*", verbose=0)
    got = {layer: float(r.item()) for layer, r in explanation.layers.items()}
    assert (got["relu"], got["minus"], got["between"]) == (1, 1, -1)
    # At the ReLU in between the gradient is negative: both others stop there.
    stopped = name != "gradient"
    assert (got["three"], got["stem"]) == ((0, 0) if stopped else (-1, -3))
    assert explanation.relevance.item() == (0 if stopped else -3)


@pytest.mark.parametrize("mode", ["fold", "threshold"])
@pytest.mark.parametrize("rule", [rules.Guided(), rules.Deconv()])
def test_guided_and_deconv_mind_the_sign_of_a_gamma_folded_through_their_relu(rule, mode):
    with float64():
        inputs = keras.Input((1,), dtype="float64")
        x = layers.ReLU()(layers.BatchNormalization(epsilon=0, name="minus")(inputs))
        made = keras.Model(inputs, layers.Dense(1, kernel_initializer="ones")(x))
    made.get_layer("minus").gamma.assign([-1.0])
    graph = with_facts(canonize(keras_reader.read(made), thresholds=mode == "threshold"))
    preset = presets.Preset({"Activation": rule, "*": rules.Gradient()}, seed="gradient")
    done = run(graph, preset, np.array([[-2.0]]), vanishes=False)
    # The ReLU's output gets 1, which is positive; its input is open; the norm turns the sign.
    assert done.back(np.ones((1, 1, 1)))[0].item() == -1


def test_an_unknown_mode_is_refused(model):
    with pytest.raises(RuleError, match="'identity'"):
        lrpkeras.Analyzer(model, batch_norm="ignore")


def test_the_first_convolution_is_still_the_first_behind_an_unfolded_normalization():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, name="conv")(layers.BatchNormalization(name="norm")(inputs))
    made = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    analyzer = lrpkeras.Analyzer(made, batch_norm="identity")
    assert analyzer.rules["conv"] == rules.Flat()
    assert analyzer.rules["norm"] == rules.Identity()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("ResNet50V2", mode) for mode in MODES),
        ("DenseNet121", "fold"),
        ("DenseNet121", "threshold"),
    ],
)
def test_pre_activation_networks_are_explained_in_every_mode(name, mode):
    keras.utils.set_random_seed(0)
    made = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
    rng = np.random.default_rng(1)
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(
                rng.uniform(0.3, 0.7, shape) * np.where(rng.random(shape) < 0.2, -1, 1)
            )
            layer.beta.assign(rng.normal(0, 0.2, shape))
    x = rng.normal(size=(2, 64, 64, 3)).astype("float32")
    analyzer = lrpkeras.Analyzer(made, batch_norm=mode)
    check = analyzer.check(x)
    assert check.closes
    assert np.abs(np.asarray(analyzer(x))).max() > 0
