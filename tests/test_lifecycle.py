"""An analyzer over time: trained on, called again, from several threads, built by the dozen."""

import gc
import threading

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras import backend

X = np.random.default_rng(1).normal(size=(6, 6, 6, 2))


class Scale(L.Layer):
    """`x * variable`, written with operators: a constant of the graph that training changes."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x):
        return x * self.gain


def scaled(layer, x):
    return x.then(lrpkeras.graph.nodes.Affine, scale=layer.gain)


def net():
    """BatchNormalization folded left, right through padding (a bias map), and through a gate."""
    with float64():
        inputs = keras.Input((6, 6, 2), name="image", dtype="float64")
        x = L.Conv2D(3, 3, padding="same", use_bias=False, name="conv1")(inputs)
        x = L.ReLU()(L.BatchNormalization(name="bn1")(x))
        x = L.BatchNormalization(name="bn2")(x)
        y = L.Conv2D(3, 3, padding="same", name="conv2")(x)
        x = L.Add()([L.Conv2D(3, 3, name="conv3", padding="same")(x), y])
        x = L.ReLU()(L.BatchNormalization(name="bn3")(x))
        x = L.Conv2D(3, 3, padding="same", name="conv4")(x)
        x = Scale(name="scale")(L.PReLU(name="prelu", shared_axes=[1, 2])(x))
        x = L.GlobalAveragePooling2D()(ops.add(x, np.full(3, 0.25)))
        return randomized(keras.Model(inputs, L.Dense(3, activation="softmax", name="head")(x)))


@pytest.fixture(autouse=True, scope="module")
def scale_is_known():
    before = dict(lrpkeras.graph.lower.LOWERINGS)
    lrpkeras.register_layer(Scale, lower=scaled)
    yield
    lrpkeras.graph.lower.LOWERINGS.clear()
    lrpkeras.graph.lower.LOWERINGS.update(before)


@pytest.fixture
def traces(monkeypatch):
    """Every function that is compiled while a test runs."""
    made = []
    compile_ = backend.compile

    def counted(*args, **kwargs):
        made.append(compile_(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(backend, "compile", counted)
    return lambda: sum(map(backend.trace_count, made))


def train_a_step(model):
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
    model.train_on_batch(X + 0.5, np.arange(6) % 3)


def other_weights(model):
    randomized(model, seed=11)


@pytest.mark.parametrize("change", [train_a_step, other_weights])
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "zero"])
def test_refresh_equals_building_anew_without_tracing(traces, change, preset):
    model = net()
    analyzer = lrpkeras.Analyzer(model, preset)
    before = analyzer(X, 1).numpy()
    weights = [w.copy() for w in model.get_weights()]
    change(model)
    assert all(np.any(a != b) for a, b in zip(weights, model.get_weights(), strict=True))
    np.testing.assert_array_equal(analyzer(X, 1), before)
    count = traces()
    analyzer.refresh()
    after = analyzer(X, 1).numpy()
    assert traces() == count
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    np.testing.assert_array_equal(after, lrpkeras.Analyzer(model, preset)(X, 1))
    assert analyzer.check(X).closes
    assert analyzer.check(X).fidelity < 1e-12


@pytest.mark.parametrize("layer", ["bn1", "bn2", "bn3", "scale", "prelu", "conv1", "head"])
def test_refresh_reaches_every_kind_of_weight(layer):
    model = net()
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    before = analyzer(X, 1).numpy()
    randomized(model.get_layer(layer), seed=11)
    analyzer.refresh()
    after = analyzer(X, 1).numpy()
    assert np.abs(after - before).max() > 1e-6 * np.abs(before).max()
    np.testing.assert_array_equal(after, lrpkeras.Analyzer(model, "epsilon")(X, 1))


def test_refresh_takes_up_a_batch_norm_that_changed_sign_or_died():
    model = net()
    analyzer = lrpkeras.Analyzer(model)
    analyzer(X)
    for name in ("bn1", "bn2", "bn3"):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([gamma * [-1, 0, 1], beta, mean, variance])
    analyzer.refresh()
    np.testing.assert_array_equal(analyzer(X), lrpkeras.Analyzer(model)(X))


def test_the_users_model_is_bit_for_bit_what_it_was():
    model = net()
    weights = [w.copy() for w in model.get_weights()]
    config, output = model.to_json(), model(X).numpy()
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    losses, names = len(model.losses), [w.path for w in model.variables]
    analyzer = lrpkeras.Analyzer(model)
    analyzer(X)
    analyzer.explain(X, "all", layers="*", verbose=0)
    analyzer.check(X)
    analyzer.refresh()
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.to_json() == config
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert (len(model.losses), [w.path for w in model.variables]) == (losses, names)
    np.testing.assert_array_equal(model(X), output)


def test_what_was_explained_once_is_not_traced_again(traces):
    analyzer = lrpkeras.Analyzer(net())
    ways = [None, 1, "all", [[0, 2]] * 6, np.ones((6, 3))]
    for target in ways:
        analyzer(X, target)
    count = traces()
    assert count == 5
    for target in ways:
        analyzer(X, target)
        analyzer.explain(X, target, batch_size=4, verbose=0)
    for size in (1, 2, 5):
        analyzer(X[:size])
        analyzer(X[:size].astype("float32"), list(range(1, size + 1))[:size] if size < 3 else 0)
    analyzer(X, [2, 1, 0, 2, 1, 0])
    analyzer(X, [[1, 0]] * 6)
    assert traces() == count


def test_a_concrete_function_is_the_winners_explanation_for_any_batch():
    analyzer = lrpkeras.Analyzer(net())
    for function, sizes in (
        (analyzer.concrete_function(), (1, 4)),
        (analyzer.concrete_function(batch_size=2), (2,)),
    ):
        for size in sizes:
            result = function([ops.convert_to_tensor(X[:size])])
            np.testing.assert_array_equal(result["relevance"][0][:, 0], analyzer(X[:size]))


def in_threads(function, count=4):
    """Run `function(i)` in threads that start together; return what each gave."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(i):
        barrier.wait()
        try:
            results[i] = function(i)
        except BaseException as error:  # noqa: BLE001 - reported by the test
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_four_threads_agree_from_the_very_first_call_on(traces):
    analyzer = lrpkeras.Analyzer(net())
    targets = [None, 0, [0, 1, 2, 0, 1, 2], "all"]
    together = in_threads(lambda i: [analyzer(X, target).numpy() for target in targets])
    assert traces() == 3
    for result in together:
        assert isinstance(result, list), result
        for got, target in zip(result, targets, strict=True):
            np.testing.assert_array_equal(got, analyzer(X, target))


