"""Whether relevance is where the object is: measures against masks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate import ranking
from lrpkeras.evaluate.optional import needed
from lrpkeras.evaluate.result import Curve, Measure
from lrpkeras.evaluate.retention import PERCENTAGES, kept, percentages_of
from lrpkeras.evaluate.subject import Subject, subject


def mask_share(
    explainer: Any,
    x: Any,
    masks: Any,
    target: Any = None,
    *,
    model: Any = None,
    absolute: bool = False,
    percentages: Sequence[float] = PERCENTAGES,
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Curve:
    """Return which share of the p % most relevant pixels lies on the object.

    Parameters
    ----------
    explainer, x
        As for `pixel_flipping`.
    masks
        True on the object, `(samples, height, width)`: the shape of `x` without channels.
    target, model
        As for `pixel_flipping`; a model is asked only where the target is None.
    absolute
        Whether the absolute values of relevance say what is relevant.
    percentages
        In (0, 100], rising; the paper's by default.
    batch_size
        Samples at a time.
    seed
        Of the order among equals.
    verbose
        As for `Analyzer.explain`.

    Returns
    -------
    Curve
        Shares in [0, 1]. Chance is the object's share of the image.

    Raises
    ------
    InputError, TargetError
        If the arguments do not fit together, or a mask is empty.

    References
    ----------
    Nyiri & Gibaru, Relative LRP, section 6.1 (there called pointing game), figures 23 to 25.

    Examples
    --------
    >>> import lrpkeras
    >>> images, labels, masks = lrpkeras.datasets.shapes(4, seed=0)
    >>> perfect = masks.astype("float32")
    >>> lrpkeras.evaluate.mask_share(perfect, images, masks, labels, percentages=[1]).mean
    array([1.])
    """
    about, masks = _checked(explainer, x, masks, target, model, batch_size)
    what = ("share on the object", lambda mask: mask.astype(float), absolute, percentages)
    return _most_relevant(about, masks, what, (batch_size, seed, verbose))


def mask_distance(
    explainer: Any,
    x: Any,
    masks: Any,
    target: Any = None,
    *,
    model: Any = None,
    absolute: bool = False,
    percentages: Sequence[float] = PERCENTAGES,
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Curve:
    """Return how far the p % most relevant pixels are from the object, on average.

    Parameters
    ----------
    explainer, x, masks, target, model, absolute, percentages, batch_size, seed, verbose
        As for `mask_share`.

    Returns
    -------
    Curve
        Distances: 0 on the object, 1 for the pixel of the image that is farthest from it. (The
        paper normalizes "because masks have different sizes" and does not say by what.) Chance is
        the mean over all pixels.

    Raises
    ------
    InputError, TargetError
        As `mask_share`. LrpError where SciPy (the extra `evaluate`) is missing.

    References
    ----------
    Nyiri & Gibaru, Relative LRP, section 6.2, figures 26 to 28.

    Examples
    --------
    >>> import lrpkeras
    >>> images, labels, masks = lrpkeras.datasets.shapes(4, seed=0)
    >>> perfect = masks.astype("float32")
    >>> lrpkeras.evaluate.mask_distance(perfect, images, masks, labels, percentages=[1]).mean
    array([0.])
    """
    about, masks = _checked(explainer, x, masks, target, model, batch_size)
    what = ("distance from the object", _distance, absolute, percentages)
    return _most_relevant(about, masks, what, (batch_size, seed, verbose))


def relevance_mass(
    explainer: Any,
    x: Any,
    masks: Any,
    target: Any = None,
    *,
    model: Any = None,
    batch_size: int = 32,
    verbose: str | int = "auto",
) -> Measure:
    """Return which share of the positive relevance lies on the object.

    Parameters
    ----------
    explainer, x, masks, target, model, batch_size, verbose
        As for `mask_share`. Channels are summed before what is negative is left out.

    Returns
    -------
    Measure
        Shares in [0, 1]; 0 where no relevance is positive. Chance is the object's share of the
        image.

    Raises
    ------
    InputError, TargetError
        As `mask_share`.

    References
    ----------
    Arras, Osman & Samek 2022, CLEVR-XAI, relevance mass accuracy.

    Examples
    --------
    >>> import lrpkeras, numpy as np
    >>> images, labels, masks = lrpkeras.datasets.shapes(4, seed=0)
    >>> perfect, blind = masks.astype("float32"), np.ones(masks.shape, "float32")
    >>> measure = lrpkeras.evaluate.relevance_mass(perfect, images, masks, labels)
    >>> measure.mean, bool(measure.chance.mean() < 0.3)
    (1.0, True)
    """
    about, masks = _checked(explainer, x, masks, target, model, batch_size)
    rows = []
    for _, relevance, inside in _flat(about, masks, batch_size, verbose):
        positive = np.maximum(relevance, 0)
        total = positive.sum(axis=1)
        rows.append((positive * inside).sum(axis=1) / np.where(total > 0, total, 1))
    chance = _mean(masks)
    return Measure("relevance mass on the object", np.concatenate(rows), chance)


def relevance_rank(
    explainer: Any,
    x: Any,
    masks: Any,
    target: Any = None,
    *,
    model: Any = None,
    batch_size: int = 32,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Measure:
    """Return which share of the K most relevant pixels lies on the object of K pixels.

    Parameters
    ----------
    explainer, x, masks, target, model, batch_size, seed, verbose
        As for `mask_share`.

    Returns
    -------
    Measure
        Shares in [0, 1]. Chance is the object's share of the image.

    Raises
    ------
    InputError, TargetError
        As `mask_share`.

    References
    ----------
    Arras, Osman & Samek 2022, CLEVR-XAI, relevance rank accuracy.

    Examples
    --------
    >>> import lrpkeras
    >>> images, labels, masks = lrpkeras.datasets.shapes(4, seed=0)
    >>> perfect = masks.astype("float32")
    >>> lrpkeras.evaluate.relevance_rank(perfect, images, masks, labels).mean
    1.0
    """
    about, masks = _checked(explainer, x, masks, target, model, batch_size)
    rows = []
    for start, relevance, inside in _flat(about, masks, batch_size, verbose):
        size = inside.sum(axis=1, keepdims=True)
        top = ranking.ranks(relevance, start, seed) < size
        rows.append((top & inside).sum(axis=1) / size[:, 0])
    chance = _mean(masks)
    return Measure("relevance rank on the object", np.concatenate(rows), chance)


def pointing_game(
    explainer: Any,
    x: Any,
    masks: Any,
    target: Any = None,
    *,
    model: Any = None,
    tolerance: float = 0.0,
    batch_size: int = 32,
    verbose: str | int = "auto",
) -> Measure:
    """Return whether the most relevant pixel lies on the object.

    Parameters
    ----------
    explainer, x, masks, target, model
        As for `mask_share`.
    tolerance
        How many pixels beside the object still count (15 in the paper, of photos). More than 0
        needs the extra `evaluate`.
    batch_size, verbose
        As for `mask_share`.

    Returns
    -------
    Measure
        1 or 0; of several pixels with the same, highest relevance the share that hits. Chance is
        the share of the image that counts as a hit.

    Raises
    ------
    InputError, TargetError
        As `mask_share`.

    References
    ----------
    Zhang et al. 2018, Top-down neural attention by excitation backprop.

    Examples
    --------
    >>> import lrpkeras
    >>> images, labels, masks = lrpkeras.datasets.shapes(4, seed=0)
    >>> inverted = 1 - masks.astype("float32")
    >>> lrpkeras.evaluate.pointing_game(inverted, images, masks, labels).mean
    0.0
    """
    if not tolerance >= 0:
        raise InputError(f"tolerance is a number of pixels, not below 0; got {tolerance!r}.")
    about, masks = _checked(explainer, x, masks, target, model, batch_size)
    if tolerance:
        masks = np.stack([_distances(mask) <= tolerance for mask in masks])
    rows = []
    for _, relevance, inside in _flat(about, masks, batch_size, verbose):
        highest = relevance == relevance.max(axis=1, keepdims=True)
        rows.append((highest & inside).sum(axis=1) / highest.sum(axis=1))
    chance = _mean(masks)
    return Measure("pointing game", np.concatenate(rows), chance)


def _most_relevant(
    about: Subject,
    masks: np.ndarray,
    what: tuple[str, Callable[[np.ndarray], np.ndarray], bool, Sequence[float]],
    how: tuple[int, int, str | int],
) -> Curve:
    """Return the mean of what pixels are worth over the p % most relevant ones.

    Parameters
    ----------
    what
        The curve's name, what the pixels of a mask are worth, whether absolute values count, and
        percentages.
    how
        Batch size, seed, and whether to show progress.
    """
    (name, worth, absolute, percentages), (batch_size, seed, verbose) = what, how
    shares, rows, chance = percentages_of(percentages), [], []
    sizes = np.array([kept(share, masks[0].size) for share in shares])
    for start, relevance, inside in _flat(about, masks, batch_size, verbose):
        # A batch at a time: as numbers, masks of many photos would fill the memory.
        values = np.stack([worth(mask) for mask in masks[start : start + len(inside)]])
        values = values.reshape(inside.shape)
        places = ranking.ranks(np.abs(relevance) if absolute else relevance, start, seed)
        sorted_values = np.empty_like(values)
        np.put_along_axis(sorted_values, places, values, axis=1)
        rows.append(np.cumsum(sorted_values, axis=1)[:, sizes - 1] / sizes)
        chance.append(values.mean(axis=1))
    values = np.concatenate(rows)
    return Curve(name, shares, values, "% most relevant pixels", chance=np.concatenate(chance))


def _flat(
    about: Subject, masks: np.ndarray, batch_size: int, verbose: str | int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the number of a batch's first sample, its relevance and its masks, `(b, pixels)`."""
    for batch in about.batches(batch_size, verbose):
        count = len(batch.x)
        relevance = ranking.of_pixels(batch.relevance, batch.x).reshape(count, -1)
        part = masks[batch.start : batch.start + count]
        yield batch.start, relevance, part.reshape(count, -1)


