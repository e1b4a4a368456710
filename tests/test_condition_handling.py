"""Conditions: what they cost, which are refused, and what an explanation tells of them."""

import json

import matplotlib
import numpy as np
import pytest
from conditioned import X, close, each, explain, network
from keras import Input, Model, layers
from linear_layers import randomized

import lrpkeras
from benchmarks import multiply_adds
from lrpkeras import backend
from lrpkeras.errors import LrpError, RuleError, TargetError

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def analyzer(model):
    return lrpkeras.Analyzer(model, "epsilon_alpha2_beta1")


@pytest.fixture
def compiled(monkeypatch):
    """Every function that is compiled while a test runs."""
    made = []
    compile_ = backend.compile

    def kept(*args, **kwargs):
        made.append(compile_(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(backend, "compile", kept)
    return made


# Cost


def test_other_channels_retrace_nothing(model, compiled):
    analyzer = lrpkeras.Analyzer(model, "epsilon", verify=False)
    for channels in (0, [1, 2], [True, False, True], [0.5, 2.0, 1.0]):
        explain(analyzer, {"add": channels}, 1)
    explain(analyzer, {"add": 2}, 0, x=X[:2])
    assert sum(map(backend.trace_count, compiled)) == 1
    explain(analyzer, each("conv1", 4), 1)
    explain(analyzer, [{"bn1": [channel, 0]} for channel in (1, 2, 3)] + [{"conv1": 1}], 1)
    assert sum(map(backend.trace_count, compiled)) == 2
    explain(analyzer, {"dense": 0, "add": 1}, 1)
    explain(analyzer, {"add": 1, "dense": 0}, 1)
    assert sum(map(backend.trace_count, compiled)) == 3


def test_conditions_share_the_forward_pass_and_the_way_back_to_their_layer(model, compiled):
    """Each takes the adjoints of the layers below its own, and of its own; those above are shared.

    From `conv1` that is one convolution, from `dense` all that a map takes but for the head.
    """
    analyzer = lrpkeras.Analyzer(model, "epsilon", verify=False)

    def work(condition):
        explain(analyzer, condition)
        return multiply_adds.total(compiled[-1].graph(1))

    forward = multiply_adds.total(analyzer._explainer.function("output").graph(1))
    whole = work({"dense": 0})
    assert work({"conv1": 0}) == whole
    conv1, below = 6 * 6 * 4 * 3 * 3 * 2, whole - forward - 5 * 3
    assert work(each("conv1", 4)) == whole + 3 * conv1
    assert work(each("dense", 3)) == whole + 2 * below
    assert work(each("conv1", 1) + each("dense", 1)) == whole + below


# What is refused


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"conv3": 0}, "'conv3' names no layer.*did you mean 'conv"),
        ({"softmax*": 0}, "names no layer"),
        ({"conv*": 0}, "'conv\\*' means 2 layers"),
        ({3: 0}, "3 is no layer's name"),
        ({"add": 3}, "channel 3 is out of range: 'add' has channels 0 to 2"),
        ({"add": [0, -1]}, "channel -1 is out of range"),
        ({"flat": 27}, "channels 0 to 26"),
        ({"add": []}, "'add' has no channels"),
        ({"add": [1, 1]}, "channel 1 is there twice"),
        ({"add": 1.5}, "For channel numbers give integers"),
        ({"add": [1.0]}, "For channel numbers give integers"),
        ({"add": [True, False]}, "shape \\(3,\\)"),
        ({"add": [False] * 3}, "nothing passes 'add'"),
        ({"add": [0.0] * 3}, "nothing passes 'add'"),
        ({"add": [1.0, np.nan, 0.0]}, "NaN"),
        ({"add": True}, "True for channels"),
        ({"add": None}, "None for channels"),
        ({"add": "1"}, "'1' for channels"),
        ({"add": {1}}, "for channels"),
        ({"add": [[1, 2]]}, "for channels"),
        ({"add": [[1], [1, 2]]}, "for channels"),
        ({}, "none of them empty"),
        ([], "none of them empty"),
        ([{"add": 1}, {}], "none of them empty"),
        ("add", "neither"),
        ([("add", 1)], "neither"),
        ({"conv1": 0, "bn1": 1}, "nothing passes 'bn1'"),
        ({"branch": 0, "shortcut": 1}, "lie side by side"),
        ({"shortcut": 0, "short*": 1}, "'shortcut' is there twice"),
    ],
)
def test_conditions_that_make_no_sense_are_refused_before_any_work(analyzer, condition, words):
    with pytest.raises(LrpError, match=words):
        analyzer.explain(X, condition=condition)


