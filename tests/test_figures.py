"""Figures show themselves in notebooks, and drawing them changes nothing of pyplot's."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lrpkeras import plot

MAP = np.array([[0.0, 4.0, -1.0], [0.5, -0.25, 0.0]])
BATCH = np.stack([MAP, 10 * MAP, 0 * MAP])[..., np.newaxis]


def test_drawing_and_saving_change_no_global_state(tmp_path):
    figure_before = plt.figure()
    axes_before = figure_before.gca()
    try:
        before = (dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums())
        for picture, _ in (
            plot.heatmap(BATCH, np.zeros((2, 3))),
            plot.heatmap(BATCH, contours=2, per_channel=True, shared_scale=False),
            plot.grid({"epsilon": BATCH}, np.zeros((3, 2, 3, 3))),
            plot.compare(BATCH, -BATCH, np.zeros((3, 2, 3, 3))),
        ):
            picture.savefig(tmp_path / "picture.png")
        assert (dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()) == before
        assert plt.gcf() is figure_before
        assert plt.gca() is axes_before
        assert not axes_before.images
    finally:
        plt.close(figure_before)


def test_a_notebook_can_show_the_figure_without_pyplot():
    assert plot.heatmap(MAP)[0]._repr_png_().startswith(b"\x89PNG")


def test_what_is_returned_is_a_pair_that_a_notebook_shows():
    for drawn_pair in (plot.heatmap(MAP), plot.grid({"a": BATCH}, np.zeros((3, 2, 3, 1)))):
        figure, axes = drawn_pair
        assert (figure, axes) == (drawn_pair.figure, drawn_pair.axes)
        assert drawn_pair._repr_png_().startswith(b"\x89PNG")
    own = Figure()
    assert plot.heatmap(MAP, axes=own.subplots())._repr_png_().startswith(b"\x89PNG")
    nested = own.subfigures(1, 2)[0].subplots()
    assert plot.heatmap(MAP, axes=nested)._repr_png_().startswith(b"\x89PNG")


def test_a_figure_of_pyplot_is_left_to_it_so_that_it_is_not_shown_twice():
    figure, axes = plt.subplots()
    try:
        assert plot.heatmap(MAP, axes=axes)._repr_png_() is None
    finally:
        plt.close(figure)
