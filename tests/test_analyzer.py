"""The analyzer's options: what is explained, from where, with which rules."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.saving import serialization_lib
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras.errors import ModelError
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, ZPlus

X = np.random.default_rng(1).normal(size=(3, 6, 6, 2)).astype("float32")
V = np.random.default_rng(2).normal(size=(5, 4)).astype("float32").astype("float64")


def conv_net(activation="softmax", head="head"):
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv1")(inputs)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(x))
    x = layers.Conv2D(4, 3, activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(name="pool")(x))
    return randomized(keras.Model(inputs, layers.Dense(3, activation=activation, name=head)(x)))


@pytest.fixture(scope="module")
def model():
    return conv_net()


def same(got, want, tolerance=1e-6):
    """Equal to a few roundings of float32, relative to the largest entry."""
    assert tuple(got.shape) == tuple(want.shape)
    assert np.abs(np.asarray(got) - np.asarray(want)).max() <= tolerance * np.abs(want).max()


def two_heads(as_dict=False):
    inputs = keras.Input((4,), name="x")
    shared = layers.Dense(5, activation="relu", name="shared")(inputs)
    left = layers.Dense(2, activation="softmax", name="left")(shared)
    right = layers.Dense(3, name="right")(shared)
    outputs = {"left": left, "right": right} if as_dict else [left, right]
    return randomized(keras.Model(inputs, outputs)), inputs, left, right


@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize(("output", "which"), [(0, 2), (1, 3), (-1, 3), ("left", 2), ("right", 3)])
def test_one_of_several_outputs_is_explained_as_if_it_were_alone(output, which, as_dict):
    model, inputs, left, right = two_heads(as_dict)
    alone = keras.Model(inputs, left if which == 2 else right)
    got = lrpkeras.Analyzer(model, output=output).explain(V, verbose=0)
    assert got.output.shape == (5, which)
    same(got.relevance, lrpkeras.Analyzer(alone)(V).numpy())


def test_several_outputs_without_a_choice_are_refused_by_names_that_can_be_chosen():
    model = two_heads()[0]
    with pytest.raises(lrpkeras.LrpError, match=r"2 outputs .*'left.*'right'.* output=") as error:
        lrpkeras.Analyzer(model)
    named = str(error.value).split("(")[1].split(")")[0].replace("'", "").split(", ")
    for name in named:
        assert lrpkeras.Analyzer(model, output=name)(V).shape == V.shape


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu1", "conv2", "pool", "flat"])
def test_a_hidden_layer_is_explained_as_the_model_that_ends_there(model, layer):
    short = keras.Model(model.inputs[0], model.get_layer(layer).output)
    got = lrpkeras.Analyzer(model, output=layer).explain(X, [0, 2, 1], verbose=0)
    want = lrpkeras.Analyzer(short).explain(X, [0, 2, 1], verbose=0)
    same(got.relevance, want.relevance)
    same(got.output, short(X).numpy(), 1e-5)


@pytest.mark.parametrize("initial", ["logit", "unit"])
def test_evidence_for_a_class_of_negative_logit_is_positive_from_a_unit_start(initial):
    """R_i = x_i w_i / z * R: from R = z it is x_i w_i, from R = sign z it is x_i w_i / |z|."""
    with float64():
        head = layers.Dense(2, use_bias=False)
        model = keras.Sequential([keras.Input((4,), dtype="float64"), head])
    head.set_weights([np.random.default_rng(0).normal(size=(4, 2))])
    z = model.predict(V, verbose=0)
    assert (z[:, 0] < 0).any()
    assert (z[:, 0] > 0).any()
    evidence = V * head.get_weights()[0][:, 0]
    want = evidence if initial == "logit" else evidence / np.abs(z[:, :1])
    got = lrpkeras.Analyzer(model, "zero", initial=initial)(V, 0)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("initial", ["logit", "unit"])
def test_a_rule_that_splits_by_sign_gets_a_start_of_plus_one(initial):
    """z+: R_i = (x_i w_i)+ / sum (x w)+ * R: the sign of R is that of the start."""
    with float64():
        head = layers.Dense(2, use_bias=False)
        model = keras.Sequential([keras.Input((4,), dtype="float64"), head])
    head.set_weights([np.random.default_rng(0).normal(size=(4, 2))])
    positive = np.maximum(V * head.get_weights()[0][:, 0], 0)
    shares = positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-300)
    start = 1.0 if initial == "unit" else model.predict(V, verbose=0)[:, :1]
    got = lrpkeras.Analyzer(model, "z_plus", initial=initial)(V, 0)
    np.testing.assert_allclose(got, shares * start, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("preset", ["zero", "epsilon_plus_flat"])
def test_contrast_is_the_model_whose_head_weights_are_contrasted(preset):
    model, contrasted = conv_net(), conv_net(None)
    kernel, bias = model.get_layer("head").get_weights()
    contrasted.set_weights(model.get_weights())
    contrasted.get_layer("head").set_weights(
        [
            np.stack([w[..., c] - np.delete(w, c, -1).mean(-1) for c in range(3)], -1)
            for w in (kernel, bias)
        ]
    )
    got = lrpkeras.Analyzer(model, preset, initial="contrast")
    want = lrpkeras.Analyzer(contrasted, preset)
    for target in (None, [2, 1, 0]):
        same(got(X, target), want(X, target).numpy(), 1e-5)
    logits = np.log(model(X))
    reported = got.explain(X, verbose=0).output
    same(reported - reported.max(1, keepdims=True), logits - logits.max(1, keepdims=True), 1e-5)


def test_contrast_without_a_dense_head_says_what_else_there_is():
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(
        inputs, layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(3, 3)(inputs))
    )
    with pytest.raises(lrpkeras.LrpError, match=r"contrast.*'pool'.*initial='logit'"):
        lrpkeras.Analyzer(model, initial="contrast")


def test_overrides_by_name_class_kind_position_and_depth_go_before_the_preset(model):
    analyzer = lrpkeras.Analyzer(
        model,
        rules={
            "bn1": Epsilon(0.1),
            layers.Dense: AlphaBeta(2, 1),
            (0.4, 0.6): Flat(),
        },
    )
    assert analyzer.rules["conv1"] == Epsilon(0.1)
    assert analyzer.rules["conv2"] == Flat()
    assert analyzer.rules["head"] == AlphaBeta(2, 1)


def test_the_first_of_two_overrides_wins(model):
    for rules in (
        {"conv2": Epsilon(0.5), "conv*": ZPlus()},
        [("conv2", Epsilon(0.5)), ("conv*", ZPlus())],
    ):
        got = lrpkeras.Analyzer(model, rules=rules).rules
        assert got["conv2"] == Epsilon(0.5)
        assert got["conv1"] == ZPlus()


def test_a_preset_may_be_an_object_and_gives_what_its_name_gives(model):
    preset = lrpkeras.presets.get("epsilon_plus", epsilon=0.25)
    assert lrpkeras.Analyzer(model, preset).rules["head"] == Epsilon(0.25)
    low, high = X.min(), X.max()
    by_range = lrpkeras.Analyzer(model, "epsilon_plus_box", input_range=(low, high))
    by_name = lrpkeras.Analyzer(model, lrpkeras.presets.get("epsilon_plus_box", low=low, high=high))
    same(by_range(X), by_name(X).numpy())


@pytest.mark.slow
def test_the_first_convolution_of_resnet50_is_found_behind_its_padding():
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3))
    rules = lrpkeras.Analyzer(model, verify=False).rules
    assert [name for name, rule in rules.items() if isinstance(rule, Flat)] == ["conv1_conv"]
    assert rules["conv2_block1_1_conv"] == ZPlus()
    assert rules["predictions"] == Epsilon()


def test_first_is_found_behind_rescaling():
    inputs = keras.Input((6, 6, 2))
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    x = layers.Conv2D(3, 3, name="conv1")(layers.ZeroPadding2D()(x))
    model = keras.Model(inputs, layers.Flatten()(layers.Conv2D(3, 3, name="conv2")(x)))
    rules = lrpkeras.Analyzer(model).rules
    assert rules["conv1"] == Flat()
    assert rules["conv2"] == ZPlus()
    boxed = lrpkeras.Analyzer(model, "epsilon_plus_box", input_range=(0.0, 1.0)).rules
    assert boxed["conv1"] == Box(0.0, 1.0)


def test_first_is_found_inside_a_nested_model_and_in_every_branch():
    inner_input = keras.Input((6, 6, 2))
    inner = keras.Model(inner_input, layers.Conv2D(3, 3, padding="same", name="conv")(inner_input))
    inputs = keras.Input((6, 6, 2))
    x = layers.Concatenate()([inner(inputs), layers.Conv2D(2, 1, name="side")(inputs)])
    x = layers.Flatten()(layers.Conv2D(3, 3, name="after")(x))
    rules = lrpkeras.Analyzer(keras.Model(inputs, x)).rules
    flat = {name for name, rule in rules.items() if rule == Flat()}
    assert flat == {f"{inner.name}/conv", "side"}
    assert rules["after"] == ZPlus()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"preset": "epsilon_plus_box", "input_range": (-6.0, 6.0), "output": "conv2"},
        {
            "preset": "zero",
            "initial": "unit",
            "rules": {"conv2": Epsilon(0.5), layers.Dense: ZPlus(), (0.0, 0.6): Flat()},
        },
        {"preset": lrpkeras.presets.get("epsilon", epsilon=0.1), "initial": "contrast"},
        {"rules": [("first", Box(np.full(2, -6.0), np.full(2, 6.0)))]},
    ],
)
def test_settings_survive_json(model, settings):
    analyzer = lrpkeras.Analyzer(model, **settings)
    config = json.loads(json.dumps(analyzer.get_config()))
    again = lrpkeras.Analyzer.from_config(config, model)
    assert again.get_config() == analyzer.get_config()
    assert {n: r.name for n, r in again.rules.items()} == {
        n: r.name for n, r in analyzer.rules.items()
    }
    np.testing.assert_array_equal(again(X), analyzer(X))


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file_is_explained_like_the_model_in_it(model, tmp_path, ending):
    path = tmp_path / f"model{ending}"
    model.save(path)
    want = lrpkeras.Analyzer(model)(X).numpy()
    same(lrpkeras.Analyzer(path if ending == ".h5" else str(path))(X), want)


def saved(path, *layers_):
    model = keras.Sequential([keras.Input((4,)), *layers_])
    model.save(path)
    return path


def truncated(path):
    content = saved(path, layers.Dense(3)).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def text(path):
    path.write_text("no model at all")


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.hdf5"])
@pytest.mark.parametrize("spoil", [truncated, text])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_files_that_are_broken_are_refused(tmp_path, name, spoil):
    spoil(tmp_path / name)
    with pytest.raises(ModelError, match=f"{name}' could not be loaded"):
        lrpkeras.Analyzer(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.keras", "There is no model file .*missing.keras"),
        ("model.onnx", "ends in .keras"),
        ("model", "ends in .keras"),
        ("", "neither a file .* nor the folder of a SavedModel"),
    ],
)
def test_files_that_are_no_models_are_refused(tmp_path, name, words):
    for other in ("model.onnx", "model"):
        (tmp_path / other).write_text("")
    with pytest.raises(ModelError, match=words):
        lrpkeras.Analyzer(tmp_path / name)


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_code_in_a_file_is_never_run(tmp_path, ending):
    ran = tmp_path / "ran"
    code = eval(f"lambda x: (open({str(ran)!r}, 'w').close(), x)[1]")
    path = saved(
        tmp_path / f"model.{ending}", layers.Lambda(code, output_shape=(4,)), layers.Dense(2)
    )
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="Lambda.*replace them"):
        lrpkeras.Analyzer(path)
    assert not ran.exists()


def test_safe_mode_stays_on_where_it_was_switched_off_for_all(tmp_path):
    path = saved(tmp_path / "model.keras", layers.Lambda(lambda x: x), layers.Dense(2))
    # What keras.config.enable_unsafe_deserialization does, undone at the end.
    with serialization_lib.SafeModeScope(False), pytest.raises(ModelError, match="Lambda"):
        lrpkeras.Analyzer(path)
