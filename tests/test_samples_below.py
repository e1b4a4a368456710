"""Below each map of an explanation lies what its own sample was, above it stands its class."""

import keras
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import lrpkeras
from lrpkeras import plot
from lrpkeras.errors import InputError
from lrpkeras.plot.pixels import painted
from lrpkeras.plot.scale import read_scale

OUTPUT, TARGET = np.arange(10.0).reshape(2, 5), np.array([[0, 3], [4, 1]])
TITLES = ["class 0: 0.00", "class 3: 3.00", "class 4: 9.00", "class 1: 6.00"]


def explained(*shape, layers=()):
    """Two samples, two targets each: the map number n holds n + 1 everywhere."""
    maps = (np.arange(4.0) + 1).reshape(2, 2, *[1] * len(shape)) * np.ones(shape)
    hidden = {name: np.ones((2, 2, *size)) for name, size in layers}
    return lrpkeras.Explanation(maps, OUTPUT, TARGET, hidden)


def test_signals():
    signals = np.random.default_rng(0).normal(size=(2, 9, 3))
    drawn = plot.series(explained(9, 3), signals)
    for number, panels in enumerate(drawn.axes):
        assert panels[0].get_title() == TITLES[number]
        for channel, panel in enumerate(panels):
            np.testing.assert_allclose(panel.lines[0].get_ydata(), signals[number // 2, :, channel])


def test_volumes():
    scans = np.random.default_rng(0).uniform(size=(2, 3, 6, 7, 1))
    drawn = plot.volume(explained(3, 6, 7, 1), scans, slices=[0, 2])
    for number, panels in enumerate(drawn.axes):
        assert panels[0].get_ylabel() == TITLES[number]
        for place, panel in zip((0, 2), panels, strict=True):
            below = panel.images[0].get_array()
            np.testing.assert_allclose(below, scans[number // 2, place, ..., 0])


def test_texts():
    texts = [["one", "two", "three"], ["four", "five", "six"]]
    drawn = plot.tokens(explained(3), texts)
    for number, panel in enumerate(drawn.axes):
        assert panel.get_title(loc="left") == TITLES[number]
        assert [text.get_text() for text in panel.texts] == texts[number // 2]


@pytest.mark.parametrize("sample", [0, 1])
@pytest.mark.parametrize("target", [0, 1])
def test_photos_below_layers(sample, target):
    photos = np.random.default_rng(0).uniform(size=(2, 8, 9, 1))
    explanation = explained(8, 9, 1, layers=[("conv", (4, 4, 2))])
    drawn = plot.layers(explanation, photos, sample=sample, target=target)
    for panel in drawn.axes:
        np.testing.assert_allclose(panel.images[0].get_array(), photos[sample, ..., 0])
    assert drawn.figure.get_suptitle() == TITLES[2 * sample + target]
    assert drawn.axes[-1].images[-1].get_array().max() == 2 * sample + target + 1


# Inputs without an axis of channels


@pytest.mark.parametrize("count", [1, 3, 8])
def test_signals_of_models_that_take_no_channels(count):
    """Eight signals of eight steps are no signal of eight channels."""
    signals = np.random.default_rng(0).normal(size=(count, 8))
    relevance = np.ones((count, 8))
    explanation = lrpkeras.Explanation(relevance, np.ones((count, 3)), np.zeros(count, int))
    drawn = plot.series(explanation, signals)
    assert drawn.axes.shape == (count, 1)
    for signal, [panel] in zip(signals, drawn.axes, strict=True):
        np.testing.assert_array_equal(panel.lines[0].get_ydata(), signal)


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 3)])
def test_scans_of_models_that_take_no_channels(shape):
    scans = np.random.default_rng(0).uniform(size=(4, *shape))
    explanation = lrpkeras.Explanation(np.ones((4, *shape)), np.ones((4, 3)), np.zeros(4, int))
    drawn = plot.volume(explanation, scans, slices=[1])
    for scan, [panel] in zip(scans, drawn.axes, strict=True):
        np.testing.assert_allclose(panel.images[0].get_array(), scan[1])


def test_maps_too_small_to_be_told_from_series_are_images_where_a_photo_comes_with_them():
    explanation, photos = explained(3, 4), np.arange(2.0)[:, None, None] * np.ones((2, 3, 4))
    with pytest.raises(InputError, match="of no images"):
        plot.heatmap(explanation)
    for drawn in (
        plot.grid(explanation, photos),
        plot.grid({"a": explanation}, photos),
        plot.compare(explanation, explanation, photos),
    ):
        shown = [panel.images[0].get_array() for panel in drawn.axes.flat]
        maps = {float(array[0, 0]) for array in shown if array.shape == (3, 4)}
        assert maps >= {0, 1, 2, 3, 4}


def test_channels_that_stand_first_are_summed():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 16, 12))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    x = np.random.default_rng(0).uniform(size=(2, 3, 16, 12)).astype("float32")
    explanation = lrpkeras.Analyzer(keras.Model(inputs, outputs), "zero").explain(x, verbose=0)
    for below in (None, x, np.moveaxis(x, 1, -1)):
        for number, panel in enumerate(explanation.plot(below).axes):
            shown = panel.images[-1].get_array()
            np.testing.assert_allclose(shown, explanation.relevance[number].sum(axis=0), rtol=1e-5)
            grey = x[number].transpose(1, 2, 0) @ [0.299, 0.587, 0.114]
            if below is not None:
                np.testing.assert_allclose(panel.images[0].get_array(), grey, rtol=1e-5)


