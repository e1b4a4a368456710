"""Titles stand above their maps, and long ones never reach the next."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpkeras import plot
from lrpkeras.plot import titles

LONG = [
    "German short-haired pointer, Kurzhaar: 12.34",
    "black-and-tan coonhound, hound",
    "supercalifragilisticexpialidocious_animal_of_the_zoo",
    "tabby",
    "a name that goes on and on, " * 9 + "logit: 0.25",
    "given\nlines",
]


def title_boxes(figure, panels):
    figure.draw_without_rendering()
    return [panel.title.get_window_extent() for panel in panels]


@pytest.mark.parametrize("shape", [(6, 4, 4, 1), (6, 40, 24, 1), (6, 10, 30, 1)])
@pytest.mark.parametrize("columns", [3, 8])
def test_long_titles_stay_apart_and_within_the_figure(shape, columns):
    figure, axes = plot.heatmap(np.ones(shape), titles=LONG, columns=columns)
    boxes = title_boxes(figure, axes)
    for n, left in enumerate(boxes):
        assert left.x0 >= 0
        assert left.y1 <= figure.bbox.height
        assert not any(left.overlaps(right) for right in boxes[n + 1 :])


def test_long_column_titles_of_a_grid_stay_apart():
    figure, axes = plot.grid({"a": np.ones((6, 8, 6, 1))}, np.zeros((6, 8, 6, 3)), titles=LONG)
    boxes = title_boxes(figure, axes[0])
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_long_titles_on_given_axes_stay_apart():
    figure = Figure(figsize=(12, 3))
    axes = plot.heatmap(np.ones((6, 4, 4, 1)), titles=LONG, axes=figure.subplots(1, 6)).axes
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(title_boxes(figure, axes)))


def test_breaking_a_title_loses_nothing_but_the_middle_of_what_is_far_too_long():
    axes = plot.heatmap(np.ones((6, 4, 4, 1)), titles=LONG).axes
    shown = [panel.get_title() for panel in axes]
    assert [text.replace("\n", " ") for text in shown[:2]] == LONG[:2]
    assert shown[2].replace("\n", "") == LONG[2]
    assert shown[3] == "tabby"
    assert shown[4].startswith("a name that")
    assert shown[4].endswith("logit: 0.25")
    assert "…" in shown[4]
    assert shown[4].count("\n") == 3
    assert shown[5] == "given\nlines"


def test_titles_stand_above_their_maps():
    assert plot.heatmap(np.ones((2, 3)), titles="tabby")[1].get_title() == "tabby"
    axes = plot.heatmap(np.ones((3, 2, 3, 1)), titles=["tabby", "tiger", "lynx"])[1]
    assert [panel.get_title() for panel in axes] == ["tabby", "tiger", "lynx"]


SIGNS = r"a $5_{bill$ of \frac{1}"  # as mathematics this cannot be read


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", ["maps", "grid", "series", "channel", "volume"])
def test_names_are_written_as_they_are(name, own):
    """A file may be called so, and a class, too: dollars in names begin no formula."""
    maps, signals, volumes = np.ones((2, 4, 4, 1)), np.ones((2, 9, 1)), np.ones((2, 3, 4, 4, 1))
    draw = {
        "maps": lambda axes: plot.heatmap(maps, titles=[SIGNS] * 2, axes=axes),
        "grid": lambda axes: plot.grid({SIGNS: maps}, titles=[SIGNS] * 2, axes=axes),
        "series": lambda axes: plot.series(signals, titles=[SIGNS] * 2, axes=axes),
        "channel": lambda axes: plot.series(signals, names=[SIGNS], axes=axes),
        "volume": lambda axes: plot.volume(volumes[:1], slices=2, titles=[SIGNS], axes=axes),
    }[name]
    figure = draw(Figure().subplots(1, 2, squeeze=False) if own else None).figure
    figure.draw_without_rendering()
    texts = [text for panel in figure.axes for text in (panel.title, panel.yaxis.label)]
    assert "".join(SIGNS.split()) in {"".join(text.get_text().split()) for text in texts}


def test_names_of_thousands_of_letters_are_broken_in_as_many_steps():
    """Not in their square: each piece is looked for among those of its own length."""
    measured = []

    def fits(text):
        measured.append(len(text))
        return len(text) <= 20

    parts = titles.broken("x" * 5000, fits)
    assert [len(part) for part in parts] == [20] * 250
    assert sum(measured) < 200 * 5000


@pytest.mark.parametrize("word", ["", "a", "ab", "abc", "abcd" * 3, "one_two_three-four", "w" * 41])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_a_word_is_broken_where_no_more_letters_fit(word, most):
    parts = titles.broken(word, lambda text: len(text) <= most)
    assert "".join(parts) == word
    assert all(len(part) <= most for part in parts)
    for part, after in itertools.pairwise(parts):
        assert len(part) == most or part[-1] in "_-/"
        assert after
