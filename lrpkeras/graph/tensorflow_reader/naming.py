"""Which known function several operations compute: they are run on numbers and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from lrpkeras import backend
from lrpkeras.graph import functions
from lrpkeras.graph.functions import SIMPLE, Function
from lrpkeras.graph.lower_activation import SELU
from lrpkeras.graph.tensorflow_reader.constants import Constants, execute, wide

# A fine middle, and every power of two up to where squares leave the range of float32: wherever a
# function bends away from another, some number lies beyond.
POWERS = 2.0 ** np.arange(-40, 61)
GRID = np.concatenate([np.linspace(-12, 12, 97), [-60.0, -30.0, 30.0, 60.0], -POWERS, POWERS])
# Rounding of the result, and of sums inside it that cancel (relative to 1, or to x). Half precision
# is computed in float32, of constants that are rounded.
ROUNDING = {"float64": (1e-9, 1e-15), "float32": (1e-5, 5e-7)}
COARSE = (4e-3, 2e-5)
KNOWN: dict[str, Function] = {
    **SIMPLE,
    "relu": functions.relu(),
    "relu6": functions.relu(max_value=6.0),
    "gelu": functions.gelu(),
    "gelu by tanh": functions.gelu(approximate=True),
    "elu": functions.elu(),
    "absolute": functions.absolute(),
    "selu": functions.elu(*SELU),
    "square": functions.square(),
}


def named(cone: Sequence[Any], root: Any, constants: Constants) -> Function | None:
    """Return the known function of their root that operations compute, if it is one.

    They must agree to rounding at every number, at zero as in the tails: a ReLU plus a millionth,
    or one with a cap far up, is another function.
    """
    weights = any(not constants.is_fixed(x) for x in _constants(cone, constants))
    if not root.dtype.is_floating or not cone[-1].outputs[0].dtype.is_floating or weights:
        return None
    dtype, numbers = root.dtype.name, _numbers(cone, constants)
    x = _grid(dtype)
    got = _evaluate(cone, root, constants, x)
    alike = [f for f, values in _candidates(x, got, numbers, dtype) if _same(got, values, x, dtype)]
    if not alike:
        return None
    near = _near(numbers, dtype)
    bends = _evaluate(cone, root, constants, near)
    # Beside a bend the rounding of the number where it lies cancels.
    bound = (1e-4, 1e-6) if dtype in ROUNDING else (1e-2, 1e-3)
    return next(
        (f for f in alike if np.allclose(bends, _at(f, near, dtype), *bound, equal_nan=True)), None
    )


def _candidates(
    x: np.ndarray, got: np.ndarray, numbers: Sequence[float], dtype: str
) -> Iterator[tuple[Function, np.ndarray]]:
    """Yield functions and their values at `x`."""
    for name, function in KNOWN.items():
        if name != "linear":
            yield function, _known(name, dtype)
    values = dict(zip(x.tolist(), got.tolist(), strict=True))
    for guess in _guesses(values, numbers):
        yield guess, _at(guess, x, dtype)


def has_weights(cone: Sequence[Any], constants: Constants) -> bool:
    """Whether operations compute with weights, or with more than numbers."""
    fixed = _constants(cone, constants)
    return any(not constants.is_fixed(x) or constants.value(x).size > 1 for x in fixed)


def slope_below_zero(cone: Sequence[Any], root: Any, constants: Constants) -> np.ndarray | None:
    """Return the array `a` of `x` where x > 0 and `a x` elsewhere, if that is computed.

    It must be whatever the values of weights: others are drawn in their place.
    """
    rank = root.shape.rank
    if not root.dtype.is_floating or rank is None:
        return None
    weights = [x for x in _constants(cone, constants) if not constants.is_fixed(x)]
    rng = np.random.default_rng(0)
    draws = [
        {x.name: rng.normal(0, 2, constants.value(x).shape) for x in weights}
        for _ in range(2 if weights else 1)
    ]

    def at(x: float, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        return _evaluate(cone, root, constants, np.full((1,) * rank, x), drawn)

    sizes = 2.0 ** np.arange(-10, 12)
    tolerance, _ = ROUNDING.get(root.dtype.name, COARSE)
    for drawn in draws:
        slope = -at(-1.0, drawn)
        lines = ((x, x if x > 0 else x * slope) for x in (0.0, *sizes, *-sizes))
        if not all(np.allclose(at(x, drawn), y, tolerance, 0) for x, y in lines):
            return None
    return -at(-1.0, {})[0]


def _evaluate(
    cone: Sequence[Any],
    root: Any,
    constants: Constants,
    x: np.ndarray,
    drawn: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> np.ndarray:
    """Run operations on numbers in place of their root, and of weights, as TensorFlow does."""
    values = {root.name: tf.constant(x, wide(root.dtype))}
    for op in cone:
        given = [
            tf.cast(drawn[i.name] if i.name in drawn else _fixed(i, constants), wide(i.dtype))
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
    return _held(GRID, dtype)


def _near(numbers: Sequence[float], dtype: str) -> np.ndarray:
    """Numbers around where a function may bend: those that it computes with, and their sums."""
    sums = [a + sign * b for a in numbers[:8] for b in numbers[:8] for sign in (-1, 1)]
    bends = np.unique([*sums, *(-x for x in sums)])
    beside = np.concatenate([bends * f for f in (0.5, 0.999, 1.001, 2)])
    # At a threshold itself, and within its rounding, either side is right.
    at = np.abs(beside[:, None] - np.array(numbers)) <= 1e-5 * np.abs(numbers)
    return _held(beside[~at.any(axis=1)], dtype)


def _held(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers that a type can hold, as it rounds them."""
    limits = np.finfo(dtype) if dtype in ROUNDING else np.finfo("float16")
    size = np.abs(numbers)
    held = numbers[(size == 0) | ((size >= limits.smallest_normal) & (size <= limits.max))]
    return np.asarray(tf.cast(tf.constant(held, dtype), tf.float64))


