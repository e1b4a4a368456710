"""Maximum and average pooling, and their written-out adjoints, in 1, 2 or 3 dimensions."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lrpkeras.backend.jax.arrays import Sizes, Tensor, merge_leading, split_leading
from lrpkeras.backend.jax.windows import Pairs, Windows

Mode = Literal["valid", "same"]
# Run on their own, many operations would be compiled one by one.
_compiled = partial(jax.jit, static_argnames=("window", "strides", "padding"))


def max_pool(
    x: Tensor, *, window: tuple[int, ...], strides: tuple[int, ...], padding: Mode
) -> Tensor:
    """Return the maximum of each window; padding never wins."""
    x = jnp.asarray(x)
    windows = Windows.over(x.shape[1:-1], window, strides, padding)
    lowest = np.asarray(-np.inf, x.dtype)
    return _reduced(x, lowest, jax.lax.max, window, strides, windows.pads)


@_compiled
def max_pool_adjoint(
    x: Tensor,
    y: Tensor,
    s: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Mode,
) -> Tensor:
    """Send each `s` to the maximum of its window: the adjoint of `max_pool`, linearized at `x`.

    All of `s` goes to one input: of several equal maxima the first in row-major order.

    Parameters
    ----------
    x : (batch, *spatial, channels)
    y : (batch, *out_spatial, channels), what `max_pool` gave for x
    s : like y
    """
    x, y, s = map(jnp.asarray, (x, y, s))
    windows = Windows.over(x.shape[1:-1], window, strides, padding)
    padded = windows.padded(x, np.nan)  # equals nothing: never wins
    open_windows, total = jnp.ones_like(y, bool), jnp.zeros_like(x)
    for tap in windows.taps():
        is_maximum = windows.read(padded, tap) == y
        won = jnp.where(open_windows & is_maximum, s, jnp.zeros_like(s))
        total = total + windows.put_back(won, tap)
        open_windows &= ~is_maximum
    return total


@_compiled
def max_pool_ties_adjoint(
    x: Tensor,
    y: Tensor,
    s: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Mode,
) -> Tensor:
    """Send each `s` to every maximum of its window: `sum_j 1[x_i = y_j] s_j`.

    Parameters
    ----------
    x : (batch, *spatial, channels)
    y : (batch, *out_spatial, channels), what `max_pool` gave for x
    s : (k, batch, *out_spatial, channels)

    Returns
    -------
    (k, batch, *spatial, channels)
    """
    x, y, s = map(jnp.asarray, (x, y, s))
    windows = Windows.over(x.shape[1:-1], window, strides, padding)
    padded = windows.padded(x, np.nan)
    total: Tensor = 0
    for tap in windows.taps():
        wins = (windows.read(padded, tap) == y).astype(s.dtype)
        total = total + windows.put_back(merge_leading(s * wins), tap)
    return split_leading(total, s.shape[0])


@_compiled
def max_pool_ties_sum(
    x: Tensor,
    y: Tensor,
    v: Tensor,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Mode,
) -> Tensor:
    """Add up `v` over every window's maxima: `sum_i 1[x_i = y_j] v_i`; ones count the ties.

    Parameters
    ----------
    x, v : (batch, *spatial, channels)
    y : (batch, *out_spatial, channels), what `max_pool` gave for x

    Returns
    -------
    like y
    """
    x, y, v = map(jnp.asarray, (x, y, v))
    windows = Windows.over(x.shape[1:-1], window, strides, padding)
    padded, held = windows.padded(x, np.nan), windows.padded(v, 0)
    total: Tensor = 0
    for tap in windows.taps():
        wins = (windows.read(padded, tap) == y).astype(v.dtype)
        total = total + wins * windows.read(held, tap)
    return total


def average_pool(
    x: Tensor, *, window: tuple[int, ...], strides: tuple[int, ...], padding: Mode
) -> Tensor:
    """Return the mean of each window, of what it reads of `x`: padding does not count."""
    x = jnp.asarray(x)
    windows = Windows.over(x.shape[1:-1], window, strides, padding)
    zero = np.zeros((), x.dtype)
    total = _reduced(x, zero, jax.lax.add, window, strides, windows.pads)
    return total / _counted(windows).astype(x.dtype)


def average_pool_adjoint(
    s: Tensor,
    spatial: Sizes,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Mode,
) -> Tensor:
    """Apply the adjoint of `average_pool`: `(batch, *out_spatial, c) -> (batch, *spatial, c)`."""
    s = jnp.asarray(s)
    windows = Windows.over(spatial, window, strides, padding)
    shares = s / _counted(windows).astype(s.dtype)
    ones, zero = (1,) * len(window), np.zeros((), s.dtype)
    return _reduced(shares, zero, jax.lax.add, window, ones, windows.pads_back, strides)


def _reduced(
    x: Tensor,
    start: Any,
    combine: Any,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Pairs,
    spread: tuple[int, ...] | None = None,
) -> Tensor:
    """Combine what each window reads of `(batch, *spatial, channels)`, its entries spread out."""
    return jax.lax.reduce_window(
        x,
        start,
        combine,
        (1, *window, 1),
        (1, *strides, 1),
        ((0, 0), *pads, (0, 0)),
        base_dilation=(1, *(spread or (1,) * len(window)), 1),
    )


def _counted(windows: Windows) -> np.ndarray:
    """How many inputs each window reads, `(1, *out_spatial, 1)`."""
    counts = np.ones((), "int64")
    rows = zip(
        windows.spatial, windows.window, windows.strides, windows.pads, windows.counts, strict=True
    )
    for size, width, stride, (low, _), count in rows:
        begins = np.arange(count) * stride - low
        inside = np.minimum(begins + width, size) - np.maximum(begins, 0)
        counts = counts[..., None] * inside
    return counts[None, ..., None]
