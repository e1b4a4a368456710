"""What is explained: every way to name a target, against input x gradient of what it names.

The rule `zero` on a net of ReLUs gives x * d(sum of factor * logit) / dx, in float64 to rounding.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import float64, randomized

import lrpkeras
from lrpkeras.errors import TargetError

CLASSES = 12
X = np.random.default_rng(1).normal(size=(4, 6)).astype("float32").astype("float64")
IMAGES = np.random.default_rng(2).normal(size=(3, 4, 5, 2)).astype("float32").astype("float64")
FACTORS = np.random.default_rng(3).normal(size=(4, CLASSES))


def vector_net(classes, activation=None):
    with float64():
        inputs = keras.Input((6,), dtype="float64")
        x = layers.Dense(8, activation="relu")(inputs)
        x = layers.Add()([x, layers.Dense(8, activation="relu")(x)])
        return randomized(keras.Model(inputs, layers.Dense(classes, activation=activation)(x)))


def without_head(model):
    """The same network, ending in its logits."""
    logits = keras.models.clone_model(model)
    logits.set_weights(model.get_weights())
    logits.layers[-1].activation = keras.activations.linear
    return logits


@pytest.fixture(scope="module")
def logits():
    return vector_net(CLASSES)


@pytest.fixture(scope="module")
def analyzer(logits):
    return lrpkeras.Analyzer(logits, "zero")


@pytest.fixture(scope="module")
def segmentation():
    with float64():
        inputs = keras.Input((4, 5, 2), dtype="float64")
        x = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
        return randomized(keras.Model(inputs, layers.Conv2D(3, 1)(x)))


def input_x_gradient(model, x, factors):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        explained = tf.reduce_sum(model(x) * tf.cast(factors, "float64"))
    return (x * tape.gradient(explained, x)).numpy()


def one_hot(classes, count=CLASSES):
    return np.eye(count)[np.asarray(classes)]


def close(got, want):
    assert tuple(got.shape) == tuple(want.shape)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9 * np.abs(want).max())


def winners(model, x):
    return np.argmax(model(x), axis=-1)


def second_best(output):
    return one_hot(np.argsort(output, axis=-1)[:, -2])


@pytest.mark.parametrize(
    ("target", "factors"),
    [
        (7, one_hot([7] * 4)),
        (np.int64(7), one_hot([7] * 4)),
        (np.array(7, "uint8"), one_hot([7] * 4)),
        ([3, 0, 11, 3], one_hot([3, 0, 11, 3])),
        ((3, 0, 11, 3), one_hot([3, 0, 11, 3])),
        (np.array([3, 0, 11, 3], "uint8"), one_hot([3, 0, 11, 3])),
        (tf.constant([3, 0, 11, 3]), one_hot([3, 0, 11, 3])),
        (FACTORS, FACTORS),
        (FACTORS.astype("float32"), FACTORS.astype("float32")),
        (tf.constant(FACTORS), FACTORS),
        (FACTORS[0], np.repeat(FACTORS[:1], 4, axis=0)),
        (FACTORS[:1], np.repeat(FACTORS[:1], 4, axis=0)),
        (lambda output: tf.constant(FACTORS), FACTORS),
        (lambda output: FACTORS, FACTORS),
    ],
)
def test_relevance_is_that_of_the_named_logits(analyzer, logits, target, factors):
    want = input_x_gradient(logits, X, factors)
    close(analyzer(X, target), want)
    if not callable(target):
        close(analyzer.explain(X, target, batch_size=3, verbose=0).relevance, want)


def test_without_a_target_each_samples_winner_is_explained(analyzer, logits):
    best = winners(logits, X)
    assert len(set(best)) > 1
    close(analyzer(X), input_x_gradient(logits, X, one_hot(best)))
    np.testing.assert_array_equal(analyzer.explain(X, verbose=0).target, best)


def test_a_callable_sees_the_logits(analyzer, logits):
    want = input_x_gradient(logits, X, second_best(logits(X).numpy()))
    close(analyzer(X, second_best), want)
    close(analyzer.explain(X, second_best, batch_size=3, verbose=0).relevance, want)


def test_a_callable_may_compute_with_tensors(analyzer, logits):
    def positive(output):
        return keras.ops.cast(output > 0, output.dtype)

    close(analyzer(X, positive), input_x_gradient(logits, X, logits(X).numpy() > 0))


@pytest.mark.parametrize("target", [[[0, 5]] * 4, [[1, 2, 3], [4, 5, 6], [7, 7, 7], [11, 0, 2]]])
def test_several_targets_are_as_many_calls(analyzer, target):
    got = analyzer(X, target)
    k = len(target[0])
    assert got.shape == (4, k, 6)
    for i in range(k):
        close(got[:, i], analyzer(X, [row[i] for row in target]).numpy())
    explanation = analyzer.explain(X, target, batch_size=3, verbose=0)
    close(explanation.relevance, got.numpy())
    np.testing.assert_array_equal(explanation.target, target)


def test_all_classes_are_as_many_calls(analyzer):
    got = analyzer(X, "all")
    assert got.shape == (4, CLASSES, 6)
    for target in range(CLASSES):
        close(got[:, target], analyzer(X, target).numpy())
    explanation = analyzer.explain(X, "all", batch_size=3, verbose=0)
    close(explanation.relevance, got.numpy())
    np.testing.assert_array_equal(explanation.target, [np.arange(CLASSES)] * 4)


def test_hidden_relevance_has_the_target_axis_too(analyzer):
    names = ["*dense*"]
    several = analyzer.explain(X, [[2, 9]] * 4, layers=names, verbose=0).layers
    assert several
    for i, target in enumerate((2, 9)):
        single = analyzer.explain(X, target, layers=names, verbose=0).layers
        for name, array in single.items():
            close(several[name][:, i], array)


def test_relevance_is_linear_in_an_array_target(analyzer):
    parts = [analyzer(X, FACTORS * (np.arange(CLASSES) == c)).numpy() for c in range(CLASSES)]
    close(analyzer(X, FACTORS), sum(parts))


def test_an_explanation_from_an_array_says_that_no_class_was_chosen(analyzer):
    np.testing.assert_array_equal(analyzer.explain(X, FACTORS, verbose=0).target, [-1] * 4)


@pytest.mark.parametrize("target", [2, [2, 0, 1]])
def test_a_class_of_an_output_with_positions_means_everywhere(segmentation, target):
    factors = np.zeros((3, 4, 5, 3))
    for sample, chosen in enumerate(np.broadcast_to(target, 3)):
        factors[sample, ..., chosen] = 1.0
    analyzer = lrpkeras.Analyzer(segmentation, "zero")
    close(analyzer(IMAGES, target), input_x_gradient(segmentation, IMAGES, factors))


def test_several_classes_of_an_output_with_positions_are_as_many_calls(segmentation):
    analyzer = lrpkeras.Analyzer(segmentation, "zero")
    got = analyzer(IMAGES, "all")
    assert got.shape == (3, 3, 4, 5, 2)
    for target in range(3):
        close(got[:, target], analyzer(IMAGES, target).numpy())


def test_the_winner_of_an_output_with_positions_has_the_largest_sum(segmentation):
    best = np.argmax(np.sum(segmentation(IMAGES), axis=(1, 2)), axis=-1)
    analyzer = lrpkeras.Analyzer(segmentation, "zero")
    close(analyzer(IMAGES), analyzer(IMAGES, best).numpy())


@pytest.mark.parametrize("samples", [1, 3])
def test_a_mask_says_where_relevance_starts(segmentation, samples):
    mask = (np.random.default_rng(0).random((samples, 4, 5, 3)) > 0.7).astype("float32")
    analyzer = lrpkeras.Analyzer(segmentation, "zero")
    want = input_x_gradient(segmentation, IMAGES, np.broadcast_to(mask, (3, 4, 5, 3)))
    close(analyzer(IMAGES, mask), want)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.parametrize("target", [None, 0, [0, 0, 0, 0], np.ones((4, 1))])
def test_one_output_is_explained_whatever_its_sign(activation, target):
    model = vector_net(1, activation)
    plain = without_head(model)
    bias = model.layers[-1].bias
    bias.assign(bias - np.median(plain(X)))
    plain.set_weights(model.get_weights())
    assert set(np.sign(plain(X)).flat) == {-1.0, 1.0}
    got = lrpkeras.Analyzer(model, "zero")(X, target)
    close(got, input_x_gradient(plain, X, np.ones((4, 1))))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_relevance_starts_from_the_logits_below_a_head(activation):
    model = vector_net(CLASSES, activation)
    explanation = lrpkeras.Analyzer(model, "zero").explain(X, 5, verbose=0)
    plain = without_head(model)
    close(explanation.relevance, input_x_gradient(plain, X, one_hot([5] * 4)))
    close(explanation.output, plain(X).numpy())


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (CLASSES, "target 12 is out of range: the output has classes 0 to 11"),
        (-1, "target -1 is out of range"),
        ([0, 1, 2, 12], "12 is out of range"),
        ([[0, -3]] * 4, "-3 is out of range"),
        ([1, 2, 3], "3 entries for 4 samples"),
        ([1], "1 entries for 4 samples"),
        ([[1, 2]], "1 entries for 4 samples"),
        (FACTORS[:3], "3 entries for 4 samples"),
        ([], "target is empty"),
        ([[]] * 4, "target is empty"),
        ([[1], [2, 3], [4], [5]], "different lengths"),
        (2.0, "For class numbers give integers"),
        ([1.0, 2.0, 3.0, 4.0], "For class numbers give integers"),
        (FACTORS[:, :5], "shape \\(samples, 12\\)"),
        (np.full((4, CLASSES), np.nan), "NaN"),
        (np.full(CLASSES, np.inf), "NaN or infinite"),
        ([[[1]]] * 4, "at most two axes"),
        ("everything", "the only word is 'all'"),
        ("3", "the only word is 'all'"),
        (["3"] * 4, "none of"),
        ([None] * 4, "none of"),
        (True, "none of"),
        ({"class": 3}, "none of"),
        (lambda output: output[:, :3], "returned shape \\(4, 3\\)"),
        (lambda output: output * np.nan, "returned NaN"),
        (lambda output: None, "returned"),
        (lambda output: "winner", "returned"),
    ],
)
def test_targets_that_fit_nothing_are_refused(analyzer, target, words):
    with pytest.raises(TargetError, match=words):
        analyzer(X, target)


@pytest.mark.parametrize("samples", [1, CLASSES])
def test_float_class_numbers_are_refused_also_where_they_could_be_factors(analyzer, samples):
    labels = np.zeros(CLASSES) if samples == CLASSES else np.zeros(1)
    x = np.repeat(X[:1], samples, axis=0)
    with pytest.raises(TargetError, match="integers"):
        analyzer(x, labels)


def test_targets_are_checked_before_explain_does_any_work(analyzer):
    with pytest.raises(TargetError, match="out of range"):
        analyzer.explain(X, [0, 1, 2, 99], batch_size=1, verbose=0)


@pytest.mark.parametrize("target", [[0, 1, 2, 3], FACTORS])
def test_a_dataset_takes_one_target_for_all(analyzer, target):
    data = tf.data.Dataset.from_tensor_slices(X).batch(2)
    with pytest.raises(TargetError, match="dataset"):
        analyzer.explain(data, target, verbose=0)


def test_a_dataset_takes_an_array_for_all_and_a_callable(analyzer):
    data = tf.data.Dataset.from_tensor_slices(X).batch(3)
    for target in (FACTORS[0], second_best, "all", [[3, 4]]):
        factors = [[3, 4]] * 4 if isinstance(target, list) else target
        close(analyzer.explain(data, target, verbose=0).relevance, analyzer(X, factors).numpy())
