"""`explain` and `check`: what they return, at hidden layers too, and in which order."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from keras import Input, Model, Sequential, layers
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras.errors import InputError, LrpError

matplotlib.use("Agg")
X = np.random.default_rng(1).normal(size=(7, 6, 6, 2))


@pytest.fixture(scope="module")
def model():
    """BatchNormalization before and after an activation, a nested block, a skip connection."""
    with float64():
        inputs = Input((6, 6, 2), name="image", dtype="float64")
        x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv1")(inputs)
        x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(x))
        block = Sequential(
            [
                Input((6, 6, 3), dtype="float64"),
                layers.Conv2D(3, 3, padding="same", activation="relu", name="conv"),
                layers.BatchNormalization(name="bn"),
            ],
            name="block",
        )
        x = layers.Add(name="add")([x, block(x)])
        x = layers.Conv2D(4, 3, name="conv2")(layers.Dropout(0.5, name="drop")(x))
        x = layers.Flatten(name="flat")(layers.MaxPooling2D(name="pool")(x))
        return randomized(Model(inputs, layers.Dense(3, activation="softmax", name="head")(x)))


@pytest.fixture(scope="module")
def analyzer(model):
    return lrpkeras.Analyzer(model, "zero")


LAYERS = ["image", "bn1", "relu1", "block/conv", "block/bn", "block", "add", "conv2", "pool"]


def close(got, want, tolerance=1e-8):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def test_an_explanation_holds_numpy_arrays_of_relevance_logits_and_winners(model, analyzer):
    got = analyzer.explain(X, batch_size=3, verbose=0)
    close(got.relevance, analyzer(X).numpy())
    probabilities = model(X).numpy()
    close(
        got.output - got.output.max(1, keepdims=True),
        np.log(probabilities / probabilities.max(1, keepdims=True)),
    )
    np.testing.assert_array_equal(got.target, probabilities.argmax(1))
    assert got.layers == {}
    assert all(type(a) is np.ndarray for a in (got.relevance, got.output, got.target))


def test_targets_go_with_their_samples_whatever_the_batches(analyzer):
    target = np.array([0, 2, 1, 1, 0, 2, 2])
    got = analyzer.explain(X, target, batch_size=3, verbose=0)
    for i in range(7):
        close(got.relevance[i], analyzer(X[i : i + 1], int(target[i])).numpy()[0])
    np.testing.assert_array_equal(got.target, target)


def hidden_by_gradient(model, names, x, target):
    """h * d logit / dh at a layer's output h, by running layer by layer on a tape."""
    kernel, bias = model.get_layer("head").get_weights()
    block = model.get_layer("block")
    found = {}
    with tf.GradientTape(persistent=True) as tape:

        def seen(name, value):
            tape.watch(value)
            found[name] = value
            return value

        h = seen("image", tf.constant(x))
        h = seen("bn1", model.get_layer("bn1")(model.get_layer("conv1")(h)))
        h = seen("relu1", tf.nn.relu(h))
        inner = seen("block/conv", block.get_layer("conv")(h))
        inner = seen("block/bn", block.get_layer("bn")(inner))
        h = seen("add", h + inner)
        h = seen("conv2", model.get_layer("conv2")(h))
        h = seen("pool", model.get_layer("pool")(h))
        z = tf.reshape(h, (len(x), -1)) @ kernel + bias
        explained = tf.reduce_sum(z[:, target])
    found["block"] = found["block/bn"]
    return {n: (found[n] * tape.gradient(explained, found[n])).numpy() for n in names}


