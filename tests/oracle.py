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
    """A linear layer seen from outside: `z = x w + b`, all flat.

    `windows` tells which inputs lead to which output, where some weights there are zero.
    """

    w: Matrix
    b: Vector
    windows: Matrix | None = None

    def reaches(self, i: int, j: int) -> bool:
        return (self.w if self.windows is None else self.windows)[i, j] != 0

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


def zero(d: Dense, x: Vector, bias: str = "absorb") -> Matrix:
    """Bach et al. 2015, eq. 56: x_i w_ij / z_j, and 0 where z_j = 0."""
    return _over(d, x, bias, lambda z: z)


def epsilon(d: Dense, x: Vector, e: float, bias: str = "absorb") -> Matrix:
    """Bach et al. 2015, eq. 58: x_i w_ij / (z_j + e sign z_j), sign 0 = +1."""
    return _over(d, x, bias, lambda z: z + e if z >= 0 else z - e)


def _over(d: Dense, x: Vector, bias: str, whole: Callable[[float], float]) -> Matrix:
    """x_i w_ij / whole(z_j), and 0 where that is 0; without b_j in z_j where it is ignored."""
    w, x, b = d.w.tolist(), x.tolist(), _counted(d, bias)
    wholes = [whole(sum(x[i] * w[i][j] for i in range(len(x))) + b[j]) for j in range(len(b))]

    def share(i: int, j: int) -> float:
        return x[i] * w[i][j] / wholes[j] if wholes[j] != 0 else 0.0

    def of_bias(j: int) -> float:
        return b[j] / wholes[j] if wholes[j] != 0 else 0.0

    return _with_bias(d, bias, _matrix(d, share), of_bias)


def gamma(
    d: Dense, x: Vector, g: float, bias: str = "absorb", positive_only: bool = False
) -> Matrix:
    """Andeol et al. 2021: where z_j >= 0, (xw + g (xw)+) / (z_j + g (sum (xw)+ + b_j+)).

    Where z_j < 0 the same with negative parts; `positive_only`: the one formula for all j. Without
    b_j in z_j, too, where it is ignored. 0 / 0 = 0.
    """
    w, x, b = d.w.tolist(), x.tolist(), _counted(d, bias)
    favoured, wholes = [], []
    for j in range(len(b)):
        messages = [x[i] * w[i][j] for i in range(len(x))]
        z = sum(messages) + b[j]
        part = _above if positive_only or z >= 0 else _below
        favoured.append(part)
        wholes.append(z + g * (sum(part(m) for m in messages) + part(b[j])))

    def raised(message: float, j: int) -> float:
        return (message + g * favoured[j](message)) / wholes[j] if wholes[j] != 0 else 0.0

    shares = _matrix(d, lambda i, j: raised(x[i] * w[i][j], j))
    return _with_bias(d, bias, shares, lambda j: raised(b[j], j))


def alpha_beta(d: Dense, x: Vector, alpha: float, beta: float, bias: str = "absorb") -> Matrix:
    """Bach et al. 2015, eq. 60, the bias split by sign as its own message is.

    alpha (x_i w_ij)+ / (sum_i (x_i w_ij)+ + b_j+) - beta (x_i w_ij)- / (sum_i (x_i w_ij)- + b_j-),
    and 0 / 0 = 0.
    """
    w, x, b = d.w.tolist(), x.tolist(), _counted(d, bias)
    plus, minus = [max(own, 0.0) for own in b], [min(own, 0.0) for own in b]
    for j in range(len(b)):
        for i in range(len(x)):
            plus[j] += max(x[i] * w[i][j], 0.0)
            minus[j] += min(x[i] * w[i][j], 0.0)

    def share(message: float, j: int) -> float:
        if message > 0:
            return alpha * message / plus[j]
        return -beta * message / minus[j] if message < 0 else 0.0

    shares = _matrix(d, lambda i, j: share(x[i] * w[i][j], j))
    return _with_bias(d, bias, shares, lambda j: share(b[j], j))


def w_square(d: Dense, x: Vector) -> Matrix:
    """Montavon et al. 2017, eq. 12: w_ij^2 / sum_i w_ij^2, and 0 / 0 = 0."""
    w = d.w.tolist()
    total = [sum(w[i][j] ** 2 for i in range(len(w))) for j in range(len(d.b))]
    return _matrix(d, lambda i, j: w[i][j] ** 2 / total[j] if total[j] != 0 else 0.0)


def power(d: Dense, x: Vector, p: int, e: float) -> Matrix:
    """Binder et al. 2016, eq. 5: (x_i w_ij)^p / (sum_i (x_i w_ij)^p + e sign), sign 0 = +1."""
    w, x = d.w.tolist(), x.tolist()
    total = [sum((x[i] * w[i][j]) ** p for i in range(len(x))) for j in range(len(d.b))]

    def share(i: int, j: int) -> float:
        return (x[i] * w[i][j]) ** p / (total[j] + e if total[j] >= 0 else total[j] - e)

    return _matrix(d, share)


def flat(d: Dense, x: Vector) -> Matrix:
    """1 / n_j for every input that leads to output j, n_j their number."""
    inputs, outputs = d.w.shape
    count = [sum(1 for i in range(inputs) if d.reaches(i, j)) for j in range(outputs)]
    return _matrix(d, lambda i, j: 1 / count[j] if d.reaches(i, j) else 0.0)


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


def _above(a: float) -> float:
    return max(a, 0.0)


def _below(a: float) -> float:
    return min(a, 0.0)


def _counted(d: Dense, bias: str) -> list[float]:
    """The bias that denominators hold."""
    return [0.0] * len(d.b) if bias == "ignore" else d.b.tolist()


def _with_bias(d: Dense, bias: str, shares: Matrix, of_bias: Callable[[int], float]) -> Matrix:
    """Where the bias is distributed, add its share in equal parts to the inputs of the output."""
    if bias != "distribute":
        return shares
    equal = flat(d, shares)
    return _matrix(d, lambda i, j: shares[i, j] + of_bias(j) * equal[i, j])
