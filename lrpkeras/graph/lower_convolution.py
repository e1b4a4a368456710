"""Convolutions: explicit padding, computed from the static size by TensorFlow's rule."""

from __future__ import annotations

from typing import Any

from keras import layers

from lrpkeras.graph.convolutions import Convolution, Depthwise, Padding, TransposedConvolution
from lrpkeras.graph.lower import Tensor, register
from lrpkeras.graph.lower_activation import fused
from lrpkeras.graph.moves import Shape
from lrpkeras.graph.nodes import Linear

Layer = Any
Sizes = tuple[int | None, ...]


@register(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def conv(layer: Layer, x: Tensor) -> Tensor:
    """A convolution of any rank, grouped or not."""
    operation = Convolution(
        layer.strides,
        padding_of(layer, x.shape),
        layer.dilation_rate,
        channels_first=_channels_first(layer),
        groups=layer.groups,
    )
    y = x.then(Linear, operation=operation, kernel=layer.kernel, bias=layer.bias)
    return fused(layer.activation, y)


@register(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise(layer: Layer, x: Tensor) -> Tensor:
    """Each channel on its own."""
    y = x.then(
        Linear, operation=_depthwise_of(layer, x.shape), kernel=layer.kernel, bias=layer.bias
    )
    return fused(layer.activation, y)


@register(layers.SeparableConv1D, layers.SeparableConv2D)
def separable(layer: Layer, x: Tensor) -> Tensor:
    """Depthwise, then pointwise: two linear nodes, so that each gets its own rule."""
    operation = _depthwise_of(layer, x.shape)
    middle = x.then(Linear, "depthwise", operation=operation, kernel=layer.depthwise_kernel)
    ones = (1,) * layer.rank
    pointwise = Convolution(
        ones, ((0, 0),) * layer.rank, ones, channels_first=_channels_first(layer)
    )
    y = middle.then(Linear, operation=pointwise, kernel=layer.pointwise_kernel, bias=layer.bias)
    return fused(layer.activation, y)


@register(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed(layer: Layer, x: Tensor) -> Tensor:
    """The adjoint of the convolution that would lead from the output to the input."""
    reaches = _reaches(layer)
    output_padding = layer.output_padding or (None,) * layer.rank
    grow = tuple(
        _grow(reach, stride, layer.padding, more)
        for reach, stride, more in zip(reaches, layer.strides, output_padding, strict=True)
    )
    padding = tuple(
        # The size cancels: (n - 1) stride + reach - (n stride + grow) does not hold n.
        _halves(reach - stride - more if layer.padding == "same" else 0)
        for reach, stride, more in zip(reaches, layer.strides, grow, strict=True)
    )
    sizes = spatial(x.shape, _channels_first(layer))
    terms = zip(sizes, layer.strides, grow, strict=True)
    target = tuple(None if n is None else n * stride + more for n, stride, more in terms)
    forward = Convolution(
        layer.strides, padding, layer.dilation_rate, channels_first=_channels_first(layer)
    )
    operation = TransposedConvolution(forward, target, grow)
    y = x.then(Linear, operation=operation, kernel=layer.kernel, bias=layer.bias)
    return fused(layer.activation, y)


def _grow(reach: int, stride: int, padding: str, output_padding: int | None) -> int:
    """Return `output size - input size * stride`, as Keras' Conv*Transpose has it."""
    if padding == "valid":
        return (max(reach, stride) if output_padding is None else reach + output_padding) - stride
    return 0 if output_padding is None else reach % 2 + output_padding - stride


def _depthwise_of(layer: Layer, shape: Shape) -> Depthwise:
    padding = padding_of(layer, shape)
    return Depthwise(
        layer.strides, padding, layer.dilation_rate, channels_first=_channels_first(layer)
    )


def padding_of(layer: Any, shape: Shape) -> Padding:
    """Return a layer's padding for an input of a static shape.

    The word "same" remains where it depends on a size that is unknown until run time.
    """
    reaches = _reaches(layer)
    if layer.padding == "valid":
        return ((0, 0),) * len(reaches)
    if layer.padding == "causal":
        return tuple((reach - 1, 0) for reach in reaches)
    return same_padding(spatial(shape, _channels_first(layer)), reaches, layer.strides)


def same_padding(sizes: Sizes, reaches: tuple[int, ...], strides: tuple[int, ...]) -> Padding:
    """Return TensorFlow's "same" padding: outputs `ceil(size / stride)`, the odd zero at the end.

    `reaches` are the windows' sizes with dilation. With stride 1 the size does not matter.
    """
    pads = []
    for size, reach, stride in zip(sizes, reaches, strides, strict=True):
        if size is None and stride > 1:
            return "same"
        last = 0 if size is None else (-(-size // stride) - 1) * stride + 1 - size
        pads.append(_halves(last + reach - 1))
    return tuple(pads)


def _halves(total: int) -> tuple[int, int]:
    total = max(total, 0)
    return total // 2, total - total // 2


def _reaches(layer: Any) -> tuple[int, ...]:
    pairs = zip(layer.kernel_size, layer.dilation_rate, strict=True)
    return tuple((window - 1) * dilation + 1 for window, dilation in pairs)


def spatial(shape: Shape, channels_first: bool) -> Sizes:
    """Return the sizes of the axes that are neither batch nor channels."""
    return shape[2:] if channels_first else shape[1:-1]


def _channels_first(layer: Any) -> bool:
    first: bool = layer.data_format == "channels_first"
    return first
