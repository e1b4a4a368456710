"""What every preset gives each kind of layer, as its source says; names, registries, JSON."""

import importlib.util
import inspect
import json
import pathlib
import sys
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from explained import rewritten
from keras import layers
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras import presets, rules
from lrpkeras.errors import RuleError
from lrpkeras.presets.registry import ALIASES, REGISTRY
from lrpkeras.rules import (
    AlphaBeta,
    Box,
    Deconv,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Guided,
    Pass,
    Proportional,
    Relative,
    Winner,
    WSquare,
    Zero,
    ZPlus,
)

# Before any example in a docstring registers its own.
NAMES = presets.names()
DOCS = pathlib.Path(__file__).parents[1] / "docs"
BOUNDS = (-1.0, 1.0)
BOX = Box(*BOUNDS)
E6, E7, E1 = Epsilon(1e-6), Epsilon(1e-7), Epsilon(0.1)
A2B1, A1B0, HALVES = AlphaBeta(2, 1), AlphaBeta(1, 0), AlphaBeta(0.5, -0.5)
A0B1, A1B1 = (AlphaBeta(a, 1.0, conserve=False) for a in (0.0, 1.0))
A1B_1 = AlphaBeta(1.0, -1.0, conserve=False)
PLUS = ZPlus(bias="ignore")


def ignoring(alpha, beta):
    return AlphaBeta(alpha, beta, bias="ignore")


# First convolution, second convolution, dense layer: from the sources that the docstrings name.
LINEAR = {
    "zero": (Zero(), Zero(), Zero()),
    "epsilon": (E6, E6, E6),
    "gamma": (Gamma(0.25), Gamma(0.25), Gamma(0.25)),
    "alpha2_beta1": (A2B1, A2B1, A2B1),
    "alpha1_beta0": (A1B0, A1B0, A1B0),
    "z_plus": (ZPlus(), ZPlus(), ZPlus()),
    "w_square": (WSquare(), WSquare(), WSquare()),
    "flat": (Flat(), Flat(), Flat()),
    "epsilon_plus": (ZPlus(), ZPlus(), E6),
    "epsilon_plus_flat": (Flat(), ZPlus(), E6),
    "epsilon_plus_box": (BOX, ZPlus(), E6),
    "epsilon_gamma_box": (BOX, Gamma(0.25), E6),
    "epsilon_alpha2_beta1": (A2B1, A2B1, E6),
    "epsilon_alpha2_beta1_flat": (Flat(), A2B1, E6),
    "deep_taylor": (WSquare(), PLUS, PLUS),
    "deep_taylor_bounded": (BOX, PLUS, PLUS),
    "excitation_backprop": (PLUS, PLUS, PLUS),
    "guillemot": (BOX, ZPlus(), ZPlus()),
    "relative": (Relative(), Relative(), Relative()),
    "gradient": (Gradient(), Gradient(), Gradient()),
    "input_x_gradient": (Gradient(), Gradient(), Gradient()),
    "guided_backprop": (Gradient(), Gradient(), Gradient()),
    "deconvnet": (Gradient(), Gradient(), Gradient()),
    # Gonzalez 2020: the eleven of figures 6 and 7 ...
    "gonzalez_epsilon": (E7, E7, E7),
    "gonzalez_epsilon_bounded": (BOX, E7, E7),
    "gonzalez_epsilon_flat": (Flat(), E7, E7),
    "gonzalez_alpha2_beta1": (A2B1, A2B1, A2B1),
    "gonzalez_alpha2_beta1_preset": (A2B1, A2B1, E1),
    "gonzalez_alpha2_beta1_preset_bounded": (BOX, A2B1, E1),
    "gonzalez_alpha2_beta1_preset_flat": (Flat(), A2B1, E1),
    "gonzalez_alpha1_beta0": (A1B0, A1B0, A1B0),
    "gonzalez_alpha1_beta0_preset": (A1B0, A1B0, E1),
    "gonzalez_alpha1_beta0_preset_bounded": (BOX, A1B0, E1),
    "gonzalez_alpha1_beta0_preset_flat": (Flat(), A1B0, E1),
    # ... those of figures 15, 16, 20, 25, 27, 28, and the proposal.
    "gonzalez_epsilon_preset": (E1, E1, E1),
    "gonzalez_alpha0_beta1_preset": (A0B1, A0B1, E1),
    "gonzalez_alpha1_beta1_preset": (A1B1, A1B1, E1),
    "gonzalez_alpha1_beta_minus1_preset": (A1B_1, A1B_1, E1),
    "gonzalez_alpha1_beta_minus1_preset_flat": (Flat(), A1B_1, E1),
    "gonzalez_flat_preset": (Flat(), Flat(), E1),
    "gonzalez_alpha2_beta1_dense_flat": (Flat(), Flat(), A2B1),
    "gonzalez_alpha1_beta0_dense_flat": (Flat(), Flat(), A1B0),
    "gonzalez": (Flat(), HALVES, E1),
    # iNNvestigate 2.1.2.
    "lrp.z": (Zero(), Zero(), Zero()),
    "lrp.epsilon": (E7, E7, E7),
    "lrp.w_square": (WSquare(), WSquare(), WSquare()),
    "lrp.flat": (Flat(), Flat(), Flat()),
    "lrp.alpha_2_beta_1": (A2B1, A2B1, A2B1),
    "lrp.alpha_2_beta_1_IB": (ignoring(2.0, 1.0),) * 3,
    "lrp.alpha_1_beta_0": (A1B0, A1B0, A1B0),
    "lrp.alpha_1_beta_0_IB": (ignoring(1.0, 0.0),) * 3,
    "lrp.z_plus": (ignoring(1.0, 0.0),) * 3,
    "lrp.z_plus_fast": (ignoring(1.0, 0.0),) * 3,
    "lrp.sequential_preset_a": (A1B0, A1B0, E1),
    "lrp.sequential_preset_b": (A2B1, A2B1, E1),
    "lrp.sequential_preset_a_flat": (Flat(), A1B0, E1),
    "lrp.sequential_preset_b_flat": (Flat(), A2B1, E1),
    "deep_taylor.bounded": (BOX, PLUS, PLUS),
    "input_t_gradient": (Gradient(), Gradient(), Gradient()),
}
# Activation, max pooling, average pooling, sum, where it is not the default.
DEFAULT = (Pass(), Winner(), Proportional(), Proportional())
UNGUARDED = Proportional(0.0)
OTHERS = {
    "zero": (Pass(), Winner(), UNGUARDED, UNGUARDED),
    "flat": (Pass(), Winner(), Flat(), Proportional()),
    "lrp.flat": (Pass(), Winner(), Flat(), Proportional()),
    "guillemot": (Pass(), Proportional(), Proportional(), Proportional()),
    "relative": (Pass(), Relative(), Relative(), Relative()),
    "gradient": (Gradient(),) * 4,
    "input_x_gradient": (Gradient(),) * 4,
    "input_t_gradient": (Gradient(),) * 4,
    "guided_backprop": (Guided(), Gradient(), Gradient(), Gradient()),
    "deconvnet": (Deconv(), Gradient(), Gradient(), Gradient()),
}


