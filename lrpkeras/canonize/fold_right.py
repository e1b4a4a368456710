"""Fold a batch normalization into the linear layers behind it, through what moves, pools or gates.

Guillemot et al. 2020, equations 13 and 14, where nothing pads: `kernel' = s kernel` on the input
axis and `bias' = bias + L(t)`. Padding makes the added bias a map: a window at the border sees the
shift fewer times. Through a ReLU the fold is a gate: `relu(s x + t) = s (m x) + t m` with
`m = 1[s x + t > 0]`, exact for every sign of s and for s = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrpkeras import backend
from lrpkeras.canonize.paths import (
    Path,
    channel_map,
    follow,
    has_unknown_size,
    is_uniform,
    linear_ends,
)
from lrpkeras.canonize.places import layers_at
from lrpkeras.canonize.threshold import threshold
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Keep
from lrpkeras.graph.nodes import Activation, Affine, Gate, Linear, Node, Route, Shift


@dataclass(frozen=True)
class Fold:
    """One linear node behind a normalization: the path to it and which channel each input is."""

    path: Path
    channels: np.ndarray
    uniform: bool


def fold_right(graph: Graph, *, plain: bool = False, thresholds: bool = False) -> Graph:
    """Return the graph in which normalizations before linear nodes are part of these.

    All or nothing: where one consumer cannot take the fold, the normalization stays an `Affine`
    node, with a note that says why.

    Parameters
    ----------
    graph
        In topological order.
    plain
        Only folds that a plain layer can hold: no gates, and no bias but a vector.
    thresholds
        Through a ReLU fold as a thresholded ReLU (`canonize.threshold`), not as a gate, where all
        ways lead through it.
    """
    # From the outputs up: where a later one is gone, an earlier one may reach a linear node.
    for node in reversed(list(graph)):
        norm = graph.nodes.get(node.name)
        if isinstance(norm, Affine) and norm.batch_norm:
            ends = linear_ends(graph, norm)
            folds = ends if isinstance(ends, str) else _folds(norm, ends, plain)
            if isinstance(folds, str):
                graph = graph.with_nodes([norm.noted(f"not folded: {folds}")])
            else:
                graph = _folded(graph, norm, folds, thresholds)
    return graph


def _folded(graph: Graph, norm: Affine, folds: list[Fold], thresholds: bool) -> Graph:
    swapped = threshold(graph, norm, [fold.path for fold in folds]) if thresholds else None
    if swapped is None:
        return _apply(graph, norm, folds)
    behind = swapped[next(fold.path.gate.name for fold in folds if fold.path.gate is not None)]
    assert isinstance(behind, Affine)
    direct = [replace(fold, path=replace(fold.path, gate=None)) for fold in folds]
    return _apply(swapped, behind, direct)


def _folds(norm: Affine, paths: list[Path], plain: bool) -> list[Fold] | str:
    """Where every consumer can take the fold, how; otherwise why not."""
    folds = []
    for path in paths:
        if plain and path.gate is not None:
            return f"{path.gate.name} would become a gate"
        traced = channel_map(norm, path)
        if isinstance(traced, str):
            return traced
        channels, uniform = traced
        if path.end.operation.scale_input(path.end.kernel, np.ones(len(channels))) is None:
            return f"{path.end.name} has no kernel axis for it"
        bias = path.end.bias
        if plain and not (is_uniform(path, uniform) and (bias is None or bias.ndim == 1)):
            return f"the bias of {path.end.name} would be no vector"
        folds.append(Fold(path, channels, uniform))
    return folds


def _apply(graph: Graph, norm: Affine, folds: list[Fold]) -> Graph:
    changed: dict[str, Node] = {}
    for fold in folds:
        gated = fold.path.gate is not None
        if gated or (not is_uniform(fold.path, fold.uniform) and has_unknown_size(fold.path)):
            changed |= _with_shift(norm, fold)
        else:
            changed[fold.path.end.name] = _with_bias(norm, fold)
    direct = any(fold.path.gate is None for fold in folds)
    places = dict(graph.places)
    here = layers_at(graph, {norm.name})
    if direct:
        keep = Route(
            name=norm.name,
            inputs=norm.inputs,
            shape=norm.shape,
            layers=norm.layers,
            layer_class=norm.layer_class,
            move=Keep(),
        )
        changed[norm.name] = keep.noted(f"folded into {', '.join(f.path.end.name for f in folds)}")
    else:
        gate = folds[0].path.gate
        places |= {layer: gate.name for layer in here if gate is not None}
    passed = [node.name for f in folds for node in (f.path.gate, *f.path.nodes) if node]
    folded = graph.folded | here | layers_at(graph, passed)
    graph = replace(graph.with_nodes(changed.values()), places=places, folded=folded)
    return graph.sorted()


def _scaled(norm: Affine, fold: Fold) -> dict:
    """The fields of the linear node that every fold changes: its kernel takes the scale."""
    end = fold.path.end
    vector = norm.scale.reshape(-1)[fold.channels]
    kernel = end.operation.scale_input(end.kernel, vector)
    assert kernel is not None
    return {
        "kernel": kernel.astype(end.kernel.dtype),
        "layers": (*end.layers, *norm.layers),
        "notes": (*end.notes, f"{', '.join(norm.layers)} folded"),
    }


@backend.precise()
def _with_bias(norm: Affine, fold: Fold) -> Linear:
    """The end of a path without a ReLU: the shift's way through it is a constant bias."""
    end = fold.path.end
    constant = follow(fold.path, norm, norm.shift)
    added = end.operation.apply(constant, backend.constant(end.kernel.astype("float64")))
    bias_map = backend.to_numpy(added)[0]
    if is_uniform(fold.path, fold.uniform):
        axis = end.operation.channel_axis % len(end.shape) - 1
        bias_map = np.moveaxis(bias_map, axis, -1)
        bias_map = bias_map.reshape(-1, bias_map.shape[-1])[0]
    if end.bias is not None:
        bias = end.bias if bias_map.ndim == 1 else backend.to_numpy(end.aligned_bias(end.bias))
        bias_map = bias_map + bias
    return replace(end, bias=bias_map.astype(end.kernel.dtype), **_scaled(norm, fold))


