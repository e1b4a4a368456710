"""Pictures look as they did when somebody last looked at them, and a wrong one is noticed."""

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from pictures import DPI, differs, picture, picture_with_words, wordless

import lrpkeras
from lrpkeras import plot

# A blob for, a ring against, zero elsewhere: neither symmetric nor square.
Y, X = np.mgrid[0:12, 0:16]
DISTANCE = np.hypot(Y - 4, X - 5)
MAP = np.exp(-((DISTANCE / 2) ** 2)) - 0.6 * np.exp(-((DISTANCE - 5) ** 2))
CHANNELS = np.stack([MAP, np.maximum(MAP, 0), np.roll(MAP, 4, axis=1)], axis=-1)
Y2, X2 = np.mgrid[0:48, 0:64]
PHOTO = np.stack([X2 / 63, Y2 / 47, 0.5 + 0.5 * np.sin(X2 / 4)], axis=-1)
BATCH = np.stack([MAP, -0.5 * MAP, MAP[::-1]])[..., np.newaxis]
PHOTOS = np.stack([PHOTO, PHOTO[::-1], PHOTO[:, ::-1]])
NAMES = ["cat", "dog", "parrot"]
# Three samples, two classes each.
EXPLANATION = lrpkeras.Explanation(
    np.stack([BATCH, -BATCH[::-1]], axis=1),
    np.array([[3.5, -1.25, 0.0], [0.5, 2.0, 1.0], [0.0, 0.25, 4.0]]),
    np.array([[0, 1], [1, 0], [2, 0]]),
)


@picture
def test_signed_map():
    return plot.heatmap(MAP)


@picture
def test_unsigned_map():
    return plot.heatmap(MAP**2)


@picture
def test_map_over_a_photo():
    return plot.heatmap(MAP, PHOTO)


@picture
def test_map_of_even_opacity_over_a_photo():
    return plot.heatmap(MAP, PHOTO, alpha=0.6)


@picture
def test_contours_over_colours():
    return plot.heatmap(MAP, contours=3)


@picture
def test_contours_alone_over_a_photo():
    return plot.heatmap(MAP, PHOTO, contours=[-0.3, 0.3, 0.6], fill=False)


@picture
def test_a_map_for_each_channel():
    return plot.heatmap(CHANNELS, PHOTO, per_channel=True)


@picture
def test_maps_of_their_own_scales():
    return plot.heatmap(np.stack([MAP, MAP**2, 0 * MAP])[..., None], shared_scale=False)


@picture
def test_a_batch_in_rows():
    return plot.heatmap(np.concatenate([BATCH, -BATCH])[:5], columns=3)


@picture
def test_wide_map_of_large_pixels_over_a_wide_photo():
    return plot.heatmap(MAP[2:5, :8], PHOTO[:24], smooth=0.5)


@picture
def test_map_on_a_dark_page():
    with style.context("dark_background"):
        return plot.heatmap(MAP, PHOTO, contours=2)


@picture
def test_grid_of_images_and_presets():
    return plot.grid({"epsilon": BATCH, "z_plus": BATCH**2}, PHOTOS)


@picture
def test_grid_of_images_and_classes():
    return plot.grid(EXPLANATION, PHOTOS, scale="all")


@picture
def test_comparison():
    return plot.compare(BATCH[:2], BATCH[[0, 2]], PHOTOS[:2])


@picture
def test_maps_on_the_axes_of_subfigures():
    figure = Figure(figsize=(6, 2))
    left, right = figure.subfigures(1, 2)
    plot.heatmap(MAP, PHOTO, axes=left.subplots())
    plot.heatmap(BATCH[:2], axes=right.subplots(1, 2))
    return figure


@picture_with_words
def test_words_of_a_clipped_and_smoothed_map():
    return plot.heatmap(MAP, titles="tabby: 3.14", clip=90, smooth=1)


@picture_with_words
def test_words_of_a_grid_of_classes():
    return plot.grid(EXPLANATION, PHOTOS, labels=NAMES)


@picture_with_words
def test_words_of_a_comparison_in_a_large_font():
    with mpl.rc_context({"font.size": 14}):
        return plot.compare(BATCH[0], BATCH[2], names=("epsilon_plus_flat", "gamma"))


# What a baseline is there to notice.
WRONG = {
    "inverted": lambda: plot.heatmap(-MAP),
    "moved by a cell": lambda: plot.heatmap(np.roll(MAP, 1, axis=1)),
    "mirrored": lambda: plot.heatmap(MAP[:, ::-1]),
    "another scale": lambda: plot.heatmap(MAP, clip=95),
    "another background": lambda: plot.heatmap(MAP, 0 * MAP),
    "without a colour bar": lambda: plot.heatmap(MAP, colorbar=False),
}


def test_a_wrong_picture_is_noticed(tmp_path):
    right = tmp_path / "right.png"
    wordless(plot.heatmap(MAP)).savefig(right, dpi=DPI)
    assert not differs(right, wordless(plot.heatmap(MAP)), tmp_path)
    noticed = [name for name, wrong in WRONG.items() if differs(right, wordless(wrong()), tmp_path)]
    assert noticed == list(WRONG)


def test_pictures_are_really_compared(request):
    # Without this option pytest-mpl runs the tests and compares nothing.
    assert request.config.getoption("mpl")
