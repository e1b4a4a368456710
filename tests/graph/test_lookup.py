"""Rows looked up by index: read exactly, and explained for each index."""

import keras
import numpy as np
import pytest
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras import rules
from lrpkeras.errors import InputError, RuleError, UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.lookup import row_counts
from lrpkeras.graph.nodes import Lookup
from lrpkeras.graph.verify import random_inputs

L = layers
ROWS, WIDTH, LENGTH = 7, 3, 5


def classifier(dtype="int32", behind=L.GlobalAveragePooling1D, **settings):
    with float64():
        inputs = keras.Input((LENGTH,), dtype=dtype, name="words")
        x = L.Embedding(ROWS, WIDTH, name="table", **settings)(inputs)
        return randomized(keras.Model(inputs, L.Dense(2, name="head")(behind()(x))))


def words(count=3):
    return np.random.default_rng(0).integers(0, ROWS, (count, LENGTH))


def parts_of_logit(model, x, target):
    """What each word adds to a logit: the mean of its row's products with the weights."""
    table, kernel = model.get_layer("table").get_weights()[0], model.get_layer("head").kernel
    return table[x] @ np.asarray(kernel)[:, target] / LENGTH


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "float32"])
def test_the_heatmap_says_what_each_index_adds(dtype):
    model, x = classifier(dtype), words()
    got = lrpkeras.Analyzer(model, "zero")(x, 1).numpy()
    assert got.shape == x.shape
    assert_close(got, parts_of_logit(model, x, 1))


@pytest.mark.parametrize("name", ["epsilon", "alpha2_beta1", "flat"])
def test_an_index_gets_the_sum_over_its_row(name):
    analyzer, x = lrpkeras.Analyzer(classifier(), name), words()
    explanation = analyzer.explain(x, 0, layers="table", verbose=0)
    assert explanation.layers["table"].shape == (*x.shape, WIDTH)
    assert_close(explanation.relevance, explanation.layers["table"].sum(axis=-1))
    assert analyzer.check(x, 0).closes


def test_layers_behind_a_table_are_not_first():
    """The table itself is the first linear map: of indices as unit vectors."""
    analyzer = lrpkeras.Analyzer(classifier(), "epsilon_plus_flat", verify=False)
    assert analyzer._program.rules["head"] == rules.Epsilon()


def test_tables_may_share_an_index_and_read_parts_of_one():
    with float64():
        inputs = keras.Input((4,), dtype="int32")
        left, right = inputs[:, :2], inputs[:, 1:]
        table = L.Embedding(6, 2)
        parts = [L.Flatten()(layer(x)) for layer, x in ((table, left), (table, right))]
        parts.append(L.Flatten()(L.Embedding(4, 3, name="small")(left)))
        model = randomized(keras.Model(inputs, L.Dense(2)(L.Concatenate()(parts))))
    graph = rewritten(model)
    assert row_counts(graph) == (4,)
    tables = [node.table for node in graph if isinstance(node, Lookup)]
    assert tables[0] is tables[1]
    x = np.random.default_rng(1).integers(0, 4, (3, 4))
    made = run(graph, rules.Zero(), x.astype(float))
    assert_close(made.output, np.asarray(model(x)))
    (got,) = made.back(np.ones((1, 3, 2)), "ratio")
    bias = np.asarray(model.layers[-1].bias).sum()
    np.testing.assert_allclose(got[0].sum(axis=1), made.output.sum(axis=1) - bias)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("wrong", [ROWS, -1, 1.5])
def test_what_is_no_row_is_refused_before_any_work(dtype, wrong):
    analyzer = lrpkeras.Analyzer(classifier(dtype), "zero")
    x = words().astype(float)
    x[1, 2] = wrong
    with pytest.raises(InputError, match="'words'.*whole numbers"):
        analyzer(x)


def test_verification_draws_rows_that_there_are():
    model = classifier()
    (drawn,) = random_inputs(model, "float64", None, rows=(ROWS,))
    assert drawn.min() >= 0
    assert drawn.max() < ROWS
    assert len(np.unique(drawn)) > 2


