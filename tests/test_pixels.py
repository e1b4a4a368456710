"""Pixels by lookup are the colours that matplotlib gives to the same values."""

import io

import numpy as np
import pytest
from end_colours import BLUE, NEUTRAL, RED
from PIL import Image

from lrpkeras.plot import pixels
from lrpkeras.plot.scale import read_scale
from lrpkeras.plot.views import View

SIGNED = np.array([[0.0, 4.0, -4.0], [1.0, -1.0, 0.0]])


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("values", [SIGNED, np.abs(SIGNED), 1e-30 * SIGNED, -np.abs(SIGNED)])
def test_colours_are_those_of_the_scale_but_for_the_number_of_steps(values):
    scale = read_scale(values)
    expected = scale.cmap(scale.norm(values), bytes=True)[..., :3].astype(int)
    # 255 steps in place of 257: half a step of each, 4 of 255 where colours change fastest.
    assert np.abs(pixels.painted(values, scale) - expected).max() <= 4


def test_zero_is_neutral_and_the_ends_are_the_ends():
    painted = pixels.painted(SIGNED, read_scale(SIGNED))
    assert [tuple(painted[at].tolist()) for at in ((0, 0), (0, 1), (0, 2), (1, 2))] == [
        NEUTRAL,
        RED,
        BLUE,
        NEUTRAL,
    ]
    assert tuple(pixels.painted(np.zeros((1, 1)), read_scale(SIGNED))[0, 0].tolist()) == NEUTRAL


def test_what_lies_beyond_the_limits_has_the_colour_of_the_end():
    painted = pixels.painted(10 * SIGNED, read_scale(SIGNED))
    assert tuple(painted[1, 0].tolist()) == RED
    assert tuple(painted[1, 1].tolist()) == BLUE


def test_over_an_image_each_pixel_is_the_mean_of_both_by_opacity():
    grey = np.array([[0.0, 0.5], [1.0, 0.25]])
    painted = pixels.painted(np.array([[4.0]]), read_scale(SIGNED), grey, alpha=0.75)
    expected = 0.75 * np.array(RED) + 0.25 * 255 * grey[..., np.newaxis]
    np.testing.assert_allclose(painted, expected, atol=0.5)


def test_a_small_map_is_stretched_over_the_image_in_equal_blocks():
    array = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(
        pixels.stretched(array, 4, 6), array.repeat(2, axis=0).repeat(3, axis=1)
    )
    # To the nearest place: the middle of each of the two is at 1/4 and 3/4 of four.
    np.testing.assert_array_equal(pixels.stretched(np.arange(4)[:, None], 2, 1), [[1], [3]])


def test_pixels_are_enlarged_as_whole_blocks():
    assert pixels.enlarged(np.zeros((48, 40, 3)), 112).shape == (96, 80, 3)
    assert pixels.enlarged(np.zeros((300, 40)), 112).shape == (300, 40)


def test_a_png_holds_the_pixels_with_or_without_a_palette():
    scale = read_scale(SIGNED)
    painted = pixels.painted(SIGNED, scale)
    numbers = pixels.levels(SIGNED, scale)
    np.testing.assert_array_equal(opened(pixels.as_png(painted)), painted)
    by_palette = pixels.as_png(numbers, pixels.palette(scale))
    np.testing.assert_array_equal(opened(by_palette), painted)


def test_bars_rise_red_from_zero_and_fall_blue():
    values = np.array([2.0, -1.0, 0.0])
    scale = read_scale(values)
    picture = pixels.palette(scale)[pixels.bars(values, scale, height=41, width=3)]
    # Rows stand for 2.0, 1.9, ... -2.0; the axis is at row 20.
    for column, (reds, blues) in enumerate([(20, 0), (0, 10), (0, 0)]):
        colours = picture[:, column]
        assert (colours == RED).all(axis=-1).sum() == reds
        assert (colours == BLUE).all(axis=-1).sum() == blues
        assert tuple(colours[20].tolist()) == pixels.GREY


def test_of_more_values_than_columns_the_largest_of_both_signs_are_seen():
    values = np.zeros(1000)
    values[[3, 7]] = 2.0, -2.0
    picture = pixels.bars(values, read_scale(values), height=41, width=10)
    assert picture.shape == (41, 10)
    assert (picture[:20, 0] == pixels.LEVELS - 1).all()
    assert (picture[21:, 0] == 0).all()
    assert (picture[:20, 1:] == 127).all()


def test_a_view_is_drawn_as_what_it_is():
    scale = read_scale(SIGNED)
    assert pixels.drawn(View(SIGNED), scale, 30).shape == (20, 30)
    assert pixels.drawn(View(SIGNED[0]), scale, 30).shape == (15, 30)
