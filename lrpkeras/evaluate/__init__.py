"""Whether maps are any good: measures of explanations, each with an interval.

All take an `Analyzer`, any function from a batch and its classes to relevance, or relevance that
is there already, so that methods of any origin can be compared.
"""

from lrpkeras.evaluate.conservation import conservation
from lrpkeras.evaluate.counterfactual import Counterfactual, counterfactual
from lrpkeras.evaluate.flipping import Flipping, pixel_flipping
from lrpkeras.evaluate.masks import (
    mask_distance,
    mask_share,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from lrpkeras.evaluate.randomization import Randomization, randomization
from lrpkeras.evaluate.result import Curve, Measure, bootstrap
from lrpkeras.evaluate.retention import retention
from lrpkeras.evaluate.sensitivity import sensitivity

__all__ = [
    "Counterfactual",
    "Curve",
    "Flipping",
    "Measure",
    "Randomization",
    "bootstrap",
    "conservation",
    "counterfactual",
    "mask_distance",
    "mask_share",
    "pixel_flipping",
    "pointing_game",
    "randomization",
    "relevance_mass",
    "relevance_rank",
    "retention",
    "sensitivity",
]
