"""`explain` splits batches over devices; `tests/test_devices.py` runs this with two of them."""

import os
from contextlib import contextmanager, nullcontext

import keras
import numpy as np
import pytest

if "LRPKERAS_TWO_DEVICES" not in os.environ:
    pytest.skip("there is one device here", allow_module_level=True)

from keras import layers

import lrpkeras
from lrpkeras import backend, runner
from lrpkeras.errors import LrpError

ON_JAX = keras.backend.backend() == "jax"
if ON_JAX:
    import jax

    only_jax, only_tensorflow = (lambda test: test), pytest.mark.skip("of TensorFlow")
else:
    import tensorflow as tf

    from lrpkeras.backend.tensorflow import spreading

    (cpu,) = tf.config.list_physical_devices("CPU")
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    only_jax, only_tensorflow = pytest.mark.skip("of JAX"), (lambda test: test)

CLASSES, SAMPLES = 12, 5


def scope():
    """Within this, batches are split; on JAX they always are."""
    return nullcontext() if ON_JAX else strategy.scope()


def made():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, name="conv"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(CLASSES, name="head"),
        ]
    )


@pytest.fixture(scope="module")
def model():
    return made()


@pytest.fixture(scope="module")
def analyzer(model):
    return lrpkeras.Analyzer(model, "epsilon")


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(SAMPLES, 6, 6, 2)).astype("float32")


@pytest.fixture
def shares(monkeypatch):
    """For each batch, what each device computed: its relevance, by the device's number."""
    found = []

    def noted(parts):
        found.append({int(device[-1]): np.asarray(array) for device, array in parts})

    if ON_JAX:
        spread = backend.spread

        def spied(*arguments):
            result = spread(*arguments)
            noted((str(s.device), s.data) for s in result["relevance"][0].addressable_shards)
            return result

        monkeypatch.setattr(backend, "spread", spied)
    else:
        joined = spreading.joined

        def spied(parts):
            arrays = [part["relevance"][0] for part in parts]
            noted((array.device, array) for array in arrays)
            return joined(parts)

        monkeypatch.setattr(spreading, "joined", spied)
    return found


def explain(analyzer, *arguments, **settings):
    with scope():
        return analyzer.explain(*arguments, verbose=0, **settings)


def close(got, expected):
    """What float32 leaves where batches of other sizes are added up in another order."""
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_each_device_gets_its_half(analyzer, x, shares):
    expected = np.asarray(analyzer(x[:4], 1))
    assert shares == []  # a call is not split
    close(explain(analyzer, x[:4], 1, batch_size=4).relevance, expected)
    (batch,) = shares
    assert set(batch) == {0, 1}
    close(batch[0], expected[:2])
    close(batch[1], expected[2:])


def test_uneven_batches_are_split_too(analyzer, x, shares):
    expected = np.asarray(analyzer(x, 1))
    close(explain(analyzer, x, 1, batch_size=3).relevance, expected)
    sizes = [[len(batch.get(number, ())) for number in (0, 1)] for batch in shares]
    # JAX fills all batches up to one size that splits evenly.
    assert sizes == ([[2, 2], [2, 2]] if ON_JAX else [[2, 1], [1, 1]])
    close(shares[0][0], expected[:2])
    close(shares[0][1][:1], expected[2:3])


def test_one_sample_is_explained(analyzer, x, shares):
    close(explain(analyzer, x[:1], 1, batch_size=1).relevance, analyzer(x[:1], 1))
    assert 0 in shares[0]


