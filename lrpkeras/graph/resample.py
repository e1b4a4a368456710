"""The node kind that resizes images linearly: every new pixel is a weighted sum of old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.graph.moves import Shape
from lrpkeras.graph.node import Array, Node, Parameters

# Of height and width; None where an axis stays as it is.
Matrices = tuple[Array | None, Array | None]


@dataclass(frozen=True)
class Target:
    """What a size becomes: `size` itself, `times` what it was, or unchanged."""

    size: int | None = None
    times: int = 1

    @property
    def unchanged(self) -> bool:
        """Whether the axis stays as it is."""
        return self.size is None and self.times == 1

    def of(self, size: Any) -> Any:
        """Return what `size` becomes; None where that is unknown."""
        if self.size is not None:
            return self.size
        return None if size is None else size * self.times


@dataclass(frozen=True, eq=False, kw_only=True)
class Resample(Node):
    """`rows x columns^T` for each channel: linear interpolation.

    Parameters
    ----------
    height, width
        What these axes become.
    rows, columns
        The weights `(new size, size)` of each axis; None where it stays, or where the size is only
        known at run time (bilinear then).
    channels_first
        Whether the channels come before height and width.
    """

    # Keras computes the weights in float32, whatever the images' type.
    precision: ClassVar[str | None] = "float32"

    height: Target
    width: Target
    rows: np.ndarray | None = None
    columns: np.ndarray | None = None
    channels_first: bool = False

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        arrays = {"rows": self.rows, "columns": self.columns}
        return {name: array for name, array in arrays.items() if array is not None}

    @property
    def signed(self) -> bool:
        """Whether weights may be negative, as those of bicubic interpolation are."""
        return any(bool(np.any(array < 0)) for array in self.parameters.values())

    def output_shape(self, shape: Shape) -> Shape:
        """Return the static output shape for a static input shape."""
        first = 2 if self.channels_first else 1
        sizes = self.height.of(shape[first]), self.width.of(shape[first + 1])
        return (*shape[:first], *sizes, *shape[first + 2 :])

    def matrices(self, x: Array, parameters: Parameters) -> Matrices:
        """Return the weights of both axes for an input."""
        sizes = backend.shape(x)[2 if self.channels_first else 1 :][:2]
        given = parameters.get("rows"), parameters.get("columns")
        targets = self.height, self.width
        rows, columns = (
            backend.bilinear_matrix(size, target.of(size), x.dtype)
            if matrix is None and not target.unchanged
            else matrix
            for matrix, target, size in zip(given, targets, sizes, strict=True)
        )
        return rows, columns

    def apply(self, x: Array, matrices: Matrices) -> Array:
        """Resize by given weights."""
        return self._first(backend.resample(self._last(x), *matrices))

    def adjoint(self, s: Array, matrices: Matrices) -> Array:
        """Return the adjoint of `apply` at `s`."""
        return self._first(backend.resample_adjoint(self._last(s), *matrices))

    def compute(self, inputs: tuple[Array, ...], parameters: Parameters) -> Array:
        return self.apply(inputs[0], self.matrices(inputs[0], parameters))

    def _last(self, x: Array) -> Array:
        return ops.moveaxis(x, 1, -1) if self.channels_first else x

    def _first(self, x: Array) -> Array:
        return ops.moveaxis(x, -1, 1) if self.channels_first else x
