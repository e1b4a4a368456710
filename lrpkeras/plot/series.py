"""Signals over time, each step in the colour of its relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import FigureBase
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.arrays import Maps, finite
from lrpkeras.plot.colours import is_dark
from lrpkeras.plot.explained import Explained, Labels, Shown, read_relevance
from lrpkeras.plot.panels import given_axes
from lrpkeras.plot.picture import Drawn, Picture
from lrpkeras.plot.scale import Scale, draw_colorbar, read_scale
from lrpkeras.plot.titles import POINTS, Titles, read_titles, wrapped

WIDTH, WIDEST = 6.4, 16.0  # inches of one signal, and of many beside each other
HEIGHT = 1.1  # inches of a channel
ROOM = 0.08  # above and below a signal, as a share of its range


def series(
    relevance: ArrayLike | Explained,
    signal: ArrayLike | None = None,
    *,
    times: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    titles: Titles = None,
    labels: Labels | None = None,
    clip: float | None = None,
    signed: bool | None = None,
    cmap: str | Colormap | None = None,
    colorbar: bool = True,
    axes: Any = None,
) -> Drawn:
    """Draw signals on a ground that is coloured by relevance: a row for each channel.

    Parameters
    ----------
    relevance
        Of one signal, (steps,) or (steps, channels), or of a batch, (n, steps, channels); or an
        `Explanation` of signals, a column for each sample, target and condition.
    signal
        What was explained: (steps,), (steps, channels), or (n, steps, channels), of an explanation
        one for each sample. Where relevance has one channel it colours all channels of the signal.
        Without it the relevance itself is drawn as a line.
    times
        When each step was, (steps,), increasing; by default their numbers. A step's colour reaches
        half-way to its neighbours.
    names
        Of the channels, one for each.
    titles
        Above each signal; those of an explanation are class and logit.
    labels
        Of an explanation: names of the classes, one for each, or a dict by class number.
    clip, signed, cmap
        As in `heatmap`. All signals and channels share the scale.
    colorbar
        Whether to draw a colour bar.
    axes
        Draw here, one Axes for each channel of each signal, not in a new figure.

    Returns
    -------
    Drawn
        The figure, and the Axes: (channels,) for one signal, (n, channels) for a batch.

    Raises
    ------
    lrpkeras.errors.InputError
        Where an array has a wrong rank, is empty, or holds NaN or infinite values (leave gaps out,
        and give `times`), or where numbers of steps, channels, names, titles or Axes do not fit.

    Examples
    --------
    >>> figure, axes = series([0.0, 2.0, -1.0], [0.1, 0.9, 0.4], times=[0.0, 0.5, 1.5])
    >>> axes[0].lines[0].get_xydata().tolist()
    [[0.0, 0.1], [0.5, 0.9], [1.5, 0.4]]
    """
    shown = read_relevance(relevance, labels)
    values, is_batch = _read(shown.relevance, "relevance", shown.samples is not None)
    signals = values if signal is None else _read_signals(signal, values, shown)
    at = _read_times(times, values.shape[1])
    above = read_titles(shown.titles if titles is None else titles, len(values))
    beside = _read_names(names, signals.shape[-1], signal is None)
    figure, panels = _panels(axes, signals.shape[-1], len(values))
    dark = is_dark(None if axes is None else panels[0, 0])
    scale = read_scale(values, clip=clip, signed=signed, cmap=cmap, dark=dark)
    limits = [_limits(signals[..., channel]) for channel in range(len(panels))]
    for (channel, number), panel in np.ndenumerate(panels):
        ground = values[number, :, min(channel, values.shape[-1] - 1)]
        _draw(panel, Track(at, signals[number, :, channel], ground), limits[channel], scale)
    _write_titles(panels[0], above, figure if axes is None else None)
    for panel, name in zip(panels[:, 0], beside, strict=True):
        panel.set_ylabel(name, parse_math=False)
    if colorbar:
        draw_colorbar(figure, scale, list(panels.flat), inches=_height(panels))
    every: NDArray[Any] = panels.T
    return Drawn(figure, every if is_batch else every[0])


@dataclass(frozen=True)
class Track:
    """One channel: when, what, and its relevance; each (steps,)."""

    times: Maps
    signal: Maps
    relevance: Maps


def _read(values: ArrayLike, what: str, is_batch: bool = False) -> tuple[Maps, bool]:
    """Return signals (n, steps, channels), and whether they are a batch."""
    array = finite(values, what)
    if is_batch and array.ndim == 2:
        return array[..., np.newaxis], True
    if array.ndim not in (1, 2, 3) or (is_batch and array.ndim != 3):
        raise InputError(
            f"{what} has shape {array.shape}; a signal is (steps,) or (steps, channels), or "
            "(n, steps, channels) of several"
        )
    if array.ndim == 3:
        return array, True
    return array.reshape(1, len(array), -1), False


def _read_signals(signal: ArrayLike, values: Maps, shown: Shown) -> Maps:
    """Return a signal for each of the relevances (n, steps, channels)."""
    times = shown.times
    # Of a model whose input has no channels, a batch has two axes.
    plain = shown.samples is not None and np.shape(signal) == (
        shown.samples, *shown.relevance.shape[1:2],
    ) and shown.relevance.ndim == 2  # fmt: skip
    array, _ = _read(signal, "signal", plain)
    if len(array) * times == len(values):
        array = np.repeat(array, times, axis=0)
    elif len(array) == 1:
        array = np.repeat(array, len(values), axis=0)
    fits = array.shape[:2] == values.shape[:2] and values.shape[2] in (1, array.shape[2])
    if not fits:
        raise InputError(
            f"signal is {array.shape} and relevance {values.shape}, as (n, steps, channels): give "
            "a signal with the same steps for each relevance, and as many channels"
        )
    return array


def _read_times(times: ArrayLike | None, steps: int) -> Maps:
    if times is None:
        return np.arange(steps, dtype=np.float64)
    array = finite(times, "times")
    if array.shape != (steps,) or (np.diff(array) <= 0).any():
        raise InputError(f"times are {steps} increasing numbers, one for each step")
    return array


def _read_names(names: Sequence[str] | None, channels: int, is_relevance: bool) -> list[str]:
    if names is not None:
        if isinstance(names, str) or len(names) != channels:
            raise InputError(f"names are {channels} texts, one for each channel, not {names!r}")
        return [str(name) for name in names]
    if channels == 1:
        return ["relevance" if is_relevance else ""]
    return [f"channel {number}" for number in range(channels)]


def _panels(axes: Any, channels: int, count: int) -> tuple[FigureBase, NDArray[Any]]:
    """Return Axes, a row for each channel and a column for each signal."""
    if axes is not None:
        given = given_axes(axes, channels * count, f"{channels} for each signal")
        return given[0].figure, given.reshape(count, channels).T
    size = (min(WIDEST, WIDTH * count), 0.8 + HEIGHT * channels)
    figure = Picture(figsize=size, layout="constrained")
    return figure, figure.subplots(channels, count, squeeze=False, sharex=True, sharey="row")


def _limits(signals: Maps) -> tuple[float, float]:
    """Return the height of the ground, one for all signals, since their panels share an axis."""
    low, high = float(signals.min()), float(signals.max())
    room = ROOM * (high - low) if high > low else max(abs(high), 1.0) / 2
    return low - room, high + room


def _draw(panel: Axes, track: Track, limits: tuple[float, float], scale: Scale) -> None:
    """Draw one channel on its ground."""
    edges = _edges(track.times)
    ground = track.relevance[np.newaxis]
    panel.pcolormesh(edges, limits, ground, cmap=scale.cmap, norm=scale.norm, rasterized=True)
    colour = panel.xaxis.label.get_color()  # that of text, which is seen on a page of any colour
    panel.plot(track.times, track.signal, color=colour, linewidth=1, solid_joinstyle="round")
    seen = panel.get_shared_y_axes().get_siblings(panel)
    others = [one.dataLim.intervaly for one in seen if one.lines]
    panel.set_xlim(edges[0], edges[-1])
    panel.set_ylim(min(y[0] for y in others), max(y[1] for y in others))


def _edges(times: Maps) -> Maps:
    """Return where the colour of each step begins, and where the last one ends."""
    if len(times) == 1:
        return np.array([times[0] - 0.5, times[0] + 0.5])
    middles = (times[1:] + times[:-1]) / 2
    first, last = times[0] - (middles[0] - times[0]), times[-1] + (times[-1] - middles[-1])
    return np.concatenate([[first], middles, [last]])


def _write_titles(panels: NDArray[Any], titles: Sequence[str], figure: Any) -> None:
    """Write a title above each panel, in lines no wider than it; a new figure grows by them."""
    most = 1
    for panel, title in zip(panels, titles, strict=True):
        font = panel.title.get_fontproperties()
        lines = wrapped(title, panel.get_window_extent().width / panel.figure.dpi, font)
        panel.set_title("\n".join(lines), parse_math=False)
        most = max(most, len(lines))
    if figure is not None:
        line = 1.2 * panels[0].title.get_fontsize() / POINTS
        figure.set_figheight(figure.get_figheight() + (most - 1) * line)


def _height(panels: NDArray[Any]) -> float:
    """Return how many inches all rows are high."""
    figure: Any = panels[0, 0].figure
    boxes = [panel.get_window_extent() for panel in panels[:, 0]]
    return float(sum(box.height for box in boxes)) / float(figure.dpi)
