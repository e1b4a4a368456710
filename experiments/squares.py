"""Flipping as photos and small images need it: squares, blurred, followed by the probability."""

from __future__ import annotations

from typing import Any

import numpy as np

import lrpkeras
from lrpkeras import evaluate
from lrpkeras.evaluate import Flipping


def flipped(
    relevance: np.ndarray, x: np.ndarray, judge: lrpkeras.Analyzer, order: str, **settings: Any
) -> Flipping:
    """Blur squares in one order; that by chance is the same whatever the relevance."""
    return evaluate.pixel_flipping(
        relevance,
        x,
        model=judge,
        orders=order,
        steps=10,
        replacement="blur",
        score="probability",
        batch_size=50,
        verbose=0,
        **settings,
    )
