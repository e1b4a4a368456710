"""Who comes from iNNvestigate finds every name in `docs/migration.md`; what stands there holds.

`innvestigate_names.json` has the names, `innvestigate_reference.npz` what iNNvestigate 2.1.2
computed; the scripts beside them made both.
"""

import functools
import json
import re
from pathlib import Path

import code_blocks
import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras

HERE = Path(__file__).parent
PAGE = code_blocks.ROOT / "docs" / "migration.md"
NAMES = json.loads((HERE / "innvestigate_names.json").read_text("utf-8"))
REFERENCE = np.load(HERE / "innvestigate_reference.npz")
CODE = re.compile(r"`([^`]+)`")
# Within this of a map's largest value, in float32: ten times what was found.
CLOSE = 2e-6


def tables():
    """The rows of every table of the page, cells as text, by the heading above it."""
    found, heading = {}, ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            found.setdefault(heading, []).append([c.strip() for c in line.strip("|").split(" | ")])
    return {heading: rows[2:] for heading, rows in found.items()}


TABLES = tables()
ROWS = [(heading, row) for heading, rows in TABLES.items() for row in rows]
ANALYZERS = {CODE.findall(row[0])[0]: row for row in TABLES["Analyzers"]}


def small_model():
    """A network with the layer names and classes of the shipped one, that is explained at once."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="stem_conv"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(4, 3, activation="relu", name="stage1_conv"),
            layers.AveragePooling2D(2),
            layers.Conv2D(4, 2, activation="relu", name="stage2_conv"),
            layers.Flatten(),
            layers.Dense(5, activation="relu", name="stage3_dense"),
            layers.Dense(6, activation="softmax", name="head"),
        ]
    )


@functools.cache
def namespace():
    """What readers have, the names of the page's own code, but for a smaller network and images."""
    names = {"small_model": small_model}
    for block in code_blocks.blocks(PAGE):
        if block.language == "python":
            code = block.code.replace("lrpkeras.datasets.shapes_model()", "small_model()")
            code = code.replace(".images", ".images[:, 20:28, 20:28]")
            exec(compile(code, str(PAGE), "exec"), names)
    return names


@functools.cache
def evaluated(code):
    """What stands on the page, as an analyzer if it is a preset."""
    made = eval(code, dict(namespace()))
    if isinstance(made, lrpkeras.Preset):
        made = lrpkeras.Analyzer(namespace()["model"], made)
    return made


@functools.cache
def network(kind):
    """iNNvestigate's network in Keras 3, with or without biases."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(5, 2, activation="relu"),
            layers.AveragePooling2D(2, 1),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(3),
        ]
    )
    model.set_weights([REFERENCE[f"{kind}/weights/{i}"] for i in range(8)])
    return model


def distance(name, kind, factor=1.0):
    """How far our map is from iNNvestigate's, in units of its largest value."""
    model, x = network(kind), REFERENCE["x"]
    analyzer = eval(CODE.findall(ANALYZERS[name][1])[0], {**namespace(), "model": model})
    theirs = REFERENCE[f"{kind}/{name}"]
    return np.abs(factor * np.asarray(analyzer(x)) - theirs).max() / np.abs(theirs).max()


def test_every_analyzer_has_a_row():
    assert set(ANALYZERS) == set(NAMES["analyzers"])


def test_every_parameter_has_a_row():
    cells = " ".join(row[0] for row in TABLES["Parameters"])
    listed = {re.match(r"\w+", code)[0] for code in CODE.findall(cells)}
    assert listed == {name for of in NAMES["analyzers"].values() for name in of}


@pytest.mark.slow
@pytest.mark.parametrize(("heading", "row"), ROWS, ids=lambda part: CODE.sub(r"\1", str(part[0])))
def test_what_stands_on_the_right_works(heading, row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = CODE.findall(row[1])
    assert bool(codes) == (row[1] != "–")
    for code in codes:
        made = evaluated(code)
        # Those of the first table explain below.
        if isinstance(made, lrpkeras.Analyzer) and heading != "Analyzers":
            made(namespace()["x"])


SAID = [name for name, row in ANALYZERS.items() if name not in ("input", "random")]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SAID if "same" in ANALYZERS[name][2]])
def test_numbers_that_are_said_to_be_the_same_are(name):
    if ANALYZERS[name][2].startswith("the same without biases"):
        assert distance(name, "unbiased") < CLOSE
        # With biases they differ visibly: the remark is not idle.
        assert distance(name, "biased") > 0.05
    else:
        assert distance(name, "biased") < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_filtered_gradients_are_innvestigates_divided_by_the_logit(name):
    assert "divided by the logit" in ANALYZERS[name][2]
    logits = np.asarray(network("biased")(REFERENCE["x"])).max(1)
    assert distance(name, "biased", logits[:, None, None, None]) < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["biased", "unbiased"])
def test_the_fast_z_plus_is_z_plus_for_negative_inputs_too(kind):
    ours = [
        np.asarray(lrpkeras.Analyzer(network(kind), n)(REFERENCE["x"]))
        for n in ("lrp.z_plus", "lrp.z_plus_fast")
    ]
    np.testing.assert_array_equal(*ours)
    assert distance("lrp.z_plus_fast", kind) > 0.5


@pytest.mark.slow
def test_the_sums_that_the_page_tells_are_those_of_the_test_network():
    text = PAGE.read_text("utf-8")
    theirs = REFERENCE["biased/lrp.alpha_2_beta_1"].sum((1, 2, 3))
    model, x = network("biased"), REFERENCE["x"]
    ours = np.asarray(lrpkeras.Analyzer(model, "lrp.alpha_2_beta_1")(x)).sum((1, 2, 3))
    np.testing.assert_allclose(theirs, [24.25, -9.42, 0.20, 7.13], atol=0.01)
    assert "24, −9, 0.2 and 7 for logits of 2.7, 2.7, 2.4\n  and 2.6" in text
    np.testing.assert_allclose(np.asarray(model(x)).max(1), [2.7, 2.7, 2.4, 2.6], atol=0.05)
    np.testing.assert_allclose(ours, [2.9, 4.9, 4.5, 3.6], atol=0.06)
    assert "2.9, 4.9, 4.5 and 3.6" in text
