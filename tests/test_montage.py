"""A montage has every map where it belongs, with its title above."""

import numpy as np
import pytest

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.plot import montage, pixels
from lrpkeras.plot.montage import GAP, LINE, MARGIN
from lrpkeras.plot.scale import read_scale


def test_pictures_stand_in_rows_below_their_titles():
    pictures = [np.full((20, 30, 3), 40 * n, "uint8") for n in range(5)]
    drawn = montage.montage(pictures, ["one\nline", "two", "", "", ""], columns=3)
    height = 20 + 2 * LINE
    assert drawn.shape == (2 * height + GAP + 2 * MARGIN, 3 * 30 + 2 * GAP + 2 * MARGIN, 3)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, 3)
        top, left = MARGIN + row * (height + GAP), MARGIN + column * (30 + GAP)
        held = drawn[top : top + height, left : left + 30]
        np.testing.assert_array_equal(held[2 * LINE :], picture)
        lines = [held[:LINE], held[LINE : 2 * LINE]]
        assert [(line < 128).any() for line in lines] == [number < 2, number == 0]
    assert (drawn[:MARGIN] == 255).all()


def test_titles_stay_within_their_picture():
    drawn = montage.montage(
        [np.zeros((20, 48, 3), "uint8")] * 2, ["a very long name of a class", "b"]
    )
    between = drawn[MARGIN : MARGIN + LINE, MARGIN + 48 : MARGIN + 48 + GAP]
    assert (between == 255).all()


@pytest.mark.parametrize("title", ["Зебра", "ζέβρα", "zèbre", "斑马"])
def test_titles_in_any_letters_are_drawn(title):
    drawn = montage.montage([np.zeros((20, 60, 3), "uint8")], [title])
    assert (drawn[MARGIN : MARGIN + LINE] < 128).any()


def explained(relevance, count):
    output = np.arange(2.0 * count).reshape(count, 2)
    return lrpkeras.Explanation(relevance, output, np.zeros(count, int))


def test_each_map_has_a_scale_of_its_own_and_lies_over_its_image():
    rng = np.random.default_rng(0)
    relevance = rng.normal(size=(2, 8, 8, 3)) * [[[[1]]], [[[1000]]]]
    greys = [rng.uniform(size=(8, 8)), None]
    drawn = montage.maps(explained(relevance, 2), greys)
    for number, (one, grey) in enumerate(zip(relevance.sum(axis=-1), greys, strict=True)):
        expected = pixels.painted(one, read_scale(one), grey).repeat(14, axis=0).repeat(14, axis=1)
        left = MARGIN + number * (112 + GAP)
        np.testing.assert_array_equal(drawn[-MARGIN - 112 : -MARGIN, left : left + 112], expected)


def test_maps_of_several_targets_lie_over_the_image_of_their_sample():
    relevance = np.zeros((2, 2, 8, 8, 1))
    output, target = np.zeros((2, 2)), np.array([[0, 1], [0, 1]])
    below = [np.zeros((8, 8)), np.ones((8, 8))]
    drawn = montage.maps(lrpkeras.Explanation(relevance, output, target), below)
    lights = [drawn[-20, MARGIN + n * (112 + GAP) + 50].mean() for n in range(4)]
    assert lights[0] == lights[1] < lights[2] == lights[3]


def test_vectors_are_drawn_as_bars_and_several_inputs_are_refused():
    assert montage.maps(explained(np.ones((2, 5)), 2), [None, None]).shape[1] == 2 * 110 + GAP + 12
    with pytest.raises(InputError, match="several inputs"):
        montage.maps(explained([np.ones((2, 5))] * 2, 2), [None, None])
