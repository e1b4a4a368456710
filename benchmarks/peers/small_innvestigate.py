"""Small networks in Keras 2: `python -m benchmarks.peers.small_innvestigate` prints iNNvestigate's.

One JSON object, as `small_torch.py` prints it. Where a model check ends an analysis, what comes out
with `disable_model_checks=True` stands beside it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import innvestigate
import numpy as np
import tensorflow as tf

layers = tf.keras.layers
Numbers = list[float]
Layer = Callable[[Any], Any]


def dense(kernel: Sequence[Sequence[float]], bias: float | None = None, **settings: Any) -> Layer:
    """Return what calls a layer of an `(in, out)` kernel and sets its weights."""
    layer = layers.Dense(len(kernel[0]), use_bias=bias is not None, **settings)
    return with_weights(layer, kernel, *([] if bias is None else [[bias]]))


def with_weights(layer: Any, *weights: Any) -> Layer:
    """Return what calls a layer and then sets its weights."""

    def call(x: Any) -> Any:
        y = layer(x)
        layer.set_weights([np.array(each, "float32") for each in weights])
        return y

    return call


def norm(gamma: float, beta: float, mean: float, variance: float) -> Layer:
    """Return a batch normalization of one channel."""
    numbers = ([each] for each in (gamma, beta, mean, variance))
    return with_weights(layers.BatchNormalization(epsilon=0.0), *numbers)


def model(shape: tuple[int, ...], *steps: Layer) -> Any:
    """Return a model of steps one after the other."""
    x = inputs = tf.keras.Input(shape)
    for step in steps:
        x = step(x)
    return tf.keras.Model(inputs, x)


def relevance(name: str, network: Any, x: Any, **settings: Any) -> Numbers:
    """Return the relevance of one input."""
    analyzer = innvestigate.create_analyzer(name, network, **settings)
    return analyzer.analyze(np.array([x], "float32")).flatten().tolist()


def residual(add: Callable[[Any, Any], Any]) -> Callable[..., Numbers]:
    """Return the share of the logit that arrives behind sixteen sums."""

    def block(x: Any) -> Any:
        return add(x, dense([[0.5]])(x))

    def run(**settings: Any) -> Numbers:
        network = model((1,), *[block] * 16)
        return [relevance("lrp.epsilon", network, [2.0], **settings)[0] / (2 * 1.5**16)]

    return run


def one(bias: float | None = None, **settings: Any) -> Any:
    """Return a model of one layer of two inputs."""
    return model((2,), dense([[1.0], [-1.0]], bias, **settings))


def padded() -> Any:
    """Return a convolution behind a padding layer that reads one pixel of 2 x 2."""
    kernel = np.zeros((4, 4, 1, 1))
    kernel[1, 1] = 1.0
    conv = with_weights(layers.Conv2D(1, 4, use_bias=False), kernel)
    return model((2, 2, 1), layers.ZeroPadding2D(1), conv, layers.Flatten())


def normalized(**settings: Any) -> Numbers:
    """Return the relevance of 3 (x - 1) / sqrt(4) + 0.5 at 5."""
    network = model((1,), dense([[1.0]]), norm(3.0, 0.5, 1.0, 4.0))
    return relevance("lrp.z", network, [5.0], **settings)


def nested(**settings: Any) -> Numbers:
    """Return the relevance of a model within a model."""
    return relevance("lrp.alpha_1_beta_0", model((2,), one()), [3.0, 1.0], **settings)


def scaled(**settings: Any) -> Numbers:
    """Return the relevance of an input that is doubled in front of a layer."""
    network = model((1,), layers.Rescaling(2.0), dense([[1.0]]))
    return relevance("lrp.epsilon", network, [3.0], **settings)


def sigmoid(**settings: Any) -> Numbers:
    """Return the relevance of a decision by a sigmoid."""
    network = model((2,), dense([[1.0], [-3.0]], activation="sigmoid"))
    return relevance("lrp.epsilon", network, [1.0, 1.0], **settings)


def saved(**settings: Any) -> Numbers:
    """Return the relevance of an analyzer with an epsilon of 1 that was saved and loaded."""
    network = model((2,), dense([[1.0], [1.0]]))
    made = innvestigate.create_analyzer("lrp.epsilon", network, epsilon=1.0, **settings)
    loaded = type(made).load(*made.save())
    return loaded.analyze(np.array([[1.0, 1.0]], "float32")).flatten().tolist()


def cases() -> dict[str, Callable[..., Numbers]]:
    """Return all cases."""
    bias, negative = [1.0, 0.05], [1.0, -3.0]
    return {
        "residual": residual(lambda a, b: a + b),
        "residual_by_modules": residual(lambda a, b: layers.Add()([a, b])),
        "negative_bias": lambda **s: relevance("lrp.alpha_1_beta_0", one(-0.9), bias, **s),
        "negative_input": lambda **s: relevance("lrp.alpha_1_beta_0", one(), negative, **s),
        "sigmoid_head": sigmoid,
        "flat_behind_padding": lambda **s: relevance(
            "lrp.sequential_preset_a_flat", padded(), np.ones((2, 2, 1)), **s
        ),
        "batch_norm": normalized,
        "nested": nested,
        "factor": scaled,
        "saved": saved,
    }


def outcome(case: Callable[..., Numbers], **settings: Any) -> Numbers | str:
    """Return the numbers, or the first line of the error."""
    try:
        return case(**settings)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]


def main() -> None:
    """Print all that there is; what libraries print goes elsewhere."""
    tf.compat.v1.disable_eager_execution()
    found: dict[str, Any] = {}
    with redirect_stdout(sys.stderr):
        for name, case in cases().items():
            found[name] = outcome(case)
            if isinstance(found[name], str):
                found[f"{name}, unchecked"] = outcome(case, disable_model_checks=True)
    print(json.dumps({f"iNNvestigate {importlib.metadata.version('innvestigate')}": found}))


if __name__ == "__main__":
    main()