def test_a_glob_that_means_one_layer_is_its_name(analyzer):
    got = explain(analyzer, {"short*": 1})
    assert got.condition == {"shortcut": (1,)}


def test_layers_without_relevance_are_refused():
    inputs = Input((4, 4, 3))
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inputs)
    gate = layers.Conv2D(3, 1, activation="sigmoid", name="gate")(gate)
    side = layers.Dense(2, name="side")(layers.Flatten()(inputs))
    x = layers.Flatten()(layers.Multiply(name="gated")([inputs, gate]))
    net = randomized(Model(inputs, [layers.Dense(2, name="main")(x), side]))
    analyzer = lrpkeras.Analyzer(net, "epsilon", output="main")
    with pytest.raises(TargetError, match="does not reach 'gate'"):
        analyzer.explain(X, condition={"gate": 0})
    with pytest.raises(RuleError, match="'side' names no layer"):
        analyzer.explain(X, condition={"side": 0})


def test_layers_within_a_block_that_relative_rescales_are_refused(model):
    analyzer = lrpkeras.Analyzer(model, "relative")
    for layer in ("branch", "inner", "shortcut"):
        with pytest.raises(TargetError, match=f"'{layer}' lies within.* the residual block.*'add'"):
            analyzer.explain(X, condition={layer: 0})
    hidden = explain(analyzer, target=1, layers="relu1").layers["relu1"]
    value = Model(model.input, model.get_layer("relu1").output)
    lower = lrpkeras.Analyzer(value, "relative")
    masked = np.where(np.arange(4) == 2, hidden, 0)
    z = value(X).numpy()
    started = np.divide(masked, z, out=np.zeros_like(masked), where=z != 0)
    close(explain(analyzer, {"relu1": 2}, 1).relevance, lower(X, started).numpy(), 1e-9)


# What is returned


def test_an_explanation_tells_its_conditions_and_saves_them(analyzer, tmp_path):
    conditions = [{"add": 2, "conv1": [True, False, True, False]}, {"dense": range(5)}]
    got = explain(analyzer, [*conditions, {"head": [0.5, 0.0, 1.0]}], 1)
    assert got.condition[:2] == ({"add": (2,), "conv1": (0, 2)}, {"dense": (0, 1, 2, 3, 4)})
    assert "condition=['add: 2 & conv1: 0, 2', 'dense: 0, 1, 2, 3, 4', 'head: factors']" in repr(
        got
    )
    got.save(tmp_path / "several.npz")
    with np.load(tmp_path / "several.npz") as file:
        assert json.loads(str(file["condition"])) == [
            {"add": [2], "conv1": [0, 2]},
            {"dense": [0, 1, 2, 3, 4]},
            {"head": [0.5, 0.0, 1.0]},
        ]
        np.testing.assert_array_equal(file["relevance"], got.relevance)


def test_maps_of_conditions_stand_side_by_side_with_their_channels_for_titles(analyzer):
    photos = np.arange(3.0)[:, None, None, None] * np.ones((3, 6, 6, 3)) / 2
    got = explain(analyzer, [{"add": 2}, {"conv1": [0, 3]}], [[0, 1]] * 3)
    axes = got.plot(photos, labels=["cat", "dog", "bird"]).axes
    titles = [panel.get_title().replace("\n", " ") for panel in axes]
    names = [
        f"{n}: {z:.2f}" for row in got.output for n, z in zip(["cat", "dog"], row, strict=False)
    ]
    below = ["add: 2", "conv1: 0, 3"]
    assert titles == [f"{name} {words}" for name in names for words in below]
    maps = np.array([panel.images[1].get_array() for panel in axes])
    np.testing.assert_allclose(maps, got.relevance.sum(axis=-1).reshape(12, 6, 6), rtol=1e-12)
    greys = [float(panel.images[0].get_array()[0, 0]) for panel in axes]
    np.testing.assert_allclose(greys, np.repeat([0, 0.5, 1], 4), rtol=1e-12)
    (title,) = {p.get_title() for p in explain(analyzer, {"add": 2}, np.ones((3, 3))).plot().axes}
    assert title == "add: 2"
