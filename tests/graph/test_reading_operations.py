"""keras.ops and operators between layers, in float64, against Keras itself."""

import keras
import numpy as np
import pytest
from installed import KERAS
from keras import ops

pytestmark = pytest.mark.usefixtures("float64")

CONSTANT = np.array([0.5, -2.0, 3.0])
VARIABLE = np.array([[1.0], [-0.25]])
KERNEL = np.random.default_rng(1).normal(size=(3, 2, 4, 6))


def case(name, function, shape=(2, 3), since=(0, 0)):
    """A case; `since` is the first Keras that computes it right itself."""
    early = pytest.mark.skipif(since > KERAS, reason=f"Keras itself fails before {since}")
    return pytest.param(shape, function, id=name, marks=early)


ONE_INPUT = [
    case("scale", lambda x: x * 0.1),
    case("scale-by-array", lambda x: ops.multiply(CONSTANT, x)),
    case("scale-by-tensor", lambda x: x * ops.convert_to_tensor(CONSTANT)),
    case("scale-by-variable", lambda x: x * keras.Variable(VARIABLE)),
    case("scale-with-batch-axis", lambda x: x * CONSTANT.reshape(1, 1, 3)),
    case("scale-that-repeats", lambda x: x * CONSTANT, (2, 1)),
    case("divide", lambda x: x / 255.0),
    case("divide-by-array", lambda x: ops.divide(x, CONSTANT)),
    case("shift", lambda x: x + 0.3),
    case("shift-before", lambda x: ops.add(CONSTANT, x)),
    case("subtract", lambda x: x - CONSTANT),
    case("subtract-from", lambda x: 1.5 - x),
    case("negative", lambda x: -x),
    case("several", lambda x: (2 * x - 1) / CONSTANT + x),
    case("twice", lambda x: x + x),
    case("square-by-product", lambda x: x * x),
    case("square", lambda x: ops.square(x)),
    case("square-as-power", lambda x: x**2),
    case("absolute", lambda x: ops.absolute(x)),
    case("abs", lambda x: ops.abs(x)),
    case("abs-of-python", lambda x: abs(x - 0.5)),
    case("relu-as-maximum", lambda x: ops.maximum(x, 0.0)),
    case("relu-as-maximum-before", lambda x: ops.maximum(0, x)),
    case("clip", lambda x: ops.clip(x, 0, 0.7)),
    case("relu", lambda x: ops.relu(x)),
    case("sigmoid", lambda x: ops.sigmoid(x)),
    case("tanh", lambda x: ops.tanh(x)),
    case("exp", lambda x: ops.exp(x)),
    case("mean", lambda x: ops.mean(x, axis=1)),
    case("mean-kept", lambda x: ops.mean(x, axis=-1, keepdims=True)),
    case("mean-two-axes", lambda x: ops.mean(x, axis=(1, 2)), (4, 5, 3)),
    case("mean-everything", lambda x: ops.mean(x, axis=(-1, 1, 2)), (4, 5, 3)),
    case("average", lambda x: ops.average(x, axis=1)),
    case("max", lambda x: ops.max(x, axis=(1, 2)), (4, 5, 3)),
    case("amax", lambda x: ops.amax(x, axis=1, keepdims=True)),
    case("sum", lambda x: ops.sum(x, axis=1)),
    case("sum-kept", lambda x: ops.sum(x, axis=(1, 2), keepdims=True), (4, 5, 3)),
    case("reshape", lambda x: ops.reshape(x, (-1, 6))),
    case("reshape-to-three", lambda x: ops.reshape(x, (-1, 3, 2, 1))),
    case("transpose", lambda x: ops.transpose(x, (0, 2, 1))),
    case("transpose-three", lambda x: ops.transpose(x, (0, 3, 1, 2)), (2, 3, 4)),
    case("swapaxes", lambda x: ops.swapaxes(x, 1, -1), (2, 3, 4)),
    case("moveaxis", lambda x: ops.moveaxis(x, 1, -1), (2, 3, 4)),
    case("moveaxis-two", lambda x: ops.moveaxis(x, (1, 3), (3, 2)), (2, 3, 4)),
    case("squeeze", lambda x: ops.squeeze(x, 1), (1, 3)),
    case("squeeze-all", lambda x: ops.squeeze(x, (1, 3)), (1, 3, 1)),
    case("expand-dims", lambda x: ops.expand_dims(x, 1)),
    case("expand-dims-last", lambda x: ops.expand_dims(x, -1)),
    case("concatenate", lambda x: ops.concatenate([x, 2 * x, x], axis=1)),
    case("concatenate-last", lambda x: ops.concatenate([x, x], axis=-1)),
    case("stack", lambda x: ops.stack([x, -x], axis=1)),
    case("stack-last", lambda x: ops.stack([x, -x], axis=-1)),
    case("flip", lambda x: ops.flip(x, axis=2)),
    case("flip-two", lambda x: ops.flip(x, axis=(1, 2)), since=(3, 13)),
    case("repeat", lambda x: ops.repeat(x, 3, axis=1)),
    case("pad", lambda x: ops.pad(x, ((0, 0), (1, 0), (2, 3)))),
    case("take", lambda x: ops.take(x, [2, 0, 2], axis=2)),
    case("take-one", lambda x: ops.take(x, 1, axis=2)),
    case("take-grid", lambda x: ops.take(x, [[0, 1], [2, 2]], axis=-1)),
    case("take-neighbours", lambda x: ops.take(x, [1, 2], axis=-1)),
    case("slice", lambda x: x[:, 1:3], (5, 3)),
    case("slice-to-end", lambda x: x[:, 1:, :-1], (5, 3)),
    case("slice-step", lambda x: x[:, ::2], (5, 3)),
    case("slice-reversed", lambda x: x[:, ::-1], (5, 3)),
    case("slice-dots", lambda x: x[..., 1:], (5, 3)),
    case("slice-dots-middle", lambda x: x[:, 1:, ..., 0], (5, 4, 3)),
    case("index", lambda x: x[:, 2], (5, 3)),
    case("index-negative", lambda x: x[..., -1], (5, 3)),
    case("index-two", lambda x: x[:, 1, 2], (5, 3)),
    case("new-axis", lambda x: x[:, None], (5, 3)),
    case("new-axis-last", lambda x: x[..., None], (5, 3)),
    case("new-axis-and-index", lambda x: x[:, 1, None, 1:], (5, 3)),
    case("nothing-taken-away", lambda x: x[:, :], (5, 3)),
    case("split", lambda x: ops.split(x, 3, axis=-1)[1]),
    case("split-at", lambda x: ops.concatenate(ops.split(x, [1, 3], axis=1)[::-1], 1), (5, 3)),
    case("unstack", lambda x: ops.unstack(x, axis=1)[1]),
    case("matmul", lambda x: ops.matmul(x, CONSTANT[:, None] * [1.0, 2.0])),
    case("matmul-vector", lambda x: ops.matmul(x, CONSTANT), since=(3, 13)),
    case("matmul-from-left", lambda x: ops.matmul(np.array([[1.0, 2.0], [0.5, -1], [3, 4]]), x)),
    case("matmul-operator", lambda x: x @ keras.Variable(CONSTANT[:, None])),
    case("dot", lambda x: ops.dot(x, CONSTANT[:, None])),
    case("einsum", lambda x: ops.einsum("abc,cd->adb", x, CONSTANT[:, None] * [1.0, 2.0])),
    case("einsum-from-left", lambda x: ops.einsum("c,abc->ab", CONSTANT, x)),
    case("conv", lambda x: ops.conv(x, KERNEL, 2, "same"), (6, 5, 4)),
    case("depthwise", lambda x: ops.depthwise_conv(x, KERNEL, (1, 1), "same"), (6, 5, 4)),
    case("max-pool", lambda x: ops.max_pool(x, 3, 2, "same"), (6, 5, 4)),
    case("average-pool", lambda x: ops.average_pool(x, (2, 3)), (6, 5, 4)),
    case("stop-gradient", lambda x: ops.stop_gradient(x)),
    case("cast", lambda x: ops.cast(x, "float64")),
]


