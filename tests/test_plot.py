"""Pictures keep their promises: zero is the centre, the scale is shared and shown, no side effects.

Expected values are the promise itself (a sum, a range, a colour of the map), never a stored image.
"""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpkeras import plot
from lrpkeras.errors import InputError
from lrpkeras.plot import colours as plot_colours

MAP = np.array([[0.0, 4.0, -1.0], [0.5, -0.25, 0.0]])
BATCH = np.stack([MAP, 10 * MAP, 0 * MAP])[..., np.newaxis]


def colours(image):
    """The colours that matplotlib draws for the values of an AxesImage, (height, width, 4)."""
    return image.to_rgba(image.get_array())


def drawn(axes):
    return np.asarray(axes.images[-1].get_array())


def colour_bars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


@pytest.mark.parametrize(
    ("relevance", "limit"),
    [(MAP, 4.0), (-MAP, 4.0), (-np.abs(MAP), 4.0), (1e-30 * MAP, 4e-30), (1e30 * MAP, 4e30)],
)
def test_the_range_is_symmetric_and_zero_is_its_middle(relevance, limit):
    norm = plot.heatmap(relevance)[1].images[0].norm
    assert norm.vmax == limit
    assert norm.vmin == -norm.vmax
    assert norm(0.0) == 0.5


# Each colour at the centre follows from the map's definition: white (bwr, seismic) or #f7f7f7.
@pytest.mark.parametrize(
    ("cmap", "centre"),
    [("seismic", (1, 1, 1, 1)), ("bwr", (1, 1, 1, 1)), ("RdBu_r", (247 / 255,) * 3 + (1,))],
)
def test_zero_gets_exactly_the_centre_colour(cmap, centre):
    pixels = colours(plot.heatmap(MAP, cmap=cmap)[1].images[0])
    np.testing.assert_allclose(pixels[MAP == 0], [centre] * 2, atol=1e-6)  # 8-bit table, in float
    assert not np.isclose(pixels[MAP != 0], centre, atol=1e-6).all(axis=-1).any()


def test_opposite_relevance_gets_opposite_colours_around_the_centre():
    # What is red for r is blue for -r.
    values = np.array([[2.0, -2.0, 0.7, -0.7]])
    pixels = colours(plot.heatmap(values)[1].images[0])[0]
    for plus, minus in (pixels[:2], pixels[2:]):
        assert plus[0] > plus[2]
        assert minus[2] > minus[0]


def test_a_colour_map_object_is_used_as_it_is_named():
    by_name = colours(plot.heatmap(MAP, cmap="bwr")[1].images[0])
    by_object = colours(plot.heatmap(MAP, cmap=mpl.colormaps["bwr"])[1].images[0])
    np.testing.assert_array_equal(by_name, by_object)


def test_channels_are_summed_so_that_the_total_stays():
    relevance = np.random.default_rng(0).normal(size=(5, 7, 3))
    shown = drawn(plot.heatmap(relevance)[1])
    np.testing.assert_allclose(
        shown, relevance[..., 0] + relevance[..., 1] + relevance[..., 2], rtol=0, atol=1e-15
    )
    assert shown.sum() == pytest.approx(relevance.sum(), abs=1e-12)  # order of the additions


def test_channels_that_cancel_are_drawn_as_zero():
    relevance = np.stack([MAP, -MAP], axis=-1)
    assert not drawn(plot.heatmap(relevance)[1]).any()


def test_maps_of_a_batch_share_one_range_and_one_colour_bar():
    figure, axes = plot.heatmap(BATCH)
    assert axes.shape == (3,)
    assert [panel.images[0].get_clim() for panel in axes] == [(-40.0, 40.0)] * 3
    assert len(colour_bars(figure)) == 1
    for panel, expected in zip(axes, BATCH[..., 0], strict=True):
        np.testing.assert_array_equal(drawn(panel), expected)


def test_without_a_shared_scale_each_map_has_its_own_range_and_colour_bar():
    figure, axes = plot.heatmap(BATCH, shared_scale=False)
    assert [panel.images[0].get_clim() for panel in axes] == [(-4.0, 4.0), (-40.0, 40.0), (-1, 1)]
    assert len(colour_bars(figure)) == 3


def test_no_colour_bar_where_none_is_wanted():
    figure, axes = plot.heatmap(BATCH, colorbar=False)
    assert figure.axes == list(axes)


