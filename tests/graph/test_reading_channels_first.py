"""Channels-first layers, against channels-last ones with the same weights.

TensorFlow has no channels-first kernels for most layers on CPUs, so that Keras itself cannot say.
"""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from lrpkeras.graph import keras_reader

pytestmark = pytest.mark.usefixtures("float64")

L = layers
MAPS = (6, 7, 4)

CASES = {
    "conv1d": (L.Conv1D, (7, 4), (5, 3), {"padding": "same", "strides": 2}),
    "conv1d-causal": (L.Conv1D, (7, 4), (5, 3), {"padding": "causal"}),
    "conv2d": (L.Conv2D, MAPS, (6, 3), {"groups": 2, "padding": "same", "strides": 2}),
    "conv3d": (L.Conv3D, (4, 5, 6, 2), (3, 2), {}),
    "depthwise": (L.DepthwiseConv2D, MAPS, (3,), {"depth_multiplier": 2, "padding": "same"}),
    "separable": (L.SeparableConv2D, MAPS, (5, 3), {"padding": "same", "activation": "relu"}),
    "transposed": (L.Conv2DTranspose, MAPS, (5, 3), {"strides": 2, "padding": "same"}),
    "max": (L.MaxPooling2D, MAPS, (3, 2, "same"), {}),
    "max1d": (L.MaxPooling1D, (7, 4), (3, 2, "same"), {}),
    "average": (L.AveragePooling2D, MAPS, (3, 2, "same"), {}),
    "global-max": (L.GlobalMaxPooling2D, MAPS, (), {"keepdims": True}),
    "global-average": (L.GlobalAveragePooling2D, MAPS, (), {}),
    "global-average-1d": (L.GlobalAveragePooling1D, (7, 4), (), {}),
    "pad1d": (L.ZeroPadding1D, (7, 4), ((1, 2),), {}),
    "pad": (L.ZeroPadding2D, MAPS, (((1, 0), (2, 1)),), {}),
    "pad3d": (L.ZeroPadding3D, (4, 5, 6, 2), (((1, 0), (2, 1), (0, 3)),), {}),
    "crop": (L.Cropping2D, MAPS, (((1, 0), (2, 1)),), {}),
    "up": (L.UpSampling2D, MAPS, ((2, 3),), {}),
    "flatten": (L.Flatten, MAPS, (), {}),
}


def evaluate(layer, x):
    inputs = keras.Input(x.shape[1:])
    graph = keras_reader.read(keras.Model(inputs, layer(inputs)))
    values = graph.evaluate({graph.inputs[0]: keras.ops.convert_to_tensor(x)})
    value = np.asarray(values[graph.outputs[0]])
    assert graph[graph.outputs[0]].shape == (None, *value.shape[1:])
    return value


@pytest.mark.parametrize("name", CASES)
def test_channels_first_is_channels_last_transposed(name):
    kind, shape, args, kwargs = CASES[name]
    make = functools.partial(kind, *args, **kwargs)
    last, first = make(data_format="channels_last"), make(data_format="channels_first")
    x = np.random.default_rng(5).normal(size=(2, *shape))
    last(x)
    first.build((None, shape[-1], *shape[:-1]))
    for target, source in zip(first.variables, last.variables, strict=True):
        target.assign(source + 0.1)
        source.assign(target)
    expected = np.asarray(last(x))
    value = evaluate(first, np.moveaxis(x, -1, 1))
    if value.ndim > 2:
        value = np.moveaxis(value, 1, -1)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13)


def test_batch_normalization_of_the_first_axis_broadcasts_behind_it():
    inputs = keras.Input((4, 5, 6))
    graph = keras_reader.read(
        keras.Model(inputs, layers.BatchNormalization(axis=1, name="bn")(inputs))
    )
    assert graph["bn"].scale.shape == (4, 1, 1)
    assert graph["bn"].axis == 1


@pytest.fixture
def images_channels_first():
    """Let Keras take images for channels-first."""
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.usefixtures("images_channels_first")
def test_rescaling_scales_the_first_axis_of_channels_first_images():
    layer = L.Rescaling([0.5, 2.0], 1.0)
    x = np.random.default_rng(5).normal(size=(3, 2, 4, 5))
    np.testing.assert_allclose(evaluate(layer, x), np.asarray(layer(x)), rtol=1e-12)
