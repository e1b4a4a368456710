"""Where a model has its channels: measures of pixels take them last."""

from __future__ import annotations

from lrpkeras.errors import InputError
from lrpkeras.graph.convolutions import TransposedConvolution, Windowed
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Crop, Pad
from lrpkeras.graph.nodes import Activation, Affine, Fork, Linear, Node, Pool, Route, Shift, Sum


def check_channels_last(graph: Graph) -> None:
    """Refuse a model whose inputs have their channels at axis 1.

    Summed over its last axis, such an image would give a pixel for each channel and row.

    Raises
    ------
    InputError
        With the layer that moves them.
    """
    if channels_first(graph):
        raise InputError(
            "The model takes its channels at axis 1, and pixels have theirs last here: measure "
            "keras.Sequential([keras.Input((height, width, channels)), "
            "keras.layers.Permute((3, 1, 2)), model])."
        )


def channels_first(graph: Graph) -> bool:
    """Return what the first layer says that tells channels from positions; False if none does."""
    reached = set(graph.inputs)
    for node in graph:
        if reached.isdisjoint(node.inputs):
            continue
        told = _told(node)
        if told is not None:
            return told
        if _keeps_axes(node):
            reached.add(node.name)
    return False


def _told(node: Node) -> bool | None:
    """Return whether a node has its channels first; None if it does not tell."""
    if isinstance(node, Pool):
        return node.channels_first
    operation = node.operation if isinstance(node, Linear) else None
    if isinstance(operation, TransposedConvolution):
        operation = operation.convolution
    return operation.channels_first if isinstance(operation, Windowed) else None


def _keeps_axes(node: Node) -> bool:
    padded = isinstance(node, Route) and isinstance(node.move, Pad | Crop)
    return padded or isinstance(node, Affine | Activation | Shift | Fork | Sum)
