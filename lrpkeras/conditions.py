"""Through which channels relevance must flow: from what users say to masks on its way back.

Concept Relevance Propagation [Achtibat et al. 2023, Nature Machine Intelligence]: at a layer,
relevance of all channels but the given ones is set to zero, and so is what flows past the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import TargetError
from lrpkeras.graph.blocks import Edge
from lrpkeras.graph.channels import channel_axis, channel_count
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.leads import Leads
from lrpkeras.propagate import Program, Sieve

Array = Any
# Channel numbers, or a factor for each channel.
Channels: TypeAlias = tuple[int, ...] | np.ndarray
Condition: TypeAlias = dict[str, Channels]
Find = Callable[[str], Mapping[str, str]]

_KINDS = " Give an int, a list of ints, a boolean mask, or a factor for each channel."


@dataclass(frozen=True)
class Ways:
    """What a compiled function must know of conditions: all but their channels.

    Attributes
    ----------
    nodes
        For each condition the nodes that it names.
    several
        Whether results have an axis for the conditions.
    """

    nodes: tuple[tuple[str, ...], ...]
    several: bool

    @property
    def count(self) -> int:
        """How many conditions there are."""
        return len(self.nodes)

    @property
    def named(self) -> tuple[str, ...]:
        """All nodes that a mask is for."""
        return tuple(sorted({name for nodes in self.nodes for name in nodes}))

    def sizes(self, graph: Graph) -> list[int | None]:
        """How many channels each of `named` has."""
        return [channel_count(graph, name) for name in self.named]

    def starts(self, array: Array) -> Array:
        """Relevance of the output `(k, batch, ...)`, once for each condition of each target.

        One target's stays one: down to the layers that are conditioned on it is the same for all
        conditions, and masks of several make it several there.
        """
        return array if array.shape[0] == 1 else ops.repeat(array, self.count, axis=0)

    def sieve(self, program: Program, masks: Sequence[Array], k: int) -> Sieve:
        """Return what lets relevance of `k` targets through.

        `masks` are `(conditions, channels)`, one for each of `named`.
        """
        pairs = zip(self.named, masks, strict=True)
        spread = {name: _spread(mask, program.graph, name, k) for name, mask in pairs}
        ways = {
            edge: np.tile(opened, k) if opened.any() else None
            for edge, opened in self._open(program).items()
        }
        return Sieve(spread, ways)

    def _open(self, program: Program) -> dict[Edge, np.ndarray]:
        """Tell to which conditions an edge is open, for all that are closed to some."""
        graph, edges, found = program.graph, program.edges, {}
        leads = {name: Leads.of(graph, edges, name) for name in self.named}
        for reader, numbers in edges.items():
            for number in numbers:
                read = graph[reader].inputs[number]
                opened = [all(leads[n].opens(reader, read) for n in group) for group in self.nodes]
                if not all(opened):
                    found[reader, number] = np.array(opened)
        return found

    def arranged(self, relevance: Array, k: int, several_targets: bool) -> Array:
        """`(k * conditions, batch, ...)` -> `(batch, k, conditions, ...)`, single axes left out."""
        if relevance.shape[0] != k * self.count:
            relevance = ops.repeat(relevance, self.count, axis=0)
        _, *rest = backend.shape(relevance)
        split = ops.reshape(relevance, (k, self.count, *rest))
        first = ops.moveaxis(split, 2, 0)
        single = [axis for axis, kept in ((1, several_targets), (2, self.several)) if not kept]
        return ops.squeeze(first, single) if single else first


@dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions for a whole data set.

    Attributes
    ----------
    given
        For each condition the channels of every layer that it names.
    masks
        By node, `(conditions, channels)`: what relevance of each channel is multiplied by.
    ways
        The nodes that each condition names.
    """

    given: tuple[Condition, ...]
    masks: Mapping[str, np.ndarray]
    ways: Ways

    @property
    def record(self) -> Condition | tuple[Condition, ...]:
        """The conditions as `Explanation` shows them: one dict, or a tuple."""
        return self.given if self.ways.several else self.given[0]

    @property
    def arrays(self) -> list[np.ndarray]:
        """The masks in the order in which the compiled function takes them."""
        return [self.masks[name] for name in self.ways.named]

    def chunks(self, size: int) -> Iterator[Conditions]:
        """Yield at most `size` conditions at a time."""
        for start in range(0, self.ways.count, size):
            part = slice(start, start + size)
            masks = {name: mask[part] for name, mask in self.masks.items()}
            ways = replace(self.ways, nodes=self.ways.nodes[part])
            yield Conditions(self.given[part], masks, ways)


def parse(condition: Any, program: Program, find: Find) -> Conditions | None:
    """Read what `Analyzer.explain` accepts as condition.

    Parameters
    ----------
    condition
        None, a dict from layer to channels, or a list of such dicts.
    program
        What is explained.
    find
        From a name or glob to layers and their nodes.

    Raises
    ------
    RuleError
        If a layer is unknown.
    TargetError
        If a condition is of no such kind, if a layer has no such channels, or if relevance cannot
        flow through what is named.
    """
    if condition is None:
        return None
    listed = list(condition) if isinstance(condition, list | tuple) else [condition]
    if not listed or not all(isinstance(one, Mapping) and one for one in listed):
        raise TargetError(
            f"condition={condition!r} is neither {{layer: channels}} nor a list of such dicts, "
            "none of them empty."
        )
    read = [_read(one, program, find) for one in listed]
    named = sorted({name for _, m in read for name in m})
    ones = {name: np.ones(next(m[name].shape for _, m in read if name in m)) for name in named}
    masks = {name: np.stack([m.get(name, ones[name]) for _, m in read]) for name in named}
    several = not isinstance(condition, Mapping)
    ways = Ways(tuple(tuple(sorted(m)) for _, m in read), several)
    return Conditions(tuple(channels for channels, _ in read), masks, ways)


