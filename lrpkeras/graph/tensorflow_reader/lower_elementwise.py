"""Functions that TensorFlow has one operation for."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from lrpkeras.graph import functions
from lrpkeras.graph.draft import Refusal, Tensor
from lrpkeras.graph.functions import SIMPLE, Function
from lrpkeras.graph.lower_activation import SELU
from lrpkeras.graph.nodes import Activation
from lrpkeras.graph.tensorflow_reader.lowering import Op, Value, lowers

FUNCTIONS: dict[str, Callable[[Op], Function]] = {
    "Abs": lambda op: functions.absolute(),
    "Elu": lambda op: functions.elu(),
    "Exp": lambda op: SIMPLE["exponential"],
    "LeakyRelu": lambda op: functions.relu(negative_slope=op.get("alpha")),
    "LogSoftmax": lambda op: functions.log_softmax(),
    "Relu": lambda op: functions.relu(),
    "Relu6": lambda op: functions.relu(max_value=6.0),
    "Selu": lambda op: functions.elu(*SELU),
    "Sigmoid": lambda op: SIMPLE["sigmoid"],
    "Softmax": lambda op: functions.softmax(),
    "Softplus": lambda op: SIMPLE["softplus"],
    "Softsign": lambda op: SIMPLE["softsign"],
    "Square": lambda op: functions.square(),
    "Tanh": lambda op: SIMPLE["tanh"],
}


@lowers(*FUNCTIONS, rowwise=True)
def activation(op: Op) -> Tensor:
    """Apply one function to each entry."""
    return op.tensor().then(Activation, function=FUNCTIONS[op.type](op))


@lowers("Cast")
def cast(op: Op) -> Value:
    """Pass on what becomes a floating type: the graph keeps its own."""
    target = op.operation.outputs[0].dtype
    if not target.is_floating or op.operation.inputs[0].dtype == tf.bool:
        raise Refusal(f"it casts to {target.name}, which is not differentiable")
    return op.value()
