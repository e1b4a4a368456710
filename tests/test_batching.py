"""A data set in batches: the next one is read while the current one is explained."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import lrpkeras
from lrpkeras import batching
from lrpkeras.errors import InputError

# Far beyond what any of this takes: a test that waits so long has failed.
SECONDS = 30


class Source:
    """Yields numbers, or samples, and tells what was read."""

    def __init__(self, count, broken_at=None):
        self.read = [threading.Event() for _ in range(count)]
        self.closed = threading.Event()
        self.broken_at = broken_at

    def __call__(self):
        try:
            for number, event in enumerate(self.read):
                if number == self.broken_at:
                    raise OSError("the disk is gone")
                event.set()
                yield number
        finally:
            self.closed.set()


def test_the_next_item_is_read_while_one_is_worked_on_and_no_further():
    source = Source(5)
    seen = []
    for number in batching.ahead(source()):
        seen.append(number)
        for event in source.read[number + 1 : number + 2]:
            assert event.wait(SECONDS)
        assert not any(event.is_set() for event in source.read[number + 2 :])
    assert seen == list(range(5))
    assert source.closed.is_set()


def test_what_reading_raises_comes_where_the_item_would_have():
    items = batching.ahead(Source(5, broken_at=3)())
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)


def test_where_nobody_asks_on_the_source_is_closed_and_the_thread_ends():
    source = Source(5)
    items = batching.ahead(source())
    assert next(items) == 0
    items.close()
    assert source.closed.is_set()
    assert not readers()


def test_items_are_handed_on_once_the_next_was_asked_for():
    events = []

    def source():
        for number in range(3):
            events.append(f"asked for {number}")
            yield number

    for number in batching.one_behind(source()):
        events.append(f"got {number}")
    asked = ["asked for 0", "asked for 1", "got 0", "asked for 2", "got 1", "got 2"]
    assert events == asked
    assert list(batching.one_behind(iter([]))) == []


@pytest.fixture(scope="module")
def analyzer():
    x = keras.Input((3,))
    return lrpkeras.Analyzer(keras.Model(x, layers.Dense(2)(x)), "epsilon", verify=False)


def readers():
    """The threads of pools that still run; TensorFlow's own are none."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("ThreadPoolExecutor")]


def dataset(source):
    spec = tf.TensorSpec((4, 3), "float32")
    samples = (np.full((4, 3), number, "float32") for number in source())
    return tf.data.Dataset.from_generator(lambda: samples, output_signature=spec)


def test_explaining_a_dataset_reads_the_next_batch_meanwhile(analyzer, monkeypatch):
    source, run = Source(4), analyzer._explainer.run
    calls = []

    def waiting(*arguments, **settings):
        calls.append(len(calls))
        for event in source.read[len(calls) : len(calls) + 1]:
            assert event.wait(SECONDS)
        return run(*arguments, **settings)

    monkeypatch.setattr(analyzer._explainer, "run", waiting)
    got = analyzer.explain(dataset(source), 1, verbose=0)
    assert calls == [0, 1, 2, 3]
    kernel = analyzer.model.layers[-1].kernel.numpy()[:, 1]
    # In order, and one by one: relevance of a linear layer without bias is x w.
    want = np.repeat(np.arange(4.0), 4)[:, None] * kernel
    np.testing.assert_allclose(got.relevance, want, rtol=1e-5, atol=1e-6)


def test_explaining_stops_where_reading_fails_and_leaves_no_thread(analyzer):
    with pytest.raises(tf.errors.UnknownError, match="the disk is gone"):
        analyzer.explain(dataset(Source(5, broken_at=2)), verbose=0)
    assert not readers()


def test_explaining_stops_where_a_batch_is_refused_and_leaves_no_thread(analyzer):
    batches = [np.ones((4, 3), "float32"), np.full((4, 3), np.nan, "float32")]
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=tf.TensorSpec((4, 3), "float32")
    )
    with pytest.raises(InputError, match="NaN"):
        analyzer.explain(data, verbose=0)
    assert not readers()