def test_threads_with_inputs_of_their_own_do_not_mix_them_up():
    analyzer = lrpkeras.Analyzer(net())
    want = [analyzer(X[i : i + 2]).numpy() for i in range(4)]
    got = in_threads(lambda i: [analyzer(X[i : i + 2]).numpy() for _ in range(20)])
    for mine, results in zip(want, got, strict=True):
        assert isinstance(results, list), results
        for result in results:
            np.testing.assert_array_equal(result, mine)


def test_analyzers_can_be_built_in_threads():
    model = net()
    want = lrpkeras.Analyzer(model)(X).numpy()
    for got in in_threads(lambda i: lrpkeras.Analyzer(model)(X).numpy()):
        assert isinstance(got, np.ndarray), got
        np.testing.assert_array_equal(got, want)


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not hasattr(threading, "get_native_id"), reason="needs /proc")
def test_thirty_analyzers_built_and_dropped_leave_memory_flat():
    """Each holds 16 MB of kernels, twice at least: leaking them would be half a gigabyte."""
    inputs = keras.Input((1024,))
    x = L.Dense(2048, activation="relu")(inputs)
    model = keras.Model(inputs, L.Dense(1024)(x))
    x = np.random.default_rng(0).normal(size=(1, 1024)).astype("float32")

    def build(times):
        for _ in range(times):
            lrpkeras.Analyzer(model, "epsilon", verify=False)(x)
            gc.collect()

    build(5)
    before = resident_mb()
    build(30)
    assert resident_mb() - before < 100