def test_a_map_of_zeros_is_drawn_in_the_centre_colour(tmp_path):
    figure, axes = plot.heatmap(np.zeros((3, 4)))
    assert axes.images[0].get_clim() == (-1.0, 1.0)
    neutral = plot_colours.signed()(0.5)
    assert (colours(axes.images[0]) == neutral).all()
    figure.savefig(tmp_path / "zeros.png")


@pytest.mark.parametrize(
    ("value", "limit"),
    [(5e-324, 1), (1e-279, 1e-279), (1e-45, 1e-45), (3e38, 3e38), (1e279, 1e279)],
)
def test_the_range_never_collapses_or_overflows(value, limit, tmp_path):
    figure, axes = plot.heatmap(np.full((2, 2), value), signed=True)
    assert axes.images[0].get_clim() == (-limit, limit)
    figure.savefig(tmp_path / "extreme.png")


def test_clipping_takes_the_percentile_of_what_is_not_zero_and_says_so():
    relevance = np.zeros((20, 20))
    relevance[0] = np.arange(1.0, 21.0) * (-1) ** np.arange(20)
    # NumPy's definition of a percentile interpolates: position 0.5 * 19 among 1 ... 20.
    figure, axes = plot.heatmap(relevance, clip=50)
    assert axes.images[0].get_clim() == (-10.5, 10.5)
    (bar,) = colour_bars(figure)
    assert "50" in bar.get_ylabel()
    assert "clipped" in bar.get_ylabel()
    pixels = colours(axes.images[0])
    np.testing.assert_array_equal(pixels[0, 18], plot_colours.signed()(1.0))
    np.testing.assert_array_equal(pixels[0, 19], plot_colours.signed()(0.0))


def test_an_unclipped_colour_bar_does_not_speak_of_clipping():
    for clip in (None, 100):
        figure, axes = plot.heatmap(MAP, clip=clip)
        assert axes.images[0].get_clim() == (-4.0, 4.0)
        assert colour_bars(figure)[0].get_ylabel() == "relevance"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, bool])
def test_limits_are_those_of_the_values_whatever_the_dtype(dtype):
    values = np.array([[0, 1], [1, 0]], dtype)
    assert plot.symmetric_limits(values) == (-1.0, 1.0)
    assert plot.symmetric_limits(np.int8([[-128, 5]])) == (-128.0, 128.0)


def test_an_overlay_lies_on_the_grey_image_and_keeps_its_aspect(tmp_path):
    image = np.random.default_rng(1).uniform(size=(40, 60, 3))
    figure, axes = plot.heatmap(np.ones((4, 6)), image, alpha=0.5)
    below, above = axes.images
    assert below.get_extent() == above.get_extent()
    assert axes.get_aspect() == 1.0  # square image pixels
    assert above.get_alpha() == 0.5
    grey = colours(below)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    figure.savefig(tmp_path / "overlay.png")
    box = axes.get_window_extent()
    assert box.width / box.height == pytest.approx(60 / 40, rel=1e-6)


def test_without_an_image_the_map_is_opaque_and_pixels_are_square():
    axes = plot.heatmap(MAP)[1]
    assert axes.images[0].get_alpha() is None
    assert axes.get_aspect() == 1.0


@pytest.mark.parametrize("factor", [1, 255])
@pytest.mark.parametrize("colour", range(3))
def test_grey_is_the_luminance_of_bt601(colour, factor):
    image = np.zeros((2, 2, 3))
    image[0, 0, colour] = factor
    axes = plot.heatmap(np.zeros((2, 2)), image)[1]
    grey = np.asarray(axes.images[0].get_array())
    assert grey[0, 0] == pytest.approx([0.299, 0.587, 0.114][colour])
    assert not grey.flat[1:].any()


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_a_photo_that_resizing_rounds_out_of_its_range_is_drawn_as_it_is(white):
    image = np.array([[0.0, 0.5], [1.0 + 1e-6, -1e-6]]) * white
    grey = np.asarray(plot.heatmap(np.zeros((2, 2)), image)[1].images[0].get_array())
    np.testing.assert_allclose(grey, [[0.0, 0.5], [1.0, 0.0]], atol=1e-9)


def test_preprocessed_images_are_brought_to_their_own_range():
    image = np.array([[-1.0, 0.0], [1.0, 1.0]])
    grey = np.asarray(plot.heatmap(np.zeros((2, 2)), image)[1].images[0].get_array())
    np.testing.assert_array_equal(grey, [[0.0, 0.5], [1.0, 1.0]])


