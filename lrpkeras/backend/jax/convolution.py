"""Convolution and its written-out adjoint: again a convolution, of outputs spread out."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from lrpkeras.backend.jax.arrays import Sizes, Tensor, precision
from lrpkeras.backend.jax.narrow import in_kernel_type
from lrpkeras.backend.jax.windows import Padding, Pairs, Windows

# Samples, spatial axes and channels in the order that Keras has them.
AXES = {1: ("NWC", "WIO"), 2: ("NHWC", "HWIO"), 3: ("NDHWC", "DHWIO")}


@in_kernel_type
def convolve(
    x: Tensor,
    kernel: Tensor,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """Cross-correlate `x` with `kernel`, in 1, 2 or 3 dimensions.

    Parameters
    ----------
    x : (batch, *spatial, in)
    kernel : (*window, in // groups, out)
    strides, dilation : one int per spatial dimension
    padding : one (low, high) per spatial dimension, or "same"

    Returns
    -------
    (batch, *out_spatial, out)
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    windows = Windows.over(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    ones = (1,) * len(strides)
    return _convolve(x, kernel, strides, windows.pads, ones, dilation, groups)


@in_kernel_type
@partial(jax.jit, static_argnames=("spatial", "strides", "padding", "dilation", "groups"))
def convolve_adjoint(
    s: Tensor,
    kernel: Tensor,
    spatial: Sizes,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """Apply the adjoint of `convolve` with respect to `x`: x[p] sums s[q] kernel[p - q stride].

    Parameters
    ----------
    s : (batch, *out_spatial, out)
    kernel, strides, padding, dilation, groups : as given to `convolve`
    spatial : the spatial sizes of x

    Returns
    -------
    (batch, *spatial, in)
    """
    s, kernel = jnp.asarray(s), jnp.asarray(kernel)
    windows = Windows.over(spatial, kernel.shape[:-2], strides, padding, dilation)
    flipped = jnp.flip(_swap_per_group(kernel, groups), range(len(strides)))
    ones = (1,) * len(strides)
    return _convolve(s, flipped, ones, windows.pads_back, strides, dilation, groups)


def depthwise(
    x: Tensor,
    kernel: Tensor,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> Tensor:
    """Convolve each channel on its own: `(batch, *spatial, in) -> (batch, *out_spatial, in * m)`.

    The kernel is `(*window, in, m)`; output channel `c * m + j` comes from input channel `c`, as
    in Keras. Otherwise as `convolve`.
    """
    kernel, groups = _grouped(kernel)
    return convolve(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups)


def depthwise_adjoint(
    s: Tensor,
    kernel: Tensor,
    spatial: Sizes,
    *,
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> Tensor:
    """The adjoint of `depthwise`: `(batch, *out_spatial, in * m) -> (batch, *spatial, in)`."""
    kernel, groups = _grouped(kernel)
    return convolve_adjoint(
        s, kernel, spatial, strides=strides, padding=padding, dilation=dilation, groups=groups
    )


def _convolve(
    x: Tensor,
    kernel: Tensor,
    strides: tuple[int, ...],
    pads: Pairs,
    spread: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    data, weights = AXES[len(strides)]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=pads,
        lhs_dilation=spread,
        rhs_dilation=dilation,
        dimension_numbers=(data, weights, data),
        feature_group_count=groups,
        precision=precision(),
    )


def _grouped(kernel: Tensor) -> tuple[Tensor, int]:
    """A kernel for each channel, `(*window, in, m)`, as one for groups, `(*window, 1, in * m)`."""
    *window, channels, multiplier = jnp.shape(kernel)
    return jnp.reshape(kernel, (*window, 1, channels * multiplier)), channels


def _swap_per_group(kernel: Tensor, groups: int) -> Tensor:
    """`(*window, in // groups, out) -> (*window, out // groups, in)`, transposing every group."""
    *window, inputs, outputs = kernel.shape
    each = jnp.reshape(kernel, (*window, inputs, groups, outputs // groups))
    swapped = jnp.swapaxes(each, -3, -1)
    return jnp.reshape(swapped, (*window, outputs // groups, groups * inputs))