@pytest.fixture(scope="module")
def model():
    """A residual net behind padding, as ResNets begin."""
    with float64():
        inputs = keras.Input((8, 8, 2), dtype="float64")
        x = layers.Conv2D(3, 3, name="conv1")(layers.ZeroPadding2D()(inputs))
        x = layers.ReLU(name="relu")(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D(name="max")(x)
        x = layers.Add(name="add")([x, layers.Conv2D(3, 3, padding="same", name="conv2")(x)])
        x = layers.AveragePooling2D(2, name="mean")(layers.ReLU()(x))
        return randomized(keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x))))


def assigned(model, name):
    return presets.named(name, BOUNDS).assign(rewritten(model))


@pytest.mark.parametrize("name", LINEAR)
def test_presets_give_every_layer_the_rule_of_their_source(model, name):
    got = assigned(model, name)
    assert tuple(got[n] for n in ("conv1", "conv2", "head")) == LINEAR[name]
    others = tuple(got[n] for n in ("relu", "max", "mean", "add"))
    assert others == OTHERS.get(name, DEFAULT)


def test_every_preset_and_alias_is_in_the_table():
    said = {name.replace(".", "_").lower() for name in LINEAR}
    assert set(NAMES) | set(presets.aliases()) == said | {"lrp_alpha_beta"}


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_explains_and_accounts_for_all_relevance(model, name):
    x = np.random.default_rng(1).uniform(-1, 1, (2, 8, 8, 2))
    analyzer = lrpkeras.Analyzer(model, name, input_range=BOUNDS)
    relevance = np.asarray(analyzer(x))
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() > 0
    assert analyzer.check(x).closes


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"alpha": 2.0}, AlphaBeta(2.0, 1.0)),
        ({"beta": 0.5}, AlphaBeta(1.5, 0.5)),
        ({"alpha": 1.0, "beta": 0.0, "bias": False}, ignoring(1.0, 0.0)),
    ],
)
def test_alpha_beta_of_innvestigate_completes_the_pair(model, parameters, expected):
    got = presets.get("lrp.alpha_beta", **parameters).assign(rewritten(model))
    assert got["conv2"] == expected


