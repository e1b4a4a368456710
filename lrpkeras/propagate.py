"""Graph + rules -> one compiled function: forward, then backward.

Relevance carries a leading target axis throughout, `(k, batch, ...)`: what does not depend on the
target is computed once for all k.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from keras import ops

from lrpkeras import backend
from lrpkeras.errors import ModelError
from lrpkeras.graph.blocks import Block, Edge, blocks
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Activation, Input, Linear, Node, Sum
from lrpkeras.graph.structure import structure
from lrpkeras.holdings import Holdings, Memory
from lrpkeras.rules import Proportional, Relative, Relevance, Rule, Vanishing
from lrpkeras.rules.relevance import added, per_sample, settled
from lrpkeras.rules.residual import Rescaling, Residual

Array = Any
Prepared = Mapping[str, Mapping[str, Array]]
Observer = Callable[[Node, Rule | None, Any, Relevance, Sequence[Relevance | None]], None]


@dataclass(frozen=True)
class Forward:
    """The forward pass at one input, and the arrays of every node that it was made with.

    Every node's value, states of rules that came with it, and what sums rounded off terms that are
    recalled.
    """

    values: Mapping[str, Array]
    states: Mapping[str, Any]
    arrays: Prepared
    roundings: Mapping[str, Array]

    def output(self, graph: Graph) -> Array:
        """The value that is explained."""
        return self.values[graph.outputs[0]]


@dataclass(frozen=True)
class Sieve:
    """What a condition lets through of relevance on its way back.

    Attributes
    ----------
    masks
        By node, what relevance of its output is multiplied by: broadcasts to `(k, batch, ...)`.
    ways
        By edge, what relevance that goes along it is multiplied by, `(k,)`; None for nothing at
        all. Other edges are open.
    """

    masks: Mapping[str, Array] = field(default_factory=dict)
    ways: Mapping[Edge, Array | None] = field(default_factory=dict)

    def at(self, name: str, relevance: Relevance) -> Relevance:
        """Return what remains of relevance of a node's output."""
        mask = self.masks.get(name)
        return relevance if mask is None else relevance.with_array(relevance.array * mask)

    def along(self, edge: Edge, part: Relevance | None) -> Relevance | None:
        """Return what remains of relevance that a node sends to one of its inputs."""
        if part is None or edge not in self.ways:
            return part
        factors = self.ways[edge]
        if factors is None:
            return None
        factors = ops.expand_dims(ops.cast(factors, part.array.dtype), 1)
        return part.with_array(part.array * per_sample(factors, part.array))


