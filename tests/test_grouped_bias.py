"""Grouped convolutions with a bias, which TensorFlow's graph optimizer fuses without a kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import lrpkeras

CASES = {
    "1d": ((9, 4), lambda: layers.Conv1D(8, 3, groups=2, activation="relu")),
    "2d": ((9, 8, 4), lambda: layers.Conv2D(8, 3, groups=2, activation="relu")),
    "2d without relu": ((9, 8, 4), lambda: layers.Conv2D(8, 3, groups=2)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_compiled_grouped_convolution_with_a_bias_is_explained(case):
    shape, layer = CASES[case]
    model = keras.Sequential([keras.Input(shape), layer(), layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "zero", jit_compile=False)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        explained = tf.reduce_sum(model(tensor)[:, 0])
    expected = x * tape.gradient(explained, tensor).numpy()
    np.testing.assert_allclose(analyzer(x, 0), expected, atol=1e-5 * np.abs(expected).max())
