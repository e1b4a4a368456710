"""What a measure returns: numbers for each sample, their mean, and how sure the mean is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate.chart import chart, drawn_curve
from lrpkeras.plot import Drawn

CONFIDENCE = 0.95
DRAWS, CHUNKS = 2000, 20
SEED = 0


def bootstrap(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[Any, Any]:
    """Return the percentile bootstrap interval of the mean over samples [Efron 1979].

    Parameters
    ----------
    values
        `(samples, ...)`; samples are drawn anew, with replacement, 2,000 times, always the same.
    confidence
        The share of draws inside, in (0, 1).

    Returns
    -------
    tuple of numpy.ndarray
        Its lower and upper ends, `(...)` each. NaN for a single sample, which says nothing about
        others.

    Raises
    ------
    InputError
        If `confidence` is not between 0 and 1.

    References
    ----------
    Efron 1979, Bootstrap methods: another look at the jackknife.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras import evaluate
    >>> low, high = evaluate.bootstrap(np.arange(100.0))
    >>> round(float(low)), round(float(high))
    (44, 55)
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is a share between 0 and 1, not {confidence!r}.")
    count = len(values)
    if count < 2:
        nothing = np.full(values.shape[1:], np.nan)[()]
        return nothing, nothing
    generator, even = np.random.default_rng(SEED), np.full(count, 1 / count)
    # A few draws at a time: of 50,000 samples, all would take 0.8 GB.
    drawn = (generator.multinomial(count, even, size=DRAWS // CHUNKS) for _ in range(CHUNKS))
    means = np.concatenate([np.tensordot(times / count, values, axes=1) for times in drawn])
    tail = (1 - confidence) / 2
    return np.quantile(means, tail, axis=0), np.quantile(means, 1 - tail, axis=0)


@dataclass(frozen=True, repr=False, eq=False)
class Measure:
    """One number for each sample.

    Attributes
    ----------
    name
        What is measured.
    values
        `(samples,)`.
    chance
        What a map without knowledge gets, `(samples,)`; None where that is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras import evaluate
    >>> one = evaluate.Measure("share", np.array([0.5, 0.75, 1.0]))
    >>> other = evaluate.Measure("share", np.array([0.25, 0.5, 0.75]))
    >>> one.mean, one.minus(other).interval()
    (0.75, (0.25, 0.25))
    """

    name: str
    values: np.ndarray
    chance: np.ndarray | None = None

    @property
    def mean(self) -> float:
        """The mean over samples."""
        return float(self.values.mean(dtype=float))

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the bootstrap interval of the mean; NaN for a single sample.

        Parameters
        ----------
        confidence
            The share of draws inside, in (0, 1).

        Returns
        -------
        tuple of float
            Its lower and upper end.
        """
        low, high = bootstrap(self.values, confidence)
        return float(low), float(high)

    def minus(self, other: Measure) -> Measure:
        """Return the differences, sample by sample: an interval without 0 tells the two apart.

        Parameters
        ----------
        other
            The same measure of other maps of the same samples.

        Returns
        -------
        Measure
            This one's values less the other's.

        Raises
        ------
        InputError
            If the other one has not as many samples. That they are the same, in the same order,
            is the caller's to see to.
        """
        if self.values.shape != other.values.shape:
            raise InputError(
                f"{self.name} has {len(self.values)} samples, {other.name} {len(other.values)}: "
                "differences are taken sample by sample."
            )
        same = self.name == other.name
        name = f"difference in {self.name}" if same else f"{self.name} - {other.name}"
        return Measure(name, self.values - other.values)

    def plot(self, axes: Any = None) -> Drawn:
        """Draw a histogram of the samples with the mean, its interval and chance.

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
        panel.hist(self.values, bins=min(30, max(5, len(self.values) // 3)), color="tab:blue")
        panel.axvline(self.mean, color="black", label=f"mean {self.mean:.3g}")
        low, high = self.interval()
        if np.isfinite(low):
            panel.axvspan(low, high, color="black", alpha=0.2, label="95 % interval of the mean")
        if self.chance is not None:
            panel.axvline(float(self.chance.mean()), color="tab:red", ls=":", label="chance")
        panel.set(xlabel=self.name, ylabel="samples")
        panel.legend()
        return Drawn(figure, panel)

    def __repr__(self) -> str:
        return f"{self.name}: {_summed_up(self)}"


@dataclass(frozen=True, repr=False, eq=False)
class Curve:
    """For each sample, a number at each of several positions.

    Attributes
    ----------
    name
        What is measured.
    at
        The positions, `(steps,)`, rising.
    values
        `(samples, steps)`.
    along
        What the positions are.
    chance
        What a map without knowledge gets, `(samples,)`; None where that is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras import evaluate
    >>> scores = np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 0.0]])
    >>> curve = evaluate.Curve("score", np.array([0.0, 0.5, 1.0]), scores, "share flipped")
    >>> curve.mean.tolist(), curve.area.values.tolist(), curve.value_at(0.5).mean
    ([1.0, 0.75, 0.0], [0.5, 0.75], 0.75)
    """

    name: str
    at: np.ndarray
    values: np.ndarray
    along: str
    chance: np.ndarray | None = None

    @property
    def mean(self) -> np.ndarray:
        """The mean over samples, `(steps,)`."""
        return np.asarray(self.values.mean(axis=0, dtype=float))

    def interval(self, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """Return the bootstrap intervals of the mean, one for each position.

        Parameters
        ----------
        confidence
            The share of draws inside, in (0, 1).

        Returns
        -------
        tuple of numpy.ndarray
            Their lower and upper ends, `(steps,)` each; NaN for a single sample.
        """
        return bootstrap(self.values, confidence)

    @property
    def area(self) -> Measure:
        """The area under each sample's curve over its width: its mean height."""
        values = self.values.astype(float)
        if len(self.at) == 1:
            return Measure(f"area under {self.name}", values[:, 0], self.chance)
        between = (values[:, 1:] + values[:, :-1]) / 2  # trapezoids
        heights = between @ np.diff(self.at) / (self.at[-1] - self.at[0])
        return Measure(f"area under {self.name}", heights, self.chance)

    def value_at(self, position: float) -> Measure:
        """Return the numbers at one of the positions.

        Parameters
        ----------
        position
            One of `at`.

        Returns
        -------
        Measure
            A number for each sample.

        Raises
        ------
        InputError
            If there is no such position: nothing is interpolated.
        """
        found = np.flatnonzero(np.isclose(self.at, position))
        if not len(found):
            raise InputError(f"{self.name} was taken at {self.at.tolist()}, not at {position!r}.")
        name = f"{self.name} at {self.at[found[0]]:g}"
        return Measure(name, self.values[:, found[0]].astype(float), self.chance)

    def plot(self, axes: Any = None, label: str | None = None) -> Drawn:
        """Draw the mean with its interval; onto given axes, to compare with others.

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
        figure, panel = chart(axes)
        drawn_curve(panel, self.at, self.mean, self.interval(), label or self.name)
        if self.chance is not None and axes is None:
            panel.axhline(float(self.chance.mean()), color="black", ls=":", label="chance")
        panel.set(xlabel=self.along, ylabel=self.name)
        panel.legend()
        return Drawn(figure, panel)

    def __repr__(self) -> str:
        return f"{self.name} over {self.along}, area {_summed_up(self.area)}"


def _summed_up(measure: Measure) -> str:
    low, high = measure.interval()
    chance = "" if measure.chance is None else f", chance {measure.chance.mean():.4g}"
    return (
        f"{measure.mean:.4g} (95 % interval {low:.4g} to {high:.4g}, "
        f"{len(measure.values)} samples{chance})"
    )