@pytest.mark.parametrize(
    ("given", "expected"), [("Flat", Flat()), ((-1.0, 1.0), BOX), (Gamma(), Gamma()), (None, E7)]
)
def test_input_layer_rule_reaches_the_first_convolution_behind_padding(model, given, expected):
    got = presets.get("lrp.epsilon", input_layer_rule=given).assign(rewritten(model))
    assert repr(got["conv1"]) == repr(expected)
    assert got["conv2"] == E7


@pytest.mark.parametrize(
    ("name", "parameters", "match"),
    [
        ("lrp.alpha_beta", {}, "needs alpha, beta"),
        ("lrp.z", {"input_layer_rule": "Bounded"}, "input_layer_rule='Bounded' is none"),
        ("epsilon_plus_flats", {}, "epsilon_plus_flat"),
        ("integrated_gradients", {}, "Unknown preset"),
        ("epsilon", {"gamma": 1}, "takes"),
    ],
)
def test_what_no_preset_is_meant_by_is_refused(name, parameters, match):
    with pytest.raises(RuleError, match=match):
        presets.get(name, **parameters)


def test_dashes_and_dots_are_underscores():
    for name in ("lrp.sequential_preset_a_flat", "lrp-sequential-preset-a-flat"):
        assert presets.get(name) == presets.get("lrp_sequential_preset_a_flat")


# Guided backpropagation and deconvolution by their definition: a ReLU whose gradient is replaced.


