"""Elementwise functions of `Activation` nodes: derivatives written out, signs known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras import ops

Array = Any


@dataclass(frozen=True)
class Function:
    """An elementwise function `f`.

    `gate` says that it stays in [0, 1] and rises, as a sigmoid does; `closes` that it is zero for
    x <= 0, as a ReLU is; `keeps_sign` that f(x) >= 0 for x >= 0; `homogeneous` that f(x) = f'(x) x,
    so that a ratio R / f(x) becomes R / x without a division; `steps` that f'(x) is 1 for x > 0
    and 0 elsewhere. `head` marks what may be stripped off the end of a classifier.
    """

    name: str
    apply: Callable[..., Array] = field(compare=False)
    derivative: Callable[..., Array] = field(compare=False)
    non_negative: bool = False
    closes: bool = False
    keeps_sign: bool = False
    gate: bool = False
    head: bool = False
    elementwise: bool = True
    homogeneous: bool = False
    steps: bool = False


def _one(x: Array) -> Array:
    return ops.ones_like(x)


def _step(x: Array) -> Array:
    return ops.cast(x > 0, x.dtype)


def relu(
    negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Function:
    """ReLU as `keras.layers.ReLU` has it: slope below the threshold, cap above `max_value`."""
    negative_slope, threshold = float(negative_slope or 0.0), float(threshold or 0.0)

    def apply(x: Array) -> Array:
        return ops.relu(x) if plain else _general_relu(x, negative_slope, max_value, threshold)

    def derivative(x: Array) -> Array:
        if plain:
            return _step(x)
        inside = x > threshold if threshold else x > 0
        slope = ops.where(inside, ops.ones_like(x), ops.full_like(x, negative_slope))
        return slope if max_value is None else ops.where(x >= max_value, ops.zeros_like(x), slope)

    plain = negative_slope == 0 and max_value is None and threshold == 0
    closes = negative_slope == 0 and threshold >= 0
    name = "relu" if plain else _relu_name(negative_slope, max_value, threshold)
    return Function(
        name,
        apply,
        derivative,
        non_negative=closes,
        closes=closes,
        keeps_sign=threshold <= 0 or negative_slope <= 0,
        homogeneous=max_value is None and threshold == 0,
        steps=plain,
    )


def _relu_name(negative_slope: float, max_value: float | None, threshold: float) -> str:
    if (negative_slope, threshold, max_value) == (0.0, 0.0, 6.0):
        return "relu6"
    settings = {"slope": negative_slope, "max": max_value, "threshold": threshold}
    return "relu(" + ", ".join(f"{k} {v:g}" for k, v in settings.items() if v) + ")"


def _general_relu(x: Array, slope: float, max_value: float | None, threshold: float) -> Array:
    below = slope * (x - threshold)
    y = ops.where(x > threshold, x, below) if threshold else ops.where(x > 0, x, slope * x)
    return y if max_value is None else ops.where(x >= max_value, ops.full_like(x, max_value), y)


def prelu() -> Function:
    """PReLU: the slope below zero is a weight, given as the second argument."""
    return Function(
        "prelu",
        lambda x, slope: ops.where(x > 0, x, slope * x),
        lambda x, slope: ops.where(x > 0, ops.ones_like(x), slope + ops.zeros_like(x)),
        keeps_sign=True,
        homogeneous=True,
    )


def elu(alpha: float = 1.0, scale: float = 1.0) -> Function:
    """`scale * x` above zero, `scale * alpha * (exp(x) - 1)` below."""

    def apply(x: Array) -> Array:
        return scale * ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, 0)))

    def derivative(x: Array) -> Array:
        return scale * ops.where(x > 0, _one(x), alpha * ops.exp(ops.minimum(x, 0)))

    return Function("elu" if scale == 1 else "selu", apply, derivative, keeps_sign=True)


def celu(alpha: float = 1.0) -> Function:
    """`x` above zero, `alpha * (exp(x / alpha) - 1)` below."""

    def derivative(x: Array) -> Array:
        return ops.where(x > 0, _one(x), ops.exp(ops.minimum(x, 0) / alpha))

    return Function("celu", lambda x: ops.celu(x, alpha), derivative, keeps_sign=True)


def gelu(approximate: bool = False) -> Function:
    """`x * Phi(x)`, Phi the standard normal distribution; or its tanh approximation."""

    def exact(x: Array) -> Array:
        cdf = 0.5 * (1 + ops.erf(x / math.sqrt(2)))
        return cdf + x * ops.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)

    def by_tanh(x: Array) -> Array:
        root = math.sqrt(2 / math.pi)
        t = ops.tanh(root * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)

    derivative = by_tanh if approximate else exact
    return Function("gelu", lambda x: ops.gelu(x, approximate), derivative, keeps_sign=True)


def _sigmoid_slope(x: Array) -> Array:
    s = ops.sigmoid(x)
    return s * (1 - s)


def _silu_slope(x: Array) -> Array:
    s = ops.sigmoid(x)
    return s * (1 + x * (1 - s))


def _hard_silu_slope(x: Array) -> Array:
    inside = ops.where(x < 3, x / 3 + 0.5, _one(x))
    return ops.where(x > -3, inside, ops.zeros_like(x))


def _between(low: float, high: float, slope: float) -> Callable[[Array], Array]:
    return lambda x: ops.cast((x > low) & (x < high), x.dtype) * slope


def _mish_slope(x: Array) -> Array:
    t = ops.tanh(ops.softplus(x))
    return t + x * (1 - t * t) * ops.sigmoid(x)


def softmax(axis: int = -1) -> Function:
    """Softmax along `axis`: not elementwise, so only at the head of a model."""
    if axis != -1:
        raise ValueError(f"softmax along axis {axis} mixes positions")
    return Function("softmax", ops.softmax, _no_slope, True, head=True, elementwise=False)


def log_softmax() -> Function:
    """Log-softmax along the last axis, at the head of a model."""
    return Function("log_softmax", ops.log_softmax, _no_slope, head=True, elementwise=False)


def _no_slope(x: Array) -> Array:
    raise NotImplementedError("softmax is not elementwise")


def soft_shrink(threshold: float = 0.5) -> Function:
    """`x` moved towards zero by `threshold`, zero within it."""

    def apply(x: Array) -> Array:
        return ops.maximum(x - threshold, 0) + ops.minimum(x + threshold, 0)

    return Function("soft_shrink", apply, _outside(threshold), keeps_sign=threshold >= 0)


def hard_shrink(threshold: float = 0.5) -> Function:
    """`x`, zero within `threshold` of zero."""
    outside = _outside(threshold)
    return Function("hard_shrink", lambda x: x * outside(x), outside, keeps_sign=True)


def _outside(threshold: float) -> Callable[[Array], Array]:
    return lambda x: ops.cast(ops.absolute(x) > threshold, x.dtype)


def thresholded(threshold: float, default: float) -> Function:
    """`x` above the threshold, the constant `default` below."""
    low = min(threshold, default)
    closes = threshold >= 0 and default == 0

    def apply(x: Array) -> Array:
        return ops.where(x > threshold, x, ops.full_like(x, default))

    def derivative(x: Array) -> Array:
        return ops.cast(x > threshold, x.dtype)

    return Function("threshold", apply, derivative, low >= 0, closes, keeps_sign=default >= 0)


def squareplus(b: float = 4) -> Function:
    """`(x + sqrt(x^2 + b)) / 2`."""

    def derivative(x: Array) -> Array:
        return (1 + x / ops.sqrt(x * x + b)) / 2

    def apply(x: Array) -> Array:
        return (x + ops.sqrt(x * x + b)) / 2

    return Function("squareplus", apply, derivative, True, keeps_sign=True)


def absolute() -> Function:
    """`|x|`, whose slope at zero is taken to be zero."""
    return Function("absolute", ops.absolute, ops.sign, True, keeps_sign=True, homogeneous=True)


def square() -> Function:
    """`x^2`."""
    return Function("square", ops.square, lambda x: 2 * x, True, keeps_sign=True)


def _sparse_plus(x: Array) -> Array:
    return ops.where(x < 1, ops.maximum(x + 1, 0) ** 2 / 4, x)


SIMPLE: dict[str, Function] = {
    function.name: function
    for function in (
        Function("linear", lambda x: x, _one, keeps_sign=True, homogeneous=True),
        Function("sigmoid", ops.sigmoid, _sigmoid_slope, True, gate=True, head=True),
        Function("tanh", ops.tanh, lambda x: 1 - ops.tanh(x) ** 2, keeps_sign=True),
        Function("softplus", ops.softplus, ops.sigmoid, True, keeps_sign=True),
        Function(
            "softsign", ops.softsign, lambda x: 1 / (1 + ops.absolute(x)) ** 2, keeps_sign=True
        ),
        Function("silu", ops.silu, _silu_slope, keeps_sign=True),
        Function("exponential", ops.exp, ops.exp, True, keeps_sign=True),
        Function("hard_sigmoid", ops.hard_sigmoid, _between(-3, 3, 1 / 6), True, gate=True),
        Function("hard_silu", ops.hard_silu, _hard_silu_slope, keeps_sign=True),
        Function("hard_tanh", ops.hard_tanh, _between(-1, 1, 1.0), keeps_sign=True),
        Function("mish", lambda x: x * ops.tanh(ops.softplus(x)), _mish_slope, keeps_sign=True),
        Function("log_sigmoid", ops.log_sigmoid, lambda x: ops.sigmoid(-x)),
        Function("tanh_shrink", ops.tanh_shrink, lambda x: ops.tanh(x) ** 2, keeps_sign=True),
        Function(
            "sparse_plus",
            _sparse_plus,
            lambda x: ops.clip((x + 1) / 2, 0, 1),
            True,
            keeps_sign=True,
        ),
        Function("sparse_sigmoid", ops.sparse_sigmoid, _between(-1, 1, 0.5), True, gate=True),
    )
}