class Program:
    """A canonized graph with a rule for each node, its arrays held as variables.

    Parameters
    ----------
    graph
        A canonized graph with facts; its first output is explained, its last one is reported.
    rules
        A rule for every node that passes relevance on.
    vanishes
        Whether relevance starts at zero wherever the output is zero.
    precision
        "bfloat16" for products in that type, where they bear it (`graph.precision`); sums,
        quotients and relevance stay in the graph's type. None for all in that.
    """

    def __init__(
        self,
        graph: Graph,
        rules: Mapping[str, Rule],
        *,
        vanishes: bool = True,
        precision: str | None = None,
    ) -> None:
        self.precision = precision
        self.rules = dict(rules)
        self.reached = _reached(graph, self.rules)
        self._start = Vanishing(vanishes)
        self.graph = self._with_facts(graph)
        self._recalled = _recalled(self.graph, self.rules)
        self.edges = _edges(self.graph, self.rules, self.reached)
        self.blocks = _residual_blocks(self.graph, self.rules, self.edges)
        self._holdings = Holdings(self.graph, self.rules, self.reached, precision)
        self.prepared = self._holdings.variables

    def _with_facts(self, graph: Graph) -> Graph:
        """Add what is known by the rules."""
        return _rectified(_with_closed(graph, self.rules, self.reached, self._start))

    @property
    def nbytes(self) -> Memory:
        """The memory that its arrays take."""
        return self._holdings.nbytes

    def release(self) -> None:
        """Let go of the arrays that the graph was built from: see `Holdings.graph`."""
        self.graph = self._holdings.graph

    def refresh(self, graph: Graph) -> None:
        """Take over the arrays of a graph of the same structure, without tracing anew."""
        if list(map(structure, graph)) != list(map(structure, self.graph)):
            raise ModelError(
                "The model's structure, or its layers' names, are not what they were when the "
                "analyzer was built: build it anew."
            )
        self._holdings.refresh(self._with_facts(graph))
        self.release()

    def forward(self, inputs: Sequence[Array], arrays: Prepared | None = None) -> Forward:
        """Run the model, and what rules share with it.

        Parameters
        ----------
        inputs
            One for each input of the model.
        arrays
            The values of `prepared`, as a compiled function is handed them; those of now if None.
        """
        arrays = backend.values(self.prepared) if arrays is None else arrays
        values: dict[str, Array] = dict(zip(self.graph.inputs, inputs, strict=True))
        states: dict[str, Any] = {}
        roundings: dict[str, Array] = {}
        recalled = {whole: name for name, (whole, _) in self._recalled.items()}
        for node in self.graph:
            if isinstance(node, Input):
                continue
            read = tuple(values[name] for name in node.inputs)
            prepared = arrays[node.name]
            if node.name in recalled:
                value, roundings[recalled[node.name]] = backend.fused(_sum_and_rounding, *read)
                states[node.name] = None
            elif node.name in self.reached:
                rule = self.rules[node.name]
                value, states[node.name] = rule.evaluate(node, prepared, read)
            else:
                value = node.held(node.compute(read, prepared))
            values[node.name] = value
        return Forward(values, states, arrays, roundings)

    def state(self, forward: Forward, name: str, after: Array | None = None) -> Any:
        """Return what a node's rule needs on the way back and does not depend on the target.

        Parameters
        ----------
        forward
            From `forward`.
        name
            The node's.
        after
            What must be there first: what is computed late need not be held in memory early.
        """
        if forward.states[name] is not None:
            return forward.states[name]
        node = self.graph[name]
        inputs = tuple(forward.values[read] for read in node.inputs)
        output = forward.values[name]
        if after is not None and isinstance(node, Linear):
            inputs = tuple(backend.after(x, after) for x in inputs)
            if name in self._recalled:
                whole, other = (forward.values[term] for term in self._recalled[name])
                rounding = forward.roundings[name]
                output = backend.inlined(_second, backend.after(whole, after), other, rounding)
        return self.rules[name].linearize(node, forward.arrays[name], inputs, output)

    def backward(
        self,
        forward: Forward,
        start: Relevance,
        layers: Sequence[str] = (),
        observe: Observer | None = None,
        sieve: Sieve = Sieve(),
    ) -> tuple[list[Array], dict[str, Array]]:
        """Send relevance back from the output.

        Parameters
        ----------
        forward
            From `forward`.
        start
            Relevance of the output, `(k, batch, ...)`.
        layers
            Names of nodes whose outputs' relevance is wanted too.
        observe
            Called with each node, rule, state, relevance of its output and of its inputs.
        sieve
            What is let through; relevance of `layers` is what remains there.

        Returns
        -------
        Relevance of every input in the model's order, and of the nodes in `layers`.
        """
        values = forward.values
        output = self.graph.outputs[0]
        waiting: dict[str, dict[Edge, Relevance]] = {output: {(output, -1): start}}
        arrived: dict[str, Array] = {}
        residual = Residual(self.blocks)
        for node in reversed(list(self.graph)):
            parts = waiting.pop(node.name, None)
            if parts is None:
                continue
            value = values[node.name]
            relevance = added(list(parts.values()), value)
            if node.name in self.blocks:
                relevance = _rescaled(residual, node, parts, value, observe)
            relevance = sieve.at(node.name, relevance)
            if node.name in layers or isinstance(node, Input):
                arrived[node.name] = settled(relevance, value, start.absolute(values[output]))
            if isinstance(node, Input):
                continue
            rule, state = self.rules[node.name], self.state(forward, node.name, relevance.source)
            back = _propagated(rule, state, relevance)
            if observe is not None:
                observe(node, rule, state, relevance, back)
            for number, (name, sent) in enumerate(zip(node.inputs, back, strict=False)):
                part = sieve.along((node.name, number), sent)
                if part is not None:
                    waiting.setdefault(name, {})[node.name, number] = part
                    residual.leave((node.name, number), part, values[name])
        for name in (*self.graph.inputs, *layers):
            if name not in arrived:
                arrived[name] = _none(start, values[name])
        return [arrived[name] for name in self.graph.inputs], {n: arrived[n] for n in layers}


