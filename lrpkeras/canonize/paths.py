"""The ways from a normalization to the linear nodes that could take it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpkeras import backend
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Activation, Affine, AveragePool, Gate, Linear, Node, Route
from lrpkeras.graph.operations import Einsum

# Stands for a size that is unknown until run time; which channel goes where does not depend on it.
SOME_SIZE = 32


@dataclass(frozen=True)
class Path:
    """Normalization, perhaps a ReLU, then nodes that move or pool, then a linear node."""

    gate: Activation | None
    nodes: tuple[Route | AveragePool, ...]
    end: Linear


def linear_ends(graph: Graph, norm: Affine) -> list[Path] | str:
    """Return all paths from `norm` to linear nodes, or why one consumer is none."""
    consumers = graph.consumers()
    paths: list[Path] = []
    open_ends: list[tuple[Node, Any, tuple]] = [(norm, None, ())]
    while open_ends:
        node, gate, passed = open_ends.pop()
        if node.name in graph.outputs:
            return f"{node.name} is an output"
        for consumer in consumers[node.name]:
            if isinstance(consumer, Linear) and consumer.base_kernel is None:
                paths.append(Path(gate, passed, consumer))
            elif isinstance(consumer, Route | AveragePool) and len(consumer.inputs) == 1:
                open_ends.append((consumer, gate, (*passed, consumer)))
            elif _is_relu(consumer) and node is norm:
                open_ends.append((consumer, consumer, passed))
            else:
                return f"{consumer.name} ({consumer.kind}) reads it"
    return paths or "nothing reads it"


def _is_relu(node: Node) -> bool:
    relu = isinstance(node, Activation) and node.function.name == "relu"
    return relu and not isinstance(node, Gate)


@backend.precise()
def channel_map(norm: Affine, path: Path) -> tuple[np.ndarray, bool] | str:
    """Trace which of the normalization's channels each input channel of the path's end comes from.

    The channel numbers themselves (from 1; 0 marks a filled-in zero) are sent along the path, so
    that the answer never depends on the values of the weights.

    Returns
    -------
    The channel number (from 0) for each channel of the linear node, and whether the path fills in
    no zeros; or, where the channels do not stay apart, what is in the way.
    """
    size = norm.scale.size
    probe = _spread(norm, np.arange(1.0, size + 1).reshape(norm.scale.shape))
    filled = False
    for node in path.nodes:
        if isinstance(node, AveragePool):
            settled = _settle(probe, _pooled_axes(node))
            if settled is None:
                return f"{node.name} mixes its channels"
            filled, probe = filled or not probe.all(), settled
        probe = np.round(backend.to_numpy(node.compute((backend.constant(probe),), {})))
    rank = probe.ndim
    channel = path.end.operation.channel_axis % rank
    settled = _settle(probe, tuple(axis for axis in range(1, rank) if axis != channel))
    if settled is None:
        return f"its channels are not those of {path.end.name}"
    filled = filled or not probe.all()
    vector = np.moveaxis(settled, channel, -1).reshape(-1, probe.shape[channel])[0]
    return np.maximum(vector.astype(int) - 1, 0), not filled


def _spread(norm: Affine, values: np.ndarray) -> np.ndarray:
    """Copy a per-channel array over one sample of the normalization's shape, in float64."""
    shape = (1, *(SOME_SIZE if n is None else n for n in norm.shape[1:]))
    return np.broadcast_to(values, shape).astype("float64")


def _settle(probe: np.ndarray, axes: tuple[int, ...]) -> np.ndarray | None:
    """Fill in the zeros along `axes` with the one number that occurs there; None if several do."""
    highest = probe.max(axis=axes, keepdims=True)
    if not np.all((probe == highest) | (probe == 0)):
        return None
    return np.broadcast_to(highest, probe.shape)


def _pooled_axes(node: AveragePool) -> tuple[int, ...]:
    if node.window is None:
        return node.axes
    rank = len(node.window)
    return tuple(range(2, 2 + rank)) if node.channels_first else tuple(range(1, 1 + rank))


@backend.precise()
def follow(path: Path, norm: Affine, values: np.ndarray | None) -> object:
    """Return the path evaluated on a per-channel constant (None for zero), at the linear node."""
    constant = np.zeros(norm.scale.shape) if values is None else values
    value = backend.constant(_spread(norm, constant))
    for node in path.nodes:
        value = node.compute((value,), {})
    return value


def is_uniform(path: Path, unfilled: bool) -> bool:
    """Whether a constant per channel gives the linear node the same output at every position."""
    operation = path.end.operation
    alike = not (operation.pads or (isinstance(operation, Einsum) and _varies(operation)))
    if len(path.end.shape) == 2:
        # A mean over filled-in zeros depends on how many there are beside the rest.
        return unfilled or not has_unknown_size(path)
    return unfilled and alike


def has_unknown_size(path: Path) -> bool:
    """Whether a size on the path is only known at run time."""
    return any(None in node.shape[1:] for node in (*path.nodes, path.end))


def _varies(operation: Einsum) -> bool:
    """Whether the kernel is another one at each output position."""
    _, kernel, output = operation.letters
    return bool(set(output[:-1]) & set(kernel))