def test_relevance_at_hidden_layers_is_their_output_times_its_gradient(model, analyzer):
    got = analyzer.explain(X, 1, layers=LAYERS, batch_size=4, verbose=0).layers
    assert list(got) == LAYERS
    for name, want in hidden_by_gradient(model, LAYERS, X, 1).items():
        close(got[name], want)


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon"])
def test_relevance_at_hidden_layers_is_what_the_ledger_books(model, preset):
    analyzer = lrpkeras.Analyzer(model, preset)
    entries = {entry.name: entry for entry in analyzer.check(X, 1).entries}
    got = analyzer.explain(X, 1, layers="*", verbose=0)
    checked = 0
    for name, array in got.layers.items():
        entry = entries.get(analyzer.graph.places[name])
        if entry is not None:
            assert array.sum() == pytest.approx(entry.incoming, rel=1e-9), name
            checked += 1
    assert checked > 8


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (None, []),
        ("conv1", ["conv1"]),
        (["pool", "conv1"], ["conv1", "pool"]),
        ("conv*", ["conv1", "conv2"]),
        ("block/*", ["block/conv", "block/bn"]),
        (["bn1", "*bn*"], ["bn1", "block/bn"]),
        ("drop", ["drop"]),
        ("block/conv:relu", ["block/conv:relu"]),
    ],
)
def test_layers_are_named_and_ordered_as_in_the_model(analyzer, wanted, names):
    got = analyzer.explain(X[:1], 0, layers=wanted, verbose=0).layers
    assert [name for name in got if "input" not in name] == names


def test_a_folded_batch_norm_has_the_relevance_of_the_layer_that_took_it_in(analyzer):
    got = analyzer.explain(X, 0, layers=["conv1", "bn1"], verbose=0).layers
    np.testing.assert_array_equal(got["conv1"], got["bn1"])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("conv3", "'conv3' names no layer.*did you mean 'conv2'"),
        (["conv1", "block/con"], "'block/con' names no layer.*'block/conv'"),
        ("dense_*", "'dense_\\*' names no layer"),
        ("", "'' names no layer"),
    ],
)
def test_unknown_layer_names_are_refused_with_near_misses(analyzer, wanted, words):
    with pytest.raises(LrpError, match=words):
        analyzer.explain(X, layers=wanted, verbose=0)


def test_layers_that_the_explained_output_does_not_need_are_refused(model):
    with pytest.raises(LrpError, match="'conv2' names no layer"):
        lrpkeras.Analyzer(model, output="add").explain(X, layers="conv2", verbose=0)


def test_relevance_is_zero_at_an_input_that_the_output_does_not_read():
    a, b = Input((3,), name="a"), Input((2,), name="b")
    model = Model([a, b], [layers.Dense(2, name="left")(a), layers.Dense(2, name="right")(b)])
    analyzer = lrpkeras.Analyzer(model, "zero", output="left")
    got = analyzer.explain([np.ones((4, 3)), np.ones((4, 2))], 0, verbose=0)
    np.testing.assert_array_equal(got.relevance[1], np.zeros((4, 2)))
    np.testing.assert_allclose(
        got.relevance[0], [model.get_layer("left").get_weights()[0][:, 0]] * 4, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("verbose", "batch_size", "shown"),
    [(1, 32, True), (1, 3, True), ("auto", 3, True), ("auto", 32, False), (0, 3, False)],
)
def test_a_progress_bar_shows_where_it_was_asked_for(analyzer, capsys, verbose, batch_size, shown):
    analyzer.explain(X, batch_size=batch_size, verbose=verbose)
    printed = capsys.readouterr().out
    assert bool(printed) == shown
    if shown:
        batches = -(-7 // batch_size)
        assert f"{batches}/{batches}" in printed


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "32", None])
def test_batch_sizes_that_are_none_are_refused(analyzer, batch_size):
    with pytest.raises(InputError, match="batch_size must be a positive integer"):
        analyzer.explain(X, batch_size=batch_size)


