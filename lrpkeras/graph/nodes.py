"""The kinds of nodes in a graph: what each computes, as frozen dataclasses.

A node names its inputs; the arrays that it needs (kernels, constants) are its `parameters`, kept
apart from the computation so that the compiled function can hold them as variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.functions import Function
from lrpkeras.graph.local_normalize import LocalNormalize
from lrpkeras.graph.lookup import Lookup, Masked
from lrpkeras.graph.moves import Move
from lrpkeras.graph.node import Array, Facts, Node, Parameters
from lrpkeras.graph.normalize import Normalize
from lrpkeras.graph.operations import LinearOperation, Scale
from lrpkeras.graph.resample import Resample

__all__ = [
    "KINDS",
    "Activation",
    "Affine",
    "AveragePool",
    "Extremum",
    "Facts",
    "Fork",
    "Gate",
    "Input",
    "Linear",
    "LocalNormalize",
    "Lookup",
    "Masked",
    "MaxPool",
    "Node",
    "Normalize",
    "Pool",
    "Product",
    "Resample",
    "Route",
    "Shift",
    "Sum",
    "Threshold",
    "as_matrix",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """A model input."""

    dtype: str = "float32"


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Node):
    """`L(x, kernel) + bias`: Dense, convolutions and their kin.

    `bias` is None, a vector along the output channels, or a map of the output's shape without
    batch. Where a normalization in front was folded and its shift depends on the sample, inputs
    are `(x, shift)`: the node computes `L(fold_scale * x + shift, base_kernel) + bias`, and for a
    rule it is linear in `x` with `kernel = base_kernel * fold_scale` and the bias tensor
    `L(shift, base_kernel) + bias`.
    """

    operation: LinearOperation
    kernel: np.ndarray
    bias: np.ndarray | None = None
    base_kernel: np.ndarray | None = None
    fold_scale: np.ndarray | None = None

    @property
    def receives(self) -> int:
        return 1

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        arrays = {
            "kernel": self.kernel if self.base_kernel is None else self.base_kernel,
            "bias": self.bias,
            "fold_scale": self.fold_scale,
        }
        return {name: array for name, array in arrays.items() if array is not None}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        x = inputs[0]
        if self.base_kernel is not None:
            x = parameters["fold_scale"] * x + inputs[1]
        z = self.operation.apply(x, parameters["kernel"])
        return self.add_bias(z, parameters)

    def add_bias(self, z: Array, parameters: Parameters) -> Array:
        """Return `z + bias`."""
        if self.bias is None:
            return z
        if self.bias.ndim == 1 and self.operation.channel_axis == -1:
            return backend.add_bias(z, parameters["bias"])
        return z + self.aligned_bias(parameters["bias"])

    def aligned_bias(self, bias: Array) -> Array:
        """Return a bias array shaped to broadcast over the output."""
        if len(bias.shape) == 1 and self.operation.channel_axis == 1:
            return ops.reshape(bias, (-1, *(1,) * (len(self.shape) - 2)))
        return bias

    def bias_tensor(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array | None:
        """Return the part of the output that does not come from `x`; None where there is none."""
        bias = self.aligned_bias(parameters["bias"]) if self.bias is not None else None
        if self.base_kernel is None:
            return bias
        shifted = self.operation.apply(inputs[1], parameters["kernel"])
        return shifted if bias is None else shifted + bias

    def as_matrix(self, input_shape: tuple[int, ...]) -> np.ndarray:
        """Return the node's linear part as a dense matrix; see `as_matrix`."""
        return as_matrix(self, input_shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Node):
    """`scale * x + shift`, constants that broadcast against the input.

    `batch_norm` tells that it came from BatchNormalization, `axis` its channel axis then.
    """

    scale: np.ndarray
    shift: np.ndarray | None = None
    batch_norm: bool = False
    axis: int = -1
    operation: LinearOperation = field(default_factory=Scale)

    @property
    def kernel(self) -> np.ndarray:
        """The scale: an Affine is a linear node whose matrix is diagonal."""
        return self.scale

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        arrays = {"kernel": self.scale, "bias": self.shift}
        return {name: array for name, array in arrays.items() if array is not None}

    def as_matrix(self, input_shape: tuple[int, ...]) -> np.ndarray:
        """Return the node's linear part as a (diagonal) dense matrix; see `as_matrix`."""
        return as_matrix(self, input_shape)

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        z = inputs[0] * parameters["kernel"]
        return z if self.shift is None else z + parameters["bias"]

    def bias_tensor(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array | None:
        """Return the shift, None where there is none."""
        return None if self.shift is None else parameters["bias"]

    def aligned_bias(self, bias: Array) -> Array:
        """Return a bias array shaped to broadcast over the output, as the shift is."""
        return bias


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation(Node):
    """`f(x)`, elementwise; `slope` is the weight of a PReLU."""

    function: Function
    slope: np.ndarray | None = None

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {} if self.slope is None else {"slope": self.slope}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        if self.function.steps and not self.facts.signed:
            return inputs[0]
        return self.function.apply(inputs[0], *parameters.values())

    def derivative(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        """Return `f'(x)`."""
        return self.function.derivative(inputs[0], *parameters.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class Gate(Activation):
    """`m x`, `m = 1[scale x + shift > 0]`: the part of `relu(scale x + shift)` that is linear in x.

    What a folded normalization leaves of the ReLU behind it; the scale waits in the next kernel.
    """

    scale: np.ndarray
    shift: np.ndarray

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {"scale": self.scale, "shift": self.shift}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return inputs[0] * self.derivative(inputs, parameters)

    def derivative(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        x = inputs[0]
        return ops.cast(x * parameters["scale"] + parameters["shift"] > 0, x.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Activation):
    """`x` where the ReLU behind `scale x + shift` is open, the constant `closed` elsewhere.

    With `closed = -shift / scale` it is `(relu(scale x + shift) - shift) / scale`, the thresholded
    ReLU of Guillemot et al. 2020, section 3.3.
    """

    scale: np.ndarray
    shift: np.ndarray
    closed: np.ndarray

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {"scale": self.scale, "shift": self.shift, "closed": self.closed}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        x = inputs[0]
        opened = x * parameters["scale"] + parameters["shift"] > 0
        return ops.where(opened, x, parameters["closed"] + ops.zeros_like(x))

    def derivative(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        x = inputs[0]
        return ops.cast(x * parameters["scale"] + parameters["shift"] > 0, x.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shift(Node):
    """`shift` where the gate is open (everywhere, if there is none): the constant part of a fold.

    Forward only: what it adds counts as bias of the linear node that reads it.
    """

    scale: np.ndarray | None
    shift: np.ndarray

    @property
    def receives(self) -> int:
        return 0

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        arrays = {"scale": self.scale, "shift": self.shift}
        return {name: array for name, array in arrays.items() if array is not None}

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        x = inputs[0]
        if self.scale is None:
            return ops.zeros_like(x) + parameters["shift"]
        opened = x * parameters["scale"] + parameters["shift"] > 0
        return ops.where(opened, parameters["shift"], ops.zeros_like(x))


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Node):
    """Pooling over windows, or over all of `axes` where `window` is None (global)."""

    window: tuple[int, ...] | None = None
    strides: tuple[int, ...] = ()
    padding: str = "valid"
    axes: tuple[int, ...] = ()
    keepdims: bool = False
    channels_first: bool = False

    @property
    def geometry(self) -> dict[str, Any]:
        """The keyword arguments of the backend's pooling functions."""
        return {"window": self.window, "strides": self.strides, "padding": self.padding}

    def last(self, x: Array) -> Array:
        """Move the channels to the end, where the backend wants them."""
        return ops.moveaxis(x, 1, -1) if self.channels_first else x

    def first(self, x: Array) -> Array:
        """Undo `last`."""
        return ops.moveaxis(x, -1, 1) if self.channels_first else x


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Pool):
    """The maximum of each window."""

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        if self.window is None:
            return ops.max(inputs[0], axis=self.axes, keepdims=self.keepdims)
        return self.first(backend.max_pool(self.last(inputs[0]), **self.geometry))


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool(Pool):
    """The mean of each window, padding not counted."""

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        if self.window is None:
            return ops.mean(inputs[0], axis=self.axes, keepdims=self.keepdims)
        return self.first(backend.average_pool(self.last(inputs[0]), **self.geometry))


@dataclass(frozen=True, eq=False, kw_only=True)
class Route(Node):
    """Moves, copies, drops or zero-fills values."""

    move: Move

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return self.move.apply(*inputs)


@dataclass(frozen=True, eq=False, kw_only=True)
class Fork(Node):
    """The same tensor to several consumers; where relevance is added up."""

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(Node):
    """`sum_i coefficients_i * x_i`, all inputs of one shape."""

    coefficients: tuple[float, ...]

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        terms = self.terms(inputs)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def terms(self, inputs: tuple[Array, ...]) -> list[Array]:
        """Return each `coefficients_i * x_i`."""
        pairs = zip(self.coefficients, inputs, strict=True)
        return [x if c == 1 else c * x for c, x in pairs]


@dataclass(frozen=True, eq=False, kw_only=True)
class Extremum(Node):
    """The largest (or smallest) of several inputs of one shape, elementwise."""

    largest: bool = True

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        best = inputs[0]
        for x in inputs[1:]:
            best = ops.maximum(best, x) if self.largest else ops.minimum(best, x)
        return best


@dataclass(frozen=True, eq=False, kw_only=True)
class Product(Node):
    """The product of several inputs of one shape."""

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        product = inputs[0]
        for x in inputs[1:]:
            product = product * x
        return product


def as_matrix(node: Linear | Affine, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return the linear part of a node as a dense matrix.

    The convolution-as-dense of Guillemot et al. 2020, section 4.

    Parameters
    ----------
    node
        Any linear node.
    input_shape
        Shape of one input, without batch.

    Returns
    -------
    Array `(inputs, outputs)`; entry (i, j) is the weight from flat input i to flat output j.
    """
    size = int(np.prod(input_shape))
    basis = np.eye(size, dtype=node.kernel.dtype).reshape(size, *input_shape)
    columns = node.operation.apply(backend.constant(basis), backend.constant(node.kernel))
    return backend.to_numpy(columns).reshape(size, -1)


KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        Input,
        Linear,
        Affine,
        Activation,
        MaxPool,
        AveragePool,
        Route,
        Fork,
        Sum,
        Extremum,
        Product,
        Normalize,
        LocalNormalize,
        Resample,
        Lookup,
        Masked,
    )
}
