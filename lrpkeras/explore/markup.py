"""The parts of the widget that are HTML; whatever text they hold is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

import numpy as np

from lrpkeras.plot import pixels
from lrpkeras.plot.arrays import Maps
from lrpkeras.plot.scale import Scale

THUMBNAIL = 48  # pixels
STOPS = 17  # of the gradient that a scale is shown by


def strip(photos: Mapping[int, Maps], chosen: int) -> str:
    """Return small pictures side by side, the chosen one in a frame, each with its number."""
    return "".join(_thumbnail(photo, n, n == chosen) for n, photo in photos.items())


def _thumbnail(photo: Maps, number: int, is_chosen: bool) -> str:
    times = THUMBNAIL / max(photo.shape[:2])
    height, width = (max(1, round(side * times)) for side in photo.shape[:2])
    small = np.rint(255 * pixels.stretched(photo, height, width)).astype(np.uint8)
    data = base64.b64encode(pixels.as_png(small)).decode("ascii")
    frame = "2px solid #2f62e0" if is_chosen else "2px solid transparent"
    return (
        f'<div style="display:inline-block;text-align:center;line-height:1.2">'
        f'<img style="border:{frame}" src="data:image/png;base64,{data}" alt="image {number}">'
        f'<div style="font-size:10px">{number}</div></div>'
    )


def scale_bar(scale: Scale) -> str:
    """Return a bar of the colours, with the values at its ends."""
    palette = pixels.palette(scale)[: pixels.LEVELS]
    stops = palette[np.linspace(0, pixels.LEVELS - 1, STOPS).astype(int)]
    colours = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in stops.tolist())
    low, high = scale.limits
    ends = [low, 0.0, high] if low < 0 else [0.0, high]
    values = "".join(f"<span>{value:.3g}</span>" for value in ends)
    return (
        f'<div style="height:10px;background:linear-gradient(to right,{colours})"></div>'
        f'<div style="display:flex;justify-content:space-between;line-height:1.3">{values}</div>'
        f'<div style="text-align:center;line-height:1.3">{_lines(scale.label)}</div>'
    )


def message(text: str) -> str:
    """Return a text."""
    return f'<div style="line-height:1.4;max-width:50em">{_lines(text)}</div>' if text else ""


def error(text: str) -> str:
    """Return what went wrong."""
    return (
        '<div role="alert" style="border-left:4px solid #ba382a;padding-left:8px;'
        f'line-height:1.4;max-width:50em">{_lines(text)}</div>'
    )


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
