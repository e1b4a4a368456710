"""Layers of a few numbers in float64, and what an analyzer gives for one input."""

import keras
import numpy as np
from keras import layers

import lrpkeras


def with_weights(layer, *weights):
    """Return a function that calls `layer` and then sets its weights."""

    def call(x):
        y = layer(x)
        layer.set_weights([np.array(w, "float64") for w in weights])
        return y

    return call


def dense(kernel, bias=None):
    """A dense layer of an `(in, out)` kernel, and no bias or one of that many numbers."""
    weights = [kernel] if bias is None else [kernel, np.atleast_1d(bias)]
    layer = layers.Dense(np.shape(kernel)[1], use_bias=bias is not None, dtype="float64")
    return with_weights(layer, *weights)


def norm(gamma, beta, mean, variance, epsilon=0.0, **settings):
    """A batch normalization of one channel."""
    layer = layers.BatchNormalization(epsilon=epsilon, dtype="float64", **settings)
    return with_weights(layer, [gamma], [beta], [mean], [variance])


def chain(shape, *steps):
    """A model of layers one after the other."""
    x = inputs = keras.Input(shape, dtype="float64")
    for step in steps:
        x = step(x)
    return keras.Model(inputs, x)


def relevance(model, x, preset="zero", **options):
    """Explain the winner of one input, or of a tuple of them for a model of several."""
    analyzer = lrpkeras.Analyzer(model, preset, **options)
    if isinstance(x, tuple):
        return [np.asarray(r)[0] for r in analyzer([np.array([each]) for each in x])]
    return np.asarray(analyzer(np.array([x])))[0]
