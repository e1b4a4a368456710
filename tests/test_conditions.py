"""Channel-conditional relevance: what flows through some channels, and nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conditioned import X, close, each, explain, network
from keras import Input, Model, Sequential, layers
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras.runner import Runner

CHANNELS = {"image": 2, "bn1": 4, "pool": 4, "add": 3, "flat": 27, "dense": 5, "head": 3}
BRANCHES = {"inner": 2, "branch": 3, "shortcut": 3}
PRESETS = ["zero", "epsilon_plus_flat", "epsilon_alpha2_beta1"]


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def analyzers(model):
    return {preset: lrpkeras.Analyzer(model, preset) for preset in PRESETS}


@pytest.fixture(scope="module")
def analyzer(analyzers):
    return analyzers["epsilon_alpha2_beta1"]


# What flows through


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("layer", CHANNELS)
def test_conditions_over_all_channels_add_up_to_the_map_without_condition(analyzers, preset, layer):
    whole = explain(analyzers[preset], target=1).relevance
    assert np.abs(whole).max() > 0
    parts = explain(analyzers[preset], each(layer, CHANNELS[layer]), 1).relevance
    assert parts.shape == (3, CHANNELS[layer], 6, 6, 2)
    close(parts.sum(axis=1), whole)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("layer", ["inner", "branch"])
def test_what_flows_through_the_branches_of_a_block_adds_up_to_the_whole(analyzers, preset, layer):
    conditions = each(layer, BRANCHES[layer]) + each("shortcut", 3)
    parts = explain(analyzers[preset], conditions, 1).relevance
    assert np.abs(parts[:, :-3]).max() > 0
    assert np.abs(parts[:, -3:]).max() > 0
    close(parts.sum(axis=1), explain(analyzers[preset], target=1).relevance)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("layer", ["bn1", "add", "branch"])
def test_a_channels_map_is_its_relevance_sent_back_by_the_layers_below(
    model, analyzers, preset, layer
):
    hidden = explain(analyzers[preset], target=1, layers=layer).layers[layer]
    output = model.get_layer(layer).output
    lower = lrpkeras.Analyzer(Model(model.input, output), preset)
    value = Model(model.input, output)(X).numpy()
    parts = explain(analyzers[preset], each(layer, hidden.shape[-1]), 1).relevance
    for channel in range(hidden.shape[-1]):
        masked = np.zeros_like(hidden)
        masked[..., channel] = hidden[..., channel]
        # A target array multiplies the output, and relevance is zero where that is.
        started = np.divide(masked, value, out=np.zeros_like(masked), where=value != 0)
        close(parts[:, channel], lower(X, started).numpy(), 1e-9)


def test_a_condition_at_the_output_starts_relevance_in_these_classes_only(analyzer):
    ones = np.ones((3, 3))
    got = explain(analyzer, each("head", 3), ones).relevance
    for target in range(3):
        close(got[:, target], explain(analyzer, target=target).relevance)
    np.testing.assert_array_equal(explain(analyzer, {"head": 0}, 1).relevance, 0 * X)


def test_a_condition_at_the_input_keeps_its_channels_only(analyzer):
    whole = explain(analyzer, target=1).relevance
    got = explain(analyzer, {"image": 1}, 1).relevance
    np.testing.assert_array_equal(got[..., 0], 0)
    close(got[..., 1], whole[..., 1])


def test_of_several_layers_all_must_be_passed(analyzer):
    both = [{"dense": unit, "conv1": [1, 3]} for unit in range(5)]
    close(
        explain(analyzer, both, 1).relevance.sum(axis=1),
        explain(analyzer, {"conv1": [1, 3]}, 1).relevance,
    )
    order = [{"conv1": 2, "branch": 1}, {"branch": 1, "conv1": 2}]
    one, other = np.moveaxis(explain(analyzer, order, 1).relevance, 1, 0)
    np.testing.assert_array_equal(one, other)
    parts = explain(analyzer, [{"branch": 1, "inner": c} for c in range(2)], 1).relevance
    close(parts.sum(axis=1), explain(analyzer, {"branch": 1}, 1).relevance)


def test_two_names_of_one_tensor_are_two_masks_on_it(analyzer):
    got = explain(analyzer, {"conv1": [0, 1], "bn1": [1, 2]}, 1).relevance
    close(got, explain(analyzer, {"conv1": 1}, 1).relevance)


def test_factors_weigh_the_channels_and_masks_are_factors_of_zero_and_one(analyzer):
    parts = explain(analyzer, each("add", 3), 1).relevance
    factors = np.array([0.5, -2.0, 0.0])
    got = explain(analyzer, {"add": factors}, 1)
    close(got.relevance, np.einsum("bc...,c->b...", parts, factors))
    want = explain(analyzer, {"add": [2, 0]}, 1).relevance
    close(want, parts[:, 0] + parts[:, 2])
    for mask in (
        [True, False, True],
        np.array([True, False, True]),
        (1.0, 0.0, 1.0),
        range(0, 3, 2),
    ):
        np.testing.assert_array_equal(explain(analyzer, {"add": mask}, 1).relevance, want)


# Together


def test_conditions_on_different_layers_are_those_asked_one_by_one(analyzer):
    conditions = [{"branch": 1}, {"conv1": [0, 2], "dense": 3}, {"shortcut": 0}, {"head": 2}]
    target, layers_ = [[0, 2], [1, 0], [2, 1]], ["pool", "add"]
    got = explain(analyzer, conditions, target, layers=layers_, batch_size=2)
    for i, condition in enumerate(conditions):
        one = explain(analyzer, condition, target, layers=layers_)
        # Of some classes nothing passes "head": the scale is that of all maps.
        size = np.abs(got.relevance).max()
        assert np.abs(got.relevance[:, :, i] - one.relevance).max() <= 1e-10 * size
        for layer in layers_:
            got_here, size = got.layers[layer], np.abs(got.layers[layer]).max()
            assert np.abs(got_here[:, :, i] - one.layers[layer]).max() <= 1e-10 * size


@pytest.mark.parametrize("preset", ["epsilon", "relative"])
def test_conditions_of_one_target_are_those_asked_one_by_one_above_and_below_their_layers(preset):
    """Above, relevance is computed once for all; `relative` carries a scale beside it."""
    with float64():
        x = Input((6, 6, 2), dtype="float64")
        y = layers.Conv2D(4, 3, activation="relu", name="low")(x)
        y = layers.Conv2D(3, 2, name="high")(layers.MaxPooling2D(2)(y))
        analyzer = lrpkeras.Analyzer(
            randomized(Model(x, layers.Dense(3)(layers.Flatten()(y)))), preset, verify=False
        )
    for conditions in (each("low", 4), [{"low": 1}, {"high": 2, "low": 0}]):
        got = explain(analyzer, conditions, 1, layers=["low", "high"])
        for i, condition in enumerate(conditions):
            one = explain(analyzer, condition, 1, layers=["low", "high"])
            close(got.relevance[:, i], one.relevance)
            for layer in ("low", "high"):
                close(got.layers[layer][:, i], one.layers[layer])


@pytest.mark.parametrize("target", [[[0, 2], [1, 0], [2, 1]], "all"])
def test_every_target_has_every_condition(analyzer, target):
    conditions = each("add", 3)
    got = explain(analyzer, conditions, target, layers="pool", batch_size=2)
    plain = explain(analyzer, target=target, layers="pool")
    k = plain.target.shape[1]
    assert got.relevance.shape == (3, k, 3, 6, 6, 2)
    assert got.layers["pool"].shape == (3, k, 3, 5, 5, 4)
    np.testing.assert_array_equal(got.target, plain.target)
    close(got.relevance.sum(axis=2), plain.relevance)
    for place in range(k):
        one = explain(analyzer, conditions, plain.target[:, place])
        close(got.relevance[:, place], one.relevance)
    assert explain(analyzer, conditions[0], target).relevance.shape == (3, k, 6, 6, 2)


def test_more_targets_and_conditions_than_run_at_once_keep_their_order():
    with float64():
        net = Sequential(
            [Input((4,), dtype="float64"), layers.Dense(13, name="h"), layers.Dense(12)]
        )
    analyzer = lrpkeras.Analyzer(randomized(net), "zero")
    x = np.random.default_rng(2).normal(size=(2, 4))
    assert Runner.chunk < 12
    got = analyzer.explain(x, "all", condition=each("h", 13), verbose=0)
    first, _, second, _ = net.get_weights()
    # Through unit h to class t: x_i w_ih w_ht, what `zero` gives a linear net.
    close(got.relevance, np.einsum("bi,ih,ht->bthi", x, first, second))
    np.testing.assert_array_equal(got.target, [range(12)] * 2)


def test_results_have_an_axis_for_a_list_of_one_and_none_for_a_dict(analyzer):
    assert explain(analyzer, [{"add": 1}]).relevance.shape == (3, 1, 6, 6, 2)
    assert explain(analyzer, {"add": 1}).relevance.shape == (3, 6, 6, 2)


def test_relevance_at_the_layer_itself_is_what_is_left_of_it(analyzer):
    whole = explain(analyzer, target=1, layers=["add", "dense", "branch"]).layers
    got = explain(analyzer, {"add": [0, 2]}, 1, layers=["add", "dense", "branch", "head"]).layers
    np.testing.assert_array_equal(got["add"][..., 1], 0)
    close(got["add"][..., ::2], whole["add"][..., ::2])
    close(got["dense"], whole["dense"])
    close(got["branch"][..., 0], whole["branch"][..., 0])
    past = explain(analyzer, {"branch": 1}, 1, layers=["shortcut"]).layers
    np.testing.assert_array_equal(past["shortcut"], 0)


def test_a_layer_of_one_tower_says_nothing_of_the_other_input():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    towers = [layers.Dense(4, name=f"tower_{x.name}")(x) for x in (a, b)]
    net = randomized(Model({"a": a, "b": b}, layers.Dense(2)(layers.Concatenate()(towers))))
    x = {"a": np.ones((2, 3), "float32"), "b": np.ones((2, 3), "float32")}
    got = explain(lrpkeras.Analyzer(net, "zero"), each("tower_a", 4), 1, x).relevance
    np.testing.assert_array_equal(got["b"], np.zeros((2, 4, 3)))
    whole = explain(lrpkeras.Analyzer(net, "zero"), target=1, x=x).relevance
    close(got["a"].sum(axis=1), whole["a"], 1e-5)


def test_channels_lie_where_the_layer_has_them():
    def net(data_format, shape):
        axis = 1 if data_format == "channels_first" else -1
        inputs = Input(shape, name="image", dtype="float64")
        x = layers.Conv2D(3, 2, data_format=data_format, name="conv")(inputs)
        x = layers.ReLU(name="relu")(layers.BatchNormalization(axis, name="bn")(x))
        x = layers.ZeroPadding2D(1, data_format=data_format, name="pad")(x)
        x = layers.MaxPooling2D(2, 1, data_format=data_format, name="pool")(x)
        x = layers.GlobalAveragePooling2D(data_format=data_format, name="mean")(x)
        return randomized(Model(inputs, layers.Dense(3, name="head")(x)))

    with float64():
        first, last = net("channels_first", (2, 5, 4)), net("channels_last", (5, 4, 2))
    last.set_weights(first.get_weights())
    x = X[:, :5, :4]
    analyzers = [lrpkeras.Analyzer(m, "epsilon", verify=False) for m in (first, last)]
    for layer, channel in {
        "image": 1,
        "conv": 2,
        "relu": 0,
        "pad": 1,
        "pool": 2,
        "mean": 1,
    }.items():
        got = explain(analyzers[0], {layer: channel}, x=np.moveaxis(x, -1, 1)).relevance
        want = explain(analyzers[1], {layer: channel}, x=x).relevance
        close(np.moveaxis(got, 1, -1), want)


def test_the_last_batch_is_filled_up_for_xla():
    net = randomized(Sequential([Input((4,)), layers.Dense(5, name="h"), layers.Dense(3)]))
    x = np.random.default_rng(2).normal(size=(5, 4)).astype("float32")
    got, want = (
        explain(
            lrpkeras.Analyzer(net, "epsilon", jit_compile=jit), each("h", 5), x=x, batch_size=3
        ).relevance
        for jit in (True, False)
    )
    # Products and sums of a few float32 in another order.
    close(got, want, 1e-5)


# A trained network


@pytest.mark.reference
def test_conditions_on_a_mid_layer_of_mobilenet_add_up(data_folder):
    net = keras.saving.load_model(data_folder / "mobilenet_0.25_224_imagenet.keras", compile=False)
    file = sorted((data_folder / "imagenet_dev").glob("*.jpg"))[0]
    photo = tf.io.decode_jpeg(file.read_bytes(), channels=3).numpy()[None] / np.float32(127.5) - 1
    analyzer = lrpkeras.Analyzer(net, "epsilon_plus_flat", input_range=(-1, 1))
    whole = explain(analyzer, x=photo).relevance
    parts = explain(analyzer, each("conv_pw_6_relu", 128), x=photo).relevance
    assert parts.shape == (1, 128, 224, 224, 3)
    # 14 convolutions below in float32, each adding up to a thousand products of one sign.
    close(parts.sum(axis=1), whole, 1e-5)
