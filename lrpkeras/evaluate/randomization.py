"""Whether maps know the model: how they change as its layers are randomized, from the top."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrpkeras import batching
from lrpkeras.analyzer import Analyzer
from lrpkeras.errors import InputError
from lrpkeras.evaluate import ranking, subject
from lrpkeras.evaluate.lots import For, generator
from lrpkeras.evaluate.result import Curve
from lrpkeras.evaluate.similarity import Similarity, named
from lrpkeras.plot import Drawn


@dataclass(frozen=True, repr=False, eq=False)
class Randomization(Curve):
    """Similarity to the map of the trained model, over the number of layers randomized.

    Attributes
    ----------
    layers
        The layers' names, the top one first. At position k the first k of them are random, or,
        without cascade, the k-th alone; at 0 none is.
    name, at, values, along, chance
        As those of `Curve`.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras import evaluate
    >>> similarity = np.array([[1.0, 0.25, 0.0]])
    >>> positions = np.array([0.0, 1.0, 2.0])
    >>> result = evaluate.Randomization(
    ...     "rank", positions, similarity, "layers randomized", layers=("head", "conv")
    ... )
    >>> result.value_at(1).mean
    0.25
    """

    layers: tuple[str, ...] = ()

    def plot(self, axes: Any = None, label: str | None = None) -> Drawn:
        """Draw the mean with its interval, by layer.

        Parameters
        ----------
        axes
            Matplotlib axes to draw into; new ones if None.
        label
            In the legend; the curve's name if None.

        Returns
        -------
        Drawn
            Figure and axes.
        """
        drawn = super().plot(axes, label)
        drawn.axes.set_xticks(self.at, ("trained", *self.layers), rotation=90, fontsize=6)
        return drawn


def randomization(
    analyzer: Analyzer,
    x: Any,
    target: Any = None,
    *,
    similarity: Similarity = "rank",
    cascade: bool = True,
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Randomization:
    """Randomize the model's layers from the top, and compare each map with the trained model's.

    Maps that stay alike do not show what the model has learned. A layer is randomized by shuffling
    each of its weights, which keeps their distribution and so the size of activations. The model
    has its weights, and the analyzer its maps, back in the end, also after an error; others must
    not use either meanwhile.

    Parameters
    ----------
    analyzer
        An `Analyzer` of a Keras model. All its layers with weights are randomized, one after the
        other: one on which the explained output does not depend changes nothing.
    x, target
        As for `pixel_flipping`. The class that is explained stays that of the trained model.
    similarity
        "rank", "absolute_rank" (Spearman's correlation of maps, or of their absolute values),
        "ssim", all with channels summed, or a function of two maps to a number. The named ones need
        the extra `evaluate`.
    cascade
        Whether layers stay random as further ones become so.
    batch_size
        As for `pixel_flipping`.
    seed
        Of the shuffling.
    verbose
        As for `pixel_flipping`.

    Returns
    -------
    Randomization
        A curve of similarities, 1 where no layer is random.

    Raises
    ------
    InputError, TargetError
        If there is no Keras model to randomize, a map of the trained model has one value
        everywhere, or the arguments do not fit together.

    References
    ----------
    Adebayo et al. 2018, Sanity checks for saliency maps.

    Examples
    --------
    >>> import lrpkeras, numpy as np, keras
    >>> head = keras.layers.Dense(2, name="head")
    >>> hidden = keras.layers.Dense(8, activation="relu", name="hidden")
    >>> model = keras.Sequential([keras.Input((6,)), hidden, head])
    >>> x = np.random.default_rng(0).random((3, 6), "float32")
    >>> result = lrpkeras.evaluate.randomization(lrpkeras.Analyzer(model, "epsilon"), x, verbose=0)
    >>> result.layers, result.value_at(0).mean
    (('head', 'hidden'), 1.0)
    """
    if not isinstance(analyzer, Analyzer) or not isinstance(analyzer.model, keras.Model):
        raise InputError("randomization changes the weights of an Analyzer's Keras model.")
    compare, layers = named(similarity), _layers(analyzer.model)
    analyzer.refresh()  # in the end it has the model's weights of now: so it has at the start
    about = subject.subject(analyzer, x, target, batch_size=batch_size)
    trained = _maps(about, batch_size)
    _check_telling(trained)
    rows = [np.array([compare(one, one) for one in trained])]
    bar = batching.progress(len(layers), verbose)
    with _restored(analyzer):
        for number, layer in enumerate(layers):
            weights = [variable.numpy() for variable in _own(layer)]
            _assign(layer, _shuffled(weights, seed, number))
            analyzer.refresh()
            pairs = zip(trained, _maps(about, batch_size), strict=True)
            rows.append(np.array([compare(one, other) for one, other in pairs]))
            if not cascade:
                _assign(layer, weights)
            if bar is not None:
                bar.add(1)
    return _result(np.stack(rows, axis=1), layers)


def _result(values: np.ndarray, layers: list[keras.Layer]) -> Randomization:
    return Randomization(
        "similarity",
        np.arange(len(layers) + 1.0),
        values,
        "layers randomized, from the top",
        layers=tuple(layer.name for layer in layers),
    )


def _maps(about: subject.Subject, batch_size: int) -> list[np.ndarray]:
    return [
        one
        for batch in about.batches(batch_size)
        for one in ranking.of_pixels(batch.relevance, batch.x)
    ]


def _check_telling(maps: list[np.ndarray]) -> None:
    """Refuse maps of one value: nothing correlates with them, which looks like a test passed."""
    flat = [number for number, one in enumerate(maps) if one.min() == one.max()]
    if flat:
        raise InputError(
            f"The maps of samples {flat[:5]} have one value everywhere: leave these out."
        )


def _layers(model: keras.Model) -> list[keras.Layer]:
    """Return the layers that have weights of their own, from the top."""
    flat = dict.fromkeys(_with_nested(model))  # a layer that is called twice comes once
    weighted = [layer for layer in flat if _own(layer)]
    if not weighted:
        raise InputError("The model has no weights to randomize.")
    return weighted[::-1]


def _with_nested(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield the layers inside one, from the bottom; each behind those that it consists of.

    Keras' own `_flatten_layers` turns the order of nested ones round.
    """
    for part in layer._layers:
        yield from _with_nested(part)
        yield part


@contextmanager
def _restored(analyzer: Analyzer) -> Iterator[None]:
    """Give the model its weights back, and the analyzer its maps."""
    model = analyzer.model
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)
        analyzer.refresh()


def _own(layer: keras.Layer) -> list[keras.Variable]:
    """Return a layer's weights without those of layers inside it, which come on their own."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _assign(layer: keras.Layer, weights: list[np.ndarray]) -> None:
    for variable, weight in zip(_own(layer), weights, strict=True):
        variable.assign(weight)


def _shuffled(weights: list[np.ndarray], seed: int, number: int) -> list[np.ndarray]:
    lots = generator(For.WEIGHTS, seed, number)
    return [lots.permutation(weight.reshape(-1)).reshape(weight.shape) for weight in weights]
