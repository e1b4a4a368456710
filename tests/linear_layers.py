"""Every kind of linear layer that is read, tiny: layer and input shape by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import layers

Case = tuple[Callable[[], keras.Layer], tuple[int, ...]]


def lazy(kind: type, *args, **kwargs) -> Callable[[], keras.Layer]:
    return lambda: kind(*args, **kwargs)


LAYERS: dict[str, Case] = {
    "dense": (lazy(layers.Dense, 4), (6,)),
    "dense without bias": (lazy(layers.Dense, 4, use_bias=False), (6,)),
    "dense on positions": (lazy(layers.Dense, 3), (3, 4)),
    "einsum per position": (lazy(layers.EinsumDense, "abc,cd->abd", (3, 4), bias_axes="d"), (3, 4)),
    "einsum over both axes": (lazy(layers.EinsumDense, "abc,bcd->ad", 4, bias_axes="d"), (3, 4)),
    "einsum with ellipsis": (lazy(layers.EinsumDense, "...c,cd->...d", 4, bias_axes="d"), (3, 4)),
    "einsum with bias map": (
        lazy(layers.EinsumDense, "abc,bd->adc", (2, 4), bias_axes="dc"),
        (3, 4),
    ),
    "einsum per channel": (
        lazy(layers.EinsumDense, "abc,cd->abcd", (3, 4, 2), bias_axes="cd"),
        (3, 4),
    ),
    "conv1d valid": (lazy(layers.Conv1D, 3, 3), (7, 2)),
    "conv1d same strided": (lazy(layers.Conv1D, 3, 3, strides=2, padding="same"), (7, 2)),
    "conv1d same strided even": (lazy(layers.Conv1D, 3, 4, strides=3, padding="same"), (8, 2)),
    "conv1d causal dilated": (lazy(layers.Conv1D, 3, 2, padding="causal", dilation_rate=2), (6, 2)),
    "conv1d grouped": (lazy(layers.Conv1D, 6, 3, padding="same", groups=2), (5, 4)),
    "conv2d valid": (lazy(layers.Conv2D, 3, (2, 3)), (4, 5, 2)),
    "conv2d same": (lazy(layers.Conv2D, 3, 3, padding="same"), (4, 3, 2)),
    "conv2d same strided": (lazy(layers.Conv2D, 2, 3, strides=2, padding="same"), (6, 5, 2)),
    "conv2d valid strided, a rest": (lazy(layers.Conv2D, 2, 2, strides=(3, 2)), (6, 5, 2)),
    "conv2d stride over window": (lazy(layers.Conv2D, 2, 1, strides=2), (5, 4, 2)),
    "conv2d dilated": (
        lazy(layers.Conv2D, 2, 2, dilation_rate=(2, 1), padding="same"),
        (5, 4, 2),
    ),
    "conv2d dilated valid": (lazy(layers.Conv2D, 2, 2, dilation_rate=2), (5, 4, 2)),
    "conv2d grouped": (lazy(layers.Conv2D, 4, 2, groups=2, strides=2, padding="same"), (4, 5, 4)),
    "conv2d grouped dilated": (
        lazy(layers.Conv2D, 4, 2, groups=2, dilation_rate=2, padding="same"),
        (4, 4, 4),
    ),
    "conv2d channels first": (
        lazy(layers.Conv2D, 3, 2, strides=2, padding="same", data_format="channels_first"),
        (2, 5, 4),
    ),
    "conv3d valid strided": (lazy(layers.Conv3D, 2, 2, strides=(1, 2, 1)), (3, 4, 3, 2)),
    "conv3d same": (lazy(layers.Conv3D, 2, 2, padding="same"), (2, 3, 3, 2)),
    "conv3d dilated": (lazy(layers.Conv3D, 2, 2, dilation_rate=(2, 1, 2)), (3, 3, 3, 2)),
    "conv3d grouped": (lazy(layers.Conv3D, 4, 2, groups=2, padding="same"), (2, 3, 2, 4)),
    "depthwise1d": (lazy(layers.DepthwiseConv1D, 3, depth_multiplier=2, padding="same"), (5, 2)),
    "depthwise1d strided": (lazy(layers.DepthwiseConv1D, 2, strides=2), (6, 3)),
    "depthwise2d": (lazy(layers.DepthwiseConv2D, 2, padding="same"), (3, 4, 3)),
    "depthwise2d multiplied": (
        lazy(layers.DepthwiseConv2D, 3, depth_multiplier=2, strides=2, padding="same"),
        (5, 4, 2),
    ),
    "depthwise2d dilated": (
        lazy(layers.DepthwiseConv2D, 2, dilation_rate=2, depth_multiplier=2),
        (4, 4, 2),
    ),
    "depthwise2d channels first": (
        lazy(layers.DepthwiseConv2D, 2, depth_multiplier=2, data_format="channels_first"),
        (2, 3, 4),
    ),
    "transpose1d valid": (lazy(layers.Conv1DTranspose, 3, 3, strides=2), (4, 2)),
    "transpose1d same": (lazy(layers.Conv1DTranspose, 3, 3, strides=2, padding="same"), (4, 2)),
    "transpose2d valid": (lazy(layers.Conv2DTranspose, 2, (3, 2), strides=(2, 1)), (3, 3, 2)),
    "transpose2d same": (lazy(layers.Conv2DTranspose, 2, 3, strides=2, padding="same"), (3, 2, 2)),
    "transpose2d with gaps": (lazy(layers.Conv2DTranspose, 2, 1, strides=2), (3, 2, 2)),
    "transpose2d output padding": (
        lazy(layers.Conv2DTranspose, 2, 3, strides=2, padding="same", output_padding=1),
        (3, 2, 2),
    ),
    "transpose2d channels first": (
        lazy(layers.Conv2DTranspose, 2, 2, strides=2, data_format="channels_first"),
        (2, 2, 3),
    ),
    "transpose3d": (lazy(layers.Conv3DTranspose, 2, 2, strides=(1, 2, 1)), (2, 2, 2, 2)),
    "batch norm": (lazy(layers.BatchNormalization), (3, 3, 2)),
    "batch norm on axis 1": (lazy(layers.BatchNormalization, axis=1), (2, 3, 3)),
}


@contextmanager
def float64(*, inputs: bool = False) -> Iterator[None]:
    """Build models in float64, where a wrong formula cannot hide behind rounding.

    Keras' floatx stays float32: code that takes a Python number for an array of that type shows.
    Only where `inputs` are made by others, such as `keras.applications`, it must be float64, too.
    """
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    if inputs:
        keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def randomized(layer: keras.Layer | keras.Model, seed: int = 3) -> keras.Layer | keras.Model:
    """Give weights random values: gammas and biases of both signs, variances positive."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        if not variable.dtype.startswith("float"):
            continue
        positive = "variance" in variable.name
        shape = variable.shape
        variable.assign(rng.uniform(0.5, 2.0, shape) if positive else rng.normal(0, 0.6, shape))
    return layer


def built(name: str) -> tuple[keras.Layer, tuple[int, ...]]:
    """Return a layer of the table with random weights, and the shape of one input."""
    make, shape = LAYERS[name]
    with float64():
        layer = make()
        layer.build((None, *shape))
    return randomized(layer), shape


def on_cpu(layer: keras.Layer) -> Callable:
    """Return a function that computes what the layer does, where TensorFlow can on a CPU.

    With channels first it cannot: there the same layer with channels last does it.
    """
    if getattr(layer, "data_format", "channels_last") == "channels_last":
        return layer
    twin = type(layer).from_config({**layer.get_config(), "data_format": "channels_last"})

    def call(x: np.ndarray) -> np.ndarray:
        last = np.moveaxis(x, 1, -1)
        if not twin.built:
            twin.build(last.shape)
            twin.set_weights(layer.get_weights())
        return np.moveaxis(keras.ops.convert_to_numpy(twin(last)), -1, 1)

    return call
