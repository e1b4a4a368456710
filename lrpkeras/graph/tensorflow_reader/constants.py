"""Constant folding: what of a flat graph does not depend on its inputs, but for their sizes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import tensorflow as tf

from lrpkeras.graph.draft import Refusal, UnknownSize
from lrpkeras.graph.tensorflow_reader.flat import Flat

Tensor = Any
# What reads only the size of its input.
SIZES = ("Shape", "ShapeN", "Size", "Rank")
# Only these fill or draw; their output has no value of its input.
RANDOM = ("Random", "StatelessRandom", "StatefulRandom", "Multinomial", "TruncatedNormal")
# A constant that a batch of either size repeats for each sample does not depend on the batch.
BATCHES = (2, 3)


class Constants:
    """Tells which tensors are constant, and evaluates them with TensorFlow's own kernels.

    A tensor may depend on its inputs' sizes. The batch is not known: what comes out differently for
    batches of two and of three is no constant, unless it is one sample's constant repeated.
    """

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self._data = _reached(flat)
        self._values: dict[tuple[str, int], np.ndarray] = {}
        self._by_size: dict[str, bool] = {}

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether no input's values reach a tensor."""
        return tensor.op.name not in self._data

    def value(self, tensor: Tensor) -> np.ndarray:
        """Return a constant; its batch axis, if sizes gave it one, has size 1.

        Raises
        ------
        UnknownSize
            It depends on a size that is only known at run time.
        Refusal
            It is drawn at random, or an operation cannot be run.
        """
        one, other = (self.at(tensor, batch) for batch in BATCHES)
        if one is other or (one.shape == other.shape and np.array_equal(one, other)):
            return one
        repeated = (one.shape[:1], other.shape[:1]) == tuple((n,) for n in BATCHES)
        if (
            repeated
            and one.shape[1:] == other.shape[1:]
            and np.array_equal(one, np.broadcast_to(one[:1], one.shape))
        ):
            return one[:1]
        raise UnknownSize("it computes with the number of samples in a batch")

    def at(self, tensor: Tensor, batch: int) -> np.ndarray:
        """Return a constant for a batch of a given size."""
        if not self._sized(tensor.op):
            batch = BATCHES[0]
        if (tensor.name, batch) not in self._values:
            self._evaluate(tensor.op, batch)
        return self._values[tensor.name, batch]

    def _sized(self, op: Any) -> bool:
        """Whether a constant depends on a size of some input."""
        if op.name not in self._by_size:
            sizes = op.type in SIZES and not all(self.is_constant(x) for x in op.inputs)
            self._by_size[op.name] = sizes or any(self._sized(x.op) for x in op.inputs)
        return self._by_size[op.name]

    def _evaluate(self, op: Any, batch: int) -> None:
        for output, value in zip(op.outputs, self._run(op, batch), strict=True):
            self._values[output.name, batch] = np.asarray(value)

    def _run(self, op: Any, batch: int) -> list[Any]:
        if op.type == "Placeholder":
            value = self.flat.value(op.name)
            return [self.flat.shared.setdefault(f"array {id(value)}", value.numpy())]
        if op.type == "Const":
            return [tf.make_ndarray(op.get_attr("value"))]
        if op.type in SIZES and not all(self.is_constant(x) for x in op.inputs):
            return [_sizes(op.type, x.shape, batch) for x in op.inputs]
        if op.type.startswith(RANDOM):
            raise Refusal("it draws random numbers", "explain the model without them")
        given = [self.at(x, batch) for x in op.inputs]
        return execute(op, [tf.constant(x, y.dtype) for x, y in zip(given, op.inputs, strict=True)])


def _reached(flat: Flat) -> set[str]:
    """The names of the operations that the inputs' values reach."""
    pending = [x.op for x in flat.inputs]
    reached = {op.name for op in pending}
    while pending:
        for output in pending.pop().outputs:
            for consumer in output.consumers():
                if consumer.type not in SIZES and consumer.name not in reached:
                    reached.add(consumer.name)
                    pending.append(consumer)
    return reached


def _sizes(kind: str, shape: Any, batch: int) -> np.ndarray:
    if shape.rank is None:
        raise UnknownSize("it reads a number of axes that is only known at run time")
    if kind == "Rank":
        return np.array(shape.rank, "int32")
    sizes = [batch if axis == 0 and n is None else n for axis, n in enumerate(shape)]
    if None in sizes:
        raise UnknownSize("it reads a size that is only known at run time")
    return np.array(np.prod(sizes) if kind == "Size" else sizes, "int32")


def execute(op: Any, inputs: list[Any]) -> list[Any]:
    """Run one operation of a graph on values; return its outputs.

    Parameters
    ----------
    op
        The operation, of any type that `tf.raw_ops` has.
    inputs
        A tensor for each of its inputs, flat.

    Raises
    ------
    Refusal
        There is no such operation to be run by itself.
    """
    function = getattr(tf.raw_ops, op.type, None)
    if function is None:
        raise Refusal(f"the operation {op.type} cannot be run by itself")
    known = inspect.signature(function).parameters
    rest = iter(inputs)
    arguments = {argument.name: _taken(op, argument, rest) for argument in op.op_def.input_arg} | {
        attribute.name: op.get_attr(attribute.name)
        for attribute in op.op_def.attr
        if attribute.name in known
    }
    result = function(**arguments)
    return list(result) if isinstance(result, list | tuple) else [result]


def _taken(op: Any, argument: Any, rest: Any) -> Any:
    """The tensors that belong to one argument, which may be a list."""
    if argument.number_attr:
        return [next(rest) for _ in range(op.get_attr(argument.number_attr))]
    if argument.type_list_attr:
        return [next(rest) for _ in op.get_attr(argument.type_list_attr)]
    return next(rest)
