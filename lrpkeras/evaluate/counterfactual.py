"""What speaks against the class: take it away, and see whether the class gains."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lrpkeras import backend
from lrpkeras.errors import InputError
from lrpkeras.evaluate import ranking, subject
from lrpkeras.evaluate.lots import For, drawn_for
from lrpkeras.evaluate.replacement import Filling, Replacement
from lrpkeras.evaluate.result import Measure
from lrpkeras.evaluate.subject import Score
from lrpkeras.plot import Drawn


@dataclass(frozen=True, repr=False, eq=False)
class Counterfactual:
    """What became of the class when the square with the most negative relevance was taken away.

    Attributes
    ----------
    size
        The side of the squares, in pixels.
    score
        "probability" or "logit".
    before, after
        The score of the class, `(samples,)`.
    random
        The score where a square of the same size at a random place went instead, `(samples,)`.
    corners
        The first row and column of each square, `(samples, 2)`.
    relevance
        The sum of relevance in each square, `(samples,)`: only where it is negative does anything
        speak against the class.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras import evaluate
    >>> before, after, random = np.array([[0.5], [0.75], [0.25]])
    >>> result = evaluate.Counterfactual(4, "logit", before, after, random, [[0, 0]], [-1.0])
    >>> result.change.mean, result.gain.mean
    (0.25, 0.5)
    """

    size: int
    score: str
    before: np.ndarray
    after: np.ndarray
    random: np.ndarray
    corners: np.ndarray
    relevance: np.ndarray

    @property
    def change(self) -> Measure:
        """After less before; chance is what a square at a random place changes."""
        chance = self.random - self.before
        return Measure(f"change of the {self.score}", self.after - self.before, chance)

    @property
    def gain(self) -> Measure:
        """How much higher the score is than without a random square: above 0, the map is right."""
        return Measure(f"gain of {self.score} over chance", self.after - self.random)

    def plot(self, axes: Any = None) -> Drawn:
        """Draw a histogram of the changes.

        Parameters
        ----------
        axes
            Matplotlib axes to draw into; new ones if None.

        Returns
        -------
        Drawn
            Figure and axes.
        """
        return self.change.plot(axes)

    def __repr__(self) -> str:
        return f"{self.change!r}\n{self.gain!r}"


def counterfactual(
    explainer: Any,
    x: Any,
    target: Any = None,
    *,
    model: Any = None,
    size: int | None = None,
    replacement: Replacement = "mean",
    score: Score = "probability",
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Counterfactual:
    """Remove the most negative region of each image, and report what the class gains by it.

    Parameters
    ----------
    explainer, x, target, model
        As for `pixel_flipping`; images alone, `(samples, height, width, channels)`.
    size
        The side of the square in pixels; a fifth of the image's shorter side if None.
    replacement, score, batch_size, seed, verbose
        As for `pixel_flipping`.

    Returns
    -------
    Counterfactual
        Scores before and after, squares, and what squares at random places do. Of several squares
        with the same, lowest relevance, one by lot.

    Raises
    ------
    InputError, TargetError
        If the arguments do not fit together.

    References
    ----------
    Gonzalez 2020, section 5.1.1: without a flag of negative relevance, the probability of a
    recreation room rises from 0.9971 to 0.9995 (figure 26).

    Examples
    --------
    The lower right pixel speaks against the class; without it the logit of 3 is 5:

    >>> import lrpkeras, numpy as np, keras
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), dense])
    >>> dense.set_weights([np.array([[3.0], [1.0], [1.0], [-2.0]])])
    >>> analyzer, x = lrpkeras.Analyzer(model, "zero"), np.ones((1, 2, 2, 1), "float32")
    >>> result = lrpkeras.evaluate.counterfactual(
    ...     analyzer, x, size=1, replacement="zero", score="logit"
    ... )
    >>> result.corners.tolist(), result.change.mean
    ([[1, 1]], 2.0)
    """
    subject.check_score(score)
    about = subject.subject(explainer, x, target, model, batch_size=batch_size)
    judge, filling = about.scorer(), Filling.of(replacement, about.x)
    side = _side(size, about.x.shape)
    columns: list[list[np.ndarray]] = []
    for batch in about.batches(batch_size, verbose):
        windows = _windows(ranking.of_pixels(batch.relevance, batch.x), side)
        corners = _lowest(windows, batch.start, seed)
        anywhere = _anywhere(windows.shape, batch.start, seed)
        filled = filling.batch(batch.x, batch.start, seed)

        def scored(corners: np.ndarray | None, batch: Any = batch, filled: Any = filled) -> Any:
            x = batch.x if corners is None else _without(batch.x, filled, corners, side)
            values = backend.to_numpy(judge.logits(x))
            return subject.scores(judge, values, batch.target, score)

        sums = windows[np.arange(len(windows)), corners[:, 0], corners[:, 1]]
        columns.append([scored(None), scored(corners), scored(anywhere), corners, sums])
    parts = [np.concatenate(column) for column in zip(*columns, strict=True)]
    return Counterfactual(side, score, *parts)


def _side(size: int | None, shape: tuple[int, ...]) -> int:
    if len(shape) != 4:
        raise InputError(f"Squares are of images, (samples, height, width, channels), not {shape}.")
    shorter = min(shape[1:3])
    side = max(1, shorter // 5) if size is None else size
    if not isinstance(side, Integral) or not 1 <= side <= shorter:
        raise InputError(f"size is a number of pixels from 1 to {shorter}, not {size!r}.")
    return int(side)


def _windows(relevance: np.ndarray, side: int) -> np.ndarray:
    """Return the sum of relevance in every square, by its first row and column."""
    rows = sliding_window_view(relevance.astype(float), side, axis=1).sum(axis=-1)
    return np.asarray(sliding_window_view(rows, side, axis=2).sum(axis=-1))


def _lowest(windows: np.ndarray, start: int, seed: int) -> np.ndarray:
    """Return the corner of each sample's lowest square; of several equal ones, one by lot.

    The first of them would be the upper left corner, which is hardly ever worth what chance is.
    """
    flat = windows.reshape(len(windows), -1)
    lots = drawn_for(For.ORDER, seed, start, flat.shape)
    lowest = np.where(flat == flat.min(axis=1, keepdims=True), lots, -1).argmax(axis=1)
    return np.stack(np.unravel_index(lowest, windows.shape[1:]), axis=1)


def _anywhere(shape: tuple[int, ...], start: int, seed: int) -> np.ndarray:
    lots = drawn_for(For.PLACE, seed, start, (shape[0], 2))
    return (lots * shape[1:]).astype(int)


def _without(x: np.ndarray, filled: np.ndarray, corners: np.ndarray, side: int) -> np.ndarray:
    """Return samples with a square of each replaced."""
    rows, columns = (np.arange(n)[None] - corners[:, [i]] for i, n in enumerate(x.shape[1:3]))
    within = [(offset >= 0) & (offset < side) for offset in (rows, columns)]
    chosen = within[0][:, :, None] & within[1][:, None, :]
    return np.where(chosen[..., None], filled, x)
