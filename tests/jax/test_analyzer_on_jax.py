"""What an analyzer promises, on JAX; `tests/test_jax.py` runs this in a process of its own."""

import threading

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

import jax.numpy as jnp
from jax import enable_x64
from keras import layers

import lrpkeras
from lrpkeras import backend
from lrpkeras.errors import InputError, ModelError


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax", name="head"),
        ]
    )


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype("float32")


@pytest.fixture(scope="module")
def analyzer(model):
    return lrpkeras.Analyzer(model, "epsilon")


def test_every_kind_of_target_is_explained_as_an_array_of_jax(analyzer, x):
    every = np.asarray(analyzer(x, "all"))
    winners = np.asarray(analyzer.explain(x, verbose=0).output).argmax(axis=1)
    assert every.shape == (5, 4, 6, 6, 2)
    targets = {
        "winner": (None, winners),
        "one": (2, [2] * 5),
        "each": (jnp.array([0, 1, 2, 3, 0]), [0, 1, 2, 3, 0]),
    }
    for target, classes in targets.values():
        relevance = analyzer(jnp.asarray(x), target)
        assert backend.is_tensor(relevance)
        np.testing.assert_allclose(relevance, every[np.arange(5), classes], atol=1e-6)
    mask = np.zeros((5, 4), "float32")
    mask[:, 1] = 1
    for target in (mask, lambda output: mask):
        np.testing.assert_allclose(analyzer(x, target), every[:, 1], atol=1e-6)


def test_relevance_adds_up_and_the_ledger_closes(analyzer, x):
    check = analyzer.check(x)
    assert check.closes, str(check)
    assert check.fidelity < 1e-5


def test_layers_and_conditions(analyzer, x):
    each = [{"conv": channel} for channel in range(3)]
    parts = analyzer.explain(x, 1, batch_size=2, layers="conv", condition=each, verbose=0)
    whole = analyzer.explain(x, 1, layers="conv", verbose=0)
    np.testing.assert_allclose(parts.relevance.sum(axis=1), whole.relevance, atol=1e-6)
    np.testing.assert_allclose(parts.layers["conv"].sum(axis=1), whole.layers["conv"], atol=1e-6)


def traces(analyzer):
    return sum(map(backend.trace_count, analyzer._explainer._compiled.values()))


def test_refresh_reaches_what_is_compiled_without_tracing_anew(model, x):
    analyzer = lrpkeras.Analyzer(model, "epsilon_plus_flat")
    before, count = np.asarray(analyzer(x)), traces(analyzer)
    layer = model.get_layer("conv")
    weights = layer.get_weights()
    layer.set_weights([-2 * weights[0], weights[1] + 0.1])
    np.testing.assert_array_equal(analyzer(x), before)
    analyzer.refresh()
    after = np.asarray(analyzer(x))
    assert traces(analyzer) == count
    np.testing.assert_array_equal(after, lrpkeras.Analyzer(model, "epsilon_plus_flat")(x))
    assert np.abs(after - before).max() > 0.01 * np.abs(before).max()
    layer.set_weights(weights)


def test_the_last_batch_is_filled_up_so_that_nothing_is_compiled_for_it(model, x):
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    got = analyzer.explain(x, batch_size=2, verbose=0).relevance
    assert traces(analyzer) == 1
    np.testing.assert_allclose(got, analyzer(x), atol=1e-6)


def test_threads_share_one_trace_and_agree(model, x):
    analyzer, out = lrpkeras.Analyzer(model, "epsilon"), [None] * 4
    ready = threading.Barrier(4)

    def explain(number):
        ready.wait()
        out[number] = np.asarray(analyzer(x))

    threads = [threading.Thread(target=explain, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traces(analyzer) == 1
    for each in out:
        np.testing.assert_array_equal(each, out[0])


def test_without_jit_the_result_is_the_same(model, analyzer, x):
    eager = lrpkeras.Analyzer(model, "epsilon", jit_compile=False)
    np.testing.assert_allclose(eager(x), analyzer(x), atol=1e-6)


def test_the_concrete_function_is_one_of_the_inputs_alone(analyzer, x):
    expected = np.asarray(analyzer(x))
    for batch_size in (None, 5):
        result = analyzer.concrete_function(batch_size)([x])
        np.testing.assert_allclose(result["relevance"][0], expected, atol=1e-6)


def test_settings_and_files_go_there_and_back(analyzer, model, x, tmp_path):
    model.save(tmp_path / "model.keras")
    again = lrpkeras.Analyzer.from_config(analyzer.get_config(), str(tmp_path / "model.keras"))
    np.testing.assert_array_equal(again(x), analyzer(x))


def test_a_folded_model_computes_the_same(model, x):
    folded = lrpkeras.fold_batch_norm(model)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(folded(x), model(x), atol=1e-5)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, **kwargs):
        super().__init__(**kwargs)
        self.x = x

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.x[2 * index : 2 * index + 2], np.zeros(2)


class OfJax(Batches):
    def __getitem__(self, index):
        return jnp.asarray(super().__getitem__(index)[0])


def test_a_dataset_is_read_in_the_types_of_the_caller():
    """Whether float64 is float64 is a setting of a thread."""
    with enable_x64(True):
        inputs = keras.Input((6,), dtype="float64")
        model = keras.Model(inputs, layers.Dense(2, dtype="float64")(inputs))
        x = np.random.default_rng(0).normal(size=(6, 6))
        analyzer = lrpkeras.Analyzer(model, "epsilon")
        got = analyzer.explain(OfJax(x), 0, verbose=0).relevance
        np.testing.assert_allclose(got, analyzer(x, 0), rtol=1e-12)


class Endless(Batches):
    @property
    def num_batches(self):
        return None


def test_a_dataset_brings_its_batches(analyzer, x):
    got = analyzer.explain(Batches(x), verbose=0).relevance
    np.testing.assert_allclose(got, analyzer(x), atol=1e-6)
    with pytest.raises(InputError, match="no end"):
        analyzer.explain(Endless(x), verbose=0)


def test_bfloat16_products_keep_the_map(model, x):
    head = [layers.Dense(8, activation="relu"), layers.Dense(4)]
    net = keras.Sequential([keras.Input((6, 6, 2)), *model.layers[:4], *head])
    wide, narrow = (
        np.asarray(lrpkeras.Analyzer(net, "epsilon", precision=precision)(x))
        for precision in (None, "bfloat16")
    )
    difference = np.abs(wide - narrow).max() / np.abs(wide).max()
    assert 0 < difference < 0.05


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64:UserWarning")
def test_float64_is_refused_where_jax_would_compute_in_float32():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype="float64")])
    with pytest.raises(ModelError, match="JAX_ENABLE_X64=1"):
        lrpkeras.Analyzer(model)


def test_a_wrong_graph_is_found_though_jax_computes_in_float32(model):
    """What float64 would explain as rounding is measured in float64 indeed."""
    from dataclasses import replace

    from lrpkeras.errors import VerificationError
    from lrpkeras.graph import keras_reader
    from lrpkeras.graph.verify import verify

    graph = keras_reader.read(model)
    node = graph["head"]
    wrong = replace(node, kernel=node.kernel * np.float32(1.001))
    with pytest.raises(VerificationError, match="first at layer 'head'"):
        verify(replace(graph, nodes={**graph.nodes, "head": wrong}), model)
