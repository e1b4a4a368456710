"""The nodes of a check as stages of a flow; where they are too many, chains and blocks as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, takewhile

from lrpkeras.ledger import Check, Entry

INPUT = "Input"
# What a group is named after: nodes with weights first, then those where branches part.
RANKS = {
    **dict.fromkeys(("Linear", "Affine", "Normalize", "LocalNormalize", "Lookup"), 2),
    **dict.fromkeys(("Sum", "Product", "Extremum"), 1),
}
JOINTS = "_-/:. "  # what separates the parts of a layer's name


@dataclass(frozen=True)
class Node:
    """One node of the network."""

    name: str
    kind: str


@dataclass(frozen=True)
class Stage:
    """One node, or several that are drawn as one, in the order in which relevance passes them.

    `incoming` is relevance that arrives, `sinks` pairs of a sink's name and what it took. A group
    keeps apart what the sinks of a name took and what they gave, so that neither hides the other.
    """

    nodes: tuple[Node, ...]
    incoming: float
    sinks: tuple[tuple[str, float], ...] = ()

    @cached_property
    def loss(self) -> float:
        """How much the sinks took and gave, all of it counted as positive."""
        return sum(abs(value) for _, value in self.sinks)

    @cached_property
    def prefix(self) -> str:
        """What the names of all nodes begin with, in whole parts."""
        return common_prefix([node.name for node in self.nodes])

    @property
    def is_input(self) -> bool:
        """Whether this is an input of the model."""
        return self.nodes[0].kind == INPUT

    @property
    def is_passive(self) -> bool:
        """Whether no node has weights or merges branches."""
        return not any(node.kind in RANKS for node in self.nodes)


@dataclass(frozen=True)
class Way:
    """Relevance that goes from one stage to a later one, both by number."""

    source: int
    target: int
    value: float


@dataclass(frozen=True)
class Flow:
    """Stages, each after all that send relevance to it, and the ways between them."""

    stages: tuple[Stage, ...]
    ways: tuple[Way, ...]

    def __len__(self) -> int:
        return len(self.stages)

    def leaving(self, number: int) -> list[Way]:
        """Return the ways out of a stage."""
        return [way for way in self.ways if way.source == number]

    def merged(self, groups: Iterable[Sequence[int]]) -> Flow:
        """Return the flow with each group of stages, given in order, as one stage."""
        first = {i: i for i in range(len(self))}
        for group in groups:
            first |= dict.fromkeys(group, group[0])
        members: dict[int, list[Stage]] = {}
        for i, stage in enumerate(self.stages):
            members.setdefault(first[i], []).append(stage)
        number = {name: i for i, name in enumerate(members)}
        sums: dict[tuple[int, int], float] = {}
        for way in self.ways:
            ends = number[first[way.source]], number[first[way.target]]
            if ends[0] != ends[1]:
                sums[ends] = sums.get(ends, 0.0) + way.value
        stages = tuple(_joined(group) for group in members.values())
        return Flow(stages, tuple(Way(*ends, value) for ends, value in sums.items()))


def read(check: Check) -> Flow:
    """Return a stage for every node of a check, and for every input of the model."""
    accounts: dict[str, list[Entry]] = {}
    for entry in check.entries:
        accounts.setdefault(entry.name, []).append(entry)
    arrived: dict[str, float] = {}
    for entry in check.entries:
        for name, value in zip(entry.inputs, entry.sent, strict=True):
            arrived[name] = arrived.get(name, 0.0) + value
    stages = [_of_node(entries) for entries in accounts.values()]
    inputs = [name for name in arrived if name not in accounts]
    stages += [Stage((Node(name, INPUT),), arrived[name]) for name in inputs]
    number = {stage.nodes[0].name: i for i, stage in enumerate(stages)}
    ways = [
        Way(number[name], number[target], value)
        for name, entries in accounts.items()
        for target, value in zip(entries[-1].inputs, entries[-1].sent, strict=True)
    ]
    return Flow(tuple(stages), tuple(ways))


def _of_node(entries: Sequence[Entry]) -> Stage:
    """Return a node's stage; of a fork whose branches are rescaled there are two accounts."""
    node = Node(entries[0].name, entries[-1].kind)
    sinks = [sink for entry in entries for sink in entry.sinks.items() if sink[1]]
    return Stage((node,), entries[0].incoming, tuple(sinks))


def _joined(stages: Sequence[Stage]) -> Stage:
    if len(stages) == 1:
        return stages[0]
    sums: dict[tuple[str, bool], float] = {}
    for name, value in (sink for stage in stages for sink in stage.sinks):
        sums[name, value > 0] = sums.get((name, value > 0), 0.0) + value
    nodes = tuple(node for stage in stages for node in stage.nodes)
    sinks = tuple((name, value) for (name, _), value in sums.items())
    return Stage(nodes, stages[0].incoming, sinks)


