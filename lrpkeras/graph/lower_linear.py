"""Dense layers and their kin: one kernel, a bias, perhaps an activation."""

from __future__ import annotations

import string

import keras
import numpy as np
from keras import layers

from lrpkeras import backend
from lrpkeras.graph.lower import Refusal, Tensor, register
from lrpkeras.graph.lower_activation import fused
from lrpkeras.graph.nodes import Linear
from lrpkeras.graph.operations import Dense, Einsum


@register(layers.Dense)
def dense(layer: layers.Dense, x: Tensor) -> Tensor:
    """`x @ kernel + bias`; the kernel is the effective one, LoRA included."""
    y = x.then(Linear, operation=Dense(), kernel=layer.kernel, bias=layer.bias)
    return fused(layer.activation, y)


@register(layers.EinsumDense)
def einsum_dense(layer: layers.EinsumDense, x: Tensor) -> Tensor:
    """A contraction; its bias is a vector or a map, as the output's axes say."""
    equation = explicit_equation(layer.equation, x.rank)
    y = x.then(Linear, operation=Einsum(equation), kernel=layer.kernel, bias=_bias(layer))
    return fused(layer.activation, y)


def _bias(layer: layers.EinsumDense) -> keras.Variable | np.ndarray | None:
    bias = layer.bias
    if bias is None or len(bias.shape) == 1:
        return bias
    # Only the last axis is longer than 1: a vector along the output channels.
    if all(size == 1 for size in bias.shape[:-1]):
        return backend.to_numpy(bias).reshape(-1)
    return bias


def explicit_equation(equation: str, rank: int) -> str:
    """Return an einsum equation of input and kernel with "..." spelled out for an input's rank.

    Raises
    ------
    Refusal
        The batch axis, the first, is contracted, moved or shared with the kernel; or a letter
        occurs twice in one term.
    """
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or len(terms) != 2:
        raise Refusal(f"the einsum {equation!r} is not of an input and a kernel with an output")
    inputs, kernel = terms
    if "..." in inputs:
        free = [c for c in string.ascii_letters if c not in equation]
        dots = "".join(free[: rank - len(inputs.replace("...", ""))])
        inputs, output = inputs.replace("...", dots), output.replace("...", dots)
    batch = inputs[0]
    doubled = any(len(set(term)) < len(term) for term in (inputs, kernel, output))
    if "." in kernel + output or doubled or batch in kernel or output[:1] != batch:
        raise Refusal(f"the einsum {equation!r} does not keep the batch axis, or repeats a letter")
    return f"{inputs},{kernel}->{output}"
