"""Retention: whether decisions stand when only the most relevant part of the input is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from lrpkeras import backend
from lrpkeras.errors import InputError
from lrpkeras.evaluate import ranking, subject
from lrpkeras.evaluate.flipping import flipped
from lrpkeras.evaluate.replacement import Filling, Replacement
from lrpkeras.evaluate.result import Curve
from lrpkeras.facade import Facade

# Nyiri & Gibaru, section 3.
PERCENTAGES = (1, 5, 10, 15, 20, 25, 40, 50, 60, 75, 80, 85, 90, 95, 99)


def retention(
    explainer: Any,
    x: Any,
    target: Any = None,
    *,
    labels: Any = None,
    model: Any = None,
    other_model: Any = None,
    unit: Literal["pixel", "input"] = "pixel",
    absolute: bool = False,
    percentages: Sequence[float] = PERCENTAGES,
    fill: Replacement = "zero",
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Curve:
    """Keep the p % most relevant inputs alone, and count how many decisions are still right.

    Parameters
    ----------
    explainer, x, target
        As for `pixel_flipping`.
    labels
        The decision that counts as right, one int per sample; what the deciding model says of the
        whole sample if None.
    model
        As for `pixel_flipping`.
    other_model
        Decides in place of `model`, over what that finds relevant [figure 22]. It gets the same
        samples: put preprocessing of its own inside it.
    unit
        "pixel": all channels of a position are kept or not, by their summed relevance [section
        4.5]; "input": each value for itself [section 4.2].
    absolute
        Whether the absolute values of relevance say what is relevant [section 3.1].
    percentages
        How much is kept, in (0, 100], rising; the paper's by default. Rounded to whole pixels,
        where the paper cuts (1 % of 224 x 224 are 501 there, 502 here), and at least one.
    fill
        What stands in place of the rest, as `pixel_flipping` has `replacement`, in the model's
        units. The paper's is 0, which is black only where the model takes it for black: -1 behind
        `x / 127.5 - 1`.
    batch_size
        As for `pixel_flipping`.
    seed
        Of the order among equals.
    verbose
        As for `pixel_flipping`.

    Returns
    -------
    Curve
        Accuracy, in [0, 1], over the percentage kept; 0 or 1 for each sample.

    Raises
    ------
    InputError, TargetError
        If the arguments do not fit together.

    References
    ----------
    Nyiri & Gibaru, Relative LRP, sections 3 to 5, figures 9 to 22.

    Examples
    --------
    Inputs 1 to 3 speak for class 1, input 0 for class 0. A map that is upside down keeps that one:

    >>> import lrpkeras, numpy as np, keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
    >>> model.set_weights([np.array([[4.0, 0.0], [0.0, 3.0], [0.0, 2.0], [0.0, 1.0]])])
    >>> analyzer, x = lrpkeras.Analyzer(model, "zero"), np.ones((1, 4), "float32")
    >>> right, wrong = analyzer.explain(x).relevance, -analyzer.explain(x).relevance
    >>> how = {"percentages": [25, 100], "model": analyzer}
    >>> [lrpkeras.evaluate.retention(m, x, **how).mean.tolist() for m in (right, wrong)]
    [[1.0, 1.0], [0.0, 1.0]]
    """
    shares = percentages_of(percentages)
    decides = other_model is None
    about = subject.subject(explainer, x, target, model, decides=decides, batch_size=batch_size)
    judge = about.judge if decides else _other(other_model, about.x)
    assert judge is not None
    _check_decides(judge)
    right = _labels(labels, judge, about.x, batch_size)
    filling, rows = Filling.of(fill, about.x), []
    for batch in about.batches(batch_size, verbose):
        relevance = _of_units(batch.relevance, batch.x, unit)
        places = ranking.ranks(-(np.abs(relevance) if absolute else relevance), batch.start, seed)
        filled = filling.batch(batch.x, batch.start, seed)
        size = places[0].size
        # Of the order from the least relevant on, the first are filled in.
        outputs = [
            judge.logits(flipped(batch.x, places, filled, size - kept(share, size)))
            for share in shares
        ]
        decided = [subject.decisions(backend.to_numpy(output)) for output in outputs]
        known = right[batch.start : batch.start + len(batch.x)]
        rows.append(np.stack([one == known for one in decided], axis=1))
    return Curve("accuracy", shares, np.concatenate(rows), f"% of {unit}s kept")


def kept(percentage: float, size: int) -> int:
    """Return how many of `size` are `percentage` of them, at least one."""
    return max(1, round(percentage * size / 100))


def percentages_of(percentages: Sequence[float]) -> np.ndarray:
    """Return percentages as an array, or refuse what are none."""
    try:
        shares = np.asarray(percentages, dtype=float)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    rising = shares.ndim == 1 and len(shares) > 0 and (np.diff(shares) > 0).all()
    if not (rising and shares[0] > 0 and shares[-1] <= 100):
        raise InputError(f"percentages rise, above 0 and up to 100; got {percentages!r}.")
    return shares


def _of_units(relevance: np.ndarray, x: np.ndarray, unit: str) -> np.ndarray:
    if unit == "pixel":
        return ranking.of_pixels(relevance, x)
    if unit != "input":
        raise InputError(f"unit is 'pixel' or 'input', not {unit!r}.")
    if relevance.shape != x.shape:
        raise InputError("unit='input' needs relevance of every channel, shaped like the samples.")
    return relevance


def _other(model: Any, x: np.ndarray) -> Facade:
    other = subject.judging(model)
    # Refuses samples that it does not take, and outputs that do not decide, before any work.
    subject.decisions(subject.logits(other, x[:1]))
    return other


def _check_decides(judge: Facade) -> None:
    """Refuse a single output without sign, which would decide alike over anything."""
    if judge.output_shape[-1] == 1 and judge.decision.signless:
        raise InputError(
            "The model's one output is never negative: its sign decides nothing. Retention takes "
            "models that end in a logit, a sigmoid, or several outputs."
        )


def _labels(labels: Any, judge: Facade, x: np.ndarray, batch_size: int) -> np.ndarray:
    if labels is None:
        return subject.decisions(subject.logits(judge, x, batch_size))
    try:
        array = np.asarray(labels)
    except ValueError:
        raise InputError(f"labels are one int per sample, ({len(x)},); got rows.") from None
    if array.shape != (len(x),) or array.dtype.kind not in "iu":
        raise InputError(
            f"labels are one int per sample, ({len(x)},); got {array.dtype} of shape {array.shape}."
        )
    classes = max(2, judge.output_shape[-1] or 2)
    if array.min() < 0 or array.max() >= classes:
        wrong = array.min() if array.min() < 0 else array.max()
        raise InputError(f"labels are class numbers from 0 to {classes - 1}; got {wrong}.")
    return array
