"""Which sign relevance starts with under `initial="unit"`: that of what rules divide by.

A rule that divides by z gives a message with the sign of z a positive share. Relevance of +1
where z is negative would make evidence for the class negative; relevance with its sign does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from lrpkeras.graph.nodes import Activation, Extremum, Fork, MaxPool, Node, Product, Route
from lrpkeras.propagate import Forward, Program

Array = Any


def signs(program: Program, forward: Forward) -> Array:
    """Return +1 or -1 for each entry of the output: the sign of the first denominator behind it.

    On the way back from the output, what only hands relevance on (moves, forks, activations that
    pass, gated signals) is walked through, entry by entry, to the first node whose rule either
    divides by something with a sign, or splits messages by their signs and starts with +1.
    """
    return _Walk(program, forward).of(program.graph.outputs[0])


class _Walk:
    def __init__(self, program: Program, forward: Forward) -> None:
        self.program = program
        self.forward = forward

    def of(self, name: str) -> Array:
        """The signs at the output of a node."""
        node, value = self.program.graph[name], self.forward.values[name]
        if name not in self.forward.states or name not in self.program.rules:
            return ops.ones_like(value)
        whole = self.program.rules[name].denominator(self.program.state(self.forward, name))
        if whole is not None:
            return _sign(whole)
        carried = self._carried(node)
        return ops.ones_like(value) if carried is None else carried

    def _carried(self, node: Node) -> Array | None:
        """The signs of what a node hands relevance on to; None where it does not just do that."""
        if isinstance(node, Route):
            # What is filled in has no sign, and no relevance.
            return _sign(node.move.apply(*map(self.of, node.inputs)))
        if isinstance(node, Fork | Activation):
            return self.of(node.inputs[0])
        if isinstance(node, MaxPool | Extremum):
            return self._of_winner(node)
        if isinstance(node, Product):
            signals = [
                name for name, gate in zip(node.inputs, node.facts.gates, strict=True) if not gate
            ]
            return self.of(signals[0]) if len(signals) == 1 else None
        return None

    def _of_winner(self, node: MaxPool | Extremum) -> Array:
        """The sign at the entry that is the maximum; +1 if one of several is positive."""
        value = self.forward.values[node.name]
        worst = -np.inf if isinstance(node, MaxPool) or node.largest else np.inf
        positive = tuple(
            ops.where(
                self.of(name) > 0, self.forward.values[name], ops.full((), worst, value.dtype)
            )
            for name in node.inputs
        )
        return 2 * ops.cast(node.compute(positive, {}) == value, value.dtype) - 1


def _sign(x: Array) -> Array:
    return 1 - 2 * ops.cast(x < 0, x.dtype)
