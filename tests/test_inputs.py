"""What an analyzer takes: every nesting, type and container that the model itself takes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import float64, randomized

import lrpkeras

X = np.random.default_rng(1).normal(size=(5, 6, 6, 3)).astype("float32")
A = np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
B = np.random.default_rng(3).normal(size=(4, 2)).astype("float32")
C = np.random.default_rng(4).normal(size=(4, 1)).astype("float32")
# One Dense layer in float32: a product, a sum of six and a quotient, each exact to 6e-8.
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def model():
    """A small network with BatchNormalization, a skip connection and a pooling."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same", activation="relu")(x)])
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return randomized(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)))


@pytest.fixture(scope="module")
def analyzer(model):
    return lrpkeras.Analyzer(model)


def linear(structure):
    """A linear model of inputs "a" (3,), "b" (2,) and "c" (1,), nested as `structure` nests them.

    For the rule `zero`, relevance of input i for class t is x_i w_it: no other path is needed.
    """
    a, b, c = (keras.Input((n,), name=name) for n, name in ((3, "a"), (2, "b"), (1, "c")))
    joined = layers.Concatenate()([a, b, c])
    return randomized(keras.Model(structure(a, b, c), layers.Dense(4, name="head")(joined)))


def expected(model, target):
    kernel, _ = model.get_layer("head").get_weights()
    weights = kernel[:, target]
    return A * weights[:3], B * weights[3:5], C * weights[5:]


STRUCTURES = {
    "list": lambda a, b, c: [a, b, c],
    "tuple": lambda a, b, c: (a, b, c),
    "dict": lambda a, b, c: {"a": a, "b": b, "c": c},
    "dict in another order": lambda a, b, c: {"c": c, "a": a, "b": b},
    "nested list": lambda a, b, c: [a, [b, c]],
    "list of dicts": lambda a, b, c: [{"c": c, "b": b}, a],
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_relevance_is_nested_like_the_inputs_and_is_that_of_each(name):
    model = linear(STRUCTURES[name])
    x = STRUCTURES[name](A, B, C)
    relevance = lrpkeras.Analyzer(model, "zero")(x, target=2)
    keras.tree.assert_same_structure(relevance, x)
    wanted = STRUCTURES[name](*expected(model, 2))
    keras.tree.map_structure(
        lambda got, want: np.testing.assert_allclose(got, want, **ROUNDING), relevance, wanted
    )


@pytest.mark.parametrize("name", STRUCTURES)
def test_explain_nests_numpy_arrays_like_the_inputs(name):
    model = linear(STRUCTURES[name])
    x = STRUCTURES[name](A, B, C)
    explanation = lrpkeras.Analyzer(model, "zero").explain(x, target=1, batch_size=3, verbose=0)
    keras.tree.assert_same_structure(explanation.relevance, x)
    wanted = STRUCTURES[name](*expected(model, 1))
    keras.tree.map_structure(
        lambda got, want: np.testing.assert_allclose(got, want, **ROUNDING),
        explanation.relevance,
        wanted,
    )


def test_relevance_of_all_inputs_and_the_bias_add_up_to_the_logit():
    model = linear(STRUCTURES["list"])
    relevance = lrpkeras.Analyzer(model, "zero")([A, B, C], target=0)
    total = sum(np.sum(r, axis=1) for r in relevance)
    bias = model.get_layer("head").get_weights()[1][0]
    np.testing.assert_allclose(total + bias, model([A, B, C])[:, 0], rtol=1e-5, atol=1e-5)


def test_a_dict_of_input_names_fits_a_model_that_takes_a_list():
    model = linear(STRUCTURES["list"])
    relevance = lrpkeras.Analyzer(model, "zero")({"c": C, "a": A, "b": B}, target=3)
    for name, want in zip("abc", expected(model, 3), strict=True):
        np.testing.assert_allclose(relevance[name], want, **ROUNDING)


def test_a_tuple_for_a_model_that_takes_a_list_comes_back_as_a_tuple():
    model = linear(STRUCTURES["list"])
    relevance = lrpkeras.Analyzer(model, "zero")((A, B, C), target=3)
    assert isinstance(relevance, tuple)
    for got, want in zip(relevance, expected(model, 3), strict=True):
        np.testing.assert_allclose(got, want, **ROUNDING)


@pytest.mark.parametrize("declare", [lambda x: x, lambda x: [x], lambda x: (x,)])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: (x,)])
def test_a_model_of_one_input_takes_the_array_and_a_list_of_it(declare, wrap):
    inputs = keras.Input((3,))
    model = keras.Model(declare(inputs), layers.Dense(2, use_bias=False, name="head")(inputs))
    relevance = lrpkeras.Analyzer(model, "zero")(wrap(A), target=1)
    keras.tree.assert_same_structure(relevance, wrap(A))
    weights = model.get_layer("head").get_weights()[0][:, 1]
    np.testing.assert_allclose(keras.tree.flatten(relevance)[0], A * weights, **ROUNDING)


def test_rows_of_plain_numbers_are_a_batch():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False, name="head")])
    relevance = lrpkeras.Analyzer(model, "zero")([[1, 2, 3]], target=0)
    weights = model.get_layer("head").get_weights()[0][:, 0]
    np.testing.assert_allclose(relevance, [weights * [1, 2, 3]], **ROUNDING)


