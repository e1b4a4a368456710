"""What no lowering is known for is traced, and computes exactly what the model does."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import run as explained
from keras import layers, ops

from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.rules import Gradient

pytestmark = pytest.mark.usefixtures("float64")


def model_of(function, shape=(4, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


class OwnCall(layers.Dense):
    def call(self, inputs):
        return -super().call(inputs)


class OwnBuild(layers.Dense):
    def build(self, input_shape):
        super().build(input_shape)


class OwnConvolution(layers.Conv1D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, 2 * kernel)


class OwnKernel(layers.Dense):
    @property
    def kernel(self):
        return 2 * self._kernel


class OwnOperation(keras.Operation):
    def call(self, x):
        return ops.relu(x) - x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


class Block(layers.Layer):
    """Sublayers, weights of its own, a residual, two outputs."""

    def build(self, shape):
        self.conv = layers.Conv1D(3, 2, padding="same", name="conv")
        self.norm = layers.BatchNormalization(name="norm")
        self.conv.build(shape)
        self.norm.build(shape)
        self.scale = self.add_weight(shape=(3,), name="scale")

    def call(self, inputs, training=False):
        y = tf.nn.relu(self.norm(self.conv(inputs), training=training))
        return inputs + self.scale * y, tf.reduce_mean(y, axis=1)


class Inner(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(5, activation="gelu")
        self.second = layers.Dense(2)

    def call(self, inputs):
        return self.second(self.first(inputs))


def patched(x):
    layer = layers.Dense(3, name="patched")
    y = layer(x)
    layer.call = lambda inputs, training=None: ops.matmul(inputs, layer.kernel) * 3
    return y


THREE = np.array([0.5, -2.0, 1.0])
AROUND = ((0, 0), (1, 2), (0, 0))
TRACED = {
    "lambda": lambda x: layers.Lambda(lambda x: 2 * x)(x),
    "own call": lambda x: OwnCall(3)(x),
    "own build": lambda x: OwnBuild(3)(x),
    "own convolution": lambda x: OwnConvolution(3, 2)(x),
    "own kernel": lambda x: OwnKernel(3)(x),
    "own operation": lambda x: OwnOperation()(x),
    "block": lambda x: layers.Concatenate()([layers.Flatten()(y) for y in Block()(x)]),
    "subclassed model": lambda x: Inner()(x),
    "spectral normalization": lambda x: layers.SpectralNormalization(layers.Dense(2))(x),
    "identity": lambda x: layers.Dense(4, activation=tf.identity)(x),
    "own activation": lambda x: layers.Dense(4, activation=lambda x: x * tf.sigmoid(1.5 * x))(x),
    "cube": lambda x: x**3,
    "power of two": lambda x: 2.0**x,
    "inverse": lambda x: 1 / (3 + ops.abs(x)),
    "root": lambda x: ops.sqrt(ops.abs(x) + 1),
    "at least": lambda x: ops.maximum(x, 0.5),
    "at most": lambda x: ops.minimum(x, 0.5),
    "clip": lambda x: ops.clip(x, -0.3, 0.7),
    "where": lambda x: tf_lambda(lambda y: tf.where(y > 0.2, y, 3 * y - 1), x, (4, 3)),
    "reflect": lambda x: ops.pad(x, AROUND, mode="reflect"),
    "symmetric": lambda x: ops.pad(x, AROUND, mode="symmetric"),
    "pad with one": lambda x: ops.pad(x, AROUND, constant_values=1.0),
    "join a constant": lambda x: tf_lambda(lambda y: tf.concat([ROW(y), y], 1), x, (5, 3)),
    "dense by tensordot": lambda x: tf_lambda(lambda y: tf.tensordot(y, MATRIX, 1), x, (4, 2)),
    "einsum": lambda x: tf_lambda(lambda y: tf.einsum("bij,jk->bki", y, MATRIX), x, (2, 4)),
    "left product": lambda x: tf_lambda(lambda y: tf.matmul(MATRIX.T @ SQUARE, y), x, (2, 3), 3),
    "slices": lambda x: tf_lambda(lambda y: y[:, 1:, None, ::-1], x, (3, 1, 3)),
    "split": lambda x: tf_lambda(lambda y: tf.split(y, [1, 3], 1)[1], x, (3, 3)),
    "unstack": lambda x: tf_lambda(lambda y: tf.stack(tf.unstack(y, axis=2), 1), x, (3, 4)),
    "tile": lambda x: tf_lambda(lambda y: tf.tile(y, [1, 2, 1]), x, (8, 3)),
    "gather": lambda x: tf_lambda(lambda y: tf.gather(y, [2, 0, 0], axis=1), x, (3, 3)),
    "add_n": lambda x: tf_lambda(lambda y: tf.add_n([y, 2 * y, y * y]), x, (4, 3)),
    "sum of squares": lambda x: tf_lambda(lambda y: tf.reduce_sum(y * y, 1), x, (3,)),
    "spelled norm": lambda x: tf_lambda(
        lambda y: tf.nn.batch_normalization(y, THREE, THREE**2, THREE, THREE, 1e-3), x, (4, 3)
    ),
    "by a truth value": lambda x: tf_lambda(
        lambda y: y * tf.cast(y > 0.2, y.dtype) + 0.5 * tf.cast(y < -1, y.dtype), x, (4, 3)
    ),
    "leaky": lambda x: tf_lambda(lambda y: tf.maximum(0.1 * y, y), x, (4, 3)),
    "by shape": lambda x: tf_lambda(
        lambda y: y / tf.cast(tf.shape(y)[1], y.dtype) + tf.ones_like(y), x, (4, 3)
    ),
    "weighted mean": lambda x: ops.average(x, axis=2, weights=THREE**2),
    "largest or zero": lambda x: ops.max(x, axis=1, initial=0.0),
    "kernel of rank 3": lambda x: ops.matmul(x, MATRIX[None]),
    "implicit einsum": lambda x: ops.einsum("abc,cd", x, MATRIX),
    "not monotonic": lambda x: layers.ReLU(threshold=0.5, max_value=0.2)(x),
    "misread by Keras": lambda x: ops.add(x[:, :3], np.array([[1.0], [2.0], [3.0]])),
    "patched": patched,
}  # fmt: skip
MATRIX = np.random.default_rng(0).normal(size=(3, 2))
SQUARE = np.random.default_rng(1).normal(size=(3, 4))


def ROW(x):
    return tf.ones((tf.shape(x)[0], 1, 3), x.dtype)


def tf_lambda(function, x, shape, rank=None):
    return layers.Lambda(function, output_shape=shape)(x)


@pytest.mark.parametrize("name", TRACED)
def test_what_no_lowering_is_known_for_is_traced_exactly(name, agrees):
    # In a graph, Keras makes plain numbers float32 before they become float64: 0.7 is another one.
    agrees(model_of(TRACED[name]), tolerance=1e-7 if name in ("clip", "at most") else 1e-12)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (tf.nn.gelu, "gelu"),
        (partial(tf.nn.gelu, approximate=True), "gelu"),
        (tf.nn.silu, "silu"),
        (lambda x: x * tf.nn.relu6(x + 3) / 6, "hard_silu"),
        (lambda x: tf.nn.relu6(x + 3) * (1 / 6), "hard_sigmoid"),
        (lambda x: x * tf.tanh(tf.nn.softplus(x)), "mish"),
        (lambda x: tf.minimum(tf.nn.relu(x), 6.0), "relu6"),
        (lambda x: tf.maximum(x, 0.25 * x), "relu(slope 0.25)"),
        (lambda x: tf.where(x > 0, x, 0.7 * tf.exp(x) - 0.7), "elu"),
        (lambda x: 1 / (1 + tf.exp(-x)), "sigmoid"),
        (lambda x: x * x, "square"),
        (lambda x: tf.clip_by_value(x, 0, 255), "relu(max 255)"),
        (lambda x: tf.minimum(tf.nn.relu(x), 1e6), "relu(max 1e+06)"),
        (lambda x: tf.nn.relu(x) - np.array([0.1, 0.2, 0.3]) * tf.nn.relu(-x), "prelu"),
        (lambda x: tf.maximum(x, np.array([0.1, 0.2, 0.3]) * x), "prelu"),
    ],
)
def test_a_function_that_is_spelled_out_gets_its_name(function, expected):
    layer = layers.Lambda(lambda x: function(x), (4, 3))
    graph = keras_reader.read(model_of(layer))
    names = [node.function.name for node in graph if node.kind == "Activation"]
    assert names == [expected]
    assert [node.kind for node in graph] == ["Input", "Activation"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.math.log(tf.nn.relu(x) + 2.0**-23),
        lambda x: tf.sqrt(tf.maximum(x, 2.0**-23)),
        lambda x: tf.exp(2.0**-20 * tf.sigmoid(x)),
        lambda x: tf.where(x > 2.0**-13, x, 0) ** 2,
        lambda x: tf.nn.relu(x) + tf.nn.relu(0.25 - tf.abs(x - 0.625)),
    ],
)
def test_what_is_nearly_a_known_function_is_not_taken_for_it(function, agrees):
    agrees(model_of(layers.Lambda(lambda x: function(x), (4, 3))), tolerance=1e-12)


@pytest.mark.parametrize(
    "name",
    ["own activation", "cube", "power of two", "inverse", "root", "at least", "at most", "clip",
     "where", "by a truth value", "leaky"],
)  # fmt: skip
def test_the_derivative_of_a_traced_function_is_the_tapes(name):
    model = model_of(TRACED[name])
    x = np.random.default_rng(3).normal(size=(2, 4, 3))
    run = explained(keras_reader.read(model), {"*": Gradient()}, x)
    start = np.random.default_rng(4).normal(size=run.output.shape)
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        total = tf.reduce_sum(model(tensor) * start)
    (relevance,) = run.back(start[None])
    np.testing.assert_allclose(relevance[0], tape.gradient(total, tensor), atol=1e-12)


class Forgetful(layers.Layer):
    """Does to itself whatever a call can do."""

    def build(self, shape):
        self.dense = layers.Dense(3)
        self.dense.build(shape)
        self.seen = []
        self.last = None

    def call(self, inputs):
        self.seen.append(inputs)
        self.last = self.dense(inputs)
        self.new = self.last
        self.add_loss(tf.reduce_sum(self.last))
        return self.last


def test_tracing_leaves_nothing_on_the_users_layers():
    layer = Forgetful()
    model = model_of(layer)
    model(np.ones((1, 4, 3)))
    kept = layer.last
    before = [dict(vars(each)) for each in (layer, layer.dense)]
    seen, losses = list(layer.seen), list(layer.losses)
    keras_reader.read(model)
    assert layer.last is kept
    assert [vars(each) for each in (layer, layer.dense)] == before
    assert len(layer.seen) == len(seen)
    assert len(layer.losses) == len(losses)
    assert len(layer._inbound_nodes) == 1


class Noisy(layers.Layer):
    def call(self, inputs):
        return inputs + tf.random.normal(tf.shape(inputs), dtype=inputs.dtype)


class Counting(layers.Layer):
    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def call(self, inputs):
        self.count.assign_add(1.0)
        return inputs * self.count


def branching(x):
    return x if tf.reduce_sum(x) > 0 else -x


def looping(x):
    return tf.while_loop(lambda y: tf.reduce_sum(y) < 10, lambda y: y + 1, [x])[0]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Noisy(), "random"),
        (Counting(), "changes its own variables"),
        (layers.Lambda(branching, (4, 3)), "control flow"),
        (layers.Lambda(looping, (4, 3)), "control flow"),
        (
            layers.Lambda(lambda x: tf.cond(x[0, 0, 0] > 0, lambda: x, lambda: -x), (4, 3)),
            "control flow",
        ),
        (layers.Lambda(lambda x: tf.py_function(np.sin, [x], x.dtype), (4, 3)), "Python"),
        (layers.Lambda(lambda x: x - tf.reduce_mean(x, 0)), "samples"),
        (layers.Lambda(lambda x: x * tf.cast(tf.shape(x)[0], x.dtype)), "number of samples"),
        (layers.Lambda(lambda x: tf.reshape(x, (-1, 6))[: tf.shape(x)[0]], (6,)), "samples"),
    ],
)
def test_what_cannot_be_traced_soundly_is_refused(layer, words):
    with pytest.raises(UnsupportedLayerError, match=words):
        keras_reader.read(model_of(layer))


def test_every_operation_that_is_not_known_is_named_with_its_place():
    def call(x):
        return tf.sort(x) + tf.cumsum(x, 1)

    with pytest.raises(UnsupportedLayerError) as error:
        keras_reader.read(model_of(layers.Lambda(call, name="mine")))
    assert all(word in str(error.value) for word in ("'mine:TopKV2'", "'mine:Cumsum'"))
