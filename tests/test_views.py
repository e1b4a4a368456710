"""What is drawn of one sample's relevance follows from its shape, and keeps its sum."""

import numpy as np
import pytest

from lrpkeras.errors import InputError
from lrpkeras.plot.views import grey, photo, view


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [
        ((), (1,)),
        ((7,), (7,)),
        ((28, 28), (28, 28)),
        ((12, 40), (12, 40)),
        ((100, 3), (100,)),
        ((100, 12), (100,)),
        ((4, 4), (4,)),
        ((8, 9, 3), (8, 9)),
        ((8, 9, 1), (8, 9)),
        ((8, 9, 64), (8, 9)),
        ((3, 20, 24), (20, 24)),
        ((1, 20, 24), (20, 24)),
        ((50, 1, 4), (50,)),
        ((1, 1, 10), (10,)),
        ((3, 100, 16), (3, 100)),
    ],
)
def test_a_shape_is_a_plane_or_a_line_of_which_the_sum_is_that_of_the_relevance(shape, drawn):
    relevance = np.random.default_rng(0).normal(size=shape)
    seen = view(relevance)
    assert seen.values.shape == drawn
    assert seen.is_plane == (len(drawn) == 2)
    assert seen.values.sum() == pytest.approx(relevance.sum())


def test_what_a_reader_would_not_expect_is_noted():
    assert view(np.ones((100, 12))).note == "sum over 12 channels"
    assert view(np.ones((3, 20, 24))).note == "channels first"
    assert view(np.ones((20, 24, 3))).note == ""
    assert view(np.ones((100, 1))).note == ""


def test_of_a_volume_the_slice_with_the_most_is_drawn_and_told():
    volume = np.zeros((5, 8, 9, 2))
    volume[1, 0, 0] = 3.0
    volume[3, 2:4, 5] = -2.0  # 8 in all, 6 in the other one
    seen = view(volume)
    np.testing.assert_array_equal(seen.values, volume[3].sum(axis=-1))
    assert seen.note == "slice 4 of 5, the one with the most"


@pytest.mark.parametrize(
    ("relevance", "told"),
    [
        (np.ones((2, 2, 2, 2, 2)), "too many axes"),
        (np.ones((0, 4, 3)), "empty"),
        (np.full((8, 8, 3), np.nan), "NaN"),
        (np.full((8, 8, 3), np.inf), "infinite"),
        (np.array(["a"]), "not an array of real numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(relevance, told):
    with pytest.raises(InputError, match=told):
        view(relevance)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 9, 3), (8, 9, 3)),
        ((8, 9, 1), (8, 9)),
        ((3, 8, 9), (8, 9, 3)),
        ((1, 8, 9), (8, 9)),
        ((8, 9), (8, 9)),
        ((8, 9, 64), None),
        ((100, 3), None),
        ((20,), None),
        ((4, 8, 9, 1), None),
    ],
)
def test_an_input_is_a_photo_if_its_shape_is_one(shape, expected):
    found = photo(np.random.default_rng(0).uniform(size=shape))
    assert (None if found is None else found.shape) == expected


def test_a_photo_keeps_its_colours_and_its_grey_is_their_luminance():
    sample = np.random.default_rng(0).uniform(size=(8, 9, 3))
    np.testing.assert_array_equal(photo(sample), sample)
    np.testing.assert_array_equal(photo(np.moveaxis(sample, -1, 0)), sample)
    np.testing.assert_allclose(grey(photo(sample)), sample @ [0.299, 0.587, 0.114])
    assert grey(None) is None
