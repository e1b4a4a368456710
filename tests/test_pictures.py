"""Pictures look as they did when somebody last looked at them, and a wrong one is noticed."""

import numpy as np
import pytest
from pictures import differs, picture, picture_with_words, wordless

from lrpkeras import plot

# A blob for, a ring against, zero elsewhere: neither symmetric nor square.
Y, X = np.mgrid[0:12, 0:16]
DISTANCE = np.hypot(Y - 4, X - 5)
MAP = np.exp(-((DISTANCE / 2) ** 2)) - 0.6 * np.exp(-((DISTANCE - 5) ** 2))
PHOTO = np.stack([X / 15, Y / 11, 0.5 + 0 * X], axis=-1)


@picture
def test_signed_map():
    return plot.heatmap(MAP)


@picture_with_words
def test_map_over_a_photo():
    return plot.heatmap(MAP, PHOTO, titles="tabby: 3.14", clip=90)


# What a baseline is there to notice.
WRONG = {
    "inverted": lambda: plot.heatmap(-MAP),
    "moved by a cell": lambda: plot.heatmap(np.roll(MAP, 1, axis=1)),
    "mirrored": lambda: plot.heatmap(MAP[:, ::-1]),
    "another scale": lambda: plot.heatmap(MAP, clip=95),
    "another opacity": lambda: plot.heatmap(MAP, 0 * MAP),
    "without a colour bar": lambda: plot.heatmap(MAP, colorbar=False),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_picture_is_noticed(wrong, tmp_path):
    right = tmp_path / "right.png"
    wordless(plot.heatmap(MAP)).savefig(right, dpi=60)
    assert not differs(right, wordless(plot.heatmap(MAP)), tmp_path)
    assert differs(right, wordless(WRONG[wrong]()), tmp_path)


def test_pictures_are_really_compared(request):
    # Without this option pytest-mpl runs the tests and compares nothing.
    assert request.config.getoption("mpl")
