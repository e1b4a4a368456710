"""Maps with normalization folded and bypassed, and what is measured of them: `guillemot2020`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TypeVar

import keras
import numpy as np

import lrpkeras
from experiments.outcome import Outcome, shown
from lrpkeras import evaluate
from lrpkeras.evaluate import Measure

MODES = {"folded": "fold", "bypassed": "identity"}

Size = TypeVar("Size")


def analyzer(
    model: keras.Model, mode: str, input_range: tuple[float, float] = (-1.0, 1.0)
) -> lrpkeras.Analyzer:
    """Explain by their rules [equations 6 and 7], with normalization as one of `MODES` says."""
    return lrpkeras.Analyzer(model, "guillemot", batch_norm=MODES[mode], input_range=input_range)


def mass(relevance: np.ndarray, masks: np.ndarray) -> Measure:
    """Return the share of positive relevance inside masks, which are not empty."""
    return evaluate.relevance_mass(relevance, relevance, masks, 0, verbose=0)


def gap(judge: lrpkeras.Analyzer, relevance: np.ndarray, x: np.ndarray, region: int = 1) -> Measure:
    """Return how much faster the winner's probability falls than in random order.

    Squares of `region` pixels are flipped: to black (-1) where there is one channel, to themselves
    blurred otherwise. (With the mean colour in their place, no map of a photo is better than random
    order, whatever the rules: MobileNet is thrown off by the squares' own edges.) Random order is
    the same for all maps of the same images.
    """
    return evaluate.pixel_flipping(
        relevance,
        x,
        model=judge,
        orders=("most", "random"),
        region=region,
        steps=10,
        replacement=-1.0 if x.shape[-1] == 1 else "blur",
        score="probability",
        batch_size=64,
        verbose=0,
    ).gap


def randomized(explaining: lrpkeras.Analyzer, x: np.ndarray) -> Measure:
    """Return how alike maps are to those of the model with all of its layers random."""
    curve = evaluate.randomization(explaining, x, verbose=0)
    return Measure("similarity", curve.values[:, -1])


def draw(
    given: argparse.Namespace,
    outcome: Outcome,
    name: str,
    images: np.ndarray,
    maps: Mapping[tuple[str, str], np.ndarray],
) -> None:
    """Draw the first six images, in [0, 1], and their maps by network and mode."""
    rows = {f"{network}\n{mode}": relevance[:6] for (network, mode), relevance in maps.items()}
    figure, _ = lrpkeras.plot.grid(rows, images[:6], clip=99.5)
    caption = f"{name}: the first six images under preset guillemot, folded and bypassed"
    outcome.figure(given.results, name.lower(), caption, figure)


def listed(measures: Mapping[str, Measure]) -> str:
    """Return measures with their names as text."""
    return "; ".join(f"{name} {shown(measure)}" for name, measure in measures.items())


def size(given: argparse.Namespace, full: Size, quick: Size) -> Size:
    """Return what is meant for this run."""
    return quick if given.quick else full
