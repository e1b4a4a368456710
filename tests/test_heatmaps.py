"""What a heatmap's options promise: halves of the scale, opacity, contours, blur, channels."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import style
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

import lrpkeras
from lrpkeras import plot
from lrpkeras.errors import InputError
from lrpkeras.plot import colours

MAP = np.array([[0.0, 4.0, -1.0], [0.5, -0.25, 0.0]])
RAMP = np.linspace(0, 1, 11) * np.ones((5, 1))  # 0 ... 1 from left to right


def drawn(axes):
    return np.asarray(axes.images[-1].get_array())


def colour_bars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def contours(axes):
    """The line sets of a panel: one collection or several, by the version of matplotlib."""
    kinds = QuadContourSet | LineCollection | PathCollection
    return [one for one in axes.collections if isinstance(one, kinds)]


# Scales


def test_a_batch_is_unsigned_only_if_none_of_its_maps_is_negative():
    batch = np.stack([np.abs(MAP), MAP])[..., None]
    shared = plot.heatmap(batch).axes
    assert [panel.images[0].get_clim() for panel in shared] == [(-4, 4)] * 2
    own = plot.heatmap(batch, shared_scale=False).axes
    assert [panel.images[0].get_clim() for panel in own] == [(0, 4), (-4, 4)]


def test_equal_values_have_equal_colours_in_signed_and_unsigned_maps():
    signed, unsigned = (plot.heatmap(RAMP, signed=one).axes.images[0] for one in (True, None))
    # One half of 257 colours has steps of up to 0.03.
    np.testing.assert_allclose(signed.to_rgba(RAMP), unsigned.to_rgba(RAMP), atol=0.03)


def test_numbers_beside_the_colour_bar_tell_its_limits():
    (bar,) = colour_bars(plot.heatmap(np.abs(MAP), clip=50).figure)
    assert bar.get_yticks()[[0, -1]].tolist() == [0, 0.75]  # the median of 0.25, 0.5, 1, 4
    (bar,) = colour_bars(plot.heatmap(MAP).figure)
    assert bar.get_yticks().tolist() == [-4, -2, 0, 2, 4]


# Opacity


def test_over_an_image_opacity_grows_with_relevance_and_zero_shows_the_image():
    values = np.array([[-1.0, -0.25, 0.0, 0.25, 1.0]])
    below, above = plot.heatmap(values, np.zeros((4, 20))).axes.images
    np.testing.assert_allclose(above.to_rgba(values)[0, :, 3], [1, 0.5, 0, 0.5, 1], atol=1e-6)
    zero, end = colours.signed()(0.5), colours.signed()(1.0)
    assert above.to_rgba(values)[0, -1] == pytest.approx(end)
    # A black photo is half-way to zero's colour, so that it cannot be taken for relevance.
    assert below.to_rgba(below.get_array())[0, 0, 0] == pytest.approx(zero[0] / 2, abs=1 / 255)


def test_on_a_dark_page_zero_is_dark_and_lines_are_light():
    with style.context("dark_background"):
        axes = plot.heatmap(MAP, contours=1).axes
        over = plot.heatmap(MAP, np.ones((2, 3))).axes
    assert axes.images[0].to_rgba(0.0) == pytest.approx((26 / 255,) * 3 + (1,))
    assert (np.concatenate([one.get_edgecolor() for one in contours(axes)])[:, :3] == 1).all()
    white = over.images[0].to_rgba(np.ones(1))[0, 0]
    assert white == pytest.approx((1 + 26 / 255) / 2, abs=1 / 255)


def test_given_axes_decide_for_themselves_whether_they_are_dark():
    panel = Figure(facecolor="black").subplots()
    panel.set_facecolor("black")
    assert plot.heatmap(MAP, axes=panel).axes.images[0].to_rgba(0.0)[0] < 0.2


# Contours


def lines(axes):
    """All points of all lines, (n, 2)."""
    return np.concatenate(
        [path.vertices for one in contours(axes) for path in one.get_paths() if len(path.vertices)]
    )


@pytest.mark.parametrize(("size", "at"), [(None, 5.0), ((20, 44), 21.5)])
def test_a_contour_runs_where_the_map_has_its_level(size, at):
    # Half of the range is in the middle of column 5; over an image 4 times as wide, pixels
    # 20 to 23 are that column.
    image = None if size is None else np.zeros(size)
    axes = plot.heatmap(RAMP, image, contours=[0.5]).axes
    np.testing.assert_allclose(lines(axes)[:, 0], at)


def test_a_contour_lies_as_high_as_its_values():
    axes = plot.heatmap(RAMP.T, contours=[0.25]).axes
    np.testing.assert_allclose(lines(axes)[:, 1], 2.5)
    assert axes.yaxis_inverted()


def test_a_number_of_contours_stands_for_equal_distances_on_either_side_of_zero():
    wave = np.sin(np.linspace(0, 2 * np.pi, 41)) * np.ones((5, 1))
    figure, axes = plot.heatmap(wave, contours=3)
    levels = [level for one in contours(axes) for level in one.levels]
    top = wave.max()
    np.testing.assert_allclose(levels, top * np.array([-0.75, -0.5, -0.25, 0.25, 0.5, 0.75]))
    styles = [style for one in contours(axes) for style in one.get_linestyle()]
    assert [gaps is not None for _, gaps in styles] == [True] * 3 + [False] * 3
    (bar,) = colour_bars(figure)
    marks = [one for one in bar.collections if isinstance(one, LineCollection)]
    heights = {float(y) for one in marks for segment in one.get_segments() for y in segment[:, 1]}
    assert set(levels) <= heights


@pytest.mark.parametrize("values", [np.zeros((4, 5)), np.full((4, 5), 2.0)])
def test_where_the_map_is_level_no_line_is_drawn(values):
    assert not contours(plot.heatmap(values, contours=3).axes)


def test_without_filling_lines_have_the_colours_of_their_signs():
    wave = np.sin(np.linspace(0, 2 * np.pi, 41)) * np.ones((5, 1))
    axes = plot.heatmap(wave, contours=1, fill=False).axes
    assert not drawn(axes).any()
    edges = np.concatenate([one.get_edgecolor() for one in contours(axes)])
    np.testing.assert_allclose(edges, [colours.signed()(0.0), colours.signed()(1.0)])
    over = plot.heatmap(wave, np.ones((5, 41)), contours=1, fill=False).axes
    assert len(over.images) == 1  # the photo


# Blur


def test_smoothing_keeps_the_sum_and_spreads_a_point_by_its_deviation():
    point = np.zeros((41, 31))
    point[20, 15] = 3.0
    figure, axes = plot.heatmap(point, smooth=2)
    blurred = drawn(axes)
    assert blurred.sum() == pytest.approx(3.0)
    down = blurred.sum(axis=1) / 3
    assert (down * (np.arange(41) - 20) ** 2).sum() == pytest.approx(4, rel=1e-6)
    assert blurred[20, 15] / blurred[20, 17] == pytest.approx(np.exp(0.5))
    assert "smoothed over 2 pixels" in colour_bars(figure)[0].get_ylabel().replace("\n", " ")


def test_smoothing_loses_nothing_at_the_edge_and_lets_opposite_signs_cancel():
    corner = np.zeros((6, 6))
    corner[0, 0], corner[5, 5] = 2.0, -2.0
    blurred = drawn(plot.heatmap(corner, smooth=100).axes)
    np.testing.assert_allclose(blurred, 0, atol=1e-3)
    assert blurred.sum() == pytest.approx(0, abs=1e-12)


# Channels

RGB = np.random.default_rng(3).normal(size=(2, 4, 5, 3))


def test_per_channel_there_is_a_titled_map_for_each_and_they_share_the_scale():
    axes = plot.heatmap(RGB[0], per_channel=True, titles="tabby").axes
    assert axes.shape == (3,)
    assert [panel.get_title() for panel in axes] == ["red", "green", "blue"]
    assert axes[0].get_ylabel() == "tabby"
    for channel, panel in enumerate(axes):
        np.testing.assert_array_equal(drawn(panel), RGB[0, ..., channel])
        assert panel.images[0].get_clim()[1] == np.abs(RGB[0]).max()


def test_per_channel_a_batch_has_a_row_for_each_map():
    photos = np.arange(2.0)[:, None, None, None] * np.ones((2, 8, 10, 3))
    axes = plot.heatmap(RGB, photos, per_channel=("b", "g", "r"), titles=["cat", "dog"]).axes
    assert axes.shape == (2, 3)
    assert [panel.get_title() for panel in axes.flat] == ["b", "g", "r", "", "", ""]
    assert [panel.get_ylabel() for panel in axes[:, 0]] == ["cat", "dog"]
    np.testing.assert_array_equal(drawn(axes[1, 2]), RGB[1, ..., 2])
    assert [panel.images[0].get_array()[0, 0] for panel in axes[:, 1]] == pytest.approx([0, 1])


@pytest.mark.parametrize(
    ("shape", "names"),
    [((4, 5), [""]), ((4, 5, 1), [""]), ((4, 5, 2), ["channel 0", "channel 1"])],
)
def test_per_channel_other_numbers_of_channels_are_numbered(shape, names):
    axes = plot.heatmap(np.ones(shape), per_channel=True).axes
    assert [panel.get_title() for panel in axes] == names


def test_many_channels_of_one_map_break_into_rows():
    axes = plot.heatmap(np.ones((4, 5, 10)), per_channel=True, columns=4).axes
    assert axes.shape == (10,)
    assert axes[0].get_gridspec().get_geometry() == (3, 4)


# Explanations


def test_an_explanation_brings_its_titles_along():
    logits, target = np.array([[1.5, -2.25], [0.5, 3.0]]), np.array([[0, 1], [1, 0]])
    explanation = lrpkeras.Explanation(RGB[:, None] * np.ones((2, 2, 1, 1, 1)), logits, target)
    axes = plot.heatmap(explanation, labels=["cat", "dog"]).axes
    titles = ["cat: 1.50", "dog: -2.25", "dog: 3.00", "cat: 0.50"]
    assert [panel.get_title() for panel in axes] == titles
    assert [panel.get_title() for panel in plot.heatmap(explanation, titles="").axes] == [""] * 4
    with pytest.raises(InputError, match="for an array, give titles"):
        plot.heatmap(RGB, labels=["cat", "dog"])


def test_no_value_of_a_fine_map_is_lost_on_a_coarse_page(tmp_path):
    for row, column in ((200, 200), (201, 200), (200, 201), (201, 201)):  # two to a pixel
        spike = np.zeros((400, 400))
        spike[row, column] = 1.0
        figure = plot.heatmap(spike, colorbar=False).figure
        figure.savefig(tmp_path / "fine.png", dpi=60)
        pixels = mpl.image.imread(tmp_path / "fine.png")[..., :3]
        assert (pixels[..., 0] - pixels[..., 2]).max() > 0.05


# The reader's own style


SETTINGS = {
    "image.origin": "lower",
    "image.aspect": "auto",
    "image.interpolation": "bicubic",
    "image.cmap": "viridis",
    "axes.grid": True,
    "figure.constrained_layout.use": True,
}


def test_settings_of_other_plots_do_not_turn_maps_over(tmp_path):
    def saved(name):
        plot.heatmap(MAP, np.zeros((20, 30))).figure.savefig(tmp_path / name, dpi=50)
        return mpl.image.imread(tmp_path / name)

    plain = saved("plain.png")
    with mpl.rc_context(SETTINGS):
        np.testing.assert_array_equal(saved("set.png"), plain)


def test_fonts_are_those_of_the_rc_params_and_the_figure_has_room_for_them():
    with mpl.rc_context({"font.size": 20, "axes.titlesize": 24}):
        figure, axes = plot.heatmap(RGB, titles=["a long title of two lines", "b"])
        assert axes[0].title.get_fontsize() == 24
        figure.draw_without_rendering()
        boxes = [panel.title.get_window_extent() for panel in axes]
    assert boxes[0].y1 <= figure.bbox.y1
    assert not boxes[0].overlaps(boxes[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contours": 0}, "number of lines"),
        ({"contours": True}, "number of lines"),
        ({"contours": "a"}, "number of lines"),
        ({"contours": 2.5}, "number of lines"),
        ({"contours": [0.5, 2]}, "between -1 and 1"),
        ({"contours": [float("nan")]}, "between -1 and 1"),
        ({"fill": False}, "contours=3"),
        ({"smooth": 0}, "smooth is a standard deviation"),
        ({"smooth": "a"}, "smooth is a standard deviation"),
        ({"signed": False}, "absolute values"),
        ({"per_channel": "red"}, "per_channel is True, False or a list"),
        ({"per_channel": 3}, "per_channel is True, False or a list"),
        ({"per_channel": ["red"]}, "1 names for 3 channels"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        plot.heatmap(RGB[0], **options)


def test_contours_of_a_line_are_refused():
    with pytest.raises(InputError, match="at least 2 x 2"):
        plot.heatmap(np.ones((1, 5)), contours=2)
