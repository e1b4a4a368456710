"""Models of which every score is known by algebra."""

import keras
import numpy as np
from keras import layers


def linear(weights, bias=0.0):
    """Return a model of vectors with one logit, `weights` . x + bias."""
    model = keras.Sequential([keras.Input((len(weights),)), layers.Dense(1)])
    model.set_weights([np.reshape(weights, (-1, 1)), np.array([bias])])
    return model


def on_images(weights, activation=None, bias=None):
    """Return a model of images with one logit for each `(height, width, channels)` of `weights`."""
    weights = np.asarray(weights, "float32")
    model = keras.Sequential(
        [
            keras.Input(weights.shape[1:]),
            layers.Flatten(),
            layers.Dense(len(weights), activation=activation),
        ]
    )
    bias = np.zeros(len(weights)) if bias is None else bias
    model.set_weights([weights.reshape(len(weights), -1).T, bias])
    return model


def of_class(weights, x, target):
    """Return the relevance of a linear model without bias: weight times input."""
    return np.asarray(weights)[target] * x
