"""Grids: what stands where, on which scale, under which title."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import lrpkeras
from lrpkeras import plot
from lrpkeras.errors import InputError

RELEVANCE = np.random.default_rng(4).normal(size=(2, 3, 4, 5, 1))  # samples, targets
PHOTOS = np.arange(1.0, 3.0)[:, None, None, None] / 2 * np.ones((2, 8, 10, 3))
LOGITS = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
NAMES = ["cat", "dog", "bird"]


def explained(relevance=RELEVANCE, target=((0, 1, 2), (2, 1, 0)), logits=LOGITS):
    return lrpkeras.Explanation(relevance, logits, np.array(target))


def drawn(panel):
    return np.asarray(panel.images[-1].get_array())


def limits(axes):
    return [[panel.images[-1].get_clim()[1] for panel in line] for line in axes]


def colour_bars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


# One explanation: images by classes


def test_one_explanation_is_a_row_for_each_image_and_a_column_for_each_class():
    figure, axes = plot.grid(explained(), PHOTOS, labels=NAMES)
    assert axes.shape == (2, 4)
    for sample, line in enumerate(axes):
        np.testing.assert_array_equal(drawn(line[0]), PHOTOS[sample])
        for k, panel in enumerate(line[1:]):
            np.testing.assert_array_equal(drawn(panel), RELEVANCE[sample, k, ..., 0])
    assert [[panel.get_title() for panel in line] for line in axes] == [
        ["", "cat: 0.50", "dog: 1.50", "bird: 2.50"],
        ["", "bird: 5.50", "dog: 4.50", "cat: 3.50"],
    ]
    assert len(colour_bars(figure)) == 2


@pytest.mark.parametrize(
    ("scale", "expected", "bars"),
    [
        ("row", np.abs(RELEVANCE).max(axis=(1, 2, 3, 4), keepdims=True), 2),
        ("map", np.abs(RELEVANCE).max(axis=(2, 3, 4), keepdims=True), 6),
        ("all", np.abs(RELEVANCE).max(keepdims=True), 1),
    ],
)
def test_a_scale_is_shared_by_the_maps_that_are_asked_for(scale, expected, bars):
    figure, axes = plot.grid(explained(), scale=scale)
    assert axes.shape == (2, 3)
    np.testing.assert_array_equal(limits(axes), expected[..., 0, 0, 0] * np.ones((2, 3)))
    assert len(colour_bars(figure)) == bars
    rows = plot.grid(dict(zip("ab", RELEVANCE, strict=True)), PHOTOS[:1], scale=scale).axes
    np.testing.assert_array_equal(limits(rows[1:]), limits(axes))


def test_an_explanation_of_one_class_each_is_one_column():
    axes = plot.grid(explained(RELEVANCE[:, 0], [0, 2]), PHOTOS, titles=["the winner"]).axes
    assert axes.shape == (2, 2)
    assert [panel.get_title() for panel in axes.flat] == ["", "the winner", "", ""]


# A dict: images by ways of explaining


def test_without_images_a_grid_is_maps_alone():
    axes = plot.grid({"a": RELEVANCE[:, 0], "b": RELEVANCE[:, 1]}, titles=["one", "two"]).axes
    assert axes.shape == (2, 2)
    assert [panel.get_title() for panel in axes.flat] == ["one", "two", "", ""]
    np.testing.assert_array_equal(drawn(axes[1, 0]), RELEVANCE[0, 1, ..., 0])
    assert [line[0].get_ylabel() for line in axes] == ["a", "b"]


def test_rows_of_explanations_that_agree_have_titles_above_the_images():
    one, other = explained(RELEVANCE[:, 0], [0, 2]), explained(RELEVANCE[:, 1], [0, 2])
    axes = plot.grid({"epsilon": one, "gamma": other}, PHOTOS, labels=NAMES).axes
    above = [[panel.get_title() for panel in line] for line in axes]
    assert above == [["cat: 0.50", "bird: 5.50"], ["", ""], ["", ""]]


def test_rows_of_explanations_that_differ_have_titles_above_their_maps():
    one, other = explained(RELEVANCE[:, 0], [0, 2]), explained(RELEVANCE[:, 1], [1, 2])
    axes = plot.grid({"a": one, "b": other, "c": RELEVANCE[:, 2]}, PHOTOS).axes
    above = [[panel.get_title() for panel in line] for line in axes]
    assert above == [
        ["", ""],
        ["class 0: 0.50", "class 2: 5.50"],
        ["class 1: 1.50", "class 2: 5.50"],
        ["", ""],
    ]


def test_presets_by_classes_of_one_image_is_gonzalezs_matrix():
    one = explained(RELEVANCE[:1], [[0, 1, 2]], LOGITS[:1])
    other = explained(-RELEVANCE[:1], [[0, 1, 2]], LOGITS[:1])
    axes = plot.grid({"epsilon": one, "gamma": other}, PHOTOS[0], labels=NAMES).axes
    assert axes.shape == (3, 3)
    assert [panel.get_title() for panel in axes[0]] == ["cat: 0.50", "dog: 1.50", "bird: 2.50"]
    for k in range(3):
        np.testing.assert_array_equal(drawn(axes[0, k]), PHOTOS[0])
        np.testing.assert_array_equal(drawn(axes[2, k]), -RELEVANCE[0, k, ..., 0])


def test_maps_of_several_classes_stand_below_their_samples_image():
    axes = plot.grid({"epsilon": explained()}, PHOTOS).axes
    assert axes.shape == (2, 6)
    assert [drawn(panel)[0, 0, 0] for panel in axes[0]] == [0.5] * 3 + [1] * 3


def test_rows_may_have_maps_of_other_sizes():
    axes = plot.grid({"input": RELEVANCE[:, 0], "conv": np.ones((2, 2, 2, 7))}, PHOTOS).axes
    assert drawn(axes[2, 0]).shape == (2, 2)


def test_grids_are_drawn_on_given_axes_too():
    figure = Figure()
    own = figure.subplots(2, 4)
    returned, axes = plot.grid(explained(), PHOTOS, axes=own)
    assert returned is figure
    assert axes.tolist() == own.tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.grid({"a": RELEVANCE[:, 0]}, scale="column"), "scale is one of 'row'"),
        (lambda: plot.grid([RELEVANCE]), "rows is a dict"),
        (lambda: plot.grid({"a": np.ones((2, 2, 2, 1)), "b": np.ones((3, 2, 2, 1))}), "rows.'a'."),
        (lambda: plot.grid(explained(), np.ones((3, 2, 2, 1))), "3 images for 2 samples"),
        (lambda: plot.grid(explained(), titles=["a"]), "1 titles for 3"),
        (lambda: plot.grid({"a": explained()}, labels=["cat"]), "1 names"),
        (lambda: plot.grid({"a": RELEVANCE[:, 0]}, labels=["cat", "dog"]), "of an explanation"),
        (lambda: plot.grid(explained(), axes=Figure().subplots(2, 2)), "6 matplotlib Axes"),
        (lambda: plot.grid({"a": explained(RELEVANCE[..., 0, 0])}), r"rows\['a'\] is of no images"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
