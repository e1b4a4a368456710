"""An analyzer over time: trained on, called again, from several threads, built by the dozen."""

import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops
from linear_layers import float64, randomized
from memory import allocated_mb, counted

import lrpkeras
from lrpkeras import backend

X = np.random.default_rng(1).normal(size=(6, 6, 6, 2))


class Scale(layers.Layer):
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
        x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv1")(inputs)
        x = layers.ReLU()(layers.BatchNormalization(name="bn1")(x))
        x = layers.BatchNormalization(name="bn2")(x)
        y = layers.Conv2D(3, 3, padding="same", name="conv2")(x)
        x = layers.Add()([layers.Conv2D(3, 3, name="conv3", padding="same")(x), y])
        x = layers.ReLU()(layers.BatchNormalization(name="bn3")(x))
        x = layers.Conv2D(3, 3, padding="same", name="conv4")(x)
        x = Scale(name="scale")(layers.PReLU(name="prelu", shared_axes=[1, 2])(x))
        x = layers.GlobalAveragePooling2D()(ops.add(x, np.full(3, 0.25)))
        return randomized(
            keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))
        )


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
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat"])
def test_refresh_equals_building_anew_without_tracing(traces, change, preset):
    model = net()
    analyzer = lrpkeras.Analyzer(model, preset)
    before = analyzer(X, 1).numpy()
    weights = {w.path: w.numpy() for w in model.variables}
    change(model)
    # A bias right before a normalization has no gradient: every other weight has moved.
    same = {w.path for w in model.variables if np.array_equal(w, weights.get(w.path))}
    assert not [path for path in same if "bias" not in path]
    np.testing.assert_array_equal(analyzer(X, 1), before)
    count = traces()
    analyzer.refresh()
    after = analyzer(X, 1).numpy()
    assert traces() == count
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    np.testing.assert_array_equal(after, lrpkeras.Analyzer(model, preset)(X, 1))
    assert analyzer.check(X).closes
    assert analyzer.check(X).fidelity < 1e-12


@pytest.fixture(scope="module")
def explained():
    model = net()
    return model, lrpkeras.Analyzer(model, "epsilon")


@pytest.mark.parametrize("layer", ["bn1", "bn2", "bn3", "scale", "prelu", "conv1", "head"])
def test_refresh_reaches_every_kind_of_weight(explained, layer):
    model, analyzer = explained
    before = analyzer(X, 1).numpy()
    randomized(model.get_layer(layer), seed=11)
    analyzer.refresh()
    after = analyzer(X, 1).numpy()
    assert np.abs(after - before).max() > 1e-6 * np.abs(before).max()
    np.testing.assert_array_equal(after, lrpkeras.Analyzer(model, "epsilon", verify=False)(X, 1))


def test_refresh_takes_up_a_batch_norm_that_changed_sign_or_died():
    model = net()
    analyzer = lrpkeras.Analyzer(model)
    analyzer(X)
    for name in ("bn1", "bn2", "bn3"):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([gamma * [-1, 0, 1], beta, mean, variance])
    analyzer.refresh()
    np.testing.assert_array_equal(analyzer(X), lrpkeras.Analyzer(model)(X))


def test_refresh_takes_up_a_variable_that_an_operator_multiplies_with():
    """For a linear head, relevance is x_i v_i w_i: twice the v, twice the relevance."""
    gain = keras.Variable(np.arange(1.0, 4.0), dtype="float32")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2, use_bias=False)(inputs * gain))
    x = X[0, 0, :, :1].T[:, :3].astype("float32")
    analyzer = lrpkeras.Analyzer(model, "zero")
    before = analyzer(x, 0).numpy()
    np.testing.assert_allclose(
        before, x * gain.numpy() * model.layers[-1].get_weights()[0][:, 0], rtol=1e-5
    )
    gain.assign(2 * gain)
    np.testing.assert_array_equal(analyzer(x, 0), before)
    analyzer.refresh()
    np.testing.assert_array_equal(analyzer(x, 0), 2 * before)


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
        analyzer(X[:size].astype("float32"), [1] * size)
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
            np.testing.assert_array_equal(result["relevance"][0], analyzer(X[:size]))


def in_threads(function, count=4):
    """Run `function(i)` in threads that start together; return what each gave."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(i):
        barrier.wait()
        try:
            results[i] = function(i)
        except BaseException as error:  # the test reports it
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


def test_a_dropped_analyzer_is_freed_with_all_that_it_compiled():
    analyzer = lrpkeras.Analyzer(net())
    analyzer(X)
    kept = [weakref.ref(x) for x in (analyzer, analyzer._program, analyzer.graph)]
    del analyzer
    gc.collect()
    assert [ref() for ref in kept] == [None] * 3


@pytest.mark.slow
@counted
def test_thirty_analyzers_built_and_dropped_leave_memory_flat():
    """Each holds two kernels of 2 MB, at least once: leaked, they would be 120 MB and more."""
    inputs = keras.Input((512,))
    model = keras.Model(inputs, layers.Dense(512)(layers.Dense(1024, activation="relu")(inputs)))
    x = np.random.default_rng(0).normal(size=(1, 512)).astype("float32")

    def build(times):
        for _ in range(times):
            lrpkeras.Analyzer(model, "epsilon", verify=False)(x)

    levels = []
    for _ in range(4):
        build(30)
        levels.append(allocated_mb())
    # The least of two: the allocator gives memory back now and then.
    assert min(levels[2:]) - min(levels[:2]) < 40
