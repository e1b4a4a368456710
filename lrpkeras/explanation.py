"""What an analyzer returns for a data set, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from lrpkeras import plot as plotting
from lrpkeras.errors import InputError


@dataclass(frozen=True)
class Explanation:
    """Relevance of a data set, with what it explains.

    Attributes
    ----------
    relevance
        Arrays shaped and nested like the inputs; with several targets, `(samples, k, ...)`.
    output
        The model's logits, `(samples, ...)`.
    target
        Class numbers `(samples,)`, or `(samples, k)`; -1 where relevance started from an array.
    layers
        Relevance at the outputs of hidden layers, by name.
    """

    relevance: Any
    output: np.ndarray
    target: np.ndarray
    layers: dict[str, np.ndarray] = field(default_factory=dict)

    def plot(
        self,
        images: np.ndarray | None = None,
        *,
        labels: Sequence[str] | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """Draw the heatmaps, titled with class and logit.

        Parameters
        ----------
        images
            The photos `(samples, height, width, channels)` to lay the maps over.
        labels
            Names of the classes.
        options
            Passed on to `lrpkeras.plot.heatmap`.

        Returns
        -------
        Figure and axes.

        Raises
        ------
        InputError
            If the relevance is not that of one image input, or is of several targets.
        """
        if not isinstance(self.relevance, np.ndarray):
            raise InputError(
                "plot() draws one input's relevance: hand the array that you want to "
                "lrpkeras.plot.heatmap."
            )
        relevance = self.relevance
        target, output = self.target, self.output
        if target.ndim == 2:
            relevance = relevance.reshape(-1, *relevance.shape[2:])
            output = np.repeat(output, target.shape[1], axis=0)
            if images is not None:
                images = np.repeat(images, target.shape[1], axis=0)
            target = target.reshape(-1)
        titles = [_title(t, row, labels) for t, row in zip(target, output, strict=True)]
        return plotting.heatmap(relevance, images, titles=titles, **options)

    def save(self, path: str | os.PathLike) -> None:
        """Write all arrays to a NumPy `.npz` file.

        The arrays are named `relevance` (`relevance/0`, ... for several inputs), `output`,
        `target` and `layers/NAME`.
        """
        flat = keras.tree.flatten(self.relevance)
        single = isinstance(self.relevance, np.ndarray)
        named = {"relevance" if single else f"relevance/{i}": a for i, a in enumerate(flat)}
        hidden = {f"layers/{name}": array for name, array in self.layers.items()}
        arrays: dict[str, Any] = {**named, "output": self.output, "target": self.target, **hidden}
        np.savez_compressed(os.fspath(path), **arrays)


def _title(target: int, output: np.ndarray, labels: Sequence[str] | None) -> str:
    if target < 0:
        return ""
    name = labels[target] if labels is not None else f"class {target}"
    return f"{name}: {output[target]:.2f}" if output.ndim == 1 else str(name)