def _checked(
    explainer: Any, x: Any, masks: Any, target: Any, model: Any, batch_size: int
) -> tuple[Subject, np.ndarray]:
    about = subject(explainer, x, target, model, decides=False, batch_size=batch_size)
    try:
        array, shape = np.asarray(masks), about.x.shape
    except ValueError:
        raise InputError("Masks are of different shapes: give one array.") from None
    expected = shape[:-1] if len(shape) > 2 else shape
    if array.shape == (*expected, 1):
        array = array[..., 0]
    if array.shape != expected or not ((array == 0) | (array == 1)).all():
        raise InputError(
            f"masks are true (or 1) on the object and false (or 0) elsewhere, {expected}; got "
            f"{array.dtype} of shape {array.shape}."
        )
    array = array.astype(bool)
    empty = np.flatnonzero(~array.any(axis=_positions(array)))
    if len(empty):
        raise InputError(f"The masks of samples {empty[:5].tolist()} are empty: leave these out.")
    return about, array


def _positions(masks: np.ndarray) -> tuple[int, ...]:
    return tuple(range(1, masks.ndim))


def _mean(masks: np.ndarray) -> np.ndarray:
    """Return the object's share of each image."""
    return np.asarray(masks.mean(axis=_positions(masks)))


def _distance(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's distance from the object, as a share of the largest in the image."""
    distances = _distances(mask)
    return distances / max(distances.max(), 1.0)


def _distances(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's distance from the nearest one of the object, in pixels."""
    ndimage = needed("scipy.ndimage", "The distance from a mask")
    return np.asarray(ndimage.distance_transform_edt(~mask))