@pytest.mark.parametrize("name", ["gradient", "input_x_gradient", "guided_backprop"])
def test_a_gradient_with_respect_to_an_index_is_refused(name):
    with pytest.raises(RuleError, match="'table'.*'zero'"):
        lrpkeras.Analyzer(classifier(), name)


def test_computed_indices_are_refused():
    inputs = keras.Input((LENGTH,))
    x = L.Embedding(ROWS, WIDTH, name="table")(L.Rescaling(2.0)(inputs))
    with pytest.raises(UnsupportedLayerError, match="'table'.*indices.*computed"):
        keras_reader.read(keras.Model(inputs, x))


def test_a_mask_that_nothing_reads_is_no_obstacle():
    with float64():
        inputs = keras.Input((LENGTH,), dtype="int32")
        table = L.Embedding(ROWS, WIDTH, mask_zero=True)
        model = randomized(keras.Model(inputs, L.Dense(2, use_bias=False)(table(inputs))))
    x = words()
    got = lrpkeras.Analyzer(model, "zero")(x, 1)
    assert_close(got.numpy(), np.asarray(model(x))[:, :, 1])


def masked_parts(model, x, target):
    """What each word adds to a logit: the mean is of the words that are not 0."""
    kept = x != 0
    return parts_of_logit(model, x, target) * kept * LENGTH / kept.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["zero", "epsilon_plus_flat"])
@pytest.mark.parametrize("dropout", [False, True])
def test_a_masked_mean_is_explained_by_the_words_that_are_left(dropout, name):

    def behind():
        dropped = L.Dropout(0.3) if dropout else L.Identity()
        return lambda x: L.GlobalAveragePooling1D()(dropped(x))

    model = classifier(behind=behind, mask_zero=True)
    x = words()
    x[0, 2:] = 0
    analyzer = lrpkeras.Analyzer(model, name)
    got = analyzer(x, 1).numpy()
    # Epsilon takes a share of 1e-6 / z.
    assert_close(got, masked_parts(model, x, 1), 1e-10 if name == "zero" else 1e-4)
    assert not got[x == 0].any()
    check = analyzer.check(x, 1)
    assert check.closes
    assert check.fidelity < 1e-12


def test_what_a_rule_gives_to_masked_words_is_counted():
    """Flat shares with all five positions; three of the first sample are masked."""
    model = classifier(behind=L.GlobalAveragePooling1D, mask_zero=True)
    x = np.array([[1, 2, 0, 0, 0]])
    analyzer = lrpkeras.Analyzer(model, "flat")
    check = analyzer.check(x, 1)
    assert check.sinks["padding"] == pytest.approx(check.start * 3 / 5)
    np.testing.assert_allclose(analyzer(x, 1).numpy()[0] / check.start, [0.2, 0.2, 0, 0, 0])


@pytest.mark.parametrize(
    "behind",
    [
        lambda: L.GlobalAveragePooling1D(data_format="channels_first", name="reader"),
        lambda: L.Softmax(name="reader"),
    ],
)
def test_a_mask_that_something_else_reads_is_refused(behind):
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = behind()(L.Embedding(ROWS, WIDTH, mask_zero=True)(inputs))
    with pytest.raises(UnsupportedLayerError, match="'reader'.*(mask|softmax)"):
        keras_reader.read(keras.Model(inputs, L.Dense(2)(x)))


def test_a_mask_that_is_computed_otherwise_is_refused():
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = L.Embedding(ROWS, WIDTH)(inputs)
    mask = keras.ops.not_equal(inputs, 1)
    outputs = L.GlobalAveragePooling1D(name="mean")(x, mask=mask)
    with pytest.raises(UnsupportedLayerError, match="'mean'.*mask"):
        keras_reader.read(keras.Model(inputs, outputs))


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_saved_models_table_is_looked_up_as_the_models(dtype, tmp_path):
    """Spelled out: casts, indices counted from the end, and a gather of rows."""
    model, x = classifier(dtype), words()
    model.export(tmp_path, verbose=False)
    loaded = lrpkeras.Analyzer(str(tmp_path), "epsilon")
    assert_close(loaded(x, 1).numpy(), lrpkeras.Analyzer(model, "epsilon")(x, 1).numpy())
    with pytest.raises(InputError, match="whole numbers"):
        loaded(x - 1)
