"""Relevance as it flows back: a small map for each stage, from the output down to the input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, finite, read_greys
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.explained import Explained, Labels
from lrpkeras.plot.explained import titles as titles_of
from lrpkeras.plot.panel import Manner, bare, draw_map
from lrpkeras.plot.panels import Panels, given_panels, new_panels
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.scale import Scale, read_scale
from lrpkeras.plot.sheet import EDGE, FILLED
from lrpkeras.plot.titles import wrapped
from lrpkeras.plot.views import View, view


def layers(
    relevance: Explained | Mapping[str, ArrayLike],
    image: ArrayLike | None = None,
    *,
    sample: int = 0,
    target: int = 0,
    labels: Labels | None = None,
    clip: float | None = None,
    cmap: str | Colormap | None = None,
    columns: int = 6,
    axes: Any = None,
) -> Drawn:
    """Draw the relevance of each stage, from the last layer on the left down to the input.

    Each map has a scale of its own, since relevance spreads over more and more values: below each
    name stand its size, the sum ΣR of its relevance, and what has the end colours. Channels are
    summed. Of dense layers a stripe stands for each neuron, of volumes there is the slice with the
    most.

    Parameters
    ----------
    relevance
        An `Explanation` with `layers` (`analyzer.explain(x, layers="conv*")`), or arrays by name,
        in the order in which they are to stand, each of one sample: (height, width, channels),
        (height, width), (steps, channels) or (n,).
    image
        What was explained: of an explanation a batch, or the one image. Drawn in grey below the
        maps that have height and width.
    sample, target
        Which sample of an explanation, and which of its targets and conditions, by number.
    labels
        Of an explanation: names of the classes, one for each, or a dict by class number.
    clip, cmap
        As in `heatmap`, for each map.
    columns
        The most maps in a row of a new figure.
    axes
        Draw here, one Axes for each stage, not in a new figure.

    Returns
    -------
    Drawn
        The figure, and the Axes, (stages,).

    Raises
    ------
    lrpkeras.errors.InputError
        Where an explanation has no layers, or no such sample or target, or an array has too many
        axes, is empty, or holds NaN or infinite values.

    Examples
    --------
    >>> drawn = layers({"dense": [3.0, -1.0], "input": np.full((4, 4, 1), 0.125)})
    >>> drawn.axes[0].get_title().split()
    ['dense', '2,', 'ΣR', '2', 'colours', 'to', '±3']
    """
    stages, heading = _read(relevance, sample, target, labels)
    grey = None if image is None else _read_grey(image, sample)
    if axes is None:
        if not isinstance(columns, Integral) or columns < 1:
            raise InputError(f"columns is a whole number of at least 1, not {columns!r}")
        wide = min(len(stages), int(columns))
        rows = math.ceil(len(stages) / wide)
        panels = new_panels(rows, wide, [1.0] * rows, len(stages))
    else:
        panels = given_panels(axes, 1, len(stages))
    dark = is_dark(None if axes is None else panels.all[0])
    options: dict[str, Any] = {"clip": clip, "cmap": cmap, "dark": dark}
    scales = [read_scale(stage.view.values, **options) for stage in stages]
    for panel, stage, scale in zip(panels.all, stages, scales, strict=True):
        _draw(panel, stage, scale, grey)
    titles = [stage.title(scale) for stage, scale in zip(stages, scales, strict=True)]
    panels.write_titles(titles)
    panels.finish()
    if heading:
        _write_heading(panels, heading)
        panels.finish()
    every = np.empty(len(stages), dtype=object)
    every[:] = panels.all
    return Drawn(panels.figure, every)


@dataclass(frozen=True)
class Stage:
    """A layer's relevance, of one sample.

    Attributes
    ----------
    name
        Of the layer.
    shape
        Of its output.
    total
        The sum of its relevance.
    view
        What is drawn.
    """

    name: str
    shape: tuple[int, ...]
    total: float
    view: View

    @classmethod
    def of(cls, name: str, values: ArrayLike) -> Stage:
        """Read one array.

        Raises
        ------
        lrpkeras.errors.InputError
            With the layer's name.
        """
        array = finite(values, f"relevance of {name!r}")
        try:
            return cls(name, array.shape, float(array.sum()), view(array))
        except InputError as error:
            raise InputError(f"{name!r}: {error}") from None

    def title(self, scale: Scale) -> str:
        """Return name, size and sum, and what has the end colours."""
        size = " × ".join(map(str, self.shape)) or "1"
        end = f"{'±' if scale.is_signed else ''}{scale.limits[1]:.3g}"
        below = f"colours to\u00a0{end}{', clipped' if scale.is_clipped else ''}"
        if self.view.note.startswith("slice"):
            below = f"{self.view.note.partition(',')[0]}, {below}"
        # No-break spaces: titles are broken at the others.
        return f"{self.name}\n{size}, ΣR\u00a0{self.total:.3g}\n{below}"


def _read(
    relevance: Any, sample: int, target: int, labels: Labels | None
) -> tuple[list[Stage], str]:
    """Return the stages, and what stands above them all."""
    if isinstance(relevance, Mapping):
        if not relevance:
            raise InputError("layers takes at least one array: {name: relevance}.")
        return [Stage.of(name, values) for name, values in relevance.items()], ""
    if not isinstance(relevance, Explained):
        raise InputError("layers takes an Explanation, or arrays by name: {name: relevance}.")
    if not relevance.layers:
        raise InputError(
            "This explanation has no hidden layers: ask for them, analyzer.explain(x, "
            "layers='conv*')."
        )
    names = titles_of(relevance, labels)
    samples = len(relevance.target)
    times = len(names) // samples
    at = _checked(sample, samples, "sample"), _checked(target, times, "target")
    arrays = [*reversed(relevance.layers.items()), *_inputs(relevance)]
    several = (relevance.target.ndim == 2) + isinstance(relevance.condition, tuple)
    stages = [
        Stage.of(name, array.reshape(samples, times, *array.shape[1 + several :])[at])
        for name, array in arrays
    ]
    return stages, names[at[0] * times + at[1]]


def _inputs(explained: Explained) -> list[tuple[str, NDArray[Any]]]:
    """Return the inputs' relevance by name, but for inputs that are among the layers already."""
    about = getattr(explained, "about", None)
    nodes = [] if about is None else about.summary.rows
    asked = [explained.layers.get(row.node) for row in nodes if row.kind == "Input"]
    return [
        (" ".join(map(str, ("input", *path))), array)
        for path, array in keras.tree.flatten_with_path(explained.relevance)
        if not any(one is not None and np.array_equal(array, one) for one in asked)
    ]


