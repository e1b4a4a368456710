"""Layer-wise Relevance Propagation for Keras 3 models."""

from lrpkeras import callbacks, datasets, evaluate, layers, plot, presets, quantus, rules
from lrpkeras.analyzer import Analyzer
from lrpkeras.canonize.keras_model import fold_batch_norm
from lrpkeras.errors import LrpError
from lrpkeras.explanation import Explanation
from lrpkeras.graph.lower import register_layer
from lrpkeras.graph.supported import supported_layers
from lrpkeras.jobs import open_results
from lrpkeras.loaded import load
from lrpkeras.presets import Preset, register_preset
from lrpkeras.rules.registry import register_rule
from lrpkeras.versions import __version__

__all__ = [
    "Analyzer",
    "Explanation",
    "LrpError",
    "Preset",
    "__version__",
    "callbacks",
    "datasets",
    "evaluate",
    "fold_batch_norm",
    "layers",
    "load",
    "open_results",
    "plot",
    "presets",
    "quantus",
    "register_layer",
    "register_preset",
    "register_rule",
    "rules",
    "supported_layers",
]
