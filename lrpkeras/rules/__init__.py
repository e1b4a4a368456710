"""Rules: how each kind of node passes relevance back to its inputs."""

from lrpkeras.rules.activation import Deconv, Guided, Pass
from lrpkeras.rules.alpha_beta import AlphaBeta, ZPlus
from lrpkeras.rules.box import Box
from lrpkeras.rules.by_kind import Adjoint, Proportional, Taylor, Ties, Winner
from lrpkeras.rules.flat import Flat
from lrpkeras.rules.gamma import Gamma
from lrpkeras.rules.gradient import Gradient, Identity
from lrpkeras.rules.merge import Equal, Signal, Uniform
from lrpkeras.rules.normalize import Abs
from lrpkeras.rules.power import Power
from lrpkeras.rules.quotient import Epsilon, Zero
from lrpkeras.rules.relative import Relative
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Rule, Vanishing
from lrpkeras.rules.statistics import Detach
from lrpkeras.rules.weights import WSquare

__all__ = [
    "Abs",
    "Adjoint",
    "AlphaBeta",
    "Box",
    "Deconv",
    "Detach",
    "Epsilon",
    "Equal",
    "Flat",
    "Gamma",
    "Gradient",
    "Guided",
    "Identity",
    "Pass",
    "Power",
    "Proportional",
    "Relative",
    "Relevance",
    "Rule",
    "Signal",
    "Taylor",
    "Ties",
    "Uniform",
    "Vanishing",
    "WSquare",
    "Winner",
    "ZPlus",
    "Zero",
]