@pytest.mark.parametrize(("shape", "function"), ONE_INPUT)
def test_an_operation_computes_what_keras_computes(agrees, shape, function):
    inputs = keras.Input(shape)
    agrees(keras.Model(inputs, function(inputs)))


@pytest.mark.parametrize(("shape", "function"), ONE_INPUT)
def test_an_operation_feeds_the_layer_behind_it(agrees, shape, function):
    inputs = keras.Input(shape)
    x = keras.layers.Dense(shape[-1])(inputs)
    agrees(keras.Model(inputs, keras.layers.Flatten()(function(x))))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        ops.maximum,
        ops.minimum,
        lambda x, y: ops.concatenate([x, y + 0 * x], axis=-1),
    ],
)
@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 3), (2, 1)), ((2, 3), (1, 1))], ids=str)
def test_tensors_are_joined_as_keras_does(agrees, function, shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    agrees(keras.Model(inputs, function(*inputs)))


def test_slices_from_the_ends_need_no_size(agrees):
    inputs = keras.Input((None, 3))
    agrees(keras.Model(inputs, inputs[:, 1:-2]), sizes=(6,))


def test_parts_of_a_split_are_named_by_number(agrees):
    inputs = keras.Input((6,))
    parts = ops.split(inputs, 3, axis=-1)
    graph = agrees(keras.Model(inputs, [parts[2], parts[0]]))
    operation = parts[0]._keras_history.operation.name
    assert graph.outputs == (f"{operation}:2", f"{operation}:0")
    assert graph.places[f"{operation}:1"] == f"{operation}:1"