def grouped(flow: Flow, most: int) -> Flow:
    """Return a flow of at most `most` stages, as far as chains and blocks can be put into one.

    First whatever has no weights and loses nothing joins its neighbours; then neighbours in chains
    are joined, those first where that hides the smallest loss, then blocks between a split and
    where its branches meet again. Inputs stay on their own.
    """
    before = 0
    while len(flow) > most and len(flow) != before:
        before = len(flow)
        flow = _shortened(flow, most)
        while len(flow) > most and (block := _smallest_block(flow)):
            flow = flow.merged([block])
    return flow


def _shortened(flow: Flow, most: int) -> Flow:
    """Join neighbours in chains, the cheapest first."""
    chains = [[[i] for i in chain] for chain in _chains(flow)]
    made = [[flow.stages[i] for (i,) in chain] for chain in chains]
    spare = len(flow) - most
    costs = [[_cost(*pair) for pair in pairwise(chain)] for chain in made]
    while any(costs):
        c, k = min(
            ((c, k) for c, row in enumerate(costs) for k in range(len(row))),
            key=lambda at: costs[at[0]][at[1]],
        )
        if spare <= 0 and costs[c][k][0]:
            break
        made[c][k : k + 2] = [_joined(made[c][k : k + 2])]
        chains[c][k : k + 2] = [chains[c][k] + chains[c][k + 1]]
        near = max(k - 1, 0)
        costs[c][near : k + 2] = [_cost(*pair) for pair in pairwise(made[c][near : k + 2])]
        spare -= 1
    return flow.merged(group for chain in chains for group in chain)


Cost = tuple[bool, float, float, int]


def _cost(one: Stage, other: Stage) -> Cost:
    """Return how bad it is to join two stages.

    Whether it may hide something, the loss that it hides, the larger one that no longer stands
    alone, and how little their names share.
    """
    less, more = sorted((one.loss, other.loss))
    shared = len(common_prefix([one.nodes[-1].name, other.nodes[0].name]))
    if not less and (one.is_passive or other.is_passive):
        return False, 0.0, 0.0, -shared
    return True, less, more, -shared


def _chains(flow: Flow) -> list[list[int]]:
    """Return all stages in runs without a branch; inputs are runs of their own."""
    leaving, arriving = Counter(w.source for w in flow.ways), Counter(w.target for w in flow.ways)
    after = {
        way.source: way.target
        for way in flow.ways
        if leaving[way.source] == arriving[way.target] == 1 and not flow.stages[way.target].is_input
    }
    runs = []
    for i in sorted(set(range(len(flow))) - set(after.values())):
        run = [i]
        while run[-1] in after:
            run.append(after[run[-1]])
        runs.append(run)
    return runs


def _smallest_block(flow: Flow) -> list[int] | None:
    """Return the block that hides the smallest loss as one stage; of several, the smallest."""
    leaving = [flow.leaving(i) for i in range(len(flow))]
    sources: list[set[int]] = [set() for _ in flow.stages]
    for way in flow.ways:
        sources[way.target].add(way.source)

    def hidden(block: list[int]) -> tuple[float, int]:
        losses = [flow.stages[i].loss for i in block]
        return sum(losses) - max(losses), len(block)

    found = [_block(i, leaving, sources) for i in range(len(flow)) if len(leaving[i]) > 1]
    return min((block for block in found if block), key=hidden, default=None)


def _block(
    first: int, leaving: Sequence[Sequence[Way]], sources: Sequence[set[int]]
) -> list[int] | None:
    """Return a stage and all that lies between it and where all its branches have met again.

    None where they do not meet, or where relevance joins them from elsewhere.
    """
    inside, waiting = {first}, {way.target for way in leaving[first]}
    while len(waiting) > 1:
        following = min(waiting)
        if not leaving[following] or not sources[following] <= inside:
            return None
        inside.add(following)
        waiting = (waiting - {following}) | {way.target for way in leaving[following]}
    return sorted(inside)


def label(stage: Stage, flow: Flow) -> str:
    """Return a stage's name: of several nodes, what they share or the first and the last."""
    if len(stage.nodes) == 1:
        return stage.nodes[0].name
    ranks = [RANKS.get(node.kind, 0) for node in stage.nodes]
    pairs = zip(stage.nodes, ranks, strict=True)
    names = [node.name for node, rank in pairs if rank == max(ranks)]
    names = names if max(ranks) else names[-1:]
    if len(names) == 1:
        return f"{names[0]} +{len(stage.nodes) - 1}"
    shared = stage.prefix
    others = (node.name for other in flow.stages if other is not stage for node in other.nodes)
    if shared and not any(name.startswith(shared) for name in others):
        return f"{shared.rstrip(JOINTS)} ({len(stage.nodes)} nodes)"
    return f"{names[0]} … {names[-1][len(shared) :]} ({len(stage.nodes)} nodes)"


def common_prefix(names: Sequence[str]) -> str:
    """Return what all names begin with, up to the last joint: "conv2_block1_"."""
    first, last = min(names), max(names)  # the two that differ most, in alphabetical order
    pairs = zip(first, last, strict=False)
    count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return first[: max(first.rfind(joint, 0, count) for joint in JOINTS) + 1]