def _checked(number: int, count: int, what: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise InputError(f"{what} is a whole number, not {number!r}")
    if not 0 <= number < count:
        raise InputError(f"{what} is a number from 0 to {count - 1}, not {number!r}")
    return int(number)


def _read_grey(image: ArrayLike, sample: int) -> Maps:
    finite(image, "image")
    array = np.asarray(image)
    one = array[sample] if array.ndim == 4 and len(array) > sample else array
    greys = read_greys(one, 1)
    assert greys is not None  # there is an image
    return greys[0]


def _draw(panel: Axes, stage: Stage, scale: Scale, grey: Maps | None) -> None:
    """Draw a plane as a map, a line as stripes."""
    if stage.view.is_plane:
        draw_map(panel, stage.view.values, scale, Manner(), grey)
        return
    bare(panel)
    stripes = stage.view.values[np.newaxis]
    panel.imshow(stripes, cmap=scale.cmap, norm=scale.norm, aspect="auto", interpolation="nearest")
    panel.set_box_aspect(1)


def _write_heading(panels: Panels, heading: str) -> None:
    """Write above a new figure; the caller's figure has its own."""
    figure = panels.figure
    if panels.sheet is None or not isinstance(figure, Figure):
        return
    font = FontProperties(size=matplotlib.rcParams["figure.titlesize"])
    lines = wrapped(heading.replace("\n", ", "), FILLED * figure.get_size_inches()[0], font)
    text = figure.suptitle("\n".join(lines), y=1.0, va="top", parse_math=False)
    text.set_transform(figure.transFigure + ScaledTranslation(0, -EDGE, figure.dpi_scale_trans))