FACTORS = np.random.default_rng(1).normal(size=(SAMPLES, CLASSES)).astype("float32")
TARGETS = {
    "the winner": None,
    "one": 3,
    "one each": [0, 1, 2, 3, 11],
    "several each": [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
    "all, in two chunks": "all",
    "factors": FACTORS,
    "the same factors": FACTORS[0],
    "a function": lambda output: output * 2,
}


@pytest.mark.parametrize("target", TARGETS)
def test_every_kind_of_target(analyzer, x, target, shares):
    got = explain(analyzer, x, TARGETS[target], batch_size=4, layers="conv")
    assert {number for batch in shares for number in batch} == {0, 1}
    close(got.relevance, analyzer(x, TARGETS[target]))
    close(got.output, analyzer.model(x))
    assert got.layers["conv"].shape == (*got.relevance.shape[:-3], 4, 4, 3)
    close(got.layers["conv"].sum(axis=(-3, -2, -1)), got.relevance.sum(axis=(-3, -2, -1)))


def test_conditions(analyzer, x, shares):
    each = [{"conv": channel} for channel in range(3)]
    parts = explain(analyzer, x, 1, batch_size=2, condition=each).relevance
    assert {number for batch in shares for number in batch} == {0, 1}
    close(parts.sum(axis=1), np.asarray(analyzer(x, 1)))


@pytest.mark.parametrize("compiled", ["auto", False, True])
def test_with_and_without_xla(model, x, compiled, shares):
    analyzer = lrpkeras.Analyzer(model, "epsilon_plus_flat", jit_compile=compiled)
    close(explain(analyzer, x, 1, batch_size=2).relevance, analyzer(x, 1))
    # Without jit, JAX computes where it always does.
    used = {number for batch in shares for number in batch}
    assert used == ({0} if ON_JAX and compiled is False else {0, 1})


def test_a_new_value_reaches_every_device(x, shares):
    model = made()
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    before = explain(analyzer, x, 1).relevance
    layer = model.get_layer("head")
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    close(explain(analyzer, x, 1).relevance, before)
    analyzer.refresh()
    close(explain(analyzer, x, 1).relevance, 2 * before)
    assert set(shares[-1]) == {0, 1}
    traces = sum(map(backend.trace_count, analyzer._explainer._compiled.values()))
    assert traces == 1


def test_a_dataset_is_split(analyzer, x, shares):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return x[3 * index : 3 * index + 3]

    close(explain(analyzer, Batches(), 1, batch_size=1).relevance, analyzer(x, 1))
    assert [set(batch) for batch in shares] == [{0, 1}, {0, 1}]


@only_tensorflow
@pytest.mark.parametrize("inside", ["the analyzer", "the model, too"])
def test_what_is_made_inside_the_scope_serves_inside_and_outside(model, analyzer, x, inside):
    with scope():
        own = made() if inside == "the model, too" else model
        mirrored = lrpkeras.Analyzer(own, "epsilon")
        within = mirrored.explain(x, 1, verbose=0).relevance
        called = np.asarray(mirrored(x, 1))
    expected = np.asarray(analyzer(x, 1))
    for got in (within, called, mirrored(x, 1), mirrored.explain(x, 1, verbose=0).relevance):
        close(got, expected)
    with scope():
        mirrored.refresh()
        close(mirrored.explain(x, 1, verbose=0).relevance, expected)


@only_tensorflow
def test_outside_of_a_scope_nothing_is_split(analyzer, x, shares):
    close(analyzer.explain(x, 1, verbose=0).relevance, analyzer(x, 1))
    assert shares == []


@only_tensorflow
def test_one_device_computes_where_its_strategy_says(analyzer, x, shares):
    with tf.distribute.OneDeviceStrategy("CPU:1").scope():
        close(analyzer.explain(x, 1, verbose=0).relevance, analyzer(x, 1))
    assert [set(batch) for batch in shares] == [{1}]


@only_tensorflow
def test_copies_for_devices_count_as_memory_that_is_held(x):
    analyzer = lrpkeras.Analyzer(made(), "zero", jit_compile=True)
    before = sum(analyzer._program.nbytes)
    with scope():
        analyzer.explain(x, 1, verbose=0)
    assert sum(analyzer._program.nbytes) == 3 * before


@only_tensorflow
def test_other_strategies_are_refused(analyzer, x):
    storage = tf.distribute.experimental.CentralStorageStrategy(["CPU:0", "CPU:1"], "CPU:0")
    with (
        storage.scope(),
        pytest.raises(LrpError, match=r"CentralStorageStrategy.*MirroredStrategy"),
    ):
        analyzer.explain(x, verbose=0)


@contextmanager
def distributed(distribution):
    keras.distribution.set_distribution(distribution)
    yield
    keras.distribution.set_distribution(None)


@only_jax
def test_the_devices_of_a_distribution_are_used(analyzer, x, shares):
    with distributed(keras.distribution.DataParallel(devices=["cpu:1"])):
        close(analyzer.explain(x, 1, verbose=0).relevance, analyzer(x, 1))
    assert [set(batch) for batch in shares] == [{1}]
    with distributed(keras.distribution.DataParallel()):
        own = lrpkeras.Analyzer(made(), "epsilon")
        close(own.explain(x, 1, verbose=0).relevance, analyzer(x, 1))
    assert set(shares[-1]) == {0, 1}


@only_jax
def test_where_jax_is_told_one_device_nothing_is_split(analyzer, x, shares):
    with jax.default_device(jax.devices()[0]):
        close(analyzer.explain(x, 1, verbose=0).relevance, analyzer(x, 1))
    assert shares == []


@only_jax
def test_other_distributions_are_refused(analyzer, x):
    mesh = keras.distribution.DeviceMesh((1, 2), ("batch", "model"))
    parallel = keras.distribution.ModelParallel(
        layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name="batch"
    )
    with (
        distributed(parallel),
        pytest.raises(LrpError, match=r"ModelParallel.*DataParallel"),
    ):
        analyzer.explain(x, verbose=0)


def test_batches_of_a_hundred_take_no_other_function(analyzer):
    """What is filled up, and how many parts there are."""
    room = runner._Room(32, ("a", "b", "c"))
    assert [room.size(count) for count in (1, 32, 33, 100)] == [33, 33, 33, 102]
    assert runner._Room(0, ()).size(7) == 7
