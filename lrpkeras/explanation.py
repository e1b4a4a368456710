"""What an analyzer returns for a data set, and what can be done with it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lrpkeras import plot as plotting
from lrpkeras import report
from lrpkeras.card import card
from lrpkeras.conditions import Condition
from lrpkeras.ledger import Check
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
        Relevance at the outputs of hidden layers, by name, from the input to the output.
    condition
        Through which channels of which layers the relevance has flowed; of a tuple of conditions
        the relevance has an axis, `(samples, conditions, ...)` or `(samples, k, conditions, ...)`.
    about
        What made it: settings, the rule of every node, model and versions. None where nobody says.

    Examples
    --------
    >>> import keras, lrpkeras, numpy as np
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    >>> model.add(keras.layers.Dense(3))
    >>> analyzer = lrpkeras.Analyzer(model, "epsilon")
    >>> analyzer.explain(np.ones((2, 4, 4, 1), "float32"), [[0, 2], [0, 1]])
    Explanation(relevance=(2, 2, 4, 4, 1), output=(2, 3), target=[[0, 2], [0, 1]])
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
        **options
            Passed on to `lrpkeras.plot.heatmap`; `titles` replaces classes and logits.

        Returns
        -------
        Drawn
            Figure and axes, as `lrpkeras.plot.heatmap`: `figure.savefig(path)` writes the picture.

        Raises
        ------
        InputError
            If the relevance is not that of one image input, or images or labels do not fit.
        """
        if "titles" in options and options["titles"] is None:
            options["titles"] = ""
        return plotting.heatmap(self, images, labels=labels, **options)

    def report(
        self,
        path: str | os.PathLike,
        images: Any = None,
        *,
        labels: Sequence[str] | Mapping[int, str] | None = None,
        names: Sequence[str] | None = None,
        check: Check | None = None,
        measures: Any = None,
        title: str | None = None,
        clip: float = 99.5,
        megabytes: float = 20,
    ) -> Path:
        """Write a page to look at in a browser: one HTML file that needs nothing else.

        It shows all samples in a grid; each opens to its classes side by side, with the value under
        the pointer. Colours can be clipped and put on one scale, and relevance be looked at in
        hidden layers, if the explanation has `layers`. Below stand the rule of every node and, if
        given, measures and the ledger. It works without a network, and from a keyboard.

        Parameters
        ----------
        path
            The file, such as "report.html"; one that is there is replaced, once the new one is
            complete.
        images
            What was explained, to lie below the maps: photos `(samples, height, width, channels)`,
            or a list of photos of any size; for series and vectors `(samples, steps, channels)` and
            `(samples, entries)`. For several inputs nested like them, with None for any. Without
            it, maps are shown alone.
        labels
            Names of the classes: one for each, or a dict by class number.
        names
            Names of the samples, such as their files.
        check
            The ledger: what `analyzer.check(x)` returned.
        measures
            What functions of `lrpkeras.evaluate` returned: one, a list, or a dict by name.
        title
            Of the page.
        clip
            Where colours end when the page opens: a percentile in (0, 100] of the magnitudes that
            are not zero. A slider changes it.
        megabytes
            The largest size of the page. Where maps would take more, values are kept in 8 bits in
            place of 16, and neighbouring ones are added up. The page says so.

        Returns
        -------
        pathlib.Path
            That of the page.

        Raises
        ------
        InputError
            If nothing can be drawn (volumes are not), something does not fit, the page does not
            become small enough, or `path` is a folder or in none that is there.
        LrpError
            If the extra `report` is not installed.

        Notes
        -----
        An input of rank 2, `(a, b)`, is drawn as a picture, unless its shorter side is below 5 or
        its longer one above four times that: then it is a series of a steps with b channels.

        Examples
        --------
        >>> import lrpkeras, tempfile
        >>> images = lrpkeras.datasets.shapes(2, seed=0).images
        >>> analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
        >>> explanation = analyzer.explain(images, target="all")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = explanation.report(
        ...         f"{folder}/report.html",
        ...         images,
        ...         labels=lrpkeras.datasets.shapes_classes,
        ...         check=analyzer.check(images),
        ...     )
        ...     page.name, page.stat().st_size < 1e6
        ('report.html', True)
        """
        return report.write(
            self,
            path,
            images,
            about=self.about,
            labels=labels,
            names=names,
            check=check,
            measures=measures,
            title=title,
            clip=clip,
            megabytes=megabytes,
        )

    def _shown_conditions(self) -> str:
        words = [explained.words(condition) for condition in explained.conditions(self)]
        return _first(words) if isinstance(self.condition, tuple) else repr(words[0])

    def save(self, path: str | os.PathLike) -> None:
        """Write all arrays to a NumPy `.npz` file.

        The arrays are named `relevance`, `output`, `target` and `layers/NAME`; of several inputs
        `relevance/0`, ... or, where they came as a dict, `relevance/KEY`. A condition is there as
        JSON text, `condition`: `{layer: [channel numbers, or a factor for each channel]}` or a list
        of such; and so is what made it, `about`.

        Parameters
        ----------
        path
            The file; ".npz" is added where it does not end so.
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