def _propagated(rule: Rule, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
    """Send relevance through a rule; the scale, of which it need not know, goes beside it."""
    back = rule.propagate(state, relevance.unscaled())
    return tuple(None if part is None else part.scaled(relevance.log_scale) for part in back)


def _rescaled(
    residual: Residual,
    fork: Node,
    parts: Mapping[Edge, Relevance],
    value: Array,
    observe: Observer | None,
) -> Relevance:
    """Add up what came to a fork where residual blocks begin, each branch rescaled."""
    block = residual.settle(fork.name, parts, value)
    relevance = added(list(block.parts.values()), value)
    if observe is not None:
        before = added(list(parts.values()), value)
        observe(fork, Rescaling(), (block.lost, before.log_scale), before, (relevance,))
    return relevance


def _edges(graph: Graph, rules: Mapping[str, Rule], reached: set[str]) -> dict[str, list[int]]:
    """Return, for every node that relevance reaches, the numbers of the inputs that get some."""
    return {
        node.name: [number for number, gets in enumerate(rules[node.name].reaches(node)) if gets]
        for node in graph
        if node.name in reached and node.name in rules
    }


def _residual_blocks(
    graph: Graph, rules: Mapping[str, Rule], edges: Mapping[str, list[int]]
) -> dict[str, tuple[Block, ...]]:
    """Return the residual blocks whose sums are passed by `Relative`."""
    sums = [n.name for n in graph if isinstance(n, Sum) and isinstance(rules.get(n.name), Relative)]
    return blocks(graph, edges, [name for name in sums if name in edges]) if sums else {}


def _none(start: Relevance, value: Array) -> Array:
    """Zero relevance, for a tensor that the explained output does not depend on."""
    zeros = ops.expand_dims(ops.zeros_like(value), 0)
    return ops.repeat(zeros, start.array.shape[0], axis=0)


def _reached(graph: Graph, rules: Mapping[str, Rule]) -> set[str]:
    """Return the nodes that get relevance: gates of a product, for one, get none."""
    reached = {graph.outputs[0]}
    for node in reversed(list(graph)):
        if node.name in reached and node.name in rules:
            reaches = rules[node.name].reaches(node)
            pairs = zip(node.inputs, reaches, strict=False)
            reached |= {name for name, gets in pairs if gets}
    return reached


def _with_closed(
    graph: Graph, rules: Mapping[str, Rule], reached: set[str], start: Vanishing
) -> Graph:
    """Return the graph in which `Facts.closed` says where relevance vanishes unless z > 0.

    Derived from the rules above each node: it is false below a rule that gives relevance to what
    is zero.
    """
    known: dict[str, list[Vanishing]] = {graph.outputs[0]: [start]}
    nodes = dict(graph.nodes)
    for node in reversed(list(graph)):
        if node.name not in reached or node.name not in rules:
            continue
        at_zero = all(v.at_zero for v in known[node.name])
        positive = all(v.unless_positive for v in known[node.name])
        output = Vanishing(at_zero, positive or (at_zero and node.facts.non_negative))
        nodes[node.name] = replace(node, facts=replace(node.facts, closed=output.unless_positive))
        back = rules[node.name].vanishing(nodes[node.name], output)
        for name in node.inputs[: node.receives]:
            known.setdefault(name, []).append(back)
    return replace(graph, nodes=nodes)


def _rectified(graph: Graph) -> Graph:
    """Return the graph in which what only a ReLU reads is rectified where it is computed.

    One array instead of two is then held for the way back, and the backend fuses the ReLU into the
    convolution.
    """
    readers = Counter(name for node in graph for name in node.inputs)
    nodes = dict(graph.nodes)
    for node in graph:
        if not (isinstance(node, Activation) and node.function.steps):
            continue
        source = nodes[node.inputs[0]]
        read_elsewhere = readers[source.name] > 1 or source.name in graph.outputs
        if isinstance(source, Linear | Sum) and source.facts.closed and not read_elsewhere:
            nodes[source.name] = replace(source, facts=replace(source.facts, rectified=True))
            nodes[node.name] = replace(node, facts=replace(node.facts, signed=False))
    return replace(graph, nodes=nodes)


def _recalled(graph: Graph, rules: Mapping[str, Rule]) -> dict[str, tuple[str, str]]:
    """Return the linear nodes whose output need not be held: what a sum of two leaves of its first.

    Only the sum reads it, and is rectified: where it is positive, the second term is the sum less
    the first and what was rounded off; elsewhere no relevance comes. The sum sends a ratio, by
    which the term's last digits count as the sum's, and is not divided by the term.
    """
    readers = Counter(name for node in graph for name in node.inputs)
    found = {}
    for node in graph:
        if isinstance(node, Sum) and node.facts.rectified and node.coefficients == (1.0, 1.0):
            first, second = node.inputs
            shared_out = isinstance(rules.get(node.name), Proportional)
            if shared_out and isinstance(graph[second], Linear) and readers[second] == 1:
                found[second] = (node.name, first)
    return found if graph.dtype == "float32" else {}


# A sum's rounding, at most half a last digit of it, in 127 steps to either side.
_STEP = 2.0**-24 / 127


def _sum_and_rounding(first: Array, second: Array) -> tuple[Array, Array]:
    """Return `relu(a + b)`, and how far that less a is from b, in a quarter of the memory of b.

    What lies further off is not rounded off by the sum, but by the difference, and no more than
    b itself is.
    """
    whole = ops.relu(first + second)
    steps = ops.divide_no_nan(second - (whole - first), _STEP * whole)
    return whole, ops.cast(ops.clip(ops.round(steps), -127, 127), "int8")


def _second(whole: Array, first: Array, rounding: Array) -> Array:
    """Return b where `relu(a + b)` is positive."""
    return whole - first + ops.cast(rounding, whole.dtype) * (_STEP * whole)
