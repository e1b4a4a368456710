"""Relevance as it flows back: a small map for each stage, from the output down to the input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, finite, read_greys
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.explained import Explained, Labels, titles
from lrpkeras.plot.panel import Manner, bare, draw_map
from lrpkeras.plot.panels import Panels, given_panels, new_panels
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.scale import Scale, read_scale
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
    name stand its size, its sum ΣR and the largest magnitude, which has the end colour. Channels
    are summed. Of dense layers a stripe stands for each neuron.

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
    >>> print(drawn.axes[0].get_title())
    dense
    2
    ΣR 2, |R| ≤ 3
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
    for panel, stage in zip(panels.all, stages, strict=True):
        scale = read_scale(stage.view.values, clip=clip, cmap=cmap, dark=dark, signed=None)
        _draw(panel, stage, scale, grey)
    panels.write_titles([stage.title for stage in stages])
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
    view
        What is drawn.
    """

    name: str
    shape: tuple[int, ...]
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
            return cls(name, array.shape, view(array))
        except InputError as error:
            raise InputError(f"{name!r}: {error}") from None

    @property
    def title(self) -> str:
        """Name, size, sum and largest magnitude."""
        size = " × ".join(map(str, self.shape)) or "1"
        note = f"\n{self.view.note}" if self.view.note.startswith("slice") else ""
        return f"{self.name}\n{size}{note}\n{_numbers(self.view.values)}"


def _numbers(values: Maps) -> str:
    return f"ΣR {values.sum():.3g}, |R| ≤ {np.abs(values).max():.3g}"


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
    names = titles(relevance, labels)
    samples = len(relevance.target)
    times = len(names) // samples
    at = _checked(sample, samples, "sample"), _checked(target, times, "target")
    above = [*reversed(relevance.layers.items())]
    arrays = [*above, *_inputs(relevance.relevance, [array for _, array in above])]
    several = (relevance.target.ndim == 2) + isinstance(relevance.condition, tuple)
    stages = [
        Stage.of(name, array.reshape(samples, times, *array.shape[1 + several :])[at])
        for name, array in arrays
    ]
    return stages, names[at[0] * times + at[1]]


def _inputs(relevance: Any, drawn: Sequence[Any]) -> list[tuple[str, NDArray[Any]]]:
    """Return the inputs' relevance by name, but for what is among the layers already."""
    flat = keras.tree.flatten_with_path(relevance)
    return [
        (" ".join(map(str, ("input", *path))), array)
        for path, array in flat
        if not any(np.array_equal(array, one) for one in drawn)
    ]


def _checked(number: int, count: int, what: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise InputError(f"{what} is a whole number, not {number!r}")
    if not 0 <= number < count:
        raise InputError(f"{what} is a number from 0 to {count - 1}, not {number!r}")
    return int(number)


def _read_grey(image: ArrayLike, sample: int) -> Maps:
    array = finite(image, "image")
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
    if panels.sheet is not None:
        figure: Any = panels.figure
        figure.suptitle(heading.replace("\n", ", "), y=1.0, va="top")
