"""What is evaluated: samples, the class of each that is explained, and relevance from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import keras
import numpy as np

from lrpkeras import backend, batching, targets
from lrpkeras.analyzer import Analyzer
from lrpkeras.errors import InputError, TargetError
from lrpkeras.facade import Facade

# An analyzer, built or loaded; a function of a batch and its classes; or relevance itself.
Explainer: TypeAlias = Facade | Callable[[np.ndarray, np.ndarray], Any] | np.ndarray
Score = Literal["logit", "probability"]


@dataclass(frozen=True)
class Batch:
    """A few samples.

    Attributes
    ----------
    start
        The number of the first one.
    x, target, relevance
        Samples, the class of each, `(samples,)`, and the relevance of each for that.
    """

    start: int
    x: np.ndarray
    target: np.ndarray
    relevance: np.ndarray


@dataclass(frozen=True)
class Subject:
    """Samples that are explained, and the model that decides.

    Attributes
    ----------
    explainer
        Where relevance comes from.
    x
        `(samples, ...)`.
    target
        `(samples,)`: the class that is explained.
    judge
        An analyzer of the model that decides, of which the forward pass is used; None where
        nothing is decided.
    """

    explainer: Explainer
    x: np.ndarray
    target: np.ndarray
    judge: Facade | None

    def scorer(self) -> Facade:
        """Return the analyzer of the model whose scores of the classes are followed.

        Raises
        ------
        TargetError
            If it is another one than explains, and does not have all these classes.
        """
        assert self.judge is not None
        shape = self.judge.output_shape
        _check_classes(shape)
        known = shape[-1]
        if known is not None and self.target.max() >= known:
            raise TargetError(
                f"Class {self.target.max()} is explained, and the model that decides has classes 0 "
                f"to {known - 1}: measure what both know."
            )
        return self.judge

    def batches(self, batch_size: int, verbose: str | int = 0) -> Iterator[Batch]:
        """Explain batch by batch, with a progress bar that moves as batches are done with."""
        size = batching.positive(batch_size)
        bar = batching.progress(-(-len(self.x) // size), verbose)
        for start in range(0, len(self.x), size):
            part = slice(start, start + size)
            x, target = self.x[part], self.target[part]
            yield Batch(start, x, target, self._relevance(x, target, part))
            if bar is not None:
                bar.add(1)

    def _relevance(self, x: np.ndarray, target: np.ndarray, part: slice) -> np.ndarray:
        if isinstance(self.explainer, np.ndarray):
            return self.explainer[part]
        return explained(self.explainer, x, target)


def subject(
    explainer: Any,
    x: Any,
    target: Any = None,
    model: Any = None,
    *,
    decides: bool = True,
    pixels: bool = True,
    batch_size: int = 32,
) -> Subject:
    """Read what the measures are called with.

    Parameters
    ----------
    explainer
        An `Analyzer`; a function from a batch and the class of each sample, `(batch,)`, to its
        relevance; or relevance, an array. Relevance is shaped like `x`, or like it without the last
        axis, that of channels.
    x
        Samples of a model with one input, `(samples, ...)`.
    target
        None for the class that wins, an int, or one int per sample.
    model
        The model that decides; None for the analyzer's.
    decides
        Whether a model is needed even where the target is given.
    pixels
        Whether channels, the last axis, are told from positions.
    batch_size
        Samples at a time where winners are asked for.

    Raises
    ------
    InputError, TargetError
        If one of them is of another kind, or they do not fit together.
    """
    if isinstance(explainer, keras.Model):
        raise InputError("A model by itself explains nothing: give lrpkeras.Analyzer(model).")
    samples = _samples(x)
    judge = _judge(explainer, model)
    if judge is None and (decides or target is None):
        raise InputError(
            "A model decides what is measured here: hand it over, model=, or an Analyzer in place "
            "of the function or array."
        )
    # What an analyzer explains is what its own model sees.
    asked = explainer if isinstance(explainer, Facade) else judge
    if pixels and asked is not None:
        _check_channels_last(asked)
    classes = _classes(target, samples, asked, batch_size)
    if not callable(explainer):
        explainer = _array(explainer, samples)
    return Subject(explainer, samples, classes, judge)


def explained(explainer: Any, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the relevance of a batch from an analyzer or a function, as an array that fits."""
    if not isinstance(explainer, Facade):
        # Functions may write into what they get, as `preprocess_input` of Keras does.
        x, target = x.copy(), target.copy()
    given = explainer(x, target)
    return _array(backend.to_numpy(given) if backend.is_tensor(given) else given, x)


