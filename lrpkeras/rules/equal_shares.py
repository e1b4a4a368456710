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
    Outputs that the form reduces to one have one share.
    """

    node: Linear | Affine
    form: FlatForm
    x: Array
    share: Array

    def back(self, relevance: Array) -> Array:
        """Return `sum_j R_j / n_j` over the outputs that each input reaches, `(k, batch, ...)`."""
        if isinstance(self.node, Affine):
            return relevance
        merged = self.form.reduce(backend.merge_leading(relevance)) * self.share
        ones = backend.constant(self.form.kernel, dtype=self.x.dtype)
        back = self.form.operation.adjoint(merged, ones, backend.shape(self.x))
        return backend.split_leading(self.form.expand(back), relevance.shape[0])

    @property
    def unreached(self) -> Array:
        """One at outputs that no input reaches, zero elsewhere."""
        return self.form.repeat(ops.cast(self.share == 0, self.share.dtype))


def prepare(node: Linear | Affine) -> dict[str, Array]:
    """Return what `equal_shares` reads: where the input's size is static, the shares themselves."""
    if isinstance(node, Affine):
        return {}
    form = node.operation.flat(node.kernel.shape)
    kernel = form.kernel.astype(node.kernel.dtype)
    shape = node.facts.input_shapes[0]
    if None in shape[1:]:
        return {"ones": kernel}
    sizes: list[Any] = [1, *shape[1:]]
    if form.width is not None:
        sizes[node.operation.channel_axis] = form.width
    ones = np.ones(sizes, kernel.dtype)
    return {"share": backend.to_numpy(_share(form, *map(backend.constant, (ones, kernel))))}


def equal_shares(node: Linear | Affine, prepared: Prepared, x: Array) -> EqualShares:
    """Return the shares at one input, from the arrays that `prepare` made."""
    form = node.operation.flat(node.kernel.shape)
    if isinstance(node, Affine):
        share = ops.ones((), dtype=x.dtype)
    elif "share" in prepared:
        share = prepared["share"]
    else:
        ones = ops.ones_like(x[:1])
        if form.width is not None:
            channel = np.zeros(form.width, "int32")
            ones = ops.take(ones, channel, axis=node.operation.channel_axis)
        share = _share(form, ones, prepared["ones"])
    return EqualShares(node, form, x, share)


def _share(form: FlatForm, ones: Array, kernel: Array) -> Array:
    count = form.fan * form.operation.apply(ones, kernel)
    return ops.divide_no_nan(ops.ones((), dtype=count.dtype), count)
