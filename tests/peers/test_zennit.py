"""Whole nets with batch normalization: the same weights in zennit and here, both in float64.

`zennit_reference.py` made the arrays. Where the two libraries state the same equations they must
agree to rounding (`exact`); zennit's default adds 1e-6 to every denominator (`stabilized`), which
leaves 1e-4 of max |R|. What differs by convention is in `test_zennit_conventions.py`.
"""

import importlib
import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras

HERE = pathlib.Path(__file__).parent
LOW, HIGH = (-1.0, -1.25, -1.5), (1.0, 1.25, 1.5)
WEIGHTS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
PRESETS = (
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1_flat",
    "box_epsilon_plus",
)
# Both sides in float64: some thousand additions, and divisions by denominators that nearly cancel.
EXACT = 1e-9
# zennit's 1e-6 in every denominator, of which the smallest are about 1e-3 of the typical one.
STABILIZED = 1e-4


def conv_bn(x, name, filters, size, *, stride=1, padding=0, bias=False):
    """Zero padding as its own layer, convolution, BN: what `keras.applications.ResNet50` does."""
    number = name[-1]
    prefix = name[: -len(f"conv{number}")]
    if padding:
        x = layers.ZeroPadding2D(padding, dtype="float64", name=f"{prefix}pad{number}")(x)
    conv = layers.Conv2D(filters, size, stride, use_bias=bias, dtype="float64", name=name)
    return layers.BatchNormalization(dtype="float64", name=f"{prefix}bn{number}")(conv(x))


def relu(x):
    return layers.ReLU(dtype="float64")(x)


def vgg(arrays):
    """Padding `same`, and no layer for it."""
    x = inputs = keras.Input(arrays["images"].shape[1:], dtype="float64")
    for k in (1, 2):
        filters = arrays[f"conv{k}/kernel"].shape[-1]
        x = layers.Conv2D(filters, 3, padding="same", dtype="float64", name=f"conv{k}")(x)
        x = relu(layers.BatchNormalization(dtype="float64", name=f"bn{k}")(x))
        x = layers.MaxPooling2D(dtype="float64")(x)
    x = layers.Flatten(dtype="float64")(x)
    x = layers.Dense(16, "relu", dtype="float64", name="dense1")(x)
    return keras.Model(inputs, layers.Dense(5, dtype="float64", name="dense2")(x))


def basic_block(x, name, filters, stride=1):
    """Two convolutions beside a shortcut, which projects where the shape changes."""
    y = relu(conv_bn(x, f"{name}_conv1", filters, 3, stride=stride, padding=1))
    y = conv_bn(y, f"{name}_conv2", filters, 3, padding=1)
    shortcut = x if stride == 1 else conv_bn(x, f"{name}_conv0", filters, 1, stride=stride)
    return relu(layers.Add(dtype="float64")([shortcut, y]))


def resnet(arrays):
    """Padded max pooling after the stem; zeros never win there against values after a ReLU."""
    inputs = keras.Input(arrays["images"].shape[1:], dtype="float64")
    x = relu(conv_bn(inputs, "conv1", 8, 5, padding=2, bias=True))
    x = layers.ZeroPadding2D(1, dtype="float64")(x)
    x = layers.MaxPooling2D(3, 2, dtype="float64")(x)
    x = basic_block(x, "block1", 8)
    x = basic_block(x, "block2", 16, stride=2)
    x = basic_block(x, "block3", 16)
    x = layers.GlobalAveragePooling2D(dtype="float64")(x)
    return keras.Model(inputs, layers.Dense(5, dtype="float64", name="dense")(x))


def build(net, arrays):
    """Return the Keras model of `net` with the weights of `arrays`; every one must be used."""
    model = {"vgg": vgg, "resnet": resnet}[net](arrays)
    used = set()
    for layer in model.layers:
        keys = [f"{layer.name}/{w}" for w in WEIGHTS if f"{layer.name}/{w}" in arrays]
        if keys or layer.weights:
            layer.set_weights([arrays[key] for key in keys])
        used.update(keys)
    stored = {key for key in arrays if key.split("/")[-1] in WEIGHTS}
    assert used == stored, "a weight of the reference file has no layer here"
    return model


def relevance(model, preset, images, **options):
    """Explain the winning logits; `box_epsilon_plus` is `epsilon_plus` with Box first."""
    if preset == "box_epsilon_plus":
        options["rules"] = {"first": lrpkeras.rules.Box(np.array(LOW), np.array(HIGH))}
        preset = "epsilon_plus"
    analyzer = lrpkeras.Analyzer(model, preset, **options)
    return np.asarray(analyzer.explain(images, verbose=0).relevance)


def worst_difference(got, expected):
    """Largest |got - expected| of each image in units of its own largest |expected|."""
    axes = tuple(range(1, expected.ndim))
    return np.max(np.abs(got - expected).max(axes) / np.abs(expected).max(axes))


@pytest.fixture(scope="module", params=["vgg", "resnet"])
def case(request):
    with np.load(HERE / f"zennit_{request.param}.npz") as file:
        arrays = dict(file)
    return build(request.param, arrays), arrays, arrays["images"].astype("float64")


def test_the_keras_net_computes_the_logits_of_the_torch_net(case):
    model, arrays, images = case
    np.testing.assert_allclose(model(images), arrays["logits"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_relevance_equals_zennit_where_the_equations_are_the_same(case, preset):
    model, arrays, images = case
    got = relevance(model, preset, images)
    assert worst_difference(got, arrays[f"exact/{preset}"]) <= EXACT


@pytest.mark.parametrize("preset", PRESETS)
def test_relevance_is_within_a_ten_thousandth_of_zennit_with_its_stabilizer(case, preset):
    model, arrays, images = case
    got = relevance(model, preset, images)
    assert worst_difference(got, arrays[f"stabilized/{preset}"]) <= STABILIZED


def test_the_presets_differ_from_each_other_by_far_more_than_the_tolerance(case):
    _, arrays, _ = case
    maps = [arrays[f"exact/{preset}"] for preset in PRESETS]
    pairs = [(a, b) for k, a in enumerate(maps) for b in maps[:k]]
    assert min(worst_difference(a, b) for a, b in pairs) > 0.1


@pytest.fixture
def live_reference(monkeypatch):
    for package in ("torch", "zennit"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; zennit_reference.py tells how to get it")
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("zennit_reference").reference


@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_live_zennit_still_gives_the_stored_arrays(live_reference, net):
    arrays = live_reference(net)
    with np.load(HERE / f"zennit_{net}.npz") as stored:
        assert set(stored) == {*arrays, "versions"}
        for key, value in arrays.items():
            # Other builds of torch add in another order; `stabilized` is stored in float32.
            np.testing.assert_allclose(value, stored[key], rtol=1e-6, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_live_zennit_agrees_on_fresh_random_nets(live_reference, net, seed):
    arrays = live_reference(net, seed)
    model, images = build(net, arrays), arrays["images"].astype("float64")
    for preset in PRESETS:
        got = relevance(model, preset, images)
        assert worst_difference(got, arrays[f"exact/{preset}"]) <= EXACT, preset
