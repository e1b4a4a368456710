"""A new figure is as large as what is on it, and nothing on it overlaps."""

import itertools

import numpy as np
import pytest

from lrpkeras import plot
from lrpkeras.plot.sheet import LONGEST_BAR, SMALLEST_PANEL, WIDEST_SHEET

PHOTOS = np.zeros((3, 20, 30, 3))
MAPS = np.random.default_rng(5).normal(size=(3, 10, 15, 1))
TITLES = ["a", "two words", "German short-haired pointer, Kurzhaar: 12.34"]

FIGURES = {
    "one map": lambda: plot.heatmap(MAPS[0]),
    "wide": lambda: plot.heatmap(np.ones((2, 5, 90, 1)), titles=TITLES[:2]),
    "tall": lambda: plot.heatmap(np.ones((2, 90, 5, 1)), titles=TITLES[:2], clip=50),
    "a line": lambda: plot.heatmap(np.ones((1, 2000))),
    "own scales": lambda: plot.heatmap(MAPS, shared_scale=False, titles=TITLES, clip=99),
    "rows": lambda: plot.heatmap(MAPS, columns=2, titles=TITLES, clip=99),
    "a grid": lambda: plot.grid({"epsilon\nplus": MAPS, "b": MAPS}, PHOTOS, titles=TITLES),
    "long labels": lambda: plot.grid({"a name that is far longer than its map is high": MAPS}),
    "a comparison": lambda: plot.compare(MAPS, -MAPS, PHOTOS, titles=TITLES),
}


def shown(figure):
    """The boxes of all panels and bars, what stands around them included, in inches."""
    figure.draw_without_rendering()
    inches = figure.dpi_scale_trans.inverted()
    return [axes.get_tightbbox().transformed(inches) for axes in figure.axes]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_ends_where_its_contents_do(name):
    figure = FIGURES[name]().figure
    boxes = shown(figure)
    width, height = figure.get_size_inches()
    inside = (
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        width - max(box.x1 for box in boxes),
        height - max(box.y1 for box in boxes),
    )
    assert min(inside) >= 0
    assert max(inside) < 0.2  # inches; half a line


@pytest.mark.parametrize(
    ("name", "scaled"),
    [("own scales", 0.6), ("a comparison", 0.6), ("rows", 1.7)],
)
def test_nothing_overlaps_whatever_the_size(name, scaled):
    figure, axes = FIGURES[name]()
    figure.set_size_inches(figure.get_size_inches() * scaled)
    boxes = shown(figure)
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, down) < 0.01
    assert axes.flat[0].get_window_extent().width / figure.dpi > 0.5 * scaled


def test_words_are_broken_anew_where_their_panels_shrink():
    titles = ["a", "b", "a title that has some more words"]
    figure, axes = plot.grid({"a label of words": MAPS}, titles=titles, clip=99)
    (bar,) = [one for one in figure.axes if one.get_label() == "<colorbar>"]
    words = [axes[0, 2].title, axes[0, 0].yaxis.label, bar.yaxis.label]
    before, ticks = [one.get_text() for one in words], len(bar.get_yticks())
    figure.set_size_inches(figure.get_size_inches() * 0.7)
    shown(figure)
    for one, text in zip(words, before, strict=True):
        assert one.get_text().split() == text.split()
        assert one.get_text().count("\n") > text.count("\n")
    assert len(bar.get_yticks()) < ticks
    assert bar.get_window_extent().height > 0.7 * axes[0, 0].get_window_extent().height


def test_a_title_of_the_readers_own_is_kept_and_leaves_its_map_some_room():
    figure, axes = plot.heatmap(MAPS, titles=TITLES)
    axes[0].set_title("much longer than its map is wide, and nobody has broken it into lines")
    figure.set_size_inches(figure.get_size_inches() * 0.7)
    shown(figure)
    assert axes[0].get_title().endswith("lines")
    assert axes[0].get_window_extent().width / figure.dpi > 0.5


def test_panels_of_a_grid_are_aligned_and_have_one_size():
    axes = FIGURES["a grid"]().axes
    axes[0, 0].figure.draw_without_rendering()
    boxes = np.array([[panel.get_window_extent().bounds for panel in line] for line in axes])
    left, bottom, width, height = boxes.transpose(2, 0, 1)
    np.testing.assert_allclose(left, left[:1] * np.ones((3, 1)))
    np.testing.assert_allclose(bottom, bottom[:, :1] * np.ones(3))
    np.testing.assert_allclose(width, width[0, 0])
    np.testing.assert_allclose(height, width[0, 0] * 10 / 15)


def test_later_titles_make_room_for_themselves():
    figure, axes = plot.heatmap(MAPS)
    axes[0].set_title("later")
    figure.suptitle("a title for all")
    boxes = shown(figure)
    heading = figure.texts[0].get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    assert not any(heading.overlaps(box) for box in boxes)
    assert max(box.y1 for box in boxes) <= figure.get_figheight()


def test_a_panel_that_was_taken_away_leaves_the_others_in_place():
    figure, axes = plot.heatmap(MAPS)
    axes[1].remove()
    assert len(shown(figure)) == 3


def test_big_batches_stay_in_bounds_and_keep_every_map():
    figure, axes = plot.heatmap(np.ones((30, 4, 4, 1)), columns=30, colorbar=False)
    assert len(axes) == 30
    assert figure.get_size_inches()[0] < 30 * (SMALLEST_PANEL + 0.1)
    wide = plot.heatmap(np.ones((10, 4, 4, 1)), columns=10).figure
    assert wide.get_size_inches()[0] < WIDEST_SHEET + 2
    tall = plot.heatmap(np.ones((4, 4, 4, 1)), columns=1).figure
    assert shown(tall)[-1].height < LONGEST_BAR + 0.5


def test_what_is_saved_tightly_holds_every_panel(tmp_path):
    figure = FIGURES["wide"]().figure
    tight = figure.get_tightbbox()
    assert tight.width == pytest.approx(figure.get_figwidth(), abs=0.4)
    assert tight.height == pytest.approx(figure.get_figheight(), abs=0.4)
    figure.savefig(tmp_path / "figure.pdf", bbox_inches="tight")
