"""What all parts of `hui2019` share: rules for normalization, analyzers, and verdicts."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

import lrpkeras
from experiments.outcome import Verdict, above, judged
from lrpkeras import rules
from lrpkeras.evaluate import Measure

MODES = ("fold", "threshold", "identity", "epsilon", "abs")
UNFOLDED = ("identity", "epsilon", "abs")
PRESETS = ("epsilon_plus", "epsilon_alpha2_beta1")


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images of 0 to 255 in [-1, 1], as MobileNet takes them."""
    return (images / 127.5 - 1).astype("float32")


def analyzer(model: keras.Model, preset: str, mode: str) -> lrpkeras.Analyzer:
    """Explain with a preset and a rule for normalization; epsilon in the head, whatever its kind.

    MobileNet's head is a 1 x 1 convolution, which presets by type do not take for a dense layer.
    """
    return lrpkeras.Analyzer(
        model,
        preset,
        batch_norm=mode,
        rules={"last": rules.Epsilon()},
        input_range=(-1.0, 1.0),
    )


def verdict(differences: Iterable[Measure]) -> Verdict:
    """Return "reproduced" where all means are above 0 by their intervals, "partly" where some."""
    return judged(*map(above, differences))