def _with_shift(norm: Affine, fold: Fold) -> dict[str, Node]:
    """The nodes of a fold whose shift depends on the sample, or on its size."""
    end, gate, source = fold.path.end, fold.path.gate, norm.inputs[0]
    shift_array = np.zeros_like(norm.scale) if norm.shift is None else norm.shift
    changed: dict[str, Node] = {}
    owner = norm if gate is None else gate
    if gate is not None:
        changed[gate.name] = _gate(norm, gate, shift_array)
    shift = Shift(
        name=f"{owner.name}:shift",
        inputs=(source,),
        shape=norm.shape,
        layers=norm.layers,
        scale=None if gate is None else norm.scale,
        shift=shift_array,
    )
    changed[shift.name] = shift
    last = shift.name
    for node in fold.path.nodes:
        copy = replace(node, name=f"{node.name}:shift", inputs=(last,), layers=())
        changed[copy.name] = copy
        last = copy.name
    changed[end.name] = _gated_end(norm, fold, last)
    return changed


def _gate(norm: Affine, relu: Activation, shift: np.ndarray) -> Gate:
    return Gate(
        name=relu.name,
        inputs=norm.inputs,
        shape=relu.shape,
        layers=(*relu.layers, *norm.layers),
        layer_class=relu.layer_class,
        notes=(*relu.notes, f"gate of {', '.join(norm.layers)}"),
        function=replace(relu.function, steps=False),
        scale=norm.scale,
        shift=shift,
    )


def _gated_end(norm: Affine, fold: Fold, shift: str) -> Linear:
    end = fold.path.end
    vector = norm.scale.reshape(-1)[fold.channels]
    rank = len(end.shape)
    shape = [1] * (rank - 1)
    shape[end.operation.channel_axis % rank - 1] = -1
    return replace(
        end,
        inputs=(end.inputs[0], shift),
        base_kernel=end.kernel,
        fold_scale=vector.reshape(shape),
        **_scaled(norm, fold),
    )
