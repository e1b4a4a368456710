"""Rules: how each kind of node passes relevance back to its inputs."""

from lrpkeras.rules.activation import Pass
from lrpkeras.rules.alpha_beta import AlphaBeta, ZPlus
from lrpkeras.rules.box import Box
from lrpkeras.rules.by_kind import Proportional, Winner
from lrpkeras.rules.flat import Flat
from lrpkeras.rules.gradient import Gradient, Identity
from lrpkeras.rules.linear import Epsilon, Zero
from lrpkeras.rules.merge import Adjoint, Signal, Uniform
from lrpkeras.rules.relative import Relative
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Rule, Vanishing

__all__ = [
    "Adjoint",
    "AlphaBeta",
    "Box",
    "Epsilon",
    "Flat",
    "Gradient",
    "Identity",
    "Pass",
    "Proportional",
    "Relative",
    "Relevance",
    "Rule",
    "Signal",
    "Uniform",
    "Vanishing",
    "Winner",
    "ZPlus",
    "Zero",
]