def test_preprocessed_images_of_a_batch_share_their_range():
    images = np.array([-1.0, 0.0, 3.0])[:, None, None, None] * np.ones((3, 2, 3, 1))
    panels = plot.heatmap(BATCH, images).axes
    assert [panel.images[0].get_array()[0, 0] for panel in panels] == [0, 0.25, 1]


@pytest.mark.parametrize("given", [lambda image: image, lambda image: [image] * 3])
def test_images_of_bytes_are_as_dark_as_they_are(given):
    image = np.full((2, 3, 1), 1, "uint8")
    for panel in plot.heatmap(BATCH, given(image)).axes:
        np.testing.assert_allclose(panel.images[0].get_array(), 1 / 255)


def test_a_constant_image_outside_the_unit_range_is_drawn_in_middle_grey():
    axes = plot.heatmap(np.zeros((2, 2)), np.full((2, 2, 1), -3.0))[1]
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), np.full((2, 2), 0.5))


def test_one_image_serves_all_maps_and_a_batch_gives_each_its_own():
    images = np.arange(3)[:, None, None, None] / 2 * np.ones((3, 2, 3, 1))
    for given, expected in ((images[1], [0.5] * 3), (images, [0, 0.5, 1])):
        axes = plot.heatmap(BATCH, given)[1]
        assert [panel.images[0].get_array()[0, 0] for panel in axes] == expected


def test_a_single_map_returns_one_axes_and_a_batch_of_one_an_array():
    figure, axes = plot.heatmap(MAP)
    assert isinstance(figure, Figure)
    assert isinstance(axes, Axes)
    figure, axes = plot.heatmap(BATCH[:1])
    assert axes.shape == (1,)
    assert axes[0].figure is figure


def test_long_batches_break_into_rows():
    figure, axes = plot.heatmap(np.ones((5, 2, 2, 1)), columns=2)
    assert axes.shape == (5,)
    assert axes[0].get_gridspec().get_geometry() == (3, 2)
    assert len(figure.axes) == 6  # five maps and a colour bar: the spare panel is gone


@pytest.mark.parametrize("count", [1, 3])
def test_given_axes_are_drawn_on_and_keep_their_titles(count):
    figure = Figure()
    axes = figure.subplots(1, count, squeeze=False)
    axes[0, 0].set_title("mine")
    returned, panels = plot.heatmap(BATCH[:count], axes=axes if count > 1 else axes[0, 0])
    assert returned is figure
    assert list(panels) == list(axes.flat)
    assert all(len(panel.images) == 1 for panel in panels)
    assert panels[0].get_title() == "mine"


def test_a_grid_has_a_row_of_images_and_a_row_for_each_preset(tmp_path):
    images = np.random.default_rng(2).uniform(size=(3, 8, 12, 3))
    rows = {"epsilon": BATCH, "z_plus": 7 * BATCH}
    figure, axes = plot.grid(rows, images, titles=["a", "b", "c"])
    assert axes.shape == (3, 3)
    assert [panel.get_title() for panel in axes[0]] == ["a", "b", "c"]
    assert [line[0].get_ylabel() for line in axes] == ["", "epsilon", "z_plus"]
    for panel, image in zip(axes[0], images, strict=True):
        np.testing.assert_array_equal(drawn(panel), image)
    for line, factor in zip(axes[1:], (1, 7), strict=True):
        assert {panel.images[0].get_clim() for panel in line} == {(-40.0 * factor, 40.0 * factor)}
        for panel, expected in zip(line, BATCH[..., 0], strict=True):
            np.testing.assert_array_equal(drawn(panel), factor * expected)
    assert len(colour_bars(figure)) == 2
    figure.savefig(tmp_path / "grid.png")
    assert mpl.image.imread(tmp_path / "grid.png").std() > 0


def test_a_grid_of_grey_images_is_drawn_in_grey():
    axes = plot.grid({"epsilon": BATCH[:1]}, np.full((1, 4, 4, 1), 0.25), colorbar=False)[1]
    np.testing.assert_array_equal(
        colours(axes[0, 0].images[0])[..., :3], np.full((4, 4, 3), 64 / 255)
    )


def test_the_arguments_stay_as_they_are():
    relevance, image = BATCH.copy(), np.full((3, 2, 3, 1), 200.0)
    plot.heatmap(relevance, image)
    np.testing.assert_array_equal(relevance, BATCH)
    assert (image == 200).all()


