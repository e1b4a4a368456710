"""The nets of `zennit_nets.py` in Keras, in float64, with the weights that the files hold."""

import pathlib

import keras
import numpy as np
from keras import layers

HERE = pathlib.Path(__file__).parent
WEIGHTS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


def conv_bn(x, name, filters, size, *, stride=1, padding=0, bias=False):
    """Zero padding as its own layer, convolution, BN: what `keras.applications.ResNet50` does."""
    number = name[-1]
    prefix = name[: -len(f"conv{number}")]
    if padding:
        x = layers.ZeroPadding2D(padding, dtype="float64", name=f"{prefix}pad{number}")(x)
    conv = layers.Conv2D(filters, size, stride, use_bias=bias, dtype="float64", name=name)
    return layers.BatchNormalization(dtype="float64", name=f"{prefix}bn{number}")(conv(x))


def relu(x):
    return layers.ReLU(dtype="float64")(x)


def vgg(inputs):
    """Padding `same`, and no layer for it."""
    x = inputs
    for k, filters in enumerate((8, 12), start=1):
        x = layers.Conv2D(filters, 3, padding="same", dtype="float64", name=f"conv{k}")(x)
        x = relu(layers.BatchNormalization(dtype="float64", name=f"bn{k}")(x))
        x = layers.MaxPooling2D(dtype="float64")(x)
    x = layers.Flatten(dtype="float64")(x)
    x = layers.Dense(16, "relu", dtype="float64", name="dense1")(x)
    return layers.Dense(5, dtype="float64", name="dense2")(x)


def basic_block(x, name, filters, stride=1):
    """Two convolutions beside a shortcut, which projects where the shape changes."""
    y = relu(conv_bn(x, f"{name}_conv1", filters, 3, stride=stride, padding=1))
    y = conv_bn(y, f"{name}_conv2", filters, 3, padding=1)
    shortcut = x if stride == 1 else conv_bn(x, f"{name}_conv0", filters, 1, stride=stride)
    return relu(layers.Add(dtype="float64")([shortcut, y]))


def resnet(inputs):
    """Zero padding before the max pooling; zeros only ever win there against zeros."""
    x = relu(conv_bn(inputs, "conv1", 8, 5, padding=2, bias=True))
    x = layers.ZeroPadding2D(1, dtype="float64")(x)
    x = layers.MaxPooling2D(3, 2, dtype="float64")(x)
    x = basic_block(x, "block1", 8)
    x = basic_block(x, "block2", 16, stride=2)
    x = basic_block(x, "block3", 16)
    x = layers.GlobalAveragePooling2D(dtype="float64")(x)
    return layers.Dense(5, dtype="float64", name="dense")(x)


def bottleneck_block(x, name, width, stride=1, *, project=False):
    """1 x 1, 3 x 3, 1 x 1 beside a shortcut, as in `keras.applications.ResNet50`."""
    y = relu(conv_bn(x, f"{name}_conv1", width, 1, stride=stride, bias=True))
    y = relu(conv_bn(y, f"{name}_conv2", width, 3, padding=1, bias=True))
    y = conv_bn(y, f"{name}_conv3", 4 * width, 1, bias=True)
    if project:
        x = conv_bn(x, f"{name}_conv0", 4 * width, 1, stride=stride, bias=True)
    return relu(layers.Add(dtype="float64")([x, y]))


def bottleneck(inputs):
    """The pooling pads by itself, which no rule can mistake for an input."""
    x = relu(conv_bn(inputs, "conv1", 8, 5, stride=2, padding=2, bias=True))
    x = layers.MaxPooling2D(3, 2, padding="same", dtype="float64")(x)
    x = bottleneck_block(x, "block1", 4, project=True)
    x = bottleneck_block(x, "block2", 4)
    x = bottleneck_block(x, "block3", 6, stride=2, project=True)
    x = bottleneck_block(x, "block4", 6)
    x = layers.GlobalAveragePooling2D(dtype="float64")(x)
    return layers.Dense(5, dtype="float64", name="dense")(x)


TWINS = {"vgg": vgg, "resnet": resnet, "bottleneck": bottleneck}


def stored(net):
    """Return the arrays of one net's file."""
    with np.load(HERE / f"zennit_{net}.npz") as file:
        return dict(file)


def build(net, arrays):
    """Return the Keras model of `net` with the weights of `arrays`; every one must be used."""
    inputs = keras.Input(arrays["images"].shape[1:], dtype="float64")
    model = keras.Model(inputs, TWINS[net](inputs))
    used = set()
    for layer in model.layers:
        keys = [f"{layer.name}/{w}" for w in WEIGHTS if f"{layer.name}/{w}" in arrays]
        if keys or layer.weights:
            layer.set_weights([arrays[key] for key in keys])
        used.update(keys)
    # "exact/gamma" is a preset's map.
    pairs = {key: key.split("/") for key in arrays if "/" in key}
    weights = {key for key, (owner, _) in pairs.items() if owner not in ("exact", "stabilized")}
    assert used == weights, "a weight of the reference file has no layer here"
    return model
