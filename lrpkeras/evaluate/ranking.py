"""Which pixels are the most relevant ones: relevance of positions, and their order."""

from __future__ import annotations

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate.lots import For, drawn_for


def of_pixels(relevance: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the relevance of positions: channels, the last axis, are summed.

    Parameters
    ----------
    relevance
        `(samples, ..., channels)` as `x`, or `(samples, ...)` without channels.
    x
        What was explained. Vectors, `(samples, entries)`, have no channels: each entry is a pixel.
    """
    if relevance.ndim == x.ndim and x.ndim > 2:
        return relevance.sum(axis=-1)
    return relevance


def of_regions(pixels: np.ndarray, region: int) -> np.ndarray:
    """Sum `(samples, height, width)` over squares of `region` pixels; those at the ends are cut."""
    if region == 1:
        return pixels
    if pixels.ndim != 3:
        raise InputError(f"Square regions are of images; this relevance has {pixels.shape[1:]}.")
    ends = [(0, -size % region) for size in pixels.shape[1:]]
    padded = np.pad(pixels, [(0, 0), *ends])
    rows, columns = (size // region for size in padded.shape[1:])
    return padded.reshape(len(pixels), rows, region, columns, region).sum(axis=(2, 4))


def onto_pixels(regions: np.ndarray, region: int, shape: tuple[int, ...]) -> np.ndarray:
    """Give every pixel what its region has; `shape` is that of one sample's pixels."""
    if region == 1:
        return regions
    whole = regions.repeat(region, axis=1).repeat(region, axis=2)
    return whole[:, : shape[0], : shape[1]]


def ranks(scores: np.ndarray, first_sample: int, seed: int) -> np.ndarray:
    """Return each entry's place in its sample's order, 0 for the highest score.

    Equal scores are ordered by chance, not by position: a map that says nothing must not earn
    what the upper left corner is worth. The order of a sample depends on `seed` and its number
    alone, not on the batch that it comes in.
    """
    flat = scores.reshape(len(scores), -1)
    lots = drawn_for(For.ORDER, seed, first_sample, flat.shape)
    order = np.lexsort((lots, -flat), axis=-1)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(flat.shape[1])[None], axis=-1)
    return places.reshape(scores.shape)
