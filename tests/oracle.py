"""The rules of linear layers as their papers print them: loops over inputs i and outputs j.

Slow on purpose. Nothing here knows of convolutions or shares a line with the package: a layer is
the matrix `w[i, j]` and the bias `b[j]` that it shows from outside, and a rule is a loop that
returns the shares `s[i, j]` in `R_i = sum_j s_ij R_j`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

Vector = np.ndarray
Matrix = np.ndarray


@dataclass(frozen=True)
class Dense:
    """A linear layer seen from outside: `z = x w + b`, all flat."""

    w: Matrix
    b: Vector

    def output(self, x: Vector) -> Vector:
        return x @ self.w + self.b


def dense_of(layer: Callable, shape: Sequence[int]) -> Dense:
    """Probe a Keras layer with unit vectors; `shape` is that of one input."""
    size = int(np.prod(shape))
    at_zero = keras.ops.convert_to_numpy(layer(np.zeros((1, *shape))))
    columns = keras.ops.convert_to_numpy(layer(np.eye(size).reshape(size, *shape))) - at_zero
    w = columns.reshape(size, -1)
    # Where there is no weight, the difference leaves what rounding did to the bias.
    return Dense(np.where(np.abs(w) < 1e-14, 0.0, w), at_zero.reshape(-1))


def zero(d: Dense, x: Vector) -> Matrix:
    """Bach et al. 2015, eq. 56: x_i w_ij / z_j, and 0 where z_j = 0."""
    z, w, x = d.output(x).tolist(), d.w.tolist(), x.tolist()

    def share(i: int, j: int) -> float:
        return x[i] * w[i][j] / z[j] if z[j] != 0 else 0.0

    return _matrix(d, share)


def epsilon(d: Dense, x: Vector, e: float) -> Matrix:
    """Bach et al. 2015, eq. 58: x_i w_ij / (z_j + e sign z_j), sign 0 = +1."""
    z, w, x = d.output(x).tolist(), d.w.tolist(), x.tolist()

    def share(i: int, j: int) -> float:
        return x[i] * w[i][j] / (z[j] + e if z[j] >= 0 else z[j] - e)

    return _matrix(d, share)


def alpha_beta(d: Dense, x: Vector, alpha: float, beta: float) -> Matrix:
    """Bach et al. 2015, eq. 60, the bias split by sign as its own message is.

    alpha (x_i w_ij)+ / (sum_i (x_i w_ij)+ + b_j+) - beta (x_i w_ij)- / (sum_i (x_i w_ij)- + b_j-),
    and 0 / 0 = 0.
    """
    w, b, x = d.w.tolist(), d.b.tolist(), x.tolist()
    plus, minus = [max(bias, 0.0) for bias in b], [min(bias, 0.0) for bias in b]
    for j in range(len(b)):
        for i in range(len(x)):
            plus[j] += max(x[i] * w[i][j], 0.0)
            minus[j] += min(x[i] * w[i][j], 0.0)

    def share(i: int, j: int) -> float:
        message = x[i] * w[i][j]
        if message > 0:
            return alpha * message / plus[j]
        return -beta * message / minus[j] if message < 0 else 0.0

    return _matrix(d, share)


def flat(d: Dense, x: Vector) -> Matrix:
    """1 / n_j for every input with a weight to output j, n_j their number."""
    count = [sum(1 for w in column if w != 0) for column in d.w.T]

    def share(i: int, j: int) -> float:
        return 1 / count[j] if d.w[i, j] != 0 else 0.0

    return _matrix(d, share)


def box(d: Dense, x: Vector, low: Vector, high: Vector) -> Matrix:
    """Montavon et al. 2017, eq. 13: x_i w_ij - low_i w_ij+ - high_i w_ij- over its sum over i.

    0 / 0 = 0.
    """
    w, x, low, high = d.w.tolist(), x.tolist(), low.tolist(), high.tolist()

    def message(i: int, j: int) -> float:
        return x[i] * w[i][j] - low[i] * max(w[i][j], 0.0) - high[i] * min(w[i][j], 0.0)

    total = [sum(message(i, j) for i in range(len(x))) for j in range(len(d.b))]
    return _matrix(d, lambda i, j: message(i, j) / total[j] if total[j] != 0 else 0.0)


def gradient(d: Dense, x: Vector) -> Matrix:
    """dz_j / dx_i."""
    return _matrix(d, lambda i, j: d.w[i, j])


def _matrix(d: Dense, share: Callable[[int, int], float]) -> Matrix:
    inputs, outputs = d.w.shape
    return np.array([[share(i, j) for j in range(outputs)] for i in range(inputs)], "float64")
