"""Elementwise functions spelled out in several operations: found, and differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from lrpkeras import backend
from lrpkeras.graph import functions
from lrpkeras.graph.draft import Tensor
from lrpkeras.graph.functions import Function
from lrpkeras.graph.nodes import Activation
from lrpkeras.graph.tensorflow_reader.constants import Constants
from lrpkeras.graph.tensorflow_reader.lowering import LOWERINGS, Rows
from lrpkeras.graph.tensorflow_reader.naming import has_weights, named, slope_below_zero
from lrpkeras.graph.tensorflow_reader.patterns import Pattern, finds

Array = Any
ROOT_PI = math.sqrt(math.pi)
# Longer than any activation that Keras or TensorFlow spell out.
LONGEST = 24


def _zero(x: Array) -> Array:
    return ops.zeros_like(x)


def _as_float(x: Array, like: Array) -> Array:
    return ops.cast(x, like.dtype)


def _log_of_base(v: list[Array]) -> Array:
    """The logarithm of a base; of one that is negative, whose exponent must be fixed, nothing."""
    return ops.log(ops.where(v[0] > 0, v[0], ops.ones_like(v[0])))


# What each operation computes, and its slope from values `v`, slopes `d` and result `y`.
STEPS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "Abs": (ops.absolute, lambda v, d, y: ops.sign(v[0]) * d[0]),
    "Add": (lambda a, b: a + b, lambda v, d, y: d[0] + d[1]),
    "AddV2": (lambda a, b: a + b, lambda v, d, y: d[0] + d[1]),
    "Sub": (lambda a, b: a - b, lambda v, d, y: d[0] - d[1]),
    "Mul": (lambda a, b: a * b, lambda v, d, y: d[0] * v[1] + v[0] * d[1]),
    "RealDiv": (lambda a, b: a / b, lambda v, d, y: (d[0] - y * d[1]) / v[1]),
    "Neg": (lambda a: -a, lambda v, d, y: -d[0]),
    "Reciprocal": (lambda a: 1 / a, lambda v, d, y: -y * y * d[0]),
    "Square": (lambda a: a * a, lambda v, d, y: 2 * v[0] * d[0]),
    "SquaredDifference": (
        lambda a, b: (a - b) ** 2, lambda v, d, y: 2 * (v[0] - v[1]) * (d[0] - d[1])),
    "Sqrt": (ops.sqrt, lambda v, d, y: d[0] / (2 * y)),
    "Rsqrt": (ops.rsqrt, lambda v, d, y: -0.5 * y**3 * d[0]),
    "Exp": (ops.exp, lambda v, d, y: y * d[0]),
    "Expm1": (ops.expm1, lambda v, d, y: (y + 1) * d[0]),
    "Log": (ops.log, lambda v, d, y: d[0] / v[0]),
    "Log1p": (ops.log1p, lambda v, d, y: d[0] / (1 + v[0])),
    "Erf": (ops.erf, lambda v, d, y: 2 / ROOT_PI * ops.exp(-v[0] * v[0]) * d[0]),
    "Erfc": (lambda a: 1 - ops.erf(a), lambda v, d, y: -2 / ROOT_PI * ops.exp(-v[0] ** 2) * d[0]),
    "Sin": (ops.sin, lambda v, d, y: ops.cos(v[0]) * d[0]),
    "Cos": (ops.cos, lambda v, d, y: -ops.sin(v[0]) * d[0]),
    "Tanh": (ops.tanh, lambda v, d, y: (1 - y * y) * d[0]),
    "Sigmoid": (ops.sigmoid, lambda v, d, y: y * (1 - y) * d[0]),
    "Softplus": (ops.softplus, lambda v, d, y: ops.sigmoid(v[0]) * d[0]),
    "Softsign": (ops.softsign, lambda v, d, y: d[0] / (1 + ops.absolute(v[0])) ** 2),
    "Relu": (ops.relu, lambda v, d, y: _as_float(v[0] > 0, v[0]) * d[0]),
    "Relu6": (ops.relu6, lambda v, d, y: _as_float((v[0] > 0) & (v[0] < 6), v[0]) * d[0]),
    "Elu": (ops.elu, lambda v, d, y: ops.where(v[0] > 0, d[0], (y + 1) * d[0])),
    "Maximum": (ops.maximum, lambda v, d, y: ops.where(v[0] >= v[1], d[0], d[1])),
    "Minimum": (ops.minimum, lambda v, d, y: ops.where(v[0] <= v[1], d[0], d[1])),
    "Pow": (
        ops.power,
        lambda v, d, y: v[1] * v[0] ** (v[1] - 1) * d[0] + y * _log_of_base(v) * d[1]),
    "ClipByValue": (
        lambda a, low, high: ops.minimum(ops.maximum(a, low), high),
        lambda v, d, y: ops.where((v[0] > v[1]) & (v[0] < v[2]), d[0], _zero(d[0]))),
    "Greater": (ops.greater, lambda v, d, y: _zero(d[0])),
    "GreaterEqual": (ops.greater_equal, lambda v, d, y: _zero(d[0])),
    "Less": (ops.less, lambda v, d, y: _zero(d[0])),
    "LessEqual": (ops.less_equal, lambda v, d, y: _zero(d[0])),
    "LogicalAnd": (ops.logical_and, lambda v, d, y: _zero(d[0])),
    "LogicalOr": (ops.logical_or, lambda v, d, y: _zero(d[0])),
    "LogicalNot": (ops.logical_not, lambda v, d, y: _zero(d[0])),
    "SelectV2": (ops.where, lambda v, d, y: ops.where(v[0], d[1], d[2])),
    "Select": (ops.where, lambda v, d, y: ops.where(v[0], d[1], d[2])),
    "Cast": (lambda a: a, lambda v, d, y: d[0]),
    "Identity": (lambda a: a, lambda v, d, y: d[0]),
    "StopGradient": (lambda a: a, lambda v, d, y: d[0]),
}  # fmt: skip
# Known by themselves, and part of expressions only as a step.
PARTS = frozenset((*STEPS, "LeakyRelu", "Selu"))
# What a PReLU ends with: the positive and the negative part come together.
MERGES = ("Add", "AddV2", "Sub", "Maximum", "Minimum", "Select", "SelectV2")


@finds
def named_function(op: Any, constants: Constants) -> Pattern | None:
    """Find a known function in several operations: GELU, SiLU, hard-swish, mish, and their kin.

    The operations are run on a grid of numbers and compared, so that no way of spelling matters.
    """
    for root, cone in reversed(list(_roots(op, constants))):
        if len(cone) == 1 and sum(not constants.is_constant(x) for x in op.inputs) == 1:
            continue
        function = named(cone, root, constants)
        if function is not None:
            return _activation(root, function)
    return None


@finds
def parametric_relu(op: Any, constants: Constants) -> Pattern | None:
    """Find a PReLU: x where it is positive, elsewhere x times a weight, in several operations."""
    if op.type not in MERGES or sum(not constants.is_constant(x) for x in op.inputs) < 2:
        return None
    for root, cone in _roots(op, constants, weights=True):
        if not has_weights(cone, constants):
            continue
        slope = slope_below_zero(cone, root, constants)
        if slope is not None:
            return _activation(root, functions.prelu(), slope)
    return None


@finds
def unnamed_function(op: Any, constants: Constants) -> Pattern | None:
    """Find any other elementwise function of one tensor whose last step is no node by itself."""
    floating = all(x.dtype.is_floating for x in op.outputs)
    if not floating or op.type not in STEPS or _is_node(op, constants):
        return None
    for root, cone in _roots(op, constants, STEPS):
        if root.dtype.is_floating and not _was_truth(root):
            return _activation(root, _expression(cone, root, constants))
    return None


def _was_truth(tensor: Any) -> bool:
    """Whether a tensor is a truth value made a number, which is no node."""
    return tensor.op.type == "Cast" and tensor.op.inputs[0].dtype == tf.bool


def _is_node(op: Any, constants: Constants) -> bool:
    """Whether an operation has a node of its own: sums and products with constants have."""
    if op.type in ("Maximum", "Minimum"):
        fixed = [x for x in op.inputs if constants.is_constant(x)]
        return not fixed or (op.type == "Maximum" and not np.any(constants.value(fixed[0])))
    if any(map(_was_truth, op.inputs)):
        return False
    if op.type == "RealDiv":
        return not constants.is_constant(op.inputs[0])
    return op.type in LOWERINGS


def _activation(root: Any, function: Function, slope: np.ndarray | None = None) -> Pattern:
    def emit(x: Any) -> Any:
        if isinstance(x, Rows):
            return Rows(emit(x.base))
        y: Tensor = x.then(Activation, function=function, slope=slope)
        return y

    return Pattern((root,), emit)


def _data(op: Any, constants: Constants) -> list[Any]:
    """The inputs that are not constant, each once."""
    return list({x.name: x for x in op.inputs if not constants.is_constant(x)}.values())


def _roots(
    op: Any, constants: Constants, known: Any = PARTS, *, weights: bool = False
) -> Iterator[tuple[Any, list[Any]]]:
    """Yield tensors that an operation is an elementwise function of, the nearest first.

    With each come the operations between, in the order in which they run. Constants in them are
    numbers, or with `weights` arrays, too.
    """
    cone: dict[str, Any] = {}
    frontier = {op.outputs[0].name: op.outputs[0]}
    while len(cone) < LONGEST:
        latest = _latest(frontier, cone)
        if latest is None or not _is_elementwise(latest.op, op, constants, known, weights):
            return
        del frontier[latest.name]
        cone[latest.op.name] = latest.op
        frontier |= {x.name: x for x in _data(latest.op, constants)}
        if len(frontier) == 1:
            root = next(iter(frontier.values()))
            yield root, list(reversed(cone.values()))


def _latest(frontier: dict[str, Any], cone: dict[str, Any]) -> Any:
    """A tensor of the frontier that no other one there is computed from, within a few steps."""
    for name, tensor in frontier.items():
        others = [x for other, x in frontier.items() if other != name]
        if not any(_reads(x, name, LONGEST) for x in others):
            return tensor
    return None


def _reads(tensor: Any, name: str, steps: int) -> bool:
    """Whether a tensor is computed from another by elementwise operations."""
    seen, pending = set(), [(tensor, steps)]
    while pending:
        current, left = pending.pop()
        if current.name == name:
            return True
        if left and current.name not in seen and current.op.type in PARTS:
            seen.add(current.name)
            pending += [(x, left - 1) for x in current.op.inputs]
    return False


def _is_elementwise(op: Any, last: Any, constants: Constants, known: Any, weights: bool) -> bool:
    """Whether each entry of the output is one function of the same entry of the inputs."""
    if op.type not in known or not _data(op, constants):
        return False
    if op.type == "Cast" and not (op.inputs[0].dtype == tf.bool or op.inputs[0].dtype.is_floating):
        return False
    shapes = [x.shape for x in (*op.outputs, *_data(op, constants))]
    if any(shape.rank is None or list(shape) != list(last.outputs[0].shape) for shape in shapes):
        return False
    fixed = [x for x in op.inputs if constants.is_constant(x)]
    return weights or all(x.shape.num_elements() == 1 and constants.is_fixed(x) for x in fixed)


@dataclass(frozen=True)
class _Step:
    kind: str
    dtype: str
    # Each a number, or the position of an earlier step (0: the root).
    arguments: tuple[tuple[str, Any], ...]


def _expression(cone: Sequence[Any], root: Any, constants: Constants) -> Function:
    """Return an elementwise function that carries out the operations, and its derivative."""
    position = {root.name: 0}
    steps = []
    for number, op in enumerate(cone, 1):
        arguments = tuple(
            ("number", float(constants.value(x).reshape(())))
            if constants.is_constant(x)
            else ("step", position[x.name])
            for x in op.inputs
        )
        position[op.outputs[0].name] = number
        steps.append(_Step(op.type, op.outputs[0].dtype.name, arguments))
    return Function(
        "expression",
        lambda x: _run(steps, x)[0],
        lambda x: _run(steps, x)[1],
    )


def _run(steps: Sequence[_Step], x: Array) -> tuple[Array, Array]:
    """Return a function's value and slope, carried along from step to step."""
    values, slopes = [x], [ops.ones_like(x)]
    nothing = ops.zeros_like(x)
    for step in steps:
        forward, slope = STEPS[step.kind]
        taken = [
            (values[a], slopes[a])
            if kind == "step"
            else (backend.constant(a, dtype=x.dtype), nothing)
            for kind, a in step.arguments
        ]
        v, d = [value for value, _ in taken], [change for _, change in taken]
        y = forward(*v)
        if step.kind == "Cast" and step.dtype != "bool":
            y = ops.cast(y, x.dtype)
        values.append(y)
        slopes.append(slope(v, d, y))
    return values[-1], slopes[-1]
