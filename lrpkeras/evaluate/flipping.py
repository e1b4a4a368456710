"""Pixel flipping: how fast a score falls as pixels are taken away in the order of relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import InputError
from lrpkeras.evaluate import ranking, subject
from lrpkeras.evaluate.chart import chart
from lrpkeras.evaluate.replacement import Filling, Replacement
from lrpkeras.evaluate.result import Curve, Measure
from lrpkeras.evaluate.subject import Batch, Score
from lrpkeras.facade import Facade
from lrpkeras.plot import Drawn

ORDERS = ("most", "least", "random")


@dataclass(frozen=True, repr=False, eq=False)
class Flipping:
    """Scores as pixels are flipped.

    Attributes
    ----------
    curves
        By order ("most", "least", "random"): scores over the share of pixels (or squares) flipped.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras import evaluate
    >>> at = np.array([0.0, 0.5, 1.0])
    >>> scores = {"most": [[4.0, 1.0, 0.0]], "random": [[4.0, 2.0, 0.0]]}
    >>> curves = {k: evaluate.Curve("logit", at, np.array(v), "share") for k, v in scores.items()}
    >>> evaluate.Flipping(curves).area.mean, evaluate.Flipping(curves).gap.mean
    (1.5, 0.5)
    """

    curves: dict[str, Curve]

    @property
    def area(self) -> Measure:
        """The area under the curve of the first order: low is good for "most" [Binder 2016]."""
        return next(iter(self.curves.values())).area

    @property
    def gap(self) -> Measure:
        """How much lower the area is than in random order: high is good, 0 is chance.

        Raises
        ------
        InputError
            If "most" or "random" was not among the orders.
        """
        if not {"most", "random"} <= set(self.curves):
            raise InputError("The gap is between the orders 'most' and 'random': ask for both.")
        gap = self.curves["random"].area.minus(self.curves["most"].area)
        return Measure("gap to random order", gap.values)

    def plot(self, axes: Any = None) -> Drawn:
        """Draw a curve for each order, with its interval [Binder et al. 2016, figure 2].

        Parameters
        ----------
        axes
            Matplotlib axes to draw into; new ones if None.

        Returns
        -------
        Drawn
            Figure and axes.
        """
        figure, panel = chart(axes)
        for order, curve in self.curves.items():
            curve.plot(panel, order if order == "random" else f"{order} relevant first")
        return Drawn(figure, panel)

    def __repr__(self) -> str:
        return "\n".join(f"{order}: {curve!r}" for order, curve in self.curves.items())


def pixel_flipping(
    explainer: Any,
    x: Any,
    target: Any = None,
    *,
    model: Any = None,
    orders: str | Sequence[str] = ORDERS,
    region: int = 1,
    fraction: float = 1.0,
    steps: int = 20,
    replacement: Replacement = "random",
    score: Score = "logit",
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Flipping:
    """Flip pixels in the order of relevance, and follow the score of the explained class.

    A map that finds what the model decides by lets the score fall fast where the most relevant
    pixels go first, and slowly where they go last.

    Parameters
    ----------
    explainer
        An `Analyzer`; a function from a batch and its classes `(batch,)` to relevance; or an array
        of relevance, shaped like `x` or without its last axis.
    x
        Samples `(samples, ..., channels)`, or vectors `(samples, entries)`. Channels of a pixel are
        flipped together, in the order of their summed relevance.
    target
        None for each sample's winner, an int, or one int per sample.
    model
        What decides; an analyzer's own model if None.
    orders
        "most": most relevant first; "least": least relevant first; "random".
    region
        Side of the squares, in pixels, that are flipped together, by the sum of their relevance.
    fraction
        The share of all pixels (or squares) that are flipped in the end, in (0, 1].
    steps
        Scores are taken before, and after each of so many equal parts.
    replacement
        "random": each value drawn between the smallest and largest of its channel in `x`; "zero";
        "mean": that of the channel in all of `x`; "blur": the sample, blurred by a Gaussian of 3
        pixels (needs the extra `evaluate`); a number or array in the model's units; or a function
        from a batch to one like it.
    score
        "logit", or "probability": what the model's own softmax or sigmoid makes of it.
    batch_size
        As for `Analyzer.explain`.
    seed
        Of random order, colours, and the order among equals. A sample's curve depends on it and on
        the sample's number, not on the batch.
    verbose
        As for `Analyzer.explain`.

    Returns
    -------
    Flipping
        Curves over the share flipped, their areas, and a plot.

    Raises
    ------
    InputError, TargetError
        If the arguments do not fit together.

    References
    ----------
    Samek, Binder et al. 2015, Evaluating the visualization of what a deep neural network has
    learned; Binder et al. 2016, section 4.

    Examples
    --------
    >>> import lrpkeras, numpy as np, keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([np.array([[4.0], [3.0], [2.0], [1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, "zero")
    >>> x = np.ones((1, 4), "float32")
    >>> result = lrpkeras.evaluate.pixel_flipping(analyzer, x, steps=4, replacement="zero")
    >>> result.curves["most"].mean.tolist()
    [10.0, 6.0, 3.0, 1.0, 0.0]
    """
    names = _orders(orders)
    _check(region, fraction, steps)
    subject.check_score(score)
    about = subject.subject(explainer, x, target, model, batch_size=batch_size)
    judge = about.scorer()
    filling = Filling.of(replacement, about.x)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    at = np.zeros(0)
    for batch in about.batches(batch_size, verbose):
        regions = ranking.of_regions(ranking.of_pixels(batch.relevance, batch.x), region)
        counts = _counts(regions[0].size, fraction, steps)
        at = counts / regions[0].size
        filled = filling.batch(batch.x, batch.start, seed)
        for name in names:
            order = ranking.ranks(_ordered(name, regions), batch.start, seed)
            places = ranking.onto_pixels(order, region, batch.x.shape[1:3])
            rows[name].append(_scores(judge, batch, places, filled, counts, score))
    along = f"share of {'pixels' if region == 1 else 'squares'} flipped"
    return Flipping(
        {name: Curve(score, at, np.concatenate(parts), along) for name, parts in rows.items()}
    )


def flipped(x: np.ndarray, places: np.ndarray, filled: np.ndarray, count: int) -> Any:
    """Return samples, as a tensor, with the first `count` places of their order replaced."""
    chosen = places < count
    if x.ndim > places.ndim:
        chosen = chosen[..., None]
    return ops.where(chosen, backend.constant(filled), backend.constant(x))


def _scores(
    judge: Facade,
    batch: Batch,
    places: np.ndarray,
    filled: np.ndarray,
    counts: np.ndarray,
    score: Score,
) -> np.ndarray:
    """Return the score of each sample after each number of flips, `(samples, steps)`."""
    outputs = [judge.logits(flipped(batch.x, places, filled, count)) for count in counts]
    return np.stack(
        [
            subject.scores(judge, backend.to_numpy(output), batch.target, score)
            for output in outputs
        ],
        axis=1,
    )


def _ordered(name: str, regions: np.ndarray) -> np.ndarray:
    """Return what is highest where an order begins."""
    if name == "random":
        return np.zeros_like(regions)
    return regions if name == "most" else -regions


def _counts(size: int, fraction: float, steps: int) -> np.ndarray:
    """Return how many are flipped at each step, from none on."""
    last = max(1, round(fraction * size))
    return np.unique(np.round(np.linspace(0, last, min(steps, last) + 1)).astype(int))


def _orders(orders: str | Sequence[str]) -> tuple[str, ...]:
    # Each once: the scores of one asked for twice would be those of twice as many samples.
    names = tuple(dict.fromkeys([orders] if isinstance(orders, str) else orders))
    if not names or not set(names) <= set(ORDERS):
        raise InputError(f"orders={orders!r}: give some of {', '.join(map(repr, ORDERS))}.")
    return names


def _check(region: int, fraction: float, steps: int) -> None:
    if not isinstance(region, Integral) or region < 1:
        raise InputError(f"region is a number of pixels, at least 1, not {region!r}.")
    if not 0 < fraction <= 1:
        raise InputError(f"fraction is a share above 0 and at most 1, not {fraction!r}.")
    if not isinstance(steps, Integral) or steps < 1:
        raise InputError(f"steps is a number of at least 1, not {steps!r}.")
