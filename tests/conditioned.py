"""What the tests of conditions share: a small net, and how they ask and compare."""

import numpy as np
from keras import Input, Model, layers
from linear_layers import float64, randomized

X = np.random.default_rng(1).normal(size=(3, 6, 6, 2))


def network():
    """A folded normalization, a residual block with a projection, pools of both kinds."""
    with float64():
        inputs = Input((6, 6, 2), name="image", dtype="float64")
        x = layers.Conv2D(4, 3, padding="same", name="conv1")(inputs)
        x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(x))
        x = layers.MaxPooling2D(2, strides=1, name="pool")(x)
        y = layers.Conv2D(2, 3, padding="same", activation="relu", name="inner")(x)
        y = layers.Conv2D(3, 1, name="branch")(y)
        x = layers.Add(name="add")([layers.Conv2D(3, 1, name="shortcut")(x), y])
        x = layers.AveragePooling2D(2, strides=1, name="mean")(layers.ReLU(name="relu2")(x))
        x = layers.Conv2D(3, 2, activation="relu", name="conv2")(x)
        x = layers.Dense(5, activation="relu", name="dense")(layers.Flatten(name="flat")(x))
        return randomized(Model(inputs, layers.Dense(3, activation="softmax", name="head")(x)))


def close(got, want, tolerance=1e-10):
    """Compare in float64: quotients whose denominators cancel lose a few of sixteen digits."""
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def each(layer, count):
    return [{layer: channel} for channel in range(count)]


def explain(analyzer, condition=None, target=None, x=X, **options):
    return analyzer.explain(x, target, condition=condition, verbose=0, **options)
