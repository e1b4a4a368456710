"""Write what iNNvestigate gives for a small network: `innvestigate_reference.npz`.

    .venv-innvestigate/bin/python tests/peers/innvestigate_reference.py

in the environment that `make bench-peers` makes. `test_innvestigate.py` reads it.
"""

from pathlib import Path

import innvestigate
import numpy as np
import tensorflow as tf
from innvestigate.analyzer import analyzers

# Averages over random draws or paths, and what explains nothing.
WITHOUT = {"input", "random", "integrated_gradients", "smoothgrad", "lrp"}
PARAMETERS = {
    "lrp.alpha_beta": {"alpha": 3.0, "beta": 2.0},
    "deep_taylor.bounded": {"low": -2.0, "high": 3.0},
    "lrp.sequential_preset_b_flat_until_idx": {"until_layer_idx": 3},  # the second convolution
}


def network():
    """Return a network of what its rules are for; random weights are set later."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", activation="relu", input_shape=(6, 6, 2)),
            layers.MaxPooling2D(2),
            layers.Conv2D(5, 2, activation="relu"),
            layers.AveragePooling2D(2, 1, padding="valid"),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(3),
        ]
    )


def weights(shapes, biased):
    """Return random weights; biases of both signs, or none."""
    random = np.random.default_rng(3)
    drawn = [random.normal(size=shape) / np.sqrt(np.prod(shape[:-1])) for shape in shapes]
    return [w if w.ndim > 1 else w * 0.3 * biased for w in drawn]


def relevance(name, values, x):
    """Return what an analyzer gives, in a graph of its own: one for all grows slow."""
    tf.keras.backend.clear_session()
    model = network()
    model.set_weights(values)
    made = innvestigate.create_analyzer(name, model, **PARAMETERS.get(name, {}))
    return made.analyze(x)


if __name__ == "__main__":
    tf.compat.v1.disable_eager_execution()
    x = np.random.default_rng(5).uniform(-2, 3, (4, 6, 6, 2)).astype("float32")
    found = {"x": x}
    for kind in ("biased", "unbiased"):
        values = weights([w.shape for w in network().get_weights()], kind == "biased")
        found |= {f"{kind}/weights/{i}": w.astype("float32") for i, w in enumerate(values)}
        for name in sorted(analyzers.keys() - WITHOUT):
            found[f"{kind}/{name}"] = relevance(name, values, x)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **found)
