"""The rules of linear layers as their papers print them: loops over inputs i and outputs j.

Slow on purpose. Nothing here knows of convolutions or shares a line with the package: a layer is
the matrix `w[i, j]` and the bias `b[j]` that it shows from outside, and a rule is a loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

Vector = np.ndarray


@dataclass(frozen=True)
class Dense:
    """A linear layer seen from outside: `z = x w + b`, all flat.

    `reaches[i, j]` tells whether input i has a weight to output j at all.
    """

    w: np.ndarray
    b: Vector
    reaches: np.ndarray

    def output(self, x: Vector) -> Vector:
        return x @ self.w + self.b


def dense_of(layer: Callable, shape: Sequence[int]) -> Dense:
    """Probe a Keras layer with unit vectors; `shape` is that of one input."""
    size = int(np.prod(shape))
    at_zero = keras.ops.convert_to_numpy(layer(np.zeros((1, *shape))))
    columns = keras.ops.convert_to_numpy(layer(np.eye(size).reshape(size, *shape))) - at_zero
    w = columns.reshape(size, -1)
    # Rounding in `columns`: a bias of order one leaves 1e-16 where there is no weight.
    w = np.where(np.abs(w) < 1e-14, 0.0, w)
    return Dense(w, at_zero.reshape(-1), w != 0)


def zero(d: Dense, x: Vector, relevance: Vector) -> Vector:
    """Bach et al. 2015, eq. 56: R_i = sum_j x_i w_ij / z_j R_j; 0 where z_j = 0."""
    z, out = d.output(x), np.zeros(len(x))
    for j in range(len(z)):
        for i in range(len(x)):
            if z[j] != 0:
                out[i] += x[i] * d.w[i, j] / z[j] * relevance[j]
    return out


def epsilon(d: Dense, x: Vector, relevance: Vector, e: float) -> Vector:
    """Bach et al. 2015, eq. 58: R_i = sum_j x_i w_ij / (z_j + e sign z_j) R_j, sign 0 = +1."""
    z, out = d.output(x), np.zeros(len(x))
    for j in range(len(z)):
        sign = 1.0 if z[j] >= 0 else -1.0
        for i in range(len(x)):
            out[i] += x[i] * d.w[i, j] / (z[j] + e * sign) * relevance[j]
    return out


def alpha_beta(d: Dense, x: Vector, relevance: Vector, alpha: float, beta: float) -> Vector:
    """Bach et al. 2015, eq. 60, the bias split by sign as its own message is.

    R_i = sum_j (alpha (x_i w_ij)+ / (sum_i (x_i w_ij)+ + b_j+)
                 - beta (x_i w_ij)- / (sum_i (x_i w_ij)- + b_j-)) R_j, and 0 / 0 = 0.
    """
    out = np.zeros(len(x))
    for j in range(len(d.b)):
        plus, minus = max(d.b[j], 0.0), min(d.b[j], 0.0)
        for i in range(len(x)):
            plus += max(x[i] * d.w[i, j], 0.0)
            minus += min(x[i] * d.w[i, j], 0.0)
        for i in range(len(x)):
            message = x[i] * d.w[i, j]
            if message > 0:
                out[i] += alpha * message / plus * relevance[j]
            if message < 0:
                out[i] -= beta * message / minus * relevance[j]
    return out


def flat(d: Dense, x: Vector, relevance: Vector) -> Vector:
    """Every input with a connection to output j gets 1 / n_j of R_j, n_j their number."""
    out = np.zeros(len(x))
    for j in range(len(d.b)):
        count = sum(1 for i in range(len(x)) if d.reaches[i, j])
        for i in range(len(x)):
            if d.reaches[i, j]:
                out[i] += relevance[j] / count
    return out


def box(d: Dense, x: Vector, relevance: Vector, low: Vector, high: Vector) -> Vector:
    """Montavon et al. 2017, eq. 13: messages x_i w_ij - low_i w_ij+ - high_i w_ij-; 0 / 0 = 0."""
    out = np.zeros(len(x))
    for j in range(len(d.b)):
        messages = [
            x[i] * d.w[i, j] - low[i] * max(d.w[i, j], 0.0) - high[i] * min(d.w[i, j], 0.0)
            for i in range(len(x))
        ]
        total = sum(messages)
        for i in range(len(x)):
            if total != 0:
                out[i] += messages[i] / total * relevance[j]
    return out


def gradient(d: Dense, x: Vector, relevance: Vector) -> Vector:
    """R_i = sum_j dz_j / dx_i R_j."""
    out = np.zeros(len(x))
    for j in range(len(d.b)):
        for i in range(len(x)):
            out[i] += d.w[i, j] * relevance[j]
    return out
