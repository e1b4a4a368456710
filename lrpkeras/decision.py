"""How a model decides, and where it has its channels: what measures must know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from lrpkeras.graph.convolutions import TransposedConvolution, Windowed
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Crop, Pad
from lrpkeras.graph.nodes import Activation, Affine, Fork, Linear, Node, Pool, Route, Shift, Sum

# What makes probabilities of logits, by the name of what was stripped off the output.
HEADS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": ops.sigmoid,
    "softmax": ops.softmax,
    "log_softmax": ops.softmax,
}


@dataclass(frozen=True)
class Decision:
    """What measures ask of a model beside its logits.

    Attributes
    ----------
    head
        The name of the function that was stripped off the output; None if there was none.
    channels_first
        Whether the inputs have their channels at axis 1.
    signless
        Whether the output is never negative.
    """

    head: str | None
    channels_first: bool
    signless: bool

    def __post_init__(self) -> None:
        if self.head is not None and self.head not in HEADS:
            raise ValueError(f"no output ends in {self.head!r}")

    @classmethod
    def of(cls, graph: Graph) -> Decision:
        """Return what a graph decides by."""
        heads = [function.name for function in graph.heads.values()]
        facts = graph[graph.outputs[0]].facts
        return cls(heads[0] if heads else None, channels_first(graph), facts.non_negative)

    def probabilities(self, logits: Any) -> Any:
        """Return probabilities of classes, `(samples, classes)`.

        By the model's own softmax or sigmoid; where it ends without, by a softmax, or for a single
        logit a sigmoid.
        """
        usual = "sigmoid" if logits.shape[1] == 1 else "softmax"
        return HEADS[self.head or usual](logits)


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
