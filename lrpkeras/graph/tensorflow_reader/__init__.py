"""Read TensorFlow graphs: SavedModels, concrete functions, and layers that are no lowering's class.

A function is made one flat graph, its variables frozen, its constants folded; what depends on the
input is lowered, operation by operation, to the same nodes as Keras layers are.
"""

from __future__ import annotations

from lrpkeras.graph.tensorflow_reader import (  # noqa: F401 - importing them fills the registry
    embeddings,
    expressions,
    lower_arithmetic,
    lower_elementwise,
    lower_linear,
    lower_moves,
    lower_pooling,
    lower_resizing,
    normalizations,
)
from lrpkeras.graph.tensorflow_reader.function import FunctionSource, lower_call
from lrpkeras.graph.tensorflow_reader.reading import Owner
from lrpkeras.graph.tensorflow_reader.saved import load, of_signature
from lrpkeras.graph.tensorflow_reader.tracing import traced, untouched

__all__ = [
    "FunctionSource",
    "Owner",
    "load",
    "lower_call",
    "of_signature",
    "traced",
    "untouched",
]
