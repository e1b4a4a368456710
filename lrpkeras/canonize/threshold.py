"""Swap a normalization and the ReLU behind it, so that it can be folded as one without a ReLU.

`relu(s x + t) = s u + t` with the thresholded ReLU `u = x if s x + t > 0 else -t / s` [Guillemot et
al. 2020, section 3.3]. A channel with s = 0 is the constant relu(t): there u = 0 and t is relu(t),
so that the structure does not depend on the weights' values. So is one whose s is so small beside t
(1e-19 in float32, 1e-154 in float64) that x changes no digit of `s x + t`: decayed gammas are, and
-t / s, or a kernel times s, would leave the range of numbers.
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
    thresholded, behind = _swapped(norm, relu, _alive(norm, graph.dtype))
    folded = graph.folded | layers_at(graph, {norm.name})
    return replace(graph.with_nodes([thresholded, behind]), folded=folded)


def _alive(norm: Affine, dtype: str) -> np.ndarray:
    """Which channels depend on their input: s is not zero, nor lost beside t."""
    least = float(np.sqrt(np.finfo(dtype).tiny))
    return np.abs(norm.scale) > least * np.abs(_shift(norm))


def _shift(norm: Affine) -> np.ndarray:
    return np.zeros_like(norm.scale) if norm.shift is None else norm.shift


def _swapped(norm: Affine, relu: Activation, alive: np.ndarray) -> tuple[Threshold, Affine]:
    scale, shift = np.where(alive, norm.scale, 0.0), np.where(alive, _shift(norm), 0.0)
    closed = np.divide(-shift, scale, out=np.zeros_like(scale), where=alive)
    thresholded = Threshold(
        name=norm.name,
        inputs=norm.inputs,
        shape=norm.shape,
        layers=norm.layers,
        layer_class=relu.layer_class,
        notes=(*norm.notes, f"{relu.name}, thresholded"),
        function=replace(
            relu.function, name="threshold", closes=False, homogeneous=False, steps=False
        ),
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
        scale=scale,
        shift=np.where(alive, shift, np.maximum(_shift(norm), 0)),
    )
    return thresholded, behind
