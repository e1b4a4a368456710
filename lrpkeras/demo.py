"""The demo: generated images whose decisive pixels are known, explained under several presets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpkeras import plot
from lrpkeras.analyzer import Analyzer
from lrpkeras.datasets import Shapes, shapes, shapes_classes, shapes_model
from lrpkeras.errors import InputError
from lrpkeras.ledger import Check

COUNT = 8
"""How many images are explained."""

PRESETS = (
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1_flat",
    "epsilon_plus_box",
    "epsilon",
    "input_x_gradient",
)
"""What explains them, in the order of the rows."""

# A smaller figure than usual, so that its letters can be read where a page shrinks it.
SCALE, DPI = 0.6, 80
CLIP = 99.5  # percentile of a row's |R|: few pixels would pale all others

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """What one preset made of the images.

    Attributes
    ----------
    relevance
        `(n, height, width, channels)`.
    predicted
        What the network took the images for, and what is explained: class numbers, `(n,)`.
    inside
        Share of the positive relevance that lies in the object, mean over images, in [0, 1].
    check
        The ledger.
    is_gradient
        Whether the ledger accounts for a gradient, not for a decomposition of the logit.
    """

    relevance: Array
    predicted: Array
    inside: float
    check: Check
    is_gradient: bool


@dataclass(frozen=True)
class Demo:
    """The images and one row per preset; prints as a table."""

    data: Shapes
    rows: dict[str, Row]

    @property
    def chance(self) -> float:
        """The object's share of the image, mean over images: what relevance anywhere would hit."""
        return float(self.data.masks.mean())

    @property
    def closes(self) -> bool:
        """Whether every ledger closes."""
        return all(row.check.closes for row in self.rows.values())

    def picture(self) -> Any:
        """Draw the images in the first row and a row of heatmaps for each preset."""
        maps = {name.replace("_", "\n", 1): row.relevance for name, row in self.rows.items()}
        drawn: tuple[Any, Any] = plot.grid(maps, self.data.images, titles=self._titles(), clip=CLIP)
        figure, panels = drawn
        figure.set_size_inches(figure.get_size_inches() * SCALE)
        for bar in set(figure.axes) - set(panels.flat):
            bar.set_ylabel("relevance,\nclipped", fontsize="small")
        return figure

    def save(self, path: str | os.PathLike) -> None:
        """Write the picture as PNG."""
        self.picture().savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.05)

    def _titles(self) -> list[str]:
        pairs = [(shapes_classes[true], shapes_classes[taken]) for true, taken in self.decisions]
        return [true if true == taken else f"{true},\ntaken for {taken}" for true, taken in pairs]

    @property
    def decisions(self) -> list[tuple[int, int]]:
        """For each image, what it shows and what the network took it for: class numbers."""
        first = next(iter(self.rows.values()))
        return list(zip(self.data.labels.tolist(), first.predicted.tolist(), strict=True))

    def __str__(self) -> str:
        right = sum(true == taken for true, taken in self.decisions)
        lines = [f"{right} of {len(self.decisions)} images are classified correctly.", "", HEADER]
        lines += [_line(name, row, self.chance) for name, row in self.rows.items()]
        return "\n".join([*lines, "", NOTES])


HEADER = f"""\
{"positive relevance":>45}{"all relevance":>21}
{"preset":27}{"in object":>9}{"chance":>9}{"start":>9}{"= inputs":>10}{"+ sinks":>9}  ledger"""

NOTES = f"""\
in object: share of the positive relevance that lies in the object, mean over images.
chance: the object's share of the image.
sinks: what the rules give to biases, epsilon and the like, each counted by its own formula.
*: what is passed back is the gradient, the ledger is of that; it decomposes no output.
Colours: red for the class, blue against it, clipped at percentile {CLIP:g} of a row's |R| > 0.
The maps of epsilon and input_x_gradient are equal on a ReLU network, up to epsilon."""


def _line(name: str, row: Row, chance: float) -> str:
    check = row.check
    start, inputs, sinks = check.start, check.inputs, sum(check.sinks.values())
    verdict = ("closes" if check.closes else "DOES NOT CLOSE") + " *" * row.is_gradient
    shares = f"{row.inside:9.1%}{chance:9.1%}"
    return f"{name:27}{shares}{start:9.2f}{inputs:10.2f}{sinks:9.2f}  {verdict}"


def check_path(path: str | os.PathLike) -> None:
    """Raise `InputError` where a picture cannot be written, before any work is done."""
    file = Path(path)
    if file.suffix.lower() != ".png":
        raise InputError(f"The picture is a PNG: give a name that ends in .png, not {str(path)!r}.")
    if not file.parent.is_dir():
        raise InputError(f"There is no folder {str(file.parent)!r} for the picture: make it first.")


def explain_shapes(seed: int = 0) -> Demo:
    """Explain fresh images with the network that ships with lrpkeras, under every preset.

    Parameters
    ----------
    seed
        Of `lrpkeras.datasets.shapes`.

    Raises
    ------
    lrpkeras.errors.InputError
        The seed is no whole number from 0.
    """
    data, model = shapes(COUNT, seed), shapes_model()
    return Demo(data, {preset: _row(model, preset, data) for preset in PRESETS})


def _row(model: Any, preset: str, data: Shapes) -> Row:
    analyzer = Analyzer(model, preset, input_range=(0, 1))
    explanation = analyzer.explain(data.images, verbose=0)
    return Row(
        relevance=explanation.relevance,
        predicted=explanation.target,
        inside=share_inside(explanation.relevance, data.masks),
        check=analyzer.check(data.images),
        is_gradient=analyzer.preset.seed == "gradient",
    )


def share_inside(relevance: Array, masks: Array) -> float:
    """Return the share of the positive relevance that lies in the masks, mean over images.

    Parameters
    ----------
    relevance
        `(n, height, width, channels)`; positive is a pixel whose channels sum to more than 0.
    masks
        bool, `(n, height, width)`.

    Returns
    -------
    Between 0 and 1; an image without positive relevance counts as 0.

    Examples
    --------
    >>> relevance = np.array([[[[3.0]], [[1.0]], [[-5.0]]]])
    >>> share_inside(relevance, np.array([[[True], [False], [False]]]))
    0.75
    """
    positive = np.maximum(relevance.sum(axis=-1, dtype="float64"), 0)
    inside, total = (positive * masks).sum(axis=(1, 2)), positive.sum(axis=(1, 2))
    return float(np.divide(inside, total, out=np.zeros_like(total), where=total > 0).mean())