def test_saved_arrays_are_those_of_the_explanation(analyzer, tmp_path):
    got = analyzer.explain(X, [[0, 1]] * 7, layers=["conv1", "block/bn"], verbose=0)
    got.save(tmp_path / "explanation.npz")
    with np.load(tmp_path / "explanation.npz") as file:
        layers = {"layers/conv1", "layers/block/bn"}
        assert set(file) == {"relevance", "output", "target", "about", *layers}
        for name in ("relevance", "output", "target"):
            np.testing.assert_array_equal(file[name], getattr(got, name))
        np.testing.assert_array_equal(file["layers/block/bn"], got.layers["block/bn"])


def test_the_heatmaps_are_titled_with_class_and_logit(analyzer):
    got = analyzer.explain(X[:2], verbose=0)
    figure, axes = got.plot(labels=["cat", "dog", "bird"])
    titles = [axis.get_title() for axis in np.ravel(axes)][:2]
    for title, target, output in zip(titles, got.target, got.output, strict=True):
        assert title == f"{['cat', 'dog', 'bird'][target]}: {output[target]:.2f}"
    plt.close(figure)


def test_several_targets_are_drawn_one_map_each(analyzer):
    got = analyzer.explain(X[:2], [[0, 2], [1, 0]], verbose=0)
    figure, axes = got.plot()
    titles = [axis.get_title().split(":")[0] for axis in np.ravel(axes)][:4]
    assert titles == ["class 0", "class 2", "class 1", "class 0"]
    plt.close(figure)


def test_relevance_starts_from_the_logits_where_softmax_is_only_reshaped():
    dense = layers.Dense(4, name="head")
    probabilities = layers.Softmax()(dense(inputs := Input((3,))))
    model = randomized(Model(inputs, layers.Reshape((4,))(layers.Reshape((1, 4))(probabilities))))
    x = np.random.default_rng(3).normal(size=(5, 3)).astype("float32")
    kernel, bias = dense.get_weights()
    got = lrpkeras.Analyzer(model, "zero").explain(x, 2, verbose=0)
    # Three products and sums in float32.
    np.testing.assert_allclose(got.output, x @ kernel + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got.relevance, x * kernel[:, 2], rtol=1e-5, atol=1e-6)


def test_a_siamese_head_on_distances_passes_all_relevance_on():
    """For `zero` and no bias, relevance of the inputs adds up to the logit, |a - b| in between."""
    a, b = Input((3,), name="a"), Input((3,), name="b")
    embed = layers.Dense(4, use_bias=False)
    distance = abs(embed(a) - embed(b))
    model = randomized(Model([a, b], layers.Dense(2, use_bias=False)(distance)))
    x = [np.random.default_rng(n).normal(size=(5, 3)).astype("float32") for n in (3, 4)]
    got = lrpkeras.Analyzer(model, "zero").explain(x, 1, verbose=0)
    total = got.relevance[0].sum(1) + got.relevance[1].sum(1)
    np.testing.assert_allclose(total, model.predict(x, verbose=0)[:, 1], rtol=1e-4, atol=1e-5)


def test_the_ledger_starts_at_the_logits_and_ends_at_the_input(analyzer):
    logits = analyzer.explain(X, verbose=0).output
    check = analyzer.check(X)
    assert check.closes
    assert check.fidelity < 1e-12
    assert check.start == pytest.approx(logits.max(1).sum())
    assert check.inputs == pytest.approx(analyzer(X).numpy().sum())
    assert "ledger closes" in str(check)


@pytest.mark.parametrize("target", [[[0, 1]] * 7, "all"])
def test_the_ledger_of_several_targets_is_the_sum_of_theirs(analyzer, target):
    classes = range(3) if target == "all" else (0, 1)
    want = sum(analyzer.check(X, c).inputs for c in classes)
    assert analyzer.check(X, target).inputs == pytest.approx(want)


@pytest.mark.parametrize("target", [lambda output: output * 0 + 2.0, np.full((7, 3), 2.0)])
def test_the_ledger_starts_from_arrays_and_callables_too(analyzer, target):
    total = analyzer.explain(X, verbose=0).output.sum()
    assert analyzer.check(X, target).start == pytest.approx(2 * total)
