"""Comparisons: one, other, their difference, and numbers that follow from formulas."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import lrpkeras
from lrpkeras import plot
from lrpkeras.errors import InputError
from lrpkeras.plot.comparison import Alike

RELEVANCE = np.random.default_rng(4).normal(size=(2, 3, 4, 5, 1))  # samples, targets
PHOTOS = np.arange(1.0, 3.0)[:, None, None, None] / 2 * np.ones((2, 8, 10, 3))
NAMES = ["cat", "dog", "bird"]


def explained(relevance, target):
    logits = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
    return lrpkeras.Explanation(relevance, logits, np.array(target))


def drawn(panel):
    return np.asarray(panel.images[-1].get_array())


def colour_bars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_a_comparison_is_one_other_and_their_difference_on_one_scale():
    one, other = RELEVANCE[:, 0], 3 * RELEVANCE[:, 1]
    figure, axes = plot.compare(one, other, PHOTOS, names=("epsilon", "gamma"), titles=["x", "y"])
    assert axes.shape == (2, 4)
    for row, line in enumerate(axes):
        a, b = one[row, ..., 0], other[row, ..., 0]
        for panel, expected in zip(line, (PHOTOS[row], a, b, a - b), strict=True):
            np.testing.assert_array_equal(drawn(panel), expected)
        top = max(np.abs(part).max() for part in (a, b, a - b))
        assert {panel.images[-1].get_clim() for panel in line[1:]} == {(-top, top)}
    heads = [panel.get_title() for panel in axes[0]]
    assert heads[:3] == ["x", "epsilon", "gamma"]
    assert heads[3].startswith("epsilon − gamma\ncosine")
    assert axes[1, 0].get_title() == "y"
    assert len(colour_bars(figure)) == 2


def test_explanations_compared_have_their_titles_once_where_they_agree():
    one, other = explained(RELEVANCE[:, 0], [0, 2]), explained(RELEVANCE[:, 1], [0, 1])
    same = plot.compare(one, one, labels=NAMES).axes
    assert [panel.get_title() for panel in same[1]] == [
        "bird: 5.50",
        "",
        "cosine 1.00, 0% moved",
    ]
    apart = plot.compare(one, other, labels=NAMES).axes
    assert [panel.get_title() for panel in apart[1, :2]] == ["bird: 5.50", "dog: 4.50"]


def test_normalized_maps_differ_by_shape_alone():
    one = RELEVANCE[0, 0]
    axes = plot.compare(one, 1e-9 * one, normalize=True).axes
    assert axes[0, 2].get_title().endswith("cosine 1.00, 0% moved")
    assert np.abs(drawn(axes[0, 1])).sum() == pytest.approx(1)
    assert not np.abs(drawn(axes[0, 2])).max() > 1e-12  # rounding
    plain = plot.compare(one, 1e-9 * one).axes
    assert plain[0, 2].get_title().endswith("cosine 1.00, 100% moved")


@pytest.mark.parametrize(
    ("one", "other", "cosine", "moved"),
    [
        ([3, 0, 4], [3, 0, 4], 1, 0),
        ([3, 0, 4], [-3, 0, -4], -1, 1),
        ([1, 0], [0, 1], 0, 1),
        ([1, 1], [1, 0], 2**-0.5, 1 / 3),
        ([4, 0], [3, 1], 3 / 10**0.5, 1 / 4),
        ([1e-200, 0], [1e-200, 1e-200], 2**-0.5, 1 / 3),
        ([0, 0], [0, 0], np.nan, 0),
        ([0, 0], [1, 0], np.nan, 1),
    ],
)
def test_how_alike_two_maps_are_follows_from_the_formulas(one, other, cosine, moved):
    found = Alike.of(one, other)
    assert found.cosine == pytest.approx(cosine, nan_ok=True)
    assert found.moved == pytest.approx(moved)


def test_maps_of_zeros_are_compared_without_a_cosine():
    axes = plot.compare(np.zeros((2, 3)), np.zeros((2, 3))).axes
    assert axes[0, 2].get_title().endswith("no cosine, 0% moved")


def test_comparisons_are_drawn_on_given_axes_too():
    own = Figure().subplots(1, 3)
    assert plot.compare(RELEVANCE[0, 0], RELEVANCE[1, 0], axes=own).axes.tolist() == [own.tolist()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"other": RELEVANCE[:1, 0]}, r"one has maps \(3, 4, 5\)"),
        ({"image": PHOTOS}, "2 images for 3 maps"),
        ({"labels": ["cat", "dog"]}, "labels names the classes of an explanation"),
        ({"names": "ab"}, "names are two texts"),
        ({"names": ["a"]}, "names are two texts"),
        ({"titles": ["a"]}, "1 titles for 3"),
        ({"axes": Figure().subplots(1, 3)}, "9 matplotlib Axes"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        plot.compare(**{"one": RELEVANCE[0], "other": RELEVANCE[1], **options})