def test_relevance_is_a_tensor_of_the_shape_and_type_of_the_model(analyzer):
    relevance = analyzer(X)
    assert tf.is_tensor(relevance)
    assert relevance.shape == X.shape
    assert relevance.dtype == "float32"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "float64"])
@pytest.mark.parametrize("container", [np.asarray, tf.constant])
def test_numbers_of_any_type_are_taken_for_their_value(analyzer, dtype, container):
    whole = np.random.default_rng(0).integers(0, 200, (2, 6, 6, 3))
    np.testing.assert_array_equal(
        analyzer(container(whole.astype(dtype))), analyzer(whole.astype("float32"))
    )


def test_bfloat16_tensors_are_taken(analyzer):
    half = tf.cast(X, "bfloat16")
    np.testing.assert_array_equal(analyzer(half), analyzer(tf.cast(half, "float32")))


def test_a_model_of_uint8_images_takes_them():
    inputs = keras.Input((3,), dtype="uint8")
    head = layers.Dense(2, use_bias=False, name="head")
    model = keras.Model(inputs, head(layers.Rescaling(1 / 255)(inputs)))
    x = np.array([[0, 128, 255]], "uint8")
    relevance = lrpkeras.Analyzer(model, "zero")(x, target=1)
    weights = head.get_weights()[0][:, 1]
    np.testing.assert_allclose(relevance, x / 255 * weights, **ROUNDING)


def test_a_float64_model_is_explained_in_float64():
    with float64():
        model = randomized(
            keras.Sequential([keras.Input((3,), dtype="float64"), layers.Dense(2, name="head")])
        )
    x = A.astype("float64") / 3
    relevance = lrpkeras.Analyzer(model, "zero")(x, target=1)
    assert relevance.dtype == "float64"
    weights = model.get_layer("head").get_weights()[0][:, 1]
    np.testing.assert_allclose(relevance, x * weights, rtol=1e-14)


QUICK = ("epsilon_plus_flat", "relative", "guided_backprop")


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name in lrpkeras.presets.names()
    ],
)
def test_container_and_batch_size_make_no_difference(model, preset):
    """Within rounding: other batch sizes may be summed in another order."""
    analyzer = lrpkeras.Analyzer(model, preset, input_range=(-6.0, 6.0))
    target = 1
    reference = analyzer(X, target).numpy()
    scale = np.abs(reference).max()
    labelled = tf.data.Dataset.from_tensor_slices((X, np.arange(5)))
    ways = [
        analyzer(tf.constant(X), target).numpy(),
        np.concatenate([analyzer(X[i : i + 1], target) for i in range(5)]),
        *(analyzer.explain(X, target, batch_size=n, verbose=0).relevance for n in (1, 2, 5, 32)),
        analyzer.explain(tf.constant(X), target, batch_size=2, verbose=0).relevance,
        analyzer.explain(
            tf.data.Dataset.from_tensor_slices(X).batch(3), target, verbose=0
        ).relevance,
        analyzer.explain(labelled.batch(2), target, verbose=0).relevance,
    ]
    for way in ways:
        assert way.shape == reference.shape
        assert np.abs(way - reference).max() <= 1e-5 * scale


def test_xla_explains_every_batch_size_as_without_it(model, analyzer):
    compiled = lrpkeras.Analyzer(model, jit_compile=True)
    for target in (None, [[0, 2]] * 5):
        want = analyzer(X, target).numpy()
        got = compiled.explain(X, target, batch_size=3, verbose=0).relevance
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("labelled", [False, True])
def test_a_dataset_of_several_inputs_is_nested_like_its_elements(labelled):
    model = linear(STRUCTURES["dict"])
    x = {"a": A, "b": B, "c": C}
    data = tf.data.Dataset.from_tensor_slices((x, np.zeros(4)) if labelled else x).batch(3)
    explanation = lrpkeras.Analyzer(model, "zero").explain(data, target=2, verbose=0)
    for name, want in zip("abc", expected(model, 2), strict=True):
        np.testing.assert_allclose(explanation.relevance[name], want, **ROUNDING)


def test_a_dataset_of_unknown_length_is_explained():
    def rows():
        yield from A

    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False, name="head")])
    data = tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec((3,), "float32"))
    relevance = lrpkeras.Analyzer(model, "zero").explain(data.batch(3), 0, verbose=0).relevance
    np.testing.assert_allclose(
        relevance, A * model.get_layer("head").get_weights()[0][:, 0], **ROUNDING
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tf.sparse.from_dense(A), r"'a' is sparse.*tf\.sparse\.to_dense"),
        (lambda: keras.Input((3,)), "'a' is a symbolic tensor.*array of samples"),
        (lambda: tf.ragged.constant([[1.0], [2.0, 3.0, 4.0]]), r"'a' is ragged.*to_tensor"),
    ],
)
@pytest.mark.parametrize("nest", [lambda x: x, lambda x: [x], lambda x: {"a": x}])
@pytest.mark.parametrize("way", ["__call__", "explain", "check"])
def test_tensors_that_hold_no_plain_array_are_refused_with_what_to_do(make, words, nest, way):
    model = keras.Sequential([keras.Input((3,), name="a"), layers.Dense(2)])
    with pytest.raises(lrpkeras.errors.InputError, match=words):
        getattr(lrpkeras.Analyzer(model, "zero"), way)(nest(make()))