def relu_with(backward):
    import tensorflow as tf

    @tf.custom_gradient
    def relu(x):
        return tf.nn.relu(x), lambda upstream: backward(x, upstream)

    return relu


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_they_are_gradients_with_another_relu(name):
    import tensorflow as tf

    backward = {
        "guided_backprop": lambda x, s: tf.cast(x > 0, s.dtype) * tf.nn.relu(s),
        "deconvnet": lambda x, s: tf.nn.relu(s),
    }[name]
    relu = relu_with(backward)

    def net(activation):
        inputs = keras.Input((7, 7, 2), dtype="float64")
        x = inputs
        for filters in (4, 5):
            x = activation(layers.Conv2D(filters, 3, padding="same", name=f"conv{filters}")(x))
            x = layers.MaxPooling2D(name=f"max{filters}")(x)
        return keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))

    with float64():
        ours = randomized(net(lambda x: layers.ReLU()(x)))
        theirs = net(lambda x: layers.Lambda(relu, output_shape=x.shape[1:])(x))
    theirs.set_weights(ours.get_weights())
    x = tf.constant(np.random.default_rng(3).normal(size=(4, 7, 7, 2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        top = tf.reduce_max(theirs(x), axis=-1)
    expected = tape.gradient(top, x).numpy()
    got = np.asarray(lrpkeras.Analyzer(ours, name)(x))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# Ranges of depth, overrides, names of folded layers.


def chain(count):
    inputs = keras.Input((4,))
    x = inputs
    for i in range(count):
        x = layers.Dense(4, activation="relu", name=f"dense{i}")(x)
    return keras.Model(inputs, x)


def test_a_range_of_depth_counts_linear_layers_from_the_input():
    got = presets.Preset([((0.0, 0.3), Flat()), ((0.9, 1.0), E1), ("*", ZPlus())]).assign(
        rewritten(chain(11))
    )
    # Depths 0, 0.1, ..., 1.
    chained = [got[f"dense{i}"] for i in range(11)]
    assert chained == [Flat()] * 4 + [ZPlus()] * 5 + [E1] * 2


@pytest.mark.parametrize("bounds", [(0.5, 0.2), (-0.1, 1.0), (0.0, 1.5), (0.0, float("nan"))])
def test_a_range_of_depth_that_is_none_is_refused(bounds):
    with pytest.raises(RuleError, match="0 <= low <= high <= 1"):
        presets.Preset([(bounds, Flat())])


def test_rules_are_a_dict_a_list_of_pairs_or_a_preset(model):
    entries = {"conv2": Gamma(), "head": Zero()}
    for given in (entries, list(entries.items()), presets.Preset(entries)):
        got = lrpkeras.Analyzer(model, rules=given, verify=False).rules
        assert (got["conv2"], got["head"], got["conv1"]) == (Gamma(), Zero(), Flat())


def test_a_typo_in_a_layer_name_is_an_error_with_near_misses(model):
    with pytest.raises(RuleError, match="conv2"):
        lrpkeras.Analyzer(model, rules={"conv22": Gamma()})


def test_a_folded_layer_can_still_be_named(model):
    name = next(x.name for x in model.layers if isinstance(x, layers.BatchNormalization))
    got = lrpkeras.Analyzer(model, rules={name: Gamma()}, verify=False)
    assert got.rules["conv1"] == Gamma()
    assert f"rules: '{name}'" in got.summary(print_fn=lambda _: None)


# Registries and JSON.


@dataclass(frozen=True)
class Doubled(Epsilon):
    """Twice what epsilon gives."""

    factor: float = 2.0

    def propagate(self, state, relevance):
        (part,) = super().propagate(state, relevance)
        return (part.with_array(part.array * self.factor),)


def test_a_rule_of_ones_own_is_first_class(model):
    config = lrpkeras.Analyzer(model, "epsilon", rules={"head": Doubled(factor=3.0)}).get_config()
    text = json.dumps(config)
    with pytest.raises(RuleError, match="register_rule"):
        lrpkeras.Analyzer.from_config(json.loads(text), model)
    lrpkeras.register_rule(Doubled)
    again = lrpkeras.Analyzer.from_config(json.loads(text), model)
    assert again.rules["head"] == Doubled(factor=3.0)
    x = np.random.default_rng(1).uniform(-1, 1, (2, 8, 8, 2))
    plain = np.asarray(lrpkeras.Analyzer(model, "epsilon")(x))
    np.testing.assert_allclose(np.asarray(again(x)), 3 * plain, rtol=1e-9)


def test_a_preset_of_ones_own_is_known_by_name(model):
    @lrpkeras.register_preset
    def flat_below(share=0.5):
        return lrpkeras.Preset({(0.0, share): Flat(), "*": Epsilon()}, "flat_below")

    assert "flat_below" in presets.names()
    got = presets.get("flat-below", share=0.0).assign(rewritten(model))
    assert (got["conv1"], got["conv2"]) == (Flat(), E6)
    assert lrpkeras.Analyzer(model, "flat_below").rules["conv2"] == Flat()


@pytest.mark.parametrize(
    ("thing", "match"),
    [
        (Epsilon(), "takes a class"),
        (int, "takes a class"),
        (type("Plain", (Epsilon,), {}), "frozen dataclass"),
        (dataclass(frozen=True)(type("Flat", (Epsilon,), {})), "taken"),
    ],
)
def test_what_is_no_rule_cannot_be_registered(thing, match):
    with pytest.raises(RuleError, match=match):
        lrpkeras.register_rule(thing)


def test_what_makes_no_preset_cannot_be_registered():
    def epsilon():
        return presets.get("zero")

    with pytest.raises(RuleError, match="taken"):
        lrpkeras.register_preset(epsilon)
    with pytest.raises(RuleError, match="function"):
        lrpkeras.register_preset(presets.get("zero"))


def test_a_registered_function_that_returns_no_preset_is_told():
    @lrpkeras.register_preset
    def nothing():
        return None

    with pytest.raises(RuleError, match="not a Preset"):
        presets.get("nothing")


@pytest.mark.parametrize("name", NAMES)
def test_presets_survive_json(name, tmp_path):
    made = presets.named(name, BOUNDS)
    text = presets.to_json(made, tmp_path / "preset.json")
    for source in (text, tmp_path / "preset.json", str(tmp_path / "preset.json")):
        assert repr(presets.from_json(source)) == repr(made)


def test_arrays_classes_and_ranges_survive_json():
    made = presets.Preset(
        [
            ((0.0, 0.25), Box(np.array([-1.0, -2.0]), np.array([1.0, 2.0]))),
            (layers.Conv2D, Gamma(0.5, bias="ignore")),
            ("block?_*", AlphaBeta(0.5, -0.5)),
        ],
        "mine",
        seed="gradient",
        times_input=True,
    )
    assert repr(presets.from_json(presets.to_json(made))) == repr(made)


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"entries": 3, "name": "x", "seed": "relevance", "times_input": false}']
)
def test_what_describes_no_preset_is_refused(text):
    with pytest.raises(RuleError, match="describes no preset|neither a dict"):
        presets.from_json(text)


def test_a_preset_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RuleError, match="cannot be read"):
        presets.from_json(tmp_path / "none.json")


# The pages.


def generator(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def test_the_page_names_every_preset():
    page = (DOCS / "presets.md").read_text()
    for name in NAMES:
        assert f"## {name}\n" in page
    for name in presets.aliases():
        assert f"`{name}(" in page


def test_the_page_of_rules_is_what_its_script_writes():
    rulebook = generator("make_rules")
    assert rulebook.page() == (DOCS / "rules.md").read_text(), "run python docs/make_rules.py"
    kinds = {name for name in rules.__all__ if getattr(getattr(rules, name), "kinds", ())}
    assert set(rulebook.ABOUT) == kinds


def test_the_page_of_presets_explains_every_parameter():
    explained = {
        name for names in generator("make_presets").PARAMETERS for name in names.split(", ")
    }
    functions = [*REGISTRY.values(), *ALIASES.values()]
    assert {
        p for function in functions for p in inspect.signature(function).parameters
    } == explained


@pytest.mark.slow
def test_the_page_of_presets_is_what_its_script_writes():
    assert generator("make_presets").page() == (DOCS / "presets.md").read_text()
