"""Equal parts for all inputs that reach an output, from the geometry of a linear node alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.nodes import Affine, Linear
from lrpkeras.graph.operations import FlatForm
from lrpkeras.rules.rule import Array, Prepared


@dataclass(frozen=True)
class EqualShares:
    """How much of an output each input that reaches it gets: `share = 1 / n_j`, 0 where n_j = 0.

    n_j counts real inputs; padding is none. It costs a box filter on one channel, no convolution.
    """

    node: Linear | Affine
    form: FlatForm
    x: Array
    share: Array

    def back(self, relevance: Array) -> Array:
        """Return `sum_j R_j / n_j` over the outputs that each input reaches, `(k, batch, ...)`."""
        s = relevance * self.share
        if isinstance(self.node, Affine):
            return s
        merged = self.form.reduce(backend.merge_leading(s))
        ones = backend.constant(self.form.kernel, dtype=self.x.dtype)
        back = self.form.operation.adjoint(merged, ones, backend.shape(self.x))
        return backend.split_leading(self.form.expand(back), s.shape[0])

    @property
    def unreached(self) -> Array:
        """One at outputs that no input reaches, zero elsewhere."""
        return ops.cast(self.share == 0, self.share.dtype)


def prepare(node: Linear | Affine) -> dict[str, Array]:
    """Return what `equal_shares` reads: where the input's size is static, the shares themselves."""
    form = node.operation.flat(node.kernel.shape)
    arrays: dict[str, Any] = {"ones": form.kernel.astype(node.kernel.dtype)}
    shape = node.facts.input_shapes[0]
    if None not in shape[1:] and not isinstance(node, Affine):
        sizes: list[Any] = [1, *shape[1:]]
        if form.width is not None:
            sizes[node.operation.channel_axis] = form.width
        dtype = str(node.kernel.dtype)
        ones, kernel = (backend.constant(a, dtype) for a in (np.ones(sizes), arrays["ones"]))
        arrays["share"] = backend.to_numpy(_share(form, ones, kernel))
    return arrays


def equal_shares(node: Linear | Affine, prepared: Prepared, x: Array, output: Array) -> EqualShares:
    """Return the shares at one input, from the arrays that `prepare` made."""
    form = node.operation.flat(node.kernel.shape)
    if "share" in prepared:
        share = prepared["share"]
    elif isinstance(node, Affine):
        share = ops.ones_like(output[:1])
    else:
        ones = ops.ones_like(x[:1])
        if form.width is not None:
            channel = np.zeros(form.width, "int32")
            ones = ops.take(ones, channel, axis=node.operation.channel_axis)
        share = _share(form, ones, prepared["ones"])
    return EqualShares(node, form, x, share)


def _share(form: FlatForm, ones: Array, kernel: Array) -> Array:
    count = form.fan * form.operation.apply(ones, kernel)
    return form.repeat(ops.divide_no_nan(ops.ones((), dtype=count.dtype), count))
