"""What an analyzer returns for a data set, and what can be done with it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from lrpkeras import plot as plotting
from lrpkeras.card import card
from lrpkeras.conditions import Condition
from lrpkeras.plot import explained
from lrpkeras.summary import About

SHOWN = 5  # targets and layers in a repr


@dataclass(frozen=True, repr=False)
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
    condition
        Through which channels of which layers the relevance has flowed; of a tuple of conditions
        the relevance has an axis, `(samples, conditions, ...)` or `(samples, k, conditions, ...)`.
    about
        What made it: settings, the rule of every node, model and versions. None where nobody says.
    """

    relevance: Any
    output: np.ndarray
    target: np.ndarray
    layers: dict[str, np.ndarray] = field(default_factory=dict)
    condition: Condition | tuple[Condition, ...] | None = None
    about: About | None = None

    def __repr__(self) -> str:
        parts = {
            "relevance": _shapes(self.relevance),
            "output": self.output.shape,
            "target": _first(self.target.tolist()),
            **({"layers": _first(list(self.layers))} if self.layers else {}),
            **({"condition": self._shown_conditions()} if self.condition is not None else {}),
        }
        return f"Explanation({', '.join(f'{name}={part}' for name, part in parts.items())})"

    def _repr_html_(self) -> str:
        """Show a small table and the first maps in a notebook."""
        return card(self, None if self.about is None else self.about.summary.preset)

    def plot(
        self,
        images: np.ndarray | None = None,
        *,
        labels: Sequence[str] | Mapping[int, str] | None = None,
        **options: Any,
    ) -> plotting.Drawn:
        """Draw the heatmaps, titled with class and logit, and with the condition if there is one.

        The maps of several targets and conditions of one sample stand side by side.

        Parameters
        ----------
        images
            The photos `(samples, height, width, channels)` to lay the maps over, or one for all.
        labels
            Names of the classes: one for each, or a dict by class number.
        options
            Passed on to `lrpkeras.plot.heatmap`; `titles` replaces classes and logits.

        Returns
        -------
        Figure and axes, as `lrpkeras.plot.heatmap`: `figure.savefig(path)` writes the picture.

        Raises
        ------
        InputError
            If the relevance is not that of one image input, or images or labels do not fit.
        """
        if "titles" in options and options["titles"] is None:
            options["titles"] = ""
        return plotting.heatmap(self, images, labels=labels, **options)

    def _shown_conditions(self) -> str:
        words = [explained.words(condition) for condition in explained.conditions(self)]
        return _first(words) if isinstance(self.condition, tuple) else repr(words[0])

    def save(self, path: str | os.PathLike) -> None:
        """Write all arrays to a NumPy `.npz` file.

        The arrays are named `relevance`, `output`, `target` and `layers/NAME`; of several inputs
        `relevance/0`, ... or, where they came as a dict, `relevance/KEY`. A condition is there as
        JSON text, `condition`: `{layer: [channel numbers, or a factor for each channel]}` or a list
        of such; and so is what made it, `about`.
        """
        flat = keras.tree.flatten_with_path(self.relevance)
        named = {"/".join(map(str, ("relevance", *path))): array for path, array in flat}
        hidden = {f"layers/{name}": array for name, array in self.layers.items()}
        arrays: dict[str, Any] = {**named, "output": self.output, "target": self.target, **hidden}
        if self.condition is not None:
            arrays["condition"] = np.array(json.dumps(self.condition, default=np.ndarray.tolist))
        if self.about is not None:
            arrays["about"] = np.array(json.dumps(asdict(self.about)))
        np.savez_compressed(os.fspath(path), **arrays)


def _shapes(relevance: Any) -> str:
    """Return the shape of an array, or the shapes in a nest of them."""
    if isinstance(relevance, dict):
        return f"{{{', '.join(f'{key!r}: {_shapes(part)}' for key, part in relevance.items())}}}"
    if isinstance(relevance, list | tuple):
        return f"[{', '.join(map(_shapes, relevance))}]"
    return str(relevance.shape)


def _first(values: Sequence[Any]) -> str:
    """Return the first of a list, and how many there are in all."""
    shown = ", ".join(map(repr, values[:SHOWN]))
    return f"[{shown}, ... ({len(values)})]" if len(values) > SHOWN else f"[{shown}]"
