"""Rules for pooling."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import AveragePool, MaxPool, Node, Pool
from lrpkeras.rules.linear import inverse
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, Prepared, Rule, Vanishing


@dataclass(frozen=True)
class PoolWinner(Rule):
    """`Winner` for max pooling: all relevance of a window goes to its first maximum."""

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool,)

    def linearize(
        self, node: MaxPool, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        routes = None if node.window is not None else _global_winner(node, inputs[0])
        return node, inputs[0], output, routes

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, x, output, routes = state
        array = relevance.array
        if routes is not None:
            spread = _keepdims(node, array, len(x.shape) + 1)
            return (relevance.with_array(spread * routes),)
        k = array.shape[0]
        if k > 1 and _is_partition(node, x):
            # No input is in two windows: one that wins does so for every target.
            winners = _to_winners(node, x, output, ops.ones_like(output))
            return (relevance.with_array(_spread(node, array) * winners),)
        merged = backend.merge_leading(array)
        back = _to_winners(node, _tiled(x, k), _tiled(output, k), merged)
        return (relevance.with_array(backend.split_leading(back, k)),)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return output


def _to_winners(node: MaxPool, x: Array, output: Array, array: Array) -> Array:
    """Send `array`, shaped like the output, to the first maximum of each window."""
    arrays = (node.last(each) for each in (x, output, array))
    return node.first(backend.max_pool_adjoint(*arrays, **node.geometry))


def _spatial_axes(node: Pool, rank: int) -> range:
    return range(2, rank) if node.channels_first else range(1, rank - 1)


def _is_partition(node: Pool, x: Array) -> bool:
    """Whether every input is in one window, no more and no less; False where sizes are unknown."""
    sizes = [x.shape[axis] for axis in _spatial_axes(node, len(x.shape))]
    pairs = zip(sizes, node.window or (), strict=True)
    return node.strides == node.window and all(n is not None and n % w == 0 for n, w in pairs)


def _spread(node: Pool, array: Array) -> Array:
    """Copy what each window has, `(k, batch, ...)`, to all inputs of the window."""
    axes = _spatial_axes(node, len(array.shape) - 1)
    for axis, times in zip(axes, node.window or (), strict=True):
        array = ops.repeat(array, times, axis=axis + 1)
    return array


def ties_adjoint(node: MaxPool, array: Array, x: Array, output: Array) -> Array:
    """Send `array` `(k, batch, ...)` to every maximum of its window."""
    if node.window is None:
        spread = _keepdims(node, array, len(x.shape) + 1)
        return spread * _maxima(node, x, output)
    k = array.shape[0]
    last = backend.split_leading(node.last(backend.merge_leading(array)), k)
    back = backend.max_pool_ties_adjoint(node.last(x), node.last(output), last, **node.geometry)
    return backend.split_leading(node.first(backend.merge_leading(back)), k)


def ties_sum(node: MaxPool, values: Array, x: Array, output: Array) -> Array:
    """Add up `values`, shaped like `x`, over every window's maxima; ones count the ties."""
    if node.window is None:
        hits = values * _maxima(node, x, output)
        return ops.sum(hits, axis=node.axes, keepdims=node.keepdims)
    arrays = (node.last(array) for array in (x, output, values))
    return node.first(backend.max_pool_ties_sum(*arrays, **node.geometry))


def _maxima(node: Pool, x: Array, output: Array) -> Array:
    """One at every maximum over all pooled axes; zero elsewhere."""
    peak = ops.squeeze(_keepdims(node, ops.expand_dims(output, 0), len(x.shape) + 1), 0)
    return ops.cast(x == peak, x.dtype)


def _tiled(x: Array, times: int) -> Array:
    return x if times == 1 else ops.concatenate([x] * times, axis=0)


def _global_winner(node: Pool, x: Array) -> Array:
    """One at the first maximum over all pooled axes, in row-major order; zero elsewhere."""
    rank = len(x.shape)
    kept = [axis for axis in range(rank) if axis not in node.axes]
    order = (*kept, *node.axes)
    moved = ops.transpose(x, order)
    shape = backend.shape(moved)
    flat = ops.reshape(moved, (*shape[: len(kept)], -1))
    size = backend.shape(flat)[-1]
    hot = ops.one_hot(ops.argmax(flat, axis=-1), size, dtype=x.dtype)
    return ops.transpose(ops.reshape(hot, shape), tuple(int(i) for i in np.argsort(order)))


