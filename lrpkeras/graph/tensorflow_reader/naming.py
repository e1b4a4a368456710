"""Which known function several operations compute: they are run on numbers and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from lrpkeras import backend
from lrpkeras.graph import functions
from lrpkeras.graph.functions import SIMPLE, Function
from lrpkeras.graph.tensorflow_reader.constants import Constants, execute

# A fine middle, and every power of two up to where squares leave the range of float32: wherever a
# function bends away from another, some number lies beyond.
POWERS = 2.0 ** np.arange(-40, 61)
GRID = np.concatenate([np.linspace(-12, 12, 97), [-60.0, -30.0, 30.0, 60.0], -POWERS, POWERS])
# Rounding of the result, and of sums inside it that cancel (relative to 1, or to x).
ROUNDING = {"float64": (1e-9, 1e-15), "float32": (1e-5, 5e-7)}
COARSE = (1e-2, 1e-2)
KNOWN: dict[str, Function] = {
    **SIMPLE,
    "relu": functions.relu(),
    "relu6": functions.relu(max_value=6.0),
    "gelu": functions.gelu(),
    "gelu by tanh": functions.gelu(approximate=True),
    "elu": functions.elu(),
    "absolute": functions.absolute(),
    "square": functions.square(),
}


def named(cone: Sequence[Any], root: Any, constants: Constants) -> Function | None:
    """Return the known function of their root that operations compute, if it is one.

    They must agree to rounding at every number, at zero as in the tails: a ReLU plus a millionth,
    or one with a cap far up, is another function.
    """
    if not root.dtype.is_floating or not cone[-1].outputs[0].dtype.is_floating:
        return None
    x = _grid(root.dtype.name)
    got = _evaluate(cone, root, constants, x)
    for name, function in KNOWN.items():
        if name != "linear" and _same(got, _known(name, root.dtype.name), x, root.dtype.name):
            return function
    values = dict(zip(x.tolist(), got.tolist(), strict=True))
    for guess in _guesses(values, _numbers(cone, constants)):
        if _same(got, _on_grid(guess, root.dtype.name), x, root.dtype.name):
            return guess
    return None


def slope_below_zero(cone: Sequence[Any], root: Any, constants: Constants) -> np.ndarray | None:
    """Return the array `a` of `x` where x > 0 and `a x` elsewhere, if that is computed."""
    rank = root.shape.rank
    if not root.dtype.is_floating or rank is None:
        return None
    numbers = (0.0, 0.001, 1.0, 30.0, 2000.0)
    shape = (1,) * rank
    above = [_evaluate(cone, root, constants, np.full(shape, x)) for x in numbers]
    below = [_evaluate(cone, root, constants, np.full(shape, -x)) for x in numbers]
    slope = -below[2]
    tolerance, _ = ROUNDING.get(root.dtype.name, COARSE)
    pairs = zip(numbers, above, below, strict=True)
    if all(
        np.allclose(up, x, tolerance, 0) and np.allclose(down, -x * slope, tolerance, 0)
        for x, up, down in pairs
    ):
        return slope.reshape(slope.shape[1:])
    return None


def _evaluate(cone: Sequence[Any], root: Any, constants: Constants, x: np.ndarray) -> np.ndarray:
    """Run operations on numbers in place of their root, as TensorFlow does."""
    values = {root.name: tf.constant(x, root.dtype)}
    for op in cone:
        given = [
            tf.constant(_fixed(i, constants), i.dtype)
            if constants.is_constant(i)
            else values[i.name]
            for i in op.inputs
        ]
        values[op.outputs[0].name] = execute(op, given)[0]
    return np.asarray(tf.cast(values[cone[-1].outputs[0].name], tf.float64))


def _fixed(tensor: Any, constants: Constants) -> np.ndarray:
    value = constants.value(tensor)
    return value.reshape(()) if value.size == 1 else value


@cache
def _grid(dtype: str) -> np.ndarray:
    """The numbers that a type can hold, as it rounds them."""
    limits = np.finfo(dtype) if dtype in ROUNDING else np.finfo("float16")
    size = np.abs(GRID)
    held = GRID[(size == 0) | ((size >= limits.smallest_normal) & (size <= limits.max))]
    return np.asarray(tf.cast(tf.constant(held, dtype), tf.float64))


@cache
def _known(name: str, dtype: str) -> np.ndarray:
    return _on_grid(KNOWN[name], dtype)


def _on_grid(function: Function, dtype: str) -> np.ndarray:
    kind = dtype if dtype in ROUNDING else "float32"
    return backend.to_numpy(function.apply(backend.constant(_grid(dtype).astype(kind))))


def _same(got: np.ndarray, expected: np.ndarray, x: np.ndarray, dtype: str) -> bool:
    relative, cancelled = ROUNDING.get(dtype, COARSE)
    with np.errstate(invalid="ignore"):
        slack = np.where(x == 0, 0, cancelled * np.maximum(np.abs(x), 1))
        near = np.abs(got - expected) <= relative * np.abs(got) + slack
    return bool(np.all(near | (got == expected)))


def _numbers(cone: Sequence[Any], constants: Constants) -> list[float]:
    """The numbers that operations compute with, where a function may bend, and zero."""
    fixed = [x for op in cone for x in op.inputs if constants.is_constant(x)]
    found = (constants.value(x) for x in fixed if x.dtype.is_floating)
    return list(dict.fromkeys([0.0, *(float(v.reshape(())) for v in found if v.size == 1)]))


def _guesses(values: dict[float, float], numbers: Sequence[float]) -> Iterator[Function]:
    """Yield functions with parameters read off their tails: ReLU with all that it has, ELU."""
    top = max(values)
    slope = float(np.round((values[-30.0] - values[-60.0]) / 30.0, 6))
    cap = values[top] if values[top] < top / 2 else None
    if 0 <= slope < 1 and (cap is None or cap > 0):
        for threshold in numbers:
            yield functions.relu(slope, cap, threshold)
    if slope == 0 and values[-60.0] < 0 and cap is None:
        yield functions.elu(alpha=float(np.round(-values[-60.0], 6)))
