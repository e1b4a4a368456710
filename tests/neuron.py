"""One dense layer, its weights given, explained by one rule."""

import keras
import numpy as np
from explained import rewritten, run
from linear_layers import float64

from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Gamma, Power, Rule, WSquare, Zero, ZPlus
from lrpkeras.rules.bias import MODES

# One of each rule, for what all of them promise.
EVERY_RULE = [
    *(rule(bias=b) for rule in (Zero, Epsilon, ZPlus, AlphaBeta, Gamma) for b in MODES),
    *(Gamma(positive_only=True), Flat(), Box(-1, 1), WSquare(), Power(2), Power(3)),
]


def neuron(w, b=None, *, relu=False, dtype="float64") -> keras.Model:
    """A dense layer with the weights `w`, one output for each column."""
    w = np.array(w, "float64").reshape(len(w), -1)
    with float64():
        layer = keras.layers.Dense(w.shape[1], use_bias=b is not None, dtype=dtype)
        x = keras.Input((len(w),), dtype=dtype)
        y = layer(x)
        model = keras.Model(x, keras.layers.ReLU(dtype=dtype)(y) if relu else y)
    layer.set_weights([w] if b is None else [w, np.atleast_1d(b)])
    return model


def back(model: keras.Model, rule: Rule, x, relevance=1.0, form="R") -> tuple[list, dict]:
    """Relevance of the inputs for one sample and relevance put in; and what the sinks took."""
    made = run(rewritten(model), rule, np.array([x]), vanishes=form == "ratio")
    start = np.full((1, 1, model.output_shape[-1]), relevance)
    (got,) = made.back(start, form)
    return got[0, 0].tolist(), made.sinks
