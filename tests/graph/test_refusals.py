"""What cannot be read is refused: all of it at once, with a reason and what helps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from installed import KERAS
from keras import layers, ops

from lrpkeras.errors import ModelError, UnsupportedLayerError
from lrpkeras.graph import keras_reader


def model_of(function, shape=(4, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def refused(function, *words, shape=(4, 3)):
    """Check that the error names every word; return its lines, one a layer."""
    with pytest.raises(UnsupportedLayerError) as error:
        keras_reader.read(model_of(function, shape))
    for word in words:
        assert word in str(error.value)
    return str(error.value).splitlines()[1:]


class Sorting(layers.Layer):
    def call(self, inputs):
        return tf.sort(inputs)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: layers.MultiHeadAttention(1, 2)(x, x), ["attention"]),
        (lambda x: layers.Attention()([x, x]), ["attention"]),
        (layers.LSTM(2), ["LSTM", "recurrent"]),
        (layers.Bidirectional(layers.GRU(2)), ["recurrent"]),
        (layers.Dense(4, activation="sparsemax"), ["'sparsemax'"]),
        (lambda x: x ** np.ones(3), ["a power other than"]),
        (lambda x: x / 0.0, ["zero"]),
        (layers.Lambda(lambda x: tf.sort(x), name="mine"), ["'mine'", "Lambda", "TopKV2"]),
        (lambda x: layers.Dot(1)([x, x]), ["two tensors as matrices"]),
        # Keras itself says that half of the units remain, and then that all do.
        (layers.Dense(4, activation="glu"), ["shape (None, 4, 2)"]),
        (layers.Softmax(axis=1), ["softmax", "mixes positions"]),
        (lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), ["two tensors"]),
        (lambda x: ops.einsum("abc,abc->ab", x, x), ["one tensor and one constant"]),
        (lambda x: ops.einsum("abc,bad->acd", x, np.ones((4, 2, 3))), ["batch"]),
        (lambda x: ops.mean(x), ["samples"]),
        (lambda x: ops.mean(x, axis=0), ["samples"]),
        (lambda x: ops.reshape(x, (-1, 3)), ["across samples"]),
        (lambda x: ops.transpose(x), ["batch"]),
        (lambda x: ops.flip(x), ["samples"]),
        (lambda x: ops.concatenate([x, x], axis=0), ["samples"]),
        (lambda x: ops.stack([x, x], axis=0), ["before the batch"]),
        (lambda x: ops.expand_dims(x, 0), ["before the batch"]),
        (lambda x: x[0], ["batch"]),
        (lambda x: x[::2, :], ["batch"]),
        (lambda x: x[None, :], ["batch"]),
        (lambda x: ops.take(x, 0, axis=0), ["samples"]),
        (lambda x: ops.split(x, 3, axis=-1) and ops.split(x, 1, axis=0)[0], ["samples"]),
        (lambda x: ops.pad(x, 1), ["batch"]),
        (lambda x: ops.cast(x, "int32"), ["int32"]),
        (lambda x: layers.Dense(3)(x, training=True), ["training=True"]),
        (lambda x: layers.Dropout(0.5)(x, training=True), ["training=True"]),
        (
            lambda x: keras.Sequential([keras.Input((4, 3)), layers.Dense(2)], name="inner")(
                x, training=True
            ),
            ["'inner'", "training=True"],
        ),
        (lambda x: ops.take(x, [0, 7], axis=1), ["size 4"]),
        (lambda x: ops.take(x, [0, 1]), ["samples"]),
        (lambda x: ops.dot(np.ones((2, 4)), x), ["on the left"]),
        (lambda x: ops.repeat(x, [1, 2, 3], axis=2), ["some entries"]),
        (lambda x: x * np.ones((2, 4, 3)), ["one sample"]),
        (lambda x: ops.add(x, x[:, 0]), ["samples against features"]),
    ],
)
def test_what_has_no_lowering_is_refused_with_a_reason(function, words):
    assert len(refused(function, *words)) == 1


def test_constants_that_depend_on_the_input_are_refused():
    refused(lambda x: ops.take(x, ops.argmax(x, axis=2), axis=1), "ArgMax")


def test_everything_in_the_way_is_named_at_once():
    def function(x):
        x = layers.Lambda(lambda t: tf.sort(t)[..., None], name="one", output_shape=(4, 3, 1))(x)
        x = layers.Conv2D(2, 2, name="fine")(x)
        inner = keras.Sequential([keras.Input((None, None, 2)), Sorting(name="two")], name="inner")
        x = layers.Flatten(name="fine_too")(inner(x))
        return layers.Dense(2, activation=tf.sort, name="three")(x)

    lines = refused(function, "3 layers stand")
    assert [line.split("'")[1] for line in lines] == ["one", "inner/two", "three"]


def test_a_size_unknown_because_of_a_refused_layer_is_not_reported_too():
    def function(x):
        x = layers.Lambda(tf.sort, output_shape=(None, 3), name="one")(x)
        return ops.sum(x, axis=1)

    assert len(refused(function, "'one'")) == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.sum(x, axis=1),
        lambda x: ops.flip(x, axis=1),
        lambda x: x[:, :2],
        lambda x: x[:, 1],
        lambda x: layers.Add()([x, ops.mean(x, axis=1, keepdims=True)]),
        lambda x: x * np.ones((4, 1)),
        pytest.param(
            lambda x: ops.split(x, [1, 2], axis=1)[0],
            marks=pytest.mark.skipif(KERAS < (3, 13), reason="Keras 3.12 fails itself"),
        ),
        lambda x: ops.unstack(x, 3, axis=1)[0],
        lambda x: ops.take(x, [0, 1], axis=1),
        lambda x: ops.reshape(x, (-1, 6)),
    ],
)
def test_sizes_that_must_be_known_are_asked_for(function):
    refused(function, "run time", "fixed input size", shape=(None, 3))


def test_masks_that_change_a_pooling_are_refused():
    lines = refused(lambda x: layers.GlobalAveragePooling1D()(layers.Masking()(x)), "mask")
    assert [line.split("(")[1].split(")")[0] for line in lines] == [
        "Masking",
        "GlobalAveragePooling1D",
    ]


def test_an_explicit_mask_is_refused_where_it_matters():
    inputs = [keras.Input((4, 3)), keras.Input((4,), dtype="bool")]
    pooled = layers.GlobalAveragePooling1D(name="pool")(inputs[0], mask=inputs[1])
    with pytest.raises(UnsupportedLayerError, match="'pool'.*mask"):
        keras_reader.read(keras.Model(inputs, pooled))


def test_a_mask_that_does_not_matter_in_inference_is_let_through():
    inputs = [keras.Input((4, 3)), keras.Input((4,), dtype="bool")]
    graph = keras_reader.read(
        keras.Model(inputs, layers.BatchNormalization(name="bn")(inputs[0], mask=inputs[1]))
    )
    assert graph["bn"].inputs == (graph.inputs[0],)


def test_a_mask_that_operations_compute_is_let_through_where_it_does_not_matter():
    def function(x):
        return layers.BatchNormalization(name="bn")(x, mask=ops.not_equal(x[:, :, 0], 0))

    graph = keras_reader.read(model_of(function))
    assert graph["bn"].inputs == (graph.inputs[0],)


def test_computing_with_a_mask_is_refused():
    refused(lambda x: x * ops.cast(ops.not_equal(x, 0), "float32"), "Cast", "truth values")


def test_quantized_layers_are_refused():
    model = model_of(layers.Dense(4, name="dense"))
    model.get_layer("dense").quantize("int8")
    with pytest.raises(UnsupportedLayerError, match="'dense'.*quantized"):
        keras_reader.read(model)


def test_arithmetic_on_whole_numbers_is_refused():
    inputs = keras.Input((3,), dtype="uint8")
    with pytest.raises(UnsupportedLayerError, match="uint8"):
        keras_reader.read(keras.Model(inputs, inputs * 2))


def test_a_nested_model_that_keras_squeezes_for_is_refused():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(2)], name="inner")
    inputs = keras.Input((4, 1))
    model = keras.Model(inputs, inner(inputs))
    with pytest.raises(UnsupportedLayerError, match="'inner'.*axis"):
        keras_reader.read(model)


def test_truth_values_as_an_output_are_refused():
    refused(lambda x: ops.not_equal(x, 0), "truth values")


def test_a_functional_model_with_a_call_of_its_own_is_refused():
    class Negated(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return -super().call(inputs)

    inputs = keras.Input((3,))
    model = Negated(inputs, layers.Dense(2)(inputs))
    with pytest.raises(UnsupportedLayerError, match="functional API"):
        keras_reader.read(model)


def test_a_model_that_is_not_built_says_how_to_build_it():
    with pytest.raises(ModelError, match=r"keras\.Input"):
        keras_reader.read(keras.Sequential([layers.Dense(3)]))


def test_what_is_no_model_is_refused():
    with pytest.raises(ModelError, match=r"keras\.Model"):
        keras_reader.read(layers.Dense(3))
