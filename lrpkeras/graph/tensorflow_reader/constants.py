"""Constant folding: what of a flat graph does not depend on its inputs, but for their sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.eager.execute import quick_execute

from lrpkeras import backend
from lrpkeras.graph.draft import Refusal, UnknownSize
from lrpkeras.graph.tensorflow_reader import harmless
from lrpkeras.graph.tensorflow_reader.flat import Flat

Tensor = Any
# What reads only the size of its input.
SIZES = ("Shape", "ShapeN", "Size", "Rank", "OnesLike", "ZerosLike")
# Only these fill or draw; their output has no value of its input.
RANDOM = ("Random", "StatelessRandom", "StatefulRandom", "Multinomial", "TruncatedNormal")
# A constant that a batch of either size repeats for each sample does not depend on the batch.
BATCHES = (2, 3)
# Numbers in a constant that is computed.
LARGEST = 2**28


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
        # By tensor: rows a sample, then the other sizes, of which a reader may know more.
        self.shapes: dict[str, tuple[int, ...]] = {}

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether no input's values reach a tensor."""
        return tensor.op.name not in self._data

    def is_fixed(self, tensor: Tensor) -> bool:
        """Whether a constant holds no weight, so that it stays what it is."""
        pending = [tensor.op]
        while pending:
            op = pending.pop()
            if op.type == "Placeholder":
                return False
            pending += [x.op for x in op.inputs]
        return True

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

    def sizes(self, tensor: Tensor, total: int) -> tuple[int | None, ...]:
        """Return a shape that is computed; None for what grows with the batch.

        `total` is how many entries a sample has of the tensor that is to get the shape, which tells
        the one size that may be -1.
        """
        found = []
        for batch in BATCHES:
            shape = self.at(tensor, batch)
            known = int(np.prod(shape[shape >= 0]))
            found.append([batch * total // max(known, 1) if n < 0 else int(n) for n in shape])
        return tuple(one if one == other else None for one, other in zip(*found, strict=True))

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

    def _shape(self, tensor: Tensor, batch: int) -> tuple[int, ...]:
        """The shape of a tensor that is not constant, for a batch of a given size."""
        if tensor.name in self.shapes:
            rows, *others = self.shapes[tensor.name]
            return (batch * rows, *others)
        if tensor.shape.rank is None:
            raise UnknownSize("it reads a number of axes that is only known at run time")
        sizes = [batch if a == 0 and n is None else n for a, n in enumerate(tensor.shape)]
        if None in sizes:
            raise UnknownSize("it reads a size that is only known at run time")
        return tuple(sizes)

    def _evaluate(self, op: Any, batch: int) -> None:
        for output, value in zip(op.outputs, self._run(op, batch), strict=True):
            self._values[output.name, batch] = np.asarray(value)

    def _run(self, op: Any, batch: int) -> list[Any]:
        if op.type == "Placeholder":
            value = self.flat.value(op.name)
            return [self.flat.shared.setdefault(f"array {id(value)}", backend.snapshot(value))]
        if op.type in ("VariableV2", "Variable"):
            raise Refusal(
                "it reads a variable of TensorFlow 1",
                "freeze the graph: tf.compat.v1.graph_util.convert_variables_to_constants",
            )
        if op.type == "Const":
            return [tf.make_ndarray(op.get_attr("value"))]
        if op.type in SIZES and not all(self.is_constant(x) for x in op.inputs):
            return [_of_shape(op, self._shape(x, batch)) for x in op.inputs]
        if op.type.startswith(RANDOM):
            raise Refusal("it draws random numbers", "explain the model without them")
        if not harmless.is_harmless(op.type):
            raise Refusal(f"it runs {op.type}, which may reach files", "leave it out of the model")
        if any((x.shape.num_elements() or 0) > LARGEST for x in op.outputs):
            raise Refusal(f"it makes a constant of more than {LARGEST} numbers", "make it smaller")
        given = [self.at(x, batch) for x in op.inputs]
        pairs = zip(given, op.inputs, strict=True)
        computed = execute(op, [tf.cast(x, wide(y.dtype)) for x, y in pairs])
        # Copies: only what the function holds itself is read in place.
        return [backend.to_numpy(value) for value in computed]


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


def _of_shape(op: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What an operation makes of a shape alone."""
    if op.type in ("OnesLike", "ZerosLike"):
        return np.full(shape, op.type == "OnesLike", op.outputs[0].dtype.as_numpy_dtype)
    if op.type == "Rank":
        return np.array(len(shape), "int32")
    return np.array(np.prod(shape) if op.type == "Size" else shape, "int32")


def wide(dtype: Any) -> Any:
    """The type that constants are computed in: float32 for half precision, as weights are kept."""
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


def execute(op: Any, inputs: list[Any]) -> list[Any]:
    """Run one operation of a graph on values, in `wide` types; return its outputs.

    Parameters
    ----------
    op
        The operation.
    inputs
        A tensor for each of its inputs, flat.

    Raises
    ------
    Refusal
        It cannot be run by itself.
    """
    attributes = [
        item
        for name, value in op.node_def.attr.items()
        if not name.startswith("_")
        for item in (name, _plain(value))
    ]
    try:
        return list(
            quick_execute(op.type, len(op.outputs), inputs, tuple(attributes), context.context())
        )
    except Exception as error:
        raise Refusal(f"{op.type} cannot be run by itself: {error}") from error


def _plain(value: Any) -> Any:
    """An attribute as the eager runtime takes it."""
    kind = value.WhichOneof("value")
    if kind == "type":
        return wide(tf.as_dtype(value.type)).as_datatype_enum
    if kind == "list":
        given = [item for _, items in value.list.ListFields() for item in items]
        return [_shape(item) if hasattr(item, "dim") else item for item in given]
    return _shape(value.shape) if kind == "shape" else getattr(value, kind)


def _shape(proto: Any) -> list[int] | None:
    return None if proto.unknown_rank else [n.size for n in proto.dim]
