"""The networks of a few numbers in `docs/comparison.md`: what we give, and what is written."""

import importlib.util
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import float64
from tiny_nets import chain, dense, norm, relevance, with_weights

import lrpkeras
from benchmarks.peers import small


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


def plus(x):
    return x + dense([[0.5]])(x)


def added(x):
    return layers.Add(dtype="float64")([x, dense([[0.5]])(x)])


def share(block):
    logit = 2 * 1.5**16
    return relevance(chain((1,), *[block] * 16), [2.0], "zero") / logit


def one(*bias):
    return chain((2,), dense([[1.0], [-1.0]], *bias))


def padded():
    kernel = np.zeros((4, 4, 1, 1))
    kernel[1, 1] = 1.0
    conv = with_weights(layers.Conv2D(1, 4, use_bias=False, dtype="float64"), kernel)
    return chain((2, 2, 1), layers.ZeroPadding2D(1), conv, layers.Flatten())


def explained_logit():
    steps = dense([[2.0]]), keras.ops.relu, norm(3.0, 0.5, 1.0, 1.0), dense([[1.0]])
    model = chain((1,), *steps)
    return lrpkeras.Analyzer(model, "zero").explain(np.array([[-2.0]]), verbose=0).output


def twice():
    analyzer = lrpkeras.Analyzer(one(), "zero", rules={"*": lrpkeras.rules.AlphaBeta(1.0, 0.0)})
    return [np.asarray(analyzer(np.array([[3.0, 1.0]]))) for _ in range(2)]


def from_config():
    model = chain((2,), dense([[1.0], [1.0]]))
    config = lrpkeras.Analyzer(model, lrpkeras.presets.get("epsilon", epsilon=1.0)).get_config()
    return np.asarray(lrpkeras.Analyzer.from_config(config, model)(np.ones((1, 2))))


OURS = {
    "residual": lambda: share(plus),
    "residual_by_modules": lambda: share(added),
    "negative_bias": lambda: relevance(one(-0.9), [1.0, 0.05], "alpha1_beta0"),
    "negative_input": lambda: relevance(one(), [1.0, -3.0], "alpha1_beta0"),
    "sigmoid_head": lambda: relevance(
        chain((2,), dense([[1.0], [-3.0]]), keras.ops.sigmoid), [1.0, 1.0], "epsilon"
    ),
    "flat_behind_padding": lambda: relevance(padded(), np.ones((2, 2, 1)), "epsilon_plus_flat"),
    "batch_norm": lambda: relevance(
        chain((1,), dense([[1.0]]), norm(3.0, 0.5, 1.0, 4.0)), [5.0], "zero"
    ),
    "batch_norm_behind_relu": explained_logit,
    "factor": lambda: relevance(chain((1,), lambda x: 2 * x, dense([[1.0]])), [3.0], "epsilon"),
    "nested": lambda: relevance(chain((2,), one()), [3.0, 1.0], "alpha1_beta0"),
    "second_call": twice,
    "saved": from_config,
}


@pytest.mark.parametrize("name", small.CASES)
def test_lrpkeras_gives_the_right_numbers(name):
    assert small.is_right(np.ravel(OURS[name]()), small.CASES[name])


def test_the_page_shows_what_was_measured():
    page = small.PAGE.read_text("utf-8")
    assert small.with_table(page, small.load()) == page
    assert small.table(small.load()) in page


def rows(text):
    """The rows of the first table in a text, by their first cells."""
    lines = text[text.index("\n| ") :].strip().partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {name: rest for name, *rest in cells}


def test_the_times_on_the_page_are_those_of_the_benchmark():
    told = rows(small.PAGE.read_text("utf-8").partition("## Speed")[2])
    results = (small.ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8").partition("## Times")[2]
    networks = told.pop("")
    del told["---"]
    assert networks == ["VGG16", "ResNet50", "MobileNetV2"]
    for column, network in enumerate(networks):
        measured = rows(results[results.index(f"\n| {network} | batch 1") :])
        for way, cells in told.items():
            cell = cells[column] if column < len(cells) else ""
            if cell and cell[0].isdigit():
                row = measured[way.removeprefix("lrpkeras ").replace("`", "")]
                assert row[3].startswith(f"{cell} ("), (way, network)


def test_both_versions_of_zennit_give_the_same():
    found = small.load()
    old, new = found["zennit 0.5.1"], found["zennit 1.0.0"]
    assert old.keys() == new.keys()
    for name, numbers in old.items():
        np.testing.assert_allclose(numbers, new[name])


def test_a_wrong_number_is_told_from_a_right_one():
    case = small.CASES["saved"]
    assert small.marked([2 / 3, 0.6667], case) == "0.66667, 0.6667"
    assert small.marked([2 / 3, 0.67], case) == "**0.66667, 0.67**"


@pytest.mark.slow
def test_the_installed_peers_still_give_what_is_written():
    if not all(map(importlib.util.find_spec, ("torch", "zennit", "captum"))):
        pytest.skip("zennit and captum are not installed")
    command = [sys.executable, "-m", "benchmarks.peers.small_torch"]
    done = subprocess.run(command, cwd=small.ROOT, capture_output=True, text=True, check=True)
    found, kept = json.loads(done.stdout), small.load()
    known = found.keys() & kept.keys()
    if not known:
        pytest.skip(f"other versions than those of the page: {sorted(found)}")
    for library in known:
        for name, numbers in found[library].items():
            if isinstance(numbers, list):
                np.testing.assert_allclose(numbers, kept[library][name], rtol=1e-9)
            else:
                assert numbers == kept[library][name]
