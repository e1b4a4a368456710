"""The flat rule: every input of an output gets the same, whatever its value and weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Affine, AveragePool, Linear, Node
from lrpkeras.graph.operations import FlatForm
from lrpkeras.rules.linear import Weighted, inverse
from lrpkeras.rules.pooling import AverageFlat
from lrpkeras.rules.relevance import Relevance
from lrpkeras.rules.rule import Array, ByKind, Prepared, Rule


@dataclass(frozen=True)
class FlatState:
    """A flat node: how many inputs reach each output."""

    node: Weighted
    form: FlatForm
    x: Array
    z: Array
    share: Array


@dataclass(frozen=True)
class Flat(ByKind):
    """Every input that reaches an output gets the same: `R_i = sum_j 1 / n_j R_j`.

    n_j counts real inputs; padding is none. [Lapuschkin et al. 2019, which counts padding.]
    """

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine, AveragePool)

    def part(self, node: Node) -> Rule:
        return AverageFlat() if isinstance(node, AveragePool) else LinearFlat()


@dataclass(frozen=True)
class LinearFlat(Rule):
    """`Flat` for linear nodes."""

    kinds: ClassVar[tuple[type[Node], ...]] = (Linear, Affine)

    def prepare(self, node: Weighted) -> dict[str, Array]:
        arrays = dict(node.parameters)
        form = node.operation.flat(node.kernel.shape)
        arrays["ones"] = form.kernel.astype(node.kernel.dtype)
        shape = node.facts.input_shapes[0]
        if None not in shape[1:] and not isinstance(node, Affine):
            ones = backend.constant(_ones_shape(node, shape, form.width), str(node.kernel.dtype))
            arrays["share"] = backend.to_numpy(_flat_share(node, form, ones, arrays["ones"]))
        return arrays

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> FlatState:
        form = node.operation.flat(node.kernel.shape)
        if "share" in prepared:
            share = prepared["share"]
        elif isinstance(node, Affine):
            share = ops.ones_like(output[:1])
        else:
            axis = node.operation.channel_axis
            ones = ops.ones_like(inputs[0][:1])
            if form.width is not None:
                ones = ops.take(ones, np.zeros(form.width, "int32"), axis=axis)
            share = _flat_share(node, form, ones, prepared["ones"])
        return FlatState(node, form, inputs[0], output, share)

    def propagate(self, state: FlatState, relevance: Relevance) -> tuple[Relevance | None, ...]:
        s = relevance.absolute(state.z) * state.share
        if isinstance(state.node, Affine):
            return (Relevance(s),)
        merged = state.form.reduce(backend.merge_leading(s))
        ones = backend.constant(state.form.kernel, dtype=state.x.dtype)
        back = state.form.operation.adjoint(merged, ones, backend.shape(state.x))
        return (Relevance(backend.split_leading(state.form.expand(back), s.shape[0])),)

    def losses(self, state: FlatState, relevance: Array) -> dict[str, Array]:
        return {"padding": relevance * ops.cast(state.share == 0, relevance.dtype)}


def _ones_shape(node: Weighted, shape: tuple, width: int | None) -> np.ndarray:
    sizes = [1, *shape[1:]]
    if width is not None:
        sizes[node.operation.channel_axis] = width
    return np.ones(sizes)


def _flat_share(node: Weighted, form: FlatForm, ones: Array, kernel: Array) -> Array:
    kernel = backend.constant(kernel) if isinstance(kernel, np.ndarray) else kernel
    count = form.fan * form.operation.apply(ones, kernel)
    return form.repeat(inverse(count))
