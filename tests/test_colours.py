"""The colours of relevance are told apart by every reader, and zero is neutral.

How dichromats see is simulated by the matrices of Machado, Oliveira & Fernandes 2009, "A
Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE Transactions on
Visualization and Computer Graphics 15(6), severity 1.0, on linear RGB. Distances are those of
CIELAB (CIE 1976): about 2.3 is just noticeable [Mahy et al. 1994].
"""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpkeras.errors import InputError
from lrpkeras.plot import colours
from lrpkeras.plot.scale import read_scale

EYES = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    # Luminance alone [IEC 61966-2-1].
    "grey print": [[0.2126, 0.7152, 0.0722]] * 3,
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # IEC 61966-2-1
CENTRE = colours.STEPS // 2
eyes = pytest.mark.parametrize("eye", EYES)
dark = pytest.mark.parametrize("dark", [False, True])


def seen(cmap, eye):
    """CIELAB of all colours of a map, as an eye sees them."""
    rgb = cmap(np.arange(cmap.N))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.transpose(EYES[eye]), 0, 1) @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    cut = (6 / 29) ** 3
    x, y, z = np.where(xyz > cut, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def apart(one, other):
    return np.linalg.norm(one - other, axis=-1)


def ends_apart(cmap, eye):
    lab = seen(cmap, eye)
    return apart(lab[0], lab[-1])


def test_the_simulation_gives_white_for_white_and_known_distances():
    lab = seen(mpl.colormaps["gray"].resampled(257), "normal")
    np.testing.assert_allclose(lab[-1], [100, 0, 0], atol=0.02)  # the definition of CIELAB
    np.testing.assert_allclose(lab[:, 1:], 0, atol=0.02)
    red = seen(mpl.colors.ListedColormap(["#ff0000"]), "normal")[0]
    np.testing.assert_allclose(red, [53.24, 80.09, 67.20], atol=0.05)  # published: sRGB red


@dark
@pytest.mark.parametrize(("make", "at"), [(colours.signed, CENTRE), (colours.unsigned, 0)])
def test_zero_has_no_hue_and_is_the_extreme_of_lightness(make, at, dark):
    lab = seen(make(dark), "normal")
    np.testing.assert_allclose(lab[at, 1:], 0, atol=0.02)
    lightness = -lab[:, 0] if dark else lab[:, 0]
    assert lightness.argmax() == at
    assert lab[at, 0] < 15 if dark else lab[at, 0] > 95


@eyes
@dark
@pytest.mark.parametrize("make", [colours.signed, colours.unsigned])
def test_lightness_is_monotone_to_either_side(make, dark, eye):
    lightness = seen(make(dark), eye)[:, 0] * (1 if dark else -1)
    centre = CENTRE if make is colours.signed else 0
    # Adjacent colours may be equal: they are rounded to 8 bits by a screen.
    assert (np.diff(lightness[centre:]) > -0.02).all()
    assert (np.diff(lightness[: centre + 1]) < 0.02).all()


@eyes
@dark
def test_the_ends_stay_apart_for_every_reader(eye, dark):
    needed = 10 if eye == "grey print" else 60
    assert ends_apart(colours.signed(dark), eye) > needed
    if eye != "grey print":  # where lightness must be spent on magnitude
        lab = seen(colours.signed(dark), eye)
        assert apart(lab[CENTRE // 2], lab[-1 - CENTRE // 2]) > 80  # at half of the range


@pytest.mark.parametrize("usual", ["seismic", "RdBu_r", "coolwarm", "PuOr"])
def test_the_worst_reader_tells_signs_apart_better_than_with_usual_maps(usual):
    def worst(cmap):
        return min(ends_apart(cmap, eye) for eye in EYES if eye != "grey print")

    assert worst(colours.signed()) > worst(mpl.colormaps[usual].resampled(257))


@dark
def test_equal_magnitudes_look_equally_strong_and_steps_are_of_a_size(dark):
    lab = seen(colours.signed(dark), "normal")
    assert apart(lab[0], lab[CENTRE]) == pytest.approx(apart(lab[-1], lab[CENTRE]), rel=0.1)
    steps = apart(lab[1:], lab[:-1])
    assert steps.max() / steps.min() < 3  # seismic: 3.8


@dark
def test_every_value_has_one_colour_whether_there_are_negative_ones_or_not(dark):
    signed, unsigned = colours.signed(dark), colours.unsigned(dark)
    at = np.linspace(0, 1, 9)  # multiples of both tables' steps
    np.testing.assert_allclose(signed(0.5 + at / 2), unsigned(at), atol=0.02)


@pytest.mark.parametrize(
    ("values", "signed", "limits"),
    [
        ([0, 3, -1], None, (-3, 3)),
        ([0, 3, 1], None, (0, 3)),
        ([0, 3, -2e-6], None, (0, 3)),  # rounding of a float32 sum
        ([0, 3, -4e-6], None, (-3, 3)),
        ([0, 3, 1], True, (-3, 3)),
        ([0, 3, 1], False, (0, 3)),
        ([0, -3, -1], None, (-3, 3)),
        ([0, 0, 0], None, (-1, 1)),
        ([0, 0, 0], False, (0, 1)),
    ],
)
def test_a_scale_has_a_negative_half_where_values_do_or_somebody_asks(values, signed, limits):
    scale = read_scale(values, signed=signed)
    assert scale.limits == limits
    zero = scale.cmap(scale.norm(0.0))
    assert zero == pytest.approx((247 / 255,) * 3 + (1,))


def test_a_map_of_ones_own_is_diverging_unless_said_otherwise():
    assert read_scale([0, 3], cmap="bwr").limits == (-3, 3)
    assert read_scale([0, 3], cmap="magma", signed=False).limits == (0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"signed": False}, "goes down to -1.*absolute"), ({"signed": "yes"}, "signed is True")],
)
def test_a_scale_that_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        read_scale([0.0, 3.0, -1.0], **options)


@pytest.mark.parametrize(
    ("axes", "figure", "expected"),
    [
        ("white", "white", False),
        ("black", "white", True),
        ("#777777", "white", False),  # CIE lightness 50.03; of #767676 it is 49.6
        ("#767676", "white", True),
        ("none", "black", True),
        ("none", "none", False),
    ],
)
def test_pages_are_dark_where_the_eye_says_so(axes, figure, expected):
    with mpl.rc_context({"axes.facecolor": axes, "figure.facecolor": figure}):
        assert colours.is_dark() is expected
        assert colours.is_dark(Figure().subplots()) is expected
        assert colours.is_dark(Figure().subfigures().subplots()) is expected


def test_no_colour_is_used_twice_in_a_map():
    for make, is_dark in itertools.product((colours.signed, colours.unsigned), (False, True)):
        assert len(np.unique(make(is_dark)(np.arange(257)), axis=0)) == 257
