"""The node kind of local response normalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from lrpkeras.graph.node import Array, Node, Parameters
from lrpkeras.layers import neighbours


@dataclass(frozen=True, eq=False, kw_only=True)
class LocalNormalize(Node):
    """`y_k = x_k / c_k^beta`, `c_k = bias + alpha sum_j x_j^2`.

    j runs over the channels, the last axis, with `|j - k| <= depth_radius`, at each position by
    itself. `bias` > 0, `alpha` >= 0, `beta` >= 0.
    """

    depth_radius: int = 5
    bias: float = 1.0
    alpha: float = 1.0
    beta: float = 0.5

    # What rules for `Normalize` ask: nothing is subtracted.
    centre: ClassVar[bool] = False

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return inputs[0] / self.scale(inputs[0])

    def scale(self, x: Array) -> Array:
        """Return `c^beta`."""
        return self.base(x) ** self.beta

    def base(self, x: Array) -> Array:
        """Return c."""
        return self.base_alone(x) + self.alpha * self.others(ops.square(x))

    def base_alone(self, x: Array) -> Array:
        """Return `bias + alpha x_k^2`: what c_k would be if no other channel were active."""
        return self.bias + self.alpha * ops.square(x)

    def others(self, values: Array) -> Array:
        """Add up, for each channel, the others that are within reach; its own adjoint."""
        return neighbours(values, self.depth_radius)

    def derivative_sums(self, x: Array) -> Array:
        """Return `sum_i dy_j / dx_i` for each output j."""
        return 1 / self.scale(x) - self._steepness(x) * x * (x + self.others(x))

    def adjoint(self, r: Array, x: Array) -> Array:
        """Return `sum_j dy_j / dx_i r_j`, for r `(k, batch, ...)` and x `(batch, ...)`."""
        weighed = r * self._steepness(x) * x
        return r / self.scale(x) - x * (weighed + self.others(weighed))

    def _steepness(self, x: Array) -> Array:
        """`2 alpha beta / c_k^(beta + 1)`: times x_k x_j it is `-dy_k / dx_j`, j other than k."""
        return 2 * self.alpha * self.beta * self.base(x) ** (-self.beta - 1)