@cache
def _known(name: str, dtype: str) -> np.ndarray:
    return _at(KNOWN[name], _grid(dtype), dtype)


def _at(function: Function, x: np.ndarray, dtype: str) -> np.ndarray:
    kind = dtype if dtype in ROUNDING else "float32"
    return backend.to_numpy(function.apply(backend.constant(x.astype(kind))))


def _same(got: np.ndarray, expected: np.ndarray, x: np.ndarray, dtype: str) -> bool:
    relative, cancelled = ROUNDING.get(dtype, COARSE)
    with np.errstate(invalid="ignore"):
        slack = np.where(x == 0, 0, cancelled * np.maximum(np.abs(x), 1))
        near = np.abs(got - expected) <= relative * np.abs(got) + slack
    return bool(np.all(near | (got == expected)))


def _constants(cone: Sequence[Any], constants: Constants) -> list[Any]:
    return [x for op in cone for x in op.inputs if constants.is_constant(x)]


def _numbers(cone: Sequence[Any], constants: Constants) -> list[float]:
    """The numbers that operations compute with, where a function may bend, and zero."""
    fixed = _constants(cone, constants)
    found = (constants.value(x) for x in fixed if x.dtype.is_floating)
    return list(dict.fromkeys([0.0, *(float(v.reshape(())) for v in found if v.size == 1)]))


def _guesses(values: dict[float, float], numbers: Sequence[float]) -> Iterator[Function]:
    """Yield functions with parameters read off their tails: ReLU with all that it has, ELU."""
    top = max(values)
    raw = (values[-30.0] - values[-60.0]) / 30.0
    slope = float(np.round(raw, 6))
    cap = values[top] if values[top] < top / 2 else None
    if 0 <= slope < 1 and (cap is None or cap > 0):
        for threshold in numbers:
            yield functions.relu(slope, cap, threshold)
            yield functions.relu(raw, cap, threshold)
    if slope == 0 and values[-60.0] < 0 and cap is None:
        for alpha in (float(np.round(-values[-60.0], 6)), -values[-60.0]):
            yield functions.elu(alpha)
            yield functions.celu(alpha)
