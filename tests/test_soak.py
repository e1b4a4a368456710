"""Thousands of calls: memory stays flat, and nothing is traced or compiled anew."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import randomized
from memory import allocated_mb, counted

import lrpkeras
from lrpkeras import backend

pytestmark = pytest.mark.slow

LARGEST = 100
X = np.random.default_rng(0).normal(size=(LARGEST, 32, 32, 3)).astype("float32")


def net():
    """Activations of 2^14 entries a sample, where elementwise runs become compiled islands."""
    x = keras.Input((32, 32, 3))
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    for _ in range(3):
        z = layers.Conv2D(16, 3, padding="same")(y)
        y = layers.ReLU()(layers.Add()([y, layers.BatchNormalization()(z)]))
    y = layers.Dense(4)(layers.GlobalAveragePooling2D()(y))
    return randomized(keras.Model(x, y))


@pytest.fixture
def compiled(monkeypatch):
    """Every function that is compiled while a test runs."""
    made, compile_ = [], backend.compile

    def counted(*arguments, **settings):
        made.append(compile_(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr(backend, "compile", counted)
    return made


def targets(size, generator):
    """One target of every kind, for a batch."""
    return [
        None,
        int(generator.integers(4)),
        generator.integers(4, size=size),
        generator.integers(4, size=(size, 2)),
        "all",
        generator.normal(size=(size, 4)).astype("float32"),
        lambda output: output**2,
    ]


@counted
def test_two_thousand_calls_leave_memory_and_traces_as_they_were(compiled):
    """Of 2,000 calls, 200 warm up: by then every kind of target has met its batch sizes.

    One activation of one sample (64 kB) lost in each of the others would be 110 MB.
    """
    analyzer = lrpkeras.Analyzer(net(), "epsilon_plus_flat")
    generator = np.random.default_rng(1)

    def call(times):
        for number in range(times):
            size = int(generator.integers(1, 9))
            target = targets(size, generator)[number % 7]
            if number % 5:
                analyzer(X[:size], target)
            else:
                analyzer.explain(X[:size], target, batch_size=4, layers="conv2d*", verbose=0)

    call(200)
    traces, before = sum(map(backend.trace_count, compiled)), allocated_mb()
    call(1800)
    assert sum(map(backend.trace_count, compiled)) == traces
    assert allocated_mb() - before < 5


def growth(call):
    """How many MB more are allocated once a function has met a hundred batch sizes, not five."""
    for size in (LARGEST, 1, 2, 3, LARGEST - 1):
        call(X[:size])
    before = allocated_mb()
    for size in range(4, LARGEST):
        call(X[:size])
    return allocated_mb() - before


@counted
def test_a_hundred_batch_sizes_take_no_more_memory_than_a_gradient_s():
    """Compiled for each size, islands would be 0.7 MB (so measured) for each of 95, 66 MB.

    With oneDNN, TensorFlow itself keeps some 50 MB of what it prepares for each size.
    """
    model = net()

    @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3))], autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = tf.reduce_max(model(x), 1)
        return tape.gradient(score, x)

    allowed = 1.25 * growth(gradient) + 5
    assert growth(lrpkeras.Analyzer(model, "epsilon")) < allowed


@counted
def test_analyzers_with_islands_that_are_built_and_dropped_leave_memory_flat():
    """An analyzer of this net takes 2.3 MB: twenty would be 46.

    TensorFlow itself keeps 0.2 MB of every graph that calls compiled functions.
    """
    model = net()

    def build(times):
        for _ in range(times):
            lrpkeras.Analyzer(model, "epsilon", verify=False)(X[:2])

    build(5)
    before = allocated_mb()
    build(20)
    assert allocated_mb() - before < 15
