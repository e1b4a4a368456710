"""Where relevance is shown: at inputs and at hidden layers, as pictures, series or bars."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from lrpkeras.errors import InputError
from lrpkeras.plot.explained import Explained
from lrpkeras.plot.views import is_picture
from lrpkeras.report.area import at_size

Kind: TypeAlias = Literal["image", "series", "vector"]

LONGEST = 4096  # steps that are shown of a series


@dataclass(frozen=True)
class Place:
    """Relevance at one input or one layer.

    Attributes
    ----------
    name
        What it is called.
    is_input
        Whether it is an input.
    kind
        "image": rows and columns; "series": steps in a row, "vector": entries in a row.
    maps
        `(samples, k, rows, columns)`, channels summed: k maps of targets and conditions.
    full
        Rows and columns before any of them were put together.
    channels
        How many channels were summed.
    """

    name: str
    is_input: bool
    kind: Kind
    maps: NDArray
    full: tuple[int, int]
    channels: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.maps.shape[2], self.maps.shape[3]

    def within(self, side: int) -> Place:
        """Return it with at most `side` rows and columns: neighbours are added up, by area."""
        side = LONGEST if self.kind == "series" else side
        factor = -(-max(self.size) // side)
        if self.kind == "vector" or factor <= 1:
            return self
        size = [-(-n // factor) for n in self.size]
        return replace(self, maps=at_size(self.maps[..., None], size)[..., 0])


def read_places(explained: Explained) -> tuple[list[Place], list[str]]:
    """Return all places that can be drawn, inputs first, and what cannot be, in words.

    Raises
    ------
    InputError
        If no input can be drawn, or relevance is not finite.
    """
    if not len(explained.target):
        raise InputError("The explanation has no samples: there is nothing to show.")
    drawn, left_out = list[Place](), list[str]()
    planes = set[tuple[int, ...]]()  # inputs without an axis of channels
    for name, is_input, array in _arrays(explained):
        leading = 1 + (explained.target.ndim == 2) + isinstance(explained.condition, tuple)
        shape = array.shape[leading:]
        if len(shape) > 3:
            sizes = " × ".join(map(str, shape))
            left_out.append(f"{name} ({sizes}): neither picture, series nor vector")
        else:
            planes |= {shape} if is_input else set()
            kind, axis = _kind(shape, is_input, planes)
            maps = array.reshape(len(array), -1, *shape)
            drawn.append(_place(name, is_input, maps, kind, None if axis is None else axis + 2))
    if not any(place.is_input for place in drawn):
        raise InputError(
            f"A report shows pictures, series and vectors; of no input is there one: "
            f"{'; '.join(left_out)}. Draw slices of volumes with lrpkeras.plot.volume."
        )
    return drawn, left_out


def _arrays(explained: Explained) -> Iterator[tuple[str, bool, Any]]:
    """Yield inputs and hidden layers by name."""
    for path, array in keras.tree.flatten_with_path(explained.relevance):
        yield input_name(path), True, array
    for name, array in explained.layers.items():
        yield name, False, array


def input_name(path: Sequence[Any]) -> str:
    """Return what an input is called, by the keys and numbers that lead to it.

    Examples
    --------
    >>> input_name(()), input_name((1,)), input_name(("scan", "left"))
    ('input', 'input 1', 'scan/left')
    """
    name = "/".join(map(str, path))
    return f"input {name}" if name.isdecimal() else name or "input"


def _place(name: str, is_input: bool, relevance: NDArray, kind: Kind, axis: int | None) -> Place:
    """Return the place of relevance `(samples, k, ...)`, an axis of which is summed."""
    # Summed before anything is copied: relevance may be as large as memory allows.
    with np.errstate(invalid="ignore", over="ignore"):
        maps = relevance.astype(float) if axis is None else relevance.sum(axis=axis, dtype=float)
        sums = maps.sum(axis=tuple(range(2, maps.ndim)))
    if not np.isfinite(maps).all() or not np.isfinite(sums).all():
        raise InputError(
            f"Relevance of {name!r} holds NaN or infinite values, or sums to such: look for the "
            "layer they come from with analyzer.check(x)."
        )
    if kind != "image":
        maps = maps.reshape(*maps.shape[:2], 1, -1)
    channels = 1 if axis is None else relevance.shape[axis]
    return Place(name, is_input, kind, maps, maps.shape[2:4], channels)


def _kind(
    shape: tuple[int, ...], is_input: bool, planes: Container[tuple[int, ...]]
) -> tuple[Kind, int | None]:
    """Tell what relevance of a shape is shown as, and which axis of it is summed.

    As `lrpkeras.plot.views` has it: inputs may have their channels first, if these are 1 or 3; what
    is as narrow as a series is one. Of a layer, two axes are steps and channels, unless an input is
    a picture without channels and of the same shape. What has one place alone, as global pooling
    leaves it, is a vector of its channels.
    """
    if len(shape) == 3 and shape[:2] != (1, 1):
        is_first = is_input and shape[0] in (1, 3) and is_picture(*shape[1:])
        return "image", 0 if is_first else 2
    if len(shape) == 2:
        return ("image", None) if is_picture(*shape) and shape in planes else ("series", 1)
    return "vector", None
