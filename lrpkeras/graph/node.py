"""What all nodes share, and the facts that are known about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from lrpkeras.graph.moves import Shape

Array = Any
Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class Facts:
    """What a node's rule may rely on.

    Attributes
    ----------
    non_negative
        The node's own output is never negative.
    signed
        Whether the first input may be negative.
    closed
        Relevance at the output is zero wherever the output is not positive: a ReLU follows, and
        the rules above it give nothing to what is zero.
    rectified
        Moreover, nothing but that ReLU reads the output: what is computed is `max(z, 0)`, at which
        every rule gives what it gives at z.
    gates
        For a product: which inputs come from a sigmoid-like function.
    input_shapes
        The static shapes of the inputs, with batch.
    upstream
        The nodes from the model's inputs to here, this one excluded, where all of them only move,
        resize, scale or shift values; None where something else lies between.
    """

    non_negative: bool = False
    signed: bool = True
    closed: bool = False
    rectified: bool = False
    gates: tuple[bool, ...] = ()
    input_shapes: tuple[Shape, ...] = ()
    upstream: tuple[Node, ...] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """What all kinds share.

    `shape` is the static output shape with batch (None where unknown). `layers` are the names of
    all Keras layers merged into the node, `layer_class` the class of the one that it came from.
    `receives` says how many of the inputs, counted from the first, relevance goes back to; the
    others only take part in the forward pass.
    """

    name: str
    inputs: tuple[str, ...] = ()
    shape: Shape = (None,)
    layers: tuple[str, ...] = ()
    layer_class: type | None = None
    notes: tuple[str, ...] = ()
    facts: Facts = field(default_factory=Facts)

    # The type that the model itself rounds to here, if that is not the one it computes in.
    precision: ClassVar[str | None] = None

    @property
    def kind(self) -> str:
        """The node kind's name, as presets and summaries show it."""
        return type(self).__name__

    @property
    def receives(self) -> int:
        """How many inputs, counted from the first, relevance goes back to."""
        return len(self.inputs)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays that the computation reads."""
        return {}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        """Return the node's output."""
        raise NotImplementedError

    def held(self, value: Array) -> Array:
        """Return a computed output as it is held: rectified, where the facts say so."""
        return ops.relu(value) if self.facts.rectified else value

    def noted(self, note: str) -> Self:
        """Return this node with one more note for the summary."""
        return replace(self, notes=(*self.notes, note))
