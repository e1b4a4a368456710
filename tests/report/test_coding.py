"""Values come back within what is promised; colours end where pictures' do."""

import base64
import zlib

import numpy as np
import pytest
from report_pages import heavy_tailed

from lrpkeras.errors import InputError
from lrpkeras.plot import symmetric_limits
from lrpkeras.report import scales
from lrpkeras.report.coding import COARSE, FINE, Coding, packed

MAPS = np.concatenate(
    [
        heavy_tailed((3, 9, 7)),
        np.zeros((1, 9, 7)),
        1e-200 * heavy_tailed((1, 9, 7)),
        1e200 * heavy_tailed((1, 9, 7)),
    ]
)


@pytest.mark.parametrize("levels", [COARSE, FINE])
def test_values_are_as_near_as_is_said(levels):
    coding = Coding(levels)
    codes, largest = coding.encode(MAPS)
    assert codes.itemsize == (1 if levels == COARSE else 2)
    np.testing.assert_array_equal(largest, np.abs(MAPS).max(axis=(1, 2)))
    got, error = coding.decode(codes, largest), coding.error(codes, largest)
    assert (np.abs(got - MAPS) <= error * (1 + 1e-9)).all()
    # It is no more than the rounding to a level beside, anywhere, and reached somewhere near.
    assert (error <= largest[:, None, None] * (1 + 1 / levels) / levels).all()
    assert (np.abs(got - MAPS)[0] > 0.5 * error[0]).any()


@pytest.mark.parametrize("levels", [COARSE, FINE])
def test_zero_and_the_largest_value_are_exact_and_signs_stay(levels):
    coding = Coding(levels)
    codes, largest = coding.encode(MAPS)
    got = coding.decode(codes, largest)
    assert not got[3].any()
    for one, expected in zip(got, MAPS, strict=True):
        at = np.unravel_index(np.abs(expected).argmax(), expected.shape)
        assert one[at] == expected[at]
    assert (np.sign(got) * np.sign(MAPS) >= 0).all()


def test_codes_are_packed_low_bytes_first():
    text = packed(np.array([[[1, -2]], [[256, -32767]]], "<i2"))
    # -2 is 0xfffe, 256 is 0x0100, -32767 is 0x8001.
    assert zlib.decompress(base64.b64decode(text)) == bytes([1, 0xFE, 0, 1, 0, 0xFF, 1, 0x80])
    assert zlib.decompress(base64.b64decode(packed(np.array([[[-1, 5]]], "i1")))) == b"\xff\x05"


@pytest.mark.parametrize("values", [MAPS[0], np.zeros((2, 2)), np.array([[0.0, 3.0]])])
def test_colours_end_where_those_of_plots_do(values):
    at = scales.stops(97.3)
    expected = [symmetric_limits(values, clip)[1] for clip in at]
    np.testing.assert_allclose(scales.limits([values], at), expected, rtol=1e-4)
    assert 97.3 in at
    assert at == tuple(sorted(at))


@pytest.mark.parametrize("clip", [0, 101, -1, True, "99", None, float("nan")])
def test_a_clip_that_is_no_percentile_is_refused(clip):
    with pytest.raises(InputError, match="clip is a percentile"):
        scales.stops(clip)
