"""Relevance at hidden layers, one small map for each."""

import numpy as np
import pytest
from pictures import picture

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.plot import layers

RNG = np.random.default_rng(0)
DENSE, DEEP, INPUT = np.array([3.0, -1.0, 0.0]), RNG.normal(size=(4, 4, 5)), np.ones((8, 8, 3))


@picture
def test_a_stripe_for_each_neuron_and_a_map_for_each_convolution():
    return layers({"dense": DENSE, "conv": DEEP, "input": np.tri(8)[..., None]})


def explanation():
    """Two samples, two targets each."""
    hidden = RNG.normal(size=(2, 2, 4, 4, 5))
    return lrpkeras.Explanation(
        RNG.normal(size=(2, 2, 8, 8, 3)),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        np.array([[1, 0], [1, 0]]),
        {"first": hidden, "second": 2 * hidden},
    )


def test_stages_stand_from_the_output_to_the_input_each_on_its_own_scale():
    given = explanation()
    drawn = layers(given, sample=1, target=1)
    names = [panel.get_title().partition("\n")[0] for panel in drawn.axes]
    assert names == ["second", "first", "input"]
    expected = [2 * given.layers["first"][1, 1], given.layers["first"][1, 1]]
    for panel, values in zip(drawn.axes, [*expected, given.relevance[1, 1]], strict=True):
        total = values.sum(axis=-1)
        np.testing.assert_allclose(panel.images[-1].get_array(), total)
        assert panel.images[-1].norm.vmax == pytest.approx(np.abs(total).max())
    assert drawn.figure.get_suptitle() == "class 0: 3.00"


SLICES = np.array([[[2.0]], [[-5.0]], [[1.0]]])[..., None] * np.ones((8, 8, 1))


@pytest.mark.parametrize(
    ("values", "options", "title"),
    [
        (np.full((2, 5, 3), -0.5), {}, "2 × 5 × 3, ΣR -15\ncolours to ±1.5"),
        ([1.0, 3.0], {}, "2, ΣR 4\ncolours to 3"),
        ([0.0, 0.0], {}, "2, ΣR 0\ncolours to ±1"),
        # Linearly between 3 and 1, which are percentiles 100 and 0.
        ([-1.0, 3.0], {"clip": 50}, "2, ΣR 2\ncolours to ±2, clipped"),
        (SLICES, {}, "3 × 8 × 8 × 1, ΣR -128\nslice 2 of 3, colours to ±5"),
    ],
)
def test_titles_say_size_sum_and_what_has_the_end_colours(values, options, title):
    panel = layers({"conv": values}, **options).axes[0]
    assert " ".join(panel.get_title().split()) == f"conv {title}".replace("\n", " ")


@pytest.fixture(scope="module")
def shapes():
    analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model(), "epsilon", verify=False)
    return analyzer, lrpkeras.datasets.shapes(1, seed=0).images


@pytest.mark.parametrize("asked", [["images", "stem_conv", "head"], ["head", "images", "stem_c*"]])
def test_stages_stand_in_the_order_of_the_network_and_an_input_among_them_once(shapes, asked):
    analyzer, x = shapes
    drawn = layers(analyzer.explain(x, layers=asked, verbose=0), x)
    names = [panel.get_title().partition("\n")[0] for panel in drawn.axes]
    assert names == ["head", "stem_conv", "images"]


def test_a_layer_with_the_relevance_of_the_input_does_not_hide_it():
    given = lrpkeras.Explanation(DEEP[None], np.ones((1, 2)), np.array([0]), {"scaled": DEEP[None]})
    assert len(layers(given).axes) == 2


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({}, {}, "at least one"),
        (np.zeros((2, 2)), {}, "arrays by name"),
        ({"conv": np.zeros((2, 2, 2, 2, 2))}, {}, "'conv'"),
        ({"conv": [np.nan]}, {}, "'conv'"),
        (lrpkeras.Explanation(np.ones((1, 4)), np.ones((1, 2)), np.array([0])), {}, "no hidden"),
        (explanation(), {"sample": 2}, "sample is a number from 0 to 1"),
        (explanation(), {"target": -1}, "target is a number from 0 to 1"),
        (explanation(), {"columns": 0}, "columns"),
    ],
)
def test_what_does_not_fit_is_refused(given, options, said):
    with pytest.raises(InputError, match=said):
        layers(given, **options)
