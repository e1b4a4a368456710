"""Rules for elementwise functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lrpkeras.graph.nodes import Activation, Gate, Node
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class Pass(Rule):
    """Relevance goes through an activation unchanged [Bach et al. 2015, section "multilayer"]."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Activation,)

    def linearize(
        self, node: Node, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        return node, prepared, inputs, output

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, prepared, inputs, output = state
        if not relevance.is_ratio:
            return (relevance,)
        if isinstance(node, Gate) or node.function.homogeneous:
            return (relevance.with_array(relevance.array * node.derivative(inputs, prepared)),)
        return (Relevance(relevance.absolute(output)),)

    def vanishing(self, node: Activation, output: Vanishing) -> Vanishing:
        if isinstance(node, Gate):
            return Vanishing(output.at_zero)
        closed = output.at_zero and node.function.closes
        return Vanishing(closed, closed)