def _read(
    condition: Mapping[Any, Any], program: Program, find: Find
) -> tuple[Condition, dict[str, np.ndarray]]:
    """Return one condition's channels by layer, and its masks by node."""
    given: Condition = {}
    masks, layers = dict[str, np.ndarray](), dict[str, str]()
    for pattern, channels in condition.items():
        layer, name = _place(pattern, find)
        if layer in given:
            raise TargetError(f"condition: {layer!r} is there twice, as {pattern!r} too.")
        given[layer], mask = _channels(layer, channels, _count(layer, name, program))
        layers[name] = layer
        masks[name] = mask * masks.get(name, 1.0)
        if not masks[name].any():
            raise TargetError(f"condition: nothing passes {layer!r}, for no channel is left there.")
    _check_flow(program, layers)
    return given, masks


def _place(pattern: Any, find: Find) -> tuple[str, str]:
    """Return the one layer that a name or glob means, and its node."""
    if not isinstance(pattern, str):
        raise TargetError(f"condition: {pattern!r} is no layer's name.")
    found = find(pattern)
    if len(found) > 1:
        raise TargetError(
            f"condition: {pattern!r} means {len(found)} layers ({', '.join(list(found)[:3])}, "
            "...): name one. Several in one dict must all be passed."
        )
    return next(iter(found.items()))


def _count(layer: str, name: str, program: Program) -> int:
    """Return how many channels a layer has, if relevance reaches it."""
    if name not in program.reached:
        raise TargetError(
            f"condition: relevance does not reach {layer!r}, which only scales or shifts what "
            "does. analyzer.explain(x, layers='*') shows where it is."
        )
    count = channel_count(program.graph, name)
    if count is None:
        raise TargetError(
            f"condition: where the channels of {layer!r} are, or how many, is unknown: name the "
            "layer in front or behind."
        )
    return count


def _channels(layer: str, given: Any, count: int) -> tuple[Channels, np.ndarray]:
    """Return what to show of one layer's channels, and the factor of each."""
    if isinstance(given, bool):
        raise TargetError(f"condition: {layer!r} has {given!r} for channels.{_KINDS}")
    array = _as_array(layer, given)
    if array.dtype.kind in "bf" and array.shape != (count,):
        raise TargetError(
            f"condition: a mask or factors for {layer!r} have shape ({count},), one for each "
            f"channel, not {array.shape}. For channel numbers give integers."
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise TargetError(f"condition: the factors for {layer!r} hold NaN or infinite values.")
        return array, array.astype("float64")
    numbers = np.flatnonzero(array) if array.dtype.kind == "b" else array.reshape(-1)
    mask = np.zeros(count)
    mask[_in_range(layer, numbers, count)] = 1.0
    return tuple(numbers.tolist()), mask


def _as_array(layer: str, given: Any) -> np.ndarray:
    try:
        array = backend.to_numpy(given) if backend.is_tensor(given) else np.asarray(given)
    except ValueError:
        array = np.asarray(None)
    if array.size == 0:
        raise TargetError(f"condition: {layer!r} has no channels to pass.{_KINDS}")
    if array.dtype.kind not in "biuf" or array.ndim > 1:
        raise TargetError(f"condition: {layer!r} has {given!r} for channels.{_KINDS}")
    return array


def _in_range(layer: str, numbers: np.ndarray, count: int) -> np.ndarray:
    """Refuse channel numbers that the layer does not have, or that are there twice."""
    wrong = numbers[(numbers < 0) | (numbers >= count)]
    if wrong.size:
        raise TargetError(
            f"condition: channel {wrong[0]} is out of range: {layer!r} has channels 0 to "
            f"{count - 1}."
        )
    values, times = np.unique(numbers, return_counts=True)
    if (times > 1).any():
        raise TargetError(
            f"condition: channel {values[times > 1][0]} is there twice for {layer!r}. For a mask "
            "give booleans."
        )
    return numbers


def _check_flow(program: Program, layers: Mapping[str, str]) -> None:
    """Refuse layers (by node) through which no way leads, or whose masks a rule would undo."""
    for name, layer in layers.items():
        leads = Leads.of(program.graph, program.edges, name)
        beside = [layers[other] for other in layers if not leads.passes(other)]
        if beside:
            raise TargetError(
                f"condition: {layer!r} and {beside[0]!r} lie side by side: no relevance flows "
                "through both. For what flows through either, give two conditions in a list and "
                "add up their maps."
            )
        for block in (block for group in program.blocks.values() for block in group):
            if block.sum not in leads.behind and block.fork not in leads.before:
                raise TargetError(
                    f"condition: {layer!r} lies within, or beside, the residual block that ends at "
                    f"{block.sum!r}. Relative gives each branch as much relevance where it begins "
                    f"as it had at its end, masked or not: name {block.sum!r} or a layer outside."
                )


def _spread(mask: Array, graph: Graph, name: str, k: int) -> Array:
    """`(conditions, channels)` -> `(k * conditions, 1, ..., channels, ..., 1)`."""
    axis, rank = channel_axis(graph, name), len(graph[name].shape)
    assert axis is not None
    sizes = [1] * (rank + 1)
    sizes[0], sizes[axis + 1] = mask.shape
    return ops.tile(ops.reshape(mask, sizes), (k, *(1,) * rank))
