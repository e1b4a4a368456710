"""Swap a normalization and the ReLU behind it, so that it can be folded as one without a ReLU.

`relu(s x + t) = s u + t` with the thresholded ReLU `u = x if s x + t > 0 else -t / s` [Guillemot et
al. 2020, section 3.3]. A channel with s = 0 is the constant relu(t): there u = 0 and t is relu(t),
so that the structure does not depend on the weights' values.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lrpkeras.canonize.paths import Path
from lrpkeras.canonize.places import layers_at
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Activation, Affine, Threshold


def threshold(graph: Graph, norm: Affine, paths: list[Path]) -> Graph | None:
    """Return the graph with the thresholded ReLU in the normalization's place, this behind it.

    Parameters
    ----------
    graph
        In topological order.
    norm
        A batch normalization.
    paths
        The ways from it to linear nodes.

    Returns
    -------
    None where not all ways go through one ReLU.
    """
    gates = {path.gate.name: path.gate for path in paths if path.gate is not None}
    direct = any(path.gate is None for path in paths)
    if direct or len(gates) != 1:
        return None
    (relu,) = gates.values()
    thresholded, behind = _swapped(norm, relu)
    folded = graph.folded | layers_at(graph, {norm.name})
    return replace(graph.with_nodes([thresholded, behind]), folded=folded)


def _swapped(norm: Affine, relu: Activation) -> tuple[Threshold, Affine]:
    shift = np.zeros_like(norm.scale) if norm.shift is None else norm.shift
    scale, shift = np.broadcast_arrays(norm.scale, shift)
    alive = scale != 0
    closed = np.divide(-shift, scale, out=np.zeros_like(scale), where=alive)
    thresholded = Threshold(
        name=norm.name,
        inputs=norm.inputs,
        shape=norm.shape,
        layers=norm.layers,
        layer_class=relu.layer_class,
        notes=(*norm.notes, f"{relu.name}, thresholded"),
        function=replace(relu.function, name="threshold", closes=False, homogeneous=False),
        scale=scale,
        shift=shift,
        closed=closed,
    )
    behind = replace(
        norm,
        name=relu.name,
        inputs=(norm.name,),
        shape=relu.shape,
        layers=(*relu.layers, *norm.layers),
        shift=np.where(alive, shift, np.maximum(shift, 0)),
    )
    return thresholded, behind
