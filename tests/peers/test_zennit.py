"""Whole nets with batch normalization: the same weights in zennit and here, both in float64.

`zennit_reference.py` made the arrays. Where the two libraries state the same equations they must
agree to rounding (`exact`); zennit's default adds 1e-6 to every denominator (`stabilized`), which
leaves 1e-4 of max |R|. What differs by convention is in `test_zennit_conventions.py`.
"""

import importlib
import importlib.util
import pathlib

import numpy as np
import pytest
from explained import rewritten, run
from keras_twins import build, stored

import lrpkeras
from lrpkeras import presets, rules

HERE = pathlib.Path(__file__).parent
LOW, HIGH = (-1.0, -1.25, -1.5), (1.0, 1.25, 1.5)
BOUNDS = {"low": np.array(LOW), "high": np.array(HIGH)}
NETS = ("vgg", "resnet", "bottleneck")
# What zennit has as composites of its own: two nets hold these with zennit's stabilizer, too.
STABILIZED_TOO = (
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1_flat",
    "box_epsilon_plus",
)
# The name that the files use, and what it is here.
PRESETS = {
    "epsilon_plus": lambda: presets.get("epsilon_plus"),
    "epsilon_plus_flat": lambda: presets.get("epsilon_plus_flat"),
    "epsilon_alpha2_beta1_flat": lambda: presets.get("epsilon_alpha2_beta1_flat"),
    "box_epsilon_plus": lambda: presets.get("epsilon_plus_box", **BOUNDS),
    "zero": lambda: presets.get("zero"),
    "epsilon": lambda: presets.get("epsilon"),
    "gamma": lambda: presets.get("gamma", gamma=0.25),
    "z_plus": lambda: presets.get("z_plus"),
    "alpha1_beta0": lambda: presets.get("alpha1_beta0"),
    "alpha2_beta1": lambda: presets.get("alpha2_beta1"),
    "w_square": lambda: presets.get("w_square"),
    "flat": lambda: presets.get("flat"),
    "deep_taylor": lambda: presets.get("deep_taylor"),
    "deep_taylor_bounded": lambda: presets.get("deep_taylor_bounded", **BOUNDS),
    "epsilon_gamma_box": lambda: presets.get("epsilon_gamma_box", **BOUNDS),
    "epsilon_alpha2_beta1": lambda: presets.get("epsilon_alpha2_beta1"),
    "epsilon_plus_without_bias": lambda: presets.get("epsilon_plus").with_bias("ignore"),
    "excitation_backprop": lambda: presets.get("excitation_backprop"),
    "gradient": lambda: presets.get("gradient"),
    "guided_backprop": lambda: presets.get("guided_backprop"),
    "deconvnet": lambda: presets.get("deconvnet"),
}
# Both sides in float64: some thousand additions, and divisions by denominators that nearly cancel.
EXACT = 1e-9
# zennit's 1e-6 in every denominator, of which the smallest are about 1e-3 of the typical one.
STABILIZED = 1e-4


def explained(model, preset, images):
    """Explain the winning logits with an analyzer; `box_epsilon_plus` has Box first."""
    options = {}
    if preset == "box_epsilon_plus":
        options["rules"] = {"first": rules.Box(**BOUNDS)}
        preset = "epsilon_plus"
    analyzer = lrpkeras.Analyzer(model, preset, **options)
    return np.asarray(analyzer.explain(images, verbose=0).relevance)


def stepped(graph, preset, images):
    """Explain the winning logits of a rewritten graph; gradients start from 1 there."""
    preset = PRESETS[preset]()
    gradient = preset.seed == "gradient"
    forward = run(graph, preset, images, vanishes=not gradient)
    winner = np.eye(forward.output.shape[1])[forward.output.argmax(1)]
    (relevance,) = forward.back((winner if gradient else winner * forward.output)[None])
    return relevance[0]


def worst_difference(got, expected):
    """Largest |got - expected| of each image in units of its own largest |expected|."""
    axes = tuple(range(1, expected.ndim))
    return np.max(np.abs(got - expected).max(axes) / np.abs(expected).max(axes))


@pytest.fixture(scope="module", params=NETS)
def case(request):
    arrays = stored(request.param)
    return build(request.param, arrays), arrays, arrays["images"].astype("float64")


@pytest.fixture(scope="module")
def graph(case):
    return rewritten(case[0])


def test_the_keras_net_computes_the_logits_of_the_torch_net(case):
    model, arrays, images = case
    np.testing.assert_allclose(model(images), arrays["logits"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", ["vgg", "resnet"], indirect=True)
@pytest.mark.parametrize("preset", STABILIZED_TOO)
def test_an_analyzer_equals_zennit_and_is_close_to_it_with_its_stabilizer(case, preset):
    model, arrays, images = case
    got = explained(model, preset, images)
    assert worst_difference(got, arrays[f"exact/{preset}"]) <= EXACT
    assert worst_difference(got, arrays[f"stabilized/{preset}"]) <= STABILIZED


@pytest.mark.parametrize("preset", PRESETS)
def test_relevance_equals_zennit_where_the_equations_are_the_same(case, graph, preset):
    _, arrays, images = case
    expected = arrays[f"exact/{preset}"]
    got = stepped(graph, preset, images[: len(expected)])
    assert worst_difference(got, expected) <= EXACT


def test_an_analyzer_starts_gradients_from_one_at_the_winner(case):
    model, arrays, images = case
    expected = arrays["exact/guided_backprop"]
    got = explained(model, "guided_backprop", images[: len(expected)])
    assert worst_difference(got, expected) <= EXACT


def test_the_presets_differ_from_each_other_by_far_more_than_the_tolerance(case):
    _, arrays, _ = case
    twins = {"alpha1_beta0", "zero"}  # the same as z_plus, and nearly as epsilon
    maps = [arrays[f"exact/{preset}"][:1] for preset in PRESETS if preset not in twins]
    pairs = [(a, b) for k, a in enumerate(maps) for b in maps[:k]]
    assert min(worst_difference(a, b) for a, b in pairs) > 0.01


@pytest.fixture
def live_reference(monkeypatch):
    for package in ("torch", "zennit"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; zennit_reference.py tells how to get it")
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("zennit_reference").reference


@pytest.mark.parametrize("net", NETS)
def test_live_zennit_still_gives_the_stored_arrays(live_reference, net):
    arrays, expected = live_reference(net), stored(net)
    assert set(expected) == {*arrays, "versions"}
    for key, value in arrays.items():
        # Other builds of torch add in another order; `stabilized` is stored in float32.
        np.testing.assert_allclose(value, expected[key], rtol=1e-6, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("net", NETS)
def test_live_zennit_agrees_on_fresh_random_nets(live_reference, net, seed):
    arrays = live_reference(net, seed)
    model, images = build(net, arrays), arrays["images"].astype("float64")
    graph = rewritten(model)
    for preset in PRESETS:
        expected = arrays[f"exact/{preset}"]
        got = stepped(graph, preset, images[: len(expected)])
        assert worst_difference(got, expected) <= EXACT, preset
