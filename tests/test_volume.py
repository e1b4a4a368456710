"""Slices through volumes."""

import numpy as np
import pytest
from pictures import picture

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.plot import volume

Z, Y, X = np.mgrid[0:10, 0:12, 0:16]
BALL = np.exp(-((Z - 6) ** 2 + (Y - 4) ** 2 + (X - 10) ** 2) / 8)
RELEVANCE = BALL - 0.5 * np.exp(-((Z - 3) ** 2 + (Y - 8) ** 2 + (X - 4) ** 2) / 6)
SCAN = ((Z - 5) ** 2 + (Y - 6) ** 2 + (X - 8) ** 2 < 30).astype(float)


@picture
def test_slices_over_a_scan():
    return volume(RELEVANCE, SCAN, slices=4, choose="even")


def shown(panel):
    return np.asarray(panel.images[-1].get_array())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_with_the_most_relevance_are_drawn_in_order(axis):
    relevance = np.zeros((4, 5, 6))
    at = np.moveaxis(relevance, axis, 0)
    at[1, 2, 2], at[3, 2, 2], at[2, 2, 2] = -3.0, 2.0, 1.0
    panels = volume(relevance, slices=2, axis=axis).axes
    # 3 and 2 of a sum of magnitudes of 6.
    assert [panel.get_title() for panel in panels] == ["slice 1: 50 %", "slice 3: 33 %"]
    for panel, number in zip(panels, (1, 3), strict=True):
        np.testing.assert_array_equal(shown(panel), np.take(relevance, number, axis))


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"slices": 3, "choose": "even"}, ["0", "4", "9"]),
        ({"slices": [7, 2, -1]}, ["7", "2", "9"]),
        ({"slices": 99, "choose": "even"}, [str(n) for n in range(10)]),
    ],
)
def test_slices_can_be_spread_or_given(options, numbers):
    panels = volume(RELEVANCE, **options).axes
    assert [
        panel.get_title().partition(":")[0].removeprefix("slice ") for panel in panels
    ] == numbers


def test_channels_are_summed_and_all_slices_share_a_scale():
    panels = volume(np.stack([RELEVANCE, 2 * RELEVANCE], axis=-1), slices=range(10)).axes
    limits = {panel.images[-1].norm.vmax for panel in panels}
    assert limits == {np.abs(3 * RELEVANCE).max()}


def test_each_map_of_an_explanation_has_a_row_and_the_scan_of_its_sample():
    relevance = np.stack([RELEVANCE, -RELEVANCE])[None, ..., None]
    explanation = lrpkeras.Explanation(relevance, np.array([[2.0, 1.0]]), np.array([[0, 1]]))
    drawn = volume(explanation, SCAN[None, ..., None], slices=3)
    assert drawn.axes.shape == (2, 3)
    assert [row[0].get_ylabel() for row in drawn.axes] == ["class 0: 2.00", "class 1: 1.00"]
    np.testing.assert_array_equal(shown(drawn.axes[1, 0]), -shown(drawn.axes[0, 0]))


@pytest.mark.parametrize(
    ("relevance", "options", "said"),
    [
        (np.zeros((4, 4)), {}, "a volume is"),
        (np.full((2, 2, 2), np.inf), {}, "NaN or infinite"),
        (RELEVANCE, {"axis": 3}, "axis is"),
        (RELEVANCE, {"slices": 0}, "slices is"),
        (RELEVANCE, {"slices": [10]}, "from 0 to 9"),
        (RELEVANCE, {"choose": "best"}, "choose is"),
        (RELEVANCE, {"image": np.zeros((3, 12, 16))}, "10 slices"),
        (RELEVANCE, {"image": np.zeros((10, 12, 16, 2))}, "1 or 3"),
    ],
)
def test_what_does_not_fit_is_refused(relevance, options, said):
    with pytest.raises(InputError, match=said):
        volume(relevance, **options)
