"""Where zennit and lrpkeras agree by definition, and where they do not, one net per convention.

Each case of `convention_cases.py` is a net of a few numbers. Both libraries' relevance is worked
out by hand in the comment above it; `zennit_conventions.npz` holds what zennit really gave (made by
`zennit_conventions.py`). zennit's numbers carry the 1e-6 that it adds to every denominator.
"""

import importlib
import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from convention_cases import CASES, DIFFER, Case
from keras import layers

import lrpkeras

HERE = pathlib.Path(__file__).parent
# The 1e-6 in the denominators (all at least 0.05 but in `small_denominator`) and in Epsilon.
TOLERANCE = 3e-5


def relevance(case, target=None):
    """Explain the case's input here; float64."""
    x = np.array(case.x)
    inputs = keras.Input(x.shape, dtype="float64")
    outputs = layers.Flatten(dtype="float64")(case.build(inputs))
    analyzer = lrpkeras.Analyzer(keras.Model(inputs, outputs), case.preset, **case.options)
    explanation = analyzer.explain(x[None], target=target, verbose=0)
    return np.asarray(explanation.relevance).reshape(-1)


@pytest.mark.parametrize("name", CASES)
def test_zennit_follows_the_convention_that_is_written_here(name):
    with np.load(HERE / "zennit_conventions.npz") as stored:
        np.testing.assert_allclose(stored[name], CASES[name].zennit, rtol=TOLERANCE, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_lrpkeras_follows_the_convention_that_is_written_here(name):
    np.testing.assert_allclose(relevance(CASES[name]), CASES[name].ours, rtol=TOLERANCE)


@pytest.mark.parametrize("name", DIFFER)
def test_a_convention_listed_as_different_makes_a_difference(name):
    case = DIFFER[name]
    assert np.max(np.abs(np.subtract(case.zennit, case.ours))) > 0.4 * np.max(np.abs(case.ours))


def test_starting_from_all_outputs_as_zennit_does_is_a_target_of_ones():
    case = DIFFER["all_outputs"]
    got = relevance(case, target=np.ones((1, 2)))
    np.testing.assert_allclose(got, case.zennit, rtol=TOLERANCE)


def test_a_tied_maximum_gives_all_relevance_to_the_first_input_in_both():
    tie = Case(layers.MaxPooling2D(2, dtype="float64"), np.ones((2, 2, 1)), None, None)
    with np.load(HERE / "zennit_conventions.npz") as stored:
        np.testing.assert_array_equal(stored["tied_max_pool"], [1, 0, 0, 0])
    np.testing.assert_array_equal(relevance(tie), [1, 0, 0, 0])


def test_live_zennit_still_follows_these_conventions(monkeypatch):
    for package in ("torch", "zennit"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; zennit_reference.py tells how to get it")
    monkeypatch.syspath_prepend(HERE)
    got = importlib.import_module("zennit_conventions").conventions()
    for name, case in CASES.items():
        np.testing.assert_allclose(got[name], case.zennit, rtol=TOLERANCE, atol=1e-12, err_msg=name)
