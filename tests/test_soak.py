"""Thousands of calls: memory stays flat, and nothing is traced or compiled anew."""

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import randomized
from memory import measured, resident_mb

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


@measured
def test_two_thousand_calls_leave_memory_and_traces_as_they_were(compiled):
    """Of 2,000 calls, 200 warm up: by then every kind of target has met its batch sizes.

    One activation of one sample (64 kB) lost in each of the others would be 110 MB. The allocator
    alone moves the level by 10 MB up and down.
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
    traces, before = sum(map(backend.trace_count, compiled)), resident_mb()
    call(1800)
    assert sum(map(backend.trace_count, compiled)) == traces
    assert resident_mb() - before < 25


@measured
def test_a_hundred_batch_sizes_take_no_more_memory_than_five():
    """Compiled for each size, islands would be 0.7 MB (so measured) for each of 95, 66 MB.

    The allocator alone moves the level by 12 MB.
    """
    analyzer = lrpkeras.Analyzer(net(), "epsilon")
    for size in (LARGEST, 1, 2, 3, LARGEST - 1):
        analyzer(X[:size])
    before = resident_mb()
    for size in range(4, LARGEST):
        analyzer(X[:size])
    assert resident_mb() - before < 30


@measured
def test_analyzers_with_islands_that_are_built_and_dropped_leave_memory_flat():
    """An analyzer of this net takes 2.3 MB: twenty would be 46.

    TensorFlow itself keeps 0.2 MB of every graph that calls compiled functions.
    """
    model = net()

    def build(times):
        for _ in range(times):
            lrpkeras.Analyzer(model, "epsilon", verify=False)(X[:2])

    build(5)
    before = resident_mb()
    build(20)
    assert resident_mb() - before < 15