def _keepdims(node: Pool, array: Array, rank: int) -> Array:
    """Give `(k, batch, ...)` back the axes that a global pooling dropped, with size one."""
    if len(array.shape) == rank:
        return array
    for axis in sorted(node.axes):
        array = ops.expand_dims(array, axis + 1)
    return array


@dataclass(frozen=True)
class PoolTies(Rule):
    """`Ties` for max pooling: a window's relevance goes to all its maxima in equal parts."""

    kinds: ClassVar[tuple[type[Node], ...]] = (MaxPool,)

    def linearize(
        self, node: MaxPool, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        x = inputs[0]
        return node, x, output, ties_sum(node, ops.ones_like(x), x, output)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, x, output, count = state
        # A maximum is the output: R / output is R / x.
        return (relevance.with_array(ties_adjoint(node, relevance.array / count, x, output)),)

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return output


@dataclass(frozen=True)
class Window:
    """A pooling node at one input: the window's mean, and where its entries cancel."""

    node: AveragePool
    x: Array
    output: Array
    mean: Array
    magnitude: Array | None
    cancelled: Array | None


def _averaging(node: Pool) -> AveragePool:
    """Return the average pool of the same windows."""
    if isinstance(node, AveragePool):
        return node
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    return AveragePool(**fields)


@dataclass(frozen=True)
class PoolShare(Rule):
    """`Proportional` for pooling: `R_i = sum_j x_i / sum_window(x) R_j`.

    Where the entries of a window cancel, `|sum x| < delta sum |x|`, shares are `|x_i| / sum |x|`.
    """

    delta: float = 1e-6

    kinds: ClassVar[tuple[type[Node], ...]] = (AveragePool, MaxPool)

    def linearize(
        self, node: Pool, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Window:
        x, average = inputs[0], _averaging(node)
        mean = output if average is node else average.compute(inputs, {})
        if not node.facts.signed or self.delta == 0:
            return Window(average, x, output, mean, None, None)
        magnitude = average.compute((ops.absolute(x),), {})
        cancelled = ops.absolute(mean) < self.delta * magnitude
        return Window(average, x, output, mean, magnitude, cancelled)

    def propagate(self, state: Window, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, x, mean = state.node, state.x, state.mean
        if relevance.is_ratio and mean is state.output:
            ratio = relevance.array * ops.cast(mean != 0, mean.dtype)
        else:
            ratio = relevance.absolute(state.output) * inverse(mean)
        if state.cancelled is None:
            return (Relevance(average_adjoint(node, ratio, x), "ratio"),)
        by_size = relevance.absolute(state.output) * inverse(state.magnitude)
        none = ops.zeros_like(ratio)
        plain = average_adjoint(node, ops.where(state.cancelled, none, ratio), x)
        guarded = average_adjoint(node, ops.where(state.cancelled, by_size, none), x)
        return (Relevance(plain + ops.sign(x) * guarded, "ratio"),)

    def denominator(self, state: Window) -> Array | None:
        return state.mean

    def vanishing(self, node: Node, output: Vanishing) -> Vanishing:
        return Vanishing(True, not node.facts.signed)

    def losses(self, state: Window, relevance: Array) -> dict[str, Array]:
        whole = state.mean if state.magnitude is None else state.magnitude
        return {"zero sum": relevance * ops.cast(whole == 0, relevance.dtype)}


@dataclass(frozen=True)
class AverageFlat(Rule):
    """`Flat` for average pooling: all inputs of a window get the same."""

    kinds: ClassVar[tuple[type[Node], ...]] = (AveragePool,)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        node, _, inputs, output = state
        return (Relevance(average_adjoint(node, relevance.absolute(output), inputs[0])),)


def average_adjoint(node: AveragePool, array: Array, x: Array) -> Array:
    """Return the adjoint of average pooling at `array`, `(k, batch, ...)`."""
    if node.window is None:
        sizes = [backend.shape(x)[axis] for axis in node.axes]
        count = ops.cast(ops.prod(ops.stack(sizes)), x.dtype)
        spread = _keepdims(node, array, len(x.shape) + 1) / count
        return ops.broadcast_to(spread, (array.shape[0], *backend.shape(x)))
    k = array.shape[0]
    channels_last = node.last(x)
    spatial = backend.shape(channels_last)[1:-1]
    back = backend.average_pool_adjoint(
        node.last(backend.merge_leading(array)), spatial, **node.geometry
    )
    return backend.split_leading(node.first(back), k)