# What cannot be drawn


def test_a_list_of_one_input_is_drawn_as_that_input():
    explanation = lrpkeras.Explanation([np.ones((1, 8, 9, 1))], np.ones((1, 3)), np.zeros(1, int))
    assert explanation.plot().axes[0].images[0].get_array().shape == (8, 9)


@pytest.mark.parametrize("draw", [plot.heatmap, plot.grid, plot.series, plot.volume, plot.tokens])
def test_an_explanation_without_samples_is_refused(draw):
    nothing = lrpkeras.Explanation(np.ones((0, 8, 9, 1)), np.ones((0, 3)), np.zeros(0, int))
    more = ([[]],) if draw is plot.tokens else ()
    with pytest.raises(InputError, match="no samples"):
        draw(nothing, *more)


def test_an_axis_that_is_no_whole_number_is_refused():
    with pytest.raises(InputError, match="axis is 0"):
        plot.volume(np.ones((3, 4, 5)), axis=1.0)


# Fine maps on small panels


@pytest.mark.parametrize("place", range(0, 1024, 37))
def test_no_neuron_of_a_layer_is_lost(place):
    values = np.zeros(1024)
    values[place] = 1
    drawn = plot.layers({"dense": values})
    assert coloured(drawn, drawn.axes[0])


@pytest.mark.parametrize("place", [(3, 5), (51, 50), (64, 99), (98, 77), (37, 37)])
def test_no_value_of_a_map_is_lost_on_a_small_panel(place):
    values = np.zeros((64, 100, 100))
    values[:, place[0], place[1]] = 1
    figure = plot.picture.Picture(figsize=(6, 6))
    drawn = plot.heatmap(values[..., None], axes=figure.subplots(8, 8), colorbar=False)
    assert all(coloured(drawn, panel) for panel in drawn.axes[::9])


def coloured(drawn, panel):
    """Whether some pixel of a panel is redder than it is blue."""
    figure = drawn.figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba()).astype(int)
    box = panel.get_window_extent()
    left, bottom = np.floor([box.x0, box.y0]).astype(int)
    right, top = np.ceil([box.x1, box.y1]).astype(int)
    part = shown[len(shown) - top : len(shown) - bottom, left:right]
    return (part[..., 0] - part[..., 2]).max() > 3


def test_a_map_over_a_smaller_photo_loses_nothing():
    values = np.zeros((100, 100))
    values[np.arange(0, 100, 7), np.arange(0, 100, 7)] = 1
    scale = read_scale(values)
    bare, over = painted(values, scale), painted(values, scale, np.full((40, 40), 0.5))
    zero = bare[1, 0]
    assert ((bare != zero).any(axis=-1) == (over != over[1, 0]).any(axis=-1)).all()


LONG = (
    "a photo with a name_that_nobody_has_ever_shortened_because_of_its_camera.jpg, class 281, " * 2
)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot.series(np.ones((2, 60, 2)), titles=[LONG, "b"]),
        lambda: plot.series(np.ones((1, 60, 2)), titles=[LONG], colorbar=False),
        lambda: plot.tokens([1.0, 2.0], ["a", "b"], titles=LONG, width=3),
        lambda: plot.layers(explained(8, 9, 1, layers=[("conv", (4, 4, 2))]), labels=[LONG] * 5),
    ],
)
def test_long_titles_are_within_the_figure_and_beside_nothing_else(draw):
    figure = draw().figure
    FigureCanvasAgg(figure).draw()
    texts = [*figure.texts, *(axes.title for axes in figure.axes)]
    texts += [axes._left_title for axes in figure.axes]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    page = figure.bbox
    for box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
    for axes in figure.axes:
        assert not any(box.overlaps(axes.bbox) for box in boxes)
