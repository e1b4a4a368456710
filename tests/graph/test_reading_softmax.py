"""Softmax: read where a model ends, perhaps reshaped, refused where something reads on."""

import keras
import pytest
from keras import layers, ops

from lrpkeras.errors import UnsupportedLayerError
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


def test_softmax_inside_the_network_is_refused():
    refused(
        lambda x: layers.Dense(2)(layers.Dense(3, activation="softmax", name="mid")(x)),
        "'mid'",
        "softmax inside the network",
    )


def test_softmax_that_is_an_output_and_read_on_is_refused():
    inputs = keras.Input((3,))
    x = layers.Softmax(name="both")(inputs)
    with pytest.raises(UnsupportedLayerError, match="'both'"):
        keras_reader.read(keras.Model(inputs, [x, layers.Dense(2)(x)]))


def test_softmax_at_the_end_is_read_also_behind_dropout():
    model = model_of(lambda x: layers.Dropout(0.1)(layers.Softmax(name="end")(x)))
    assert keras_reader.read(model)["end"].function.head


@pytest.mark.parametrize(
    "behind",
    [
        lambda x: layers.Reshape((2, 6))(x),
        lambda x: layers.Flatten()(layers.Dropout(0.1)(x)),
        lambda x: ops.squeeze(layers.Reshape((1, 12))(x), 1),
    ],
)
def test_softmax_that_is_only_reshaped_up_to_the_end_is_read(behind):
    model = model_of(lambda x: behind(layers.Softmax(name="end")(x)))
    assert keras_reader.read(model)["end"].function.head


@pytest.mark.parametrize("read_on", [layers.Dense(2), layers.Permute((2, 1))])
def test_softmax_whose_reshaped_values_are_read_on_is_refused(read_on):
    refused(
        lambda x: read_on(layers.Reshape((2, 6))(layers.Softmax(name="mid")(x))),
        "'mid'",
        "softmax inside the network",
    )
