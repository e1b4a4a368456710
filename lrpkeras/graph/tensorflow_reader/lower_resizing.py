"""Operations that resize images: their weights, TensorFlow itself tells."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrpkeras import backend
from lrpkeras.graph.draft import Tensor, UnknownSize
from lrpkeras.graph.lower_resampling import by_matrices
from lrpkeras.graph.tensorflow_reader.constants import execute
from lrpkeras.graph.tensorflow_reader.lowering import Op, lowers


@lowers(
    "ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor", "ScaleAndTranslate"
)
def resized(op: Op) -> Tensor:
    """Every new pixel a copy of an old one, or a sum of several by weights for each axis."""
    x = op.tensor(0)
    height, width = x.shape[1:3]
    if height is None or width is None:
        raise UnknownSize("the size that it resizes is only known at run time")
    return by_matrices(x, (_matrix(op, 0, height), _matrix(op, 1, width)))


def _matrix(op: Op, axis: int, size: int) -> np.ndarray:
    """Run the operation on the unit vectors of an axis, the other one of size 1."""
    target = int(op.constant(1)[axis])
    units = np.eye(size).reshape((1, size, 1, size) if axis == 0 else (1, 1, size, size))
    given: list[Any] = [
        backend.constant(units, dtype=op.operation.inputs[0].dtype.name),
        _alone(target, axis, 1, "int32"),
    ]
    if op.type == "ScaleAndTranslate":
        given += [
            _alone(op.constant(2)[axis], axis, 1, "float32"),
            _alone(op.constant(3)[axis], axis, 0, "float32"),
        ]
    resized: np.ndarray = np.asarray(execute(op.operation, given)[0])
    return resized.reshape(target, size)


def _alone(number: Any, axis: int, other: int, dtype: str) -> Any:
    """Return what concerns both axes, of which one is nothing but itself."""
    return backend.constant([number, other] if axis == 0 else [other, number], dtype=dtype)