def logits(judge: Facade, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Return the logits of samples, `(samples, classes)`."""
    size = batching.positive(batch_size)
    parts = [
        backend.to_numpy(judge.logits(x[start : start + size])) for start in range(0, len(x), size)
    ]
    return np.concatenate(parts)


def decisions(values: np.ndarray) -> np.ndarray:
    """Return the class that logits decide for; of a single logit, whether it is positive."""
    _check_classes(values.shape)
    if values.shape[1] == 1:
        return (values[:, 0] > 0).astype(int)
    return values.argmax(axis=1)


def check_score(score: Any) -> None:
    """Refuse what is no score."""
    if score not in ("logit", "probability"):
        raise InputError(f"score is 'logit' or 'probability', not {score!r}.")


def scores(judge: Facade, values: np.ndarray, target: np.ndarray, score: Score) -> np.ndarray:
    """Return the score of each sample's class, `(samples,)`, from logits.

    A probability is what the model's own softmax or sigmoid makes of the logits; where it ends
    without, a softmax, or for a single logit a sigmoid.
    """
    if score == "probability":
        values = backend.to_numpy(judge.decision.probabilities(backend.constant(values)))
    return np.take_along_axis(values, target[:, None], axis=1)[:, 0]


def _judge(explainer: Any, model: Any) -> Facade | None:
    if model is not None:
        return judging(model)
    return explainer if isinstance(explainer, Facade) else None


def judging(model: Any) -> Facade:
    """Return an analyzer of a model that decides; one that is there already serves as it is."""
    return model if isinstance(model, Facade) else Analyzer(model, "epsilon")


def _samples(x: Any) -> np.ndarray:
    try:
        array = backend.to_numpy(x) if backend.is_tensor(x) else np.asarray(x)
    except ValueError:
        raise InputError("Samples are of different shapes: measures take one array.") from None
    if array.dtype.kind not in "fiu" or array.ndim < 2 or not len(array):
        raise InputError(
            f"Samples are numbers, (samples, ...), of a model with one input; got "
            f"{array.dtype} of shape {array.shape}."
        )
    wrong = np.flatnonzero([not np.isfinite(sample).all() for sample in array])
    if len(wrong):
        raise InputError(
            f"Samples {wrong[:5].tolist()} hold NaN or infinite values: replace them first."
        )
    return array if array.dtype.kind == "f" else array.astype("float32")


def _classes(target: Any, samples: np.ndarray, judge: Facade | None, batch_size: int) -> np.ndarray:
    if target is None and judge is not None:
        values = logits(judge, samples, batch_size)
        _check_classes(values.shape)
        return values.argmax(axis=1)
    shape = (None, None) if judge is None else judge.output_shape
    _check_classes(shape)
    parsed = targets.parse(target, len(samples), shape)
    if parsed.mode != "index" or parsed.several:
        raise TargetError("One class of each sample is followed: give an int, or one per sample.")
    return np.broadcast_to(parsed.values[:, 0], len(samples)).astype(int)


def _check_classes(shape: tuple[int | None, ...]) -> None:
    if len(shape) != 2:
        raise TargetError(
            f"Measures follow the class of a sample; this output, {shape}, has other axes than "
            "samples and classes. Explain another one: Analyzer(..., output=)."
        )


def _check_channels_last(judge: Facade) -> None:
    """Refuse a model whose inputs have their channels at axis 1.

    Summed over its last axis, such an image would give a pixel for each channel and row.
    """
    if judge.decision.channels_first:
        raise InputError(
            "The model takes its channels at axis 1, and pixels have theirs last here: measure "
            "keras.Sequential([keras.Input((height, width, channels)), "
            "keras.layers.Permute((3, 1, 2)), model])."
        )


def _array(relevance: Any, x: np.ndarray) -> np.ndarray:
    try:
        array = np.asarray(relevance)
    except ValueError:
        raise InputError("Maps are of different shapes: relevance is one array.") from None
    if array.shape not in (x.shape, x.shape[:-1]) or array.ndim < 2:
        raise InputError(
            f"Relevance has shape {array.shape}; for samples {x.shape} it is shaped like them, or "
            "without the last axis, that of channels."
        )
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError("Relevance holds NaN, infinite values, or no numbers.")
    # Negated to be sorted, unsigned integers wrap; of many float16 values the sum is infinite.
    return array.astype(np.result_type(array.dtype, "float32"), copy=False)