NAN, INF = np.full((2, 2), np.nan), np.array([[0, np.inf]])


@pytest.mark.parametrize(
    "draw",
    [
        lambda axes: plot.heatmap(BATCH[:2], axes=axes),
        lambda axes: plot.grid({"a": BATCH[:2]}, axes=axes),
        lambda axes: plot.series(np.ones((2, 5, 1)), axes=axes),
        lambda axes: plot.tokens(np.ones((2, 1, 3)), [["a"], ["b"]], axes=axes),
        lambda axes: plot.layers({"a": MAP, "b": MAP}, axes=axes),
        lambda axes: plot.volume(np.ones((4, 8, 8)), slices=2, axes=axes),
    ],
)
def test_axes_are_different_ones_of_one_figure(draw):
    one, other = Figure().subplots(1, 2)
    with pytest.raises(InputError, match="one Axes twice: give 2 different ones"):
        draw([one, one])
    with pytest.raises(InputError, match="of one figure"):
        draw([one, Figure().subplots()])
    other.remove()
    with pytest.raises(InputError, match="was removed"):
        draw([one, other])


def test_axes_in_axes_are_drawn_into():
    inset = Figure().subplots().inset_axes((0.5, 0.5, 0.4, 0.4))
    assert plot.heatmap(MAP, axes=inset).axes is inset


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.heatmap(NAN), "NaN"),
        (lambda: plot.heatmap(INF), "infinite"),
        (lambda: plot.heatmap(np.full((1, 1, 4), 1e308)), "too large"),
        (lambda: plot.heatmap(np.ones(3)), "shape"),
        (lambda: plot.heatmap(3.0), "shape"),
        (lambda: plot.heatmap(np.ones((1, 2, 3, 4, 1))), "targets"),
        (lambda: plot.heatmap(np.ones((0, 4, 4, 1))), "empty"),
        (lambda: plot.heatmap([[1.0, 2.0], [1.0]]), "not one array"),
        (lambda: plot.heatmap({"left": MAP}), "one at a time"),
        (lambda: plot.heatmap([["a", "b"]]), "real numbers"),
        (lambda: plot.heatmap(1j * MAP), "real numbers"),
        (lambda: plot.heatmap(MAP, clip=0), "percentile"),
        (lambda: plot.heatmap(MAP, clip=100.5), "percentile"),
        (lambda: plot.heatmap(MAP, clip=True), "percentile"),
        (lambda: plot.heatmap(MAP, smooth=True), "standard deviation"),
        (lambda: plot.heatmap(MAP, clip=float("nan")), "percentile"),
        (lambda: plot.heatmap(MAP, cmap="seismik"), "seismic"),
        (lambda: plot.heatmap(MAP, clip="a"), "percentile.*'a'"),
        (lambda: plot.heatmap(MAP, cmap=3), "colour map or its name, not 3"),
        (lambda: plot.heatmap(MAP, alpha=1.5), "opacity"),
        (lambda: plot.heatmap(MAP, alpha="a"), "opacity.*'a'"),
        (lambda: plot.heatmap(MAP, columns="a"), "columns is a whole number"),
        (lambda: plot.heatmap(MAP, columns=2.5), "columns is a whole number"),
        (lambda: plot.heatmap(MAP, titles=3), "titles is a list"),
        (lambda: plot.heatmap(MAP, columns=0), "columns"),
        (lambda: plot.heatmap(MAP, NAN), "image holds NaN"),
        (lambda: plot.heatmap(MAP, np.ones((2, 2, 4))), "1 or 3"),
        (lambda: plot.heatmap(BATCH, np.ones((2, 2, 2, 3))), "2 images for 3 maps"),
        (lambda: plot.heatmap(BATCH, titles=["one"]), "1 titles for 3"),
        (lambda: plot.heatmap(MAP, axes="left"), "matplotlib Axes"),
        (lambda: plot.heatmap(BATCH, axes=Figure().subplots(1, 2)), "3 matplotlib Axes"),
        (lambda: plot.grid({}, np.ones((1, 2, 2, 3))), "at least one"),
        (lambda: plot.grid({"epsilon": BATCH}, np.ones((2, 2, 2, 3))), "3 maps for 2 images"),
        (lambda: plot.grid({"epsilon": NAN}, np.ones((1, 2, 2, 3))), "epsilon"),
        (lambda: plot.symmetric_limits([]), "empty"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_reason(call, message):
    with pytest.raises(InputError, match=message):
        call()
