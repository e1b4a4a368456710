"""Signals on a ground of their relevance."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import picture

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.plot import series

STEPS = np.linspace(0, 6, 60)
SIGNAL = np.stack([np.sin(STEPS), np.cos(2 * STEPS)], axis=-1)
RELEVANCE = np.stack([np.exp(-((STEPS - 2) ** 2)), -np.exp(-4 * (STEPS - 4) ** 2)], axis=-1)


@picture
def test_two_channels_share_times_and_scale():
    return series(RELEVANCE, SIGNAL, times=STEPS, names=["one", "two"])


def ground(panel):
    return panel.collections[0]


def test_each_step_has_the_colour_of_its_relevance_half_way_to_its_neighbours():
    panel = series([1.0, -2.0, 0.0], [5.0, 6.0, 7.0], times=[0.0, 1.0, 3.0]).axes[0]
    np.testing.assert_array_equal(ground(panel).get_array(), [[1.0, -2.0, 0.0]])
    # Half-way between 0, 1 and 3; the ends reach as far to the other side.
    np.testing.assert_array_equal(ground(panel).get_coordinates()[0, :, 0], [-0.5, 0.5, 2.0, 4.0])
    assert ground(panel).norm.vmin == -2.0
    assert ground(panel).norm.vmax == 2.0


def test_all_signals_and_channels_share_one_scale():
    drawn = series(np.stack([RELEVANCE, 3 * RELEVANCE]), np.stack([SIGNAL, SIGNAL]))
    assert drawn.axes.shape == (2, 2)
    largest = 3 * np.abs(RELEVANCE).max()
    assert {ground(panel).norm.vmax for panel in drawn.axes.flat} == {largest}
    np.testing.assert_array_equal(ground(drawn.axes[1, 0]).get_array()[0], 3 * RELEVANCE[:, 0])


def test_the_ground_is_as_high_as_the_axis_that_signals_share():
    drawn = series(np.ones((2, 3, 1)), np.array([[0.0, 1.0, 2.0], [0.0, 10.0, 20.0]])[..., None])
    (axes,) = drawn.axes.T
    for panel in axes:
        heights = ground(panel).get_coordinates()[..., 1]
        assert (heights.min(), heights.max()) == panel.get_ylim() == axes[0].get_ylim()


def test_relevance_of_one_channel_colours_all_of_the_signal():
    drawn = series(RELEVANCE[:, 0], SIGNAL)
    for channel, panel in enumerate(drawn.axes):
        np.testing.assert_array_equal(ground(panel).get_array()[0], RELEVANCE[:, 0])
        np.testing.assert_array_equal(panel.lines[0].get_ydata(), SIGNAL[:, channel])


def test_an_explanation_brings_its_titles_and_repeats_the_signals_of_its_samples():
    output, target = np.array([[1.5, -2.0]]), np.array([[0, 1]])
    explanation = lrpkeras.Explanation(RELEVANCE[None, None] * [[[[1]], [[-1]]]], output, target)
    drawn = series(explanation, SIGNAL[None], labels=["yes", "no"])
    assert [panel.get_title() for panel in drawn.axes[:, 0]] == ["yes: 1.50", "no: -2.00"]
    for panel in drawn.axes[:, 1]:
        np.testing.assert_array_equal(panel.lines[0].get_ydata(), SIGNAL[:, 1])


def test_the_caller_s_axes_are_drawn_into_and_nothing_else():
    figure = Figure()
    own = figure.subplots(2, 1)
    drawn = series(RELEVANCE, SIGNAL, axes=own, colorbar=False)
    assert drawn.figure is figure
    assert figure.axes == [*own]


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((np.zeros((2, 3, 4, 5)),), {}, "a signal is"),
        (([1.0, np.nan],), {}, "NaN"),
        (([1.0, 2.0], [1.0, 2.0, 3.0]), {}, "same steps"),
        ((np.zeros((4, 2)), np.zeros((4, 3))), {}, "as many channels"),
        (([1.0, 2.0],), {"times": [1.0, 1.0]}, "increasing"),
        (([1.0, 2.0],), {"names": ["a", "b"]}, "one for each channel"),
        (([1.0, 2.0],), {"axes": []}, "1 matplotlib Axes"),
        (([1.0, 2.0],), {"labels": ["a"]}, "labels"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, options, said):
    with pytest.raises(InputError, match=said):
        series(*arguments, **options)
