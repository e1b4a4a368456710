"""What is added to a node: as its bias, where it has none, or as a shift behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lrpkeras.graph.draft import Tensor
from lrpkeras.graph.lower_normalization import affine
from lrpkeras.graph.moves import Reshape, Shape
from lrpkeras.graph.nodes import Affine, Linear, Node, Route
from lrpkeras.graph.operations import Dense, Einsum
from lrpkeras.graph.tensorflow_reader.lower_linear import channels_first
from lrpkeras.graph.tensorflow_reader.lowering import Op, lowers

Sizes = tuple[int, ...]


@lowers("BiasAdd", rowwise=True)
def bias_add(op: Op) -> Tensor:
    """A bias of the linear node in front, which only this reads; a shift elsewhere."""
    bias = op.constant(1)
    x = op.tensor(0)
    if channels_first(op):
        return shifted(op, x, bias.reshape((-1, *(1,) * (x.rank - 2))))
    return shifted(op, x, bias)


def shifted(op: Op, x: Tensor, shift: np.ndarray) -> Tensor:
    """Return `x + shift`: as the bias of the linear node that gives `x`, if it can be.

    So too as the shift of the batch normalization that gives `x`.
    """
    before, _ = op.reading.expanded.get(x.name, (x, 0))
    node = x.draft.nodes.get(before.name)
    bias = None
    if op.reading.read_once(_data(op)) and not _is_plain_number(op):
        bias = _as_bias(node, before, shift, x.rank)
        if bias is None:
            node, bias = _as_own_map(op, x, shift)
    if bias is None or node is None:
        return affine(x, 1.0, shift)
    layers = tuple(dict.fromkeys((*node.layers, x.draft.site.layer)))
    x.draft.nodes[node.name] = replace(node, layers=layers, **x.draft.fields(bias))
    op.reading.changed[node.name] = op.operation.name
    return x


def _as_bias(node: Node | None, x: Tensor, shift: np.ndarray, rank: int) -> dict | None:
    """Return the field of a node that a shift behind it becomes, if it can."""
    if isinstance(node, Linear) and node.bias is None:
        channel = node.operation.channel_axis
        vector = _as_vector(shift, rank, 1 if channel == 1 else rank - 1)
        if vector is not None and vector.size == x.shape[channel]:
            return {"bias": vector}
        sizes = _within(shift, x.shape)
        if isinstance(node.operation, Einsum) and shift.size > 1 and sizes is not None:
            return {"bias": shift.reshape(sizes)}
    if isinstance(node, Affine) and node.batch_norm and node.shift is None:
        vector = _as_vector(shift, rank, node.axis % rank)
        if vector is not None and vector.size == node.scale.size:
            return {"shift": vector.reshape(node.scale.shape)}
    return None


def _data(op: Op) -> Any:
    """The tensor that something is added to."""
    return next(t for t in op.operation.inputs if not op.reading.constants.is_constant(t))


def _within(shift: np.ndarray, shape: Shape) -> Sizes | None:
    """Return a shift's sizes along the axes of a sample, if it does not widen them."""
    sizes = (1,) * (len(shape) - shift.ndim) + shift.shape
    pairs = zip(sizes, shape, strict=False)
    if len(sizes) != len(shape) or sizes[0] != 1 or any(n not in (1, size) for n, size in pairs):
        return None
    return sizes[1:]


def _as_own_map(op: Op, x: Tensor, shift: np.ndarray) -> tuple[Node | None, dict | None]:
    """Return a matrix product and the bias, of any axes, that its own layer adds behind it.

    TensorFlow writes an einsum as a product of rows, and splits their axis again where there were
    several.
    """
    tensor = _data(op)
    node = x.draft.nodes.get(x.name)
    if node is None:  # a tensor that no node can hold
        return None, None
    if isinstance(node, Route) and isinstance(node.move, Reshape) and tensor.op.type == "Reshape":
        node = x.draft.nodes[node.inputs[0]]
        tensor = tensor.op.inputs[0]
    product = isinstance(node, Linear) and isinstance(node.operation, Dense) and node.bias is None
    own = x.draft.site.layer in node.layers and op.reading.read_once(tensor)
    sizes, inner, outer = _within(shift, x.shape), _known(node.shape), _known(x.shape)
    if not (product and own) or sizes is None or inner is None or outer is None:
        return None, None
    return node, {"bias": np.broadcast_to(shift.reshape(sizes), outer).reshape(inner)}


def _known(shape: Shape) -> Sizes | None:
    """The sizes of a sample, if all are known."""
    sizes = tuple(n for n in shape[1:] if n is not None)
    return sizes if len(sizes) == len(shape) - 1 else None


def _is_plain_number(op: Op) -> bool:
    """Whether a shift is no weight, where others are: something that a layer's output is added to.

    In a frozen graph all are alike.
    """
    fixed = op.fixed is not None and op.reading.constants.is_fixed(op.operation.inputs[op.fixed])
    return fixed and bool(op.reading.flat.variables)


def _as_vector(array: np.ndarray, rank: int, channel: int) -> np.ndarray | None:
    """Return a constant that varies along the channels alone as a vector."""
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(n != 1 for axis, n in enumerate(shape) if axis != channel):
        return None
    return array.reshape(-1)
