"""Fuse a normalization that varies by position with the linear layer in front of it.

Guillemot et al. 2020, section 4: a convolution is written out as a fully connected layer, whose
matrix takes any scale: `kernel' = kernel s`, `bias' = s bias + t`, one s and t for each output.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from lrpkeras import backend
from lrpkeras.canonize.places import layers_at
from lrpkeras.errors import ModelError, near_misses
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.matrix import Matrix
from lrpkeras.graph.moves import Shape
from lrpkeras.graph.nodes import Affine, Linear, Node

# 128 MiB of weights in float32; sign-splitting rules keep up to two more matrices of that size.
LIMIT = 2**25


def fuse_normalization(
    graph: Graph, layers: Collection[str] | None = None, *, limit: int = LIMIT
) -> Graph:
    """Return the graph in which `scale * L(x) + shift` is one linear node, whatever the scale.

    Rules that split messages by sign then see the weights that are effective: scales of both signs
    within one channel swap the parts. Where the scale only differs between channels, the kernel
    takes it as it is, and a shift that varies becomes a bias map; elsewhere the layer becomes one
    matrix of all inputs by all outputs (a `Linear` node whose operation is a `Matrix`). Linear
    layers that something else reads, too, are left as they are.

    Parameters
    ----------
    graph
        As a reader, or another pass, returns it.
    layers
        Names of the normalizations to fuse; None for all that stand behind a linear layer.
    limit
        The largest number of entries of a matrix, and of the identity of its inputs that it is
        computed from.

    Raises
    ------
    ModelError
        A matrix would be larger than `limit`, or a size is only known at run time; a named layer
        does not exist, or nothing can be fused there.
    """
    for name in _wanted(graph, layers):
        norm = graph[name]
        linear = _in_front(graph, norm)
        if isinstance(norm, Affine) and linear is not None:
            graph = _with_fused(graph, norm, _fused(linear, norm, graph, limit))
        elif layers is not None:
            raise _unfit(name)
    return graph.sorted()


def _wanted(graph: Graph, layers: Collection[str] | None) -> list[str]:
    """Return the affine nodes that layers became, or all, in the graph's order."""
    affine = [node for node in graph if isinstance(node, Affine)]
    if layers is None:
        return [node.name for node in affine]
    known = {name for node in graph for name in (node.name, *node.layers)}
    fitting = {name for node in affine for name in (node.name, *node.layers)}
    for layer in layers:
        if layer not in known:
            raise ModelError(f"There is no layer {layer!r}{near_misses(layer, known) or '.'}")
        if layer not in fitting:
            raise _unfit(layer)
    return [node.name for node in affine if {node.name, *node.layers} & set(layers)]


def _unfit(name: str) -> ModelError:
    return ModelError(
        f"{name!r} cannot be fused: it must be a scale and shift by constants, directly behind a "
        "linear layer that nothing else reads."
    )


def _in_front(graph: Graph, norm: Node) -> Linear | None:
    """Return the linear node that a normalization alone reads, if there is one."""
    source = graph[norm.inputs[0]] if isinstance(norm, Affine) else None
    if not isinstance(source, Linear) or source.base_kernel is not None:
        return None
    alone = len(graph.consumers()[source.name]) == 1 and source.name not in graph.outputs
    return source if alone else None


def _with_fused(graph: Graph, norm: Affine, fused: Linear) -> Graph:
    folded = graph.folded | layers_at(graph, {fused.name})
    return replace(graph.with_nodes([fused]), folded=folded).without({norm.name: fused.name})


def _fused(linear: Linear, norm: Affine, graph: Graph, limit: int) -> Linear:
    vector = _per_channel(norm.scale, linear)
    kernel = None if vector is None else linear.operation.scale_output(linear.kernel, vector)
    if kernel is not None:
        whole = replace(linear, kernel=kernel.astype(linear.kernel.dtype))
        note = f"{', '.join(norm.layers)} fused"
    else:
        whole = _written_out(linear, norm, graph, limit)
        note = f"{', '.join(norm.layers)} fused, as one matrix"
    layers = (*linear.layers, *norm.layers)
    return replace(whole, bias=_bias(linear, norm), layers=layers).noted(note)


def _per_channel(constant: np.ndarray, linear: Linear) -> np.ndarray | None:
    """Return a constant as a vector along the output channels; None where it varies otherwise.

    The shape of the array decides, not its values.
    """
    rank = len(linear.shape)
    channel = linear.operation.channel_axis % rank
    channels = linear.shape[channel]
    sizes = dict(enumerate(constant.shape, start=rank - constant.ndim))
    if channels is None or any(n != 1 for axis, n in sizes.items() if axis != channel):
        return None
    return np.broadcast_to(constant.reshape(-1), (channels,))


def _written_out(linear: Linear, norm: Affine, graph: Graph, limit: int) -> Linear:
    """Return the linear node as a matrix, its columns scaled."""
    inputs = _known(graph[linear.inputs[0]].shape, norm, linear)
    outputs = _known(linear.shape, norm, linear)
    rows = math.prod(inputs)
    size = rows * max(rows, math.prod(outputs))
    if size > limit:
        raise ModelError(
            f"{norm.name!r} cannot be fused with {linear.name!r}: a matrix of {inputs} by "
            f"{outputs}, made from the identity of its inputs, takes {size:,} entries, more than "
            f"{limit:,}. Leave it unfused, or give more: fuse_normalization(..., limit=...)."
        )
    kernel = linear.as_matrix(inputs) * np.broadcast_to(norm.scale, outputs).reshape(-1)
    written = linear.operation
    if not isinstance(written, Matrix):
        written = Matrix(written, linear.kernel.shape, inputs, outputs)
    return replace(linear, operation=written, kernel=kernel.astype(linear.kernel.dtype))


def _known(shape: Shape, norm: Affine, linear: Linear) -> tuple[int, ...]:
    """Return the sizes of one sample."""
    sizes = tuple(n for n in shape[1:] if n is not None)
    if len(sizes) < len(shape) - 1:
        raise ModelError(
            f"{norm.name!r} cannot be fused with {linear.name!r}, whose sizes are only known at "
            "run time: build the model with a fixed input size."
        )
    return sizes


def _bias(linear: Linear, norm: Affine) -> np.ndarray | None:
    """Return `s bias + t`: a vector along the channels where both are, else a map."""
    total = norm.shift
    if linear.bias is not None:
        scaled = backend.to_numpy(linear.aligned_bias(linear.bias)) * norm.scale
        total = scaled if total is None else scaled + total
    if total is None:
        return None
    vector = _per_channel(total, linear)
    spread = (
        np.broadcast_to(total, _known(linear.shape, norm, linear)) if vector is None else vector
    )
    return spread.astype(linear.kernel.dtype)
