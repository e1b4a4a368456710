"""Conservation, sensitivity, counterfactuals and randomization, where the answer is known."""

import keras
import numpy as np
import pytest
from evaluate.linear_models import linear, on_images

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.evaluate import conservation, counterfactual, randomization, sensitivity

GENERATOR = np.random.default_rng(0)
X = GENERATOR.uniform(0.1, 1, size=(5, 3)).astype("float32")


def small_net():
    """Return a small network of images with all that is shuffled: kernels, biases, statistics."""
    generator = np.random.default_rng(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(4, 3, use_bias=False, name="first"),
            keras.layers.BatchNormalization(name="normalized"),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(3, activation="softmax", name="head"),
        ]
    )
    for layer in model.layers:
        weights = [
            generator.uniform(0.5, 1.5, size=w.shape)
            if "Normalization" in type(layer).__name__
            else generator.normal(size=w.shape)
            for w in layer.get_weights()
        ]
        layer.set_weights(weights)
    return model


IMAGES = GENERATOR.uniform(0.1, 1, size=(4, 8, 8, 2)).astype("float32")


def test_a_rule_that_conserves_gives_all_and_a_bias_keeps_its_share():
    """With weights 1, 2, 3 and the bias 0.5, the bias gets 0.5 of the logit."""
    whole = conservation(lrpkeras.Analyzer(linear([1.0, 2, 3]), "zero"), X, verbose=0)
    assert whole.values == pytest.approx([1.0] * 5)
    logits = X @ [1, 2, 3] + 0.5
    kept = conservation(lrpkeras.Analyzer(linear([1.0, 2, 3], 0.5), "zero"), X, verbose=0)
    assert kept.values == pytest.approx((logits - 0.5) / logits)


def test_conservation_refuses_what_has_no_shares():
    with pytest.raises(InputError, match=r"samples \[0, 1, 2, 3, 4\] are 0"):
        conservation(lrpkeras.Analyzer(linear([0.0, 0, 0]), "zero"), X, verbose=0)
    with pytest.raises(InputError, match="initial='unit'"):
        conservation(lrpkeras.Analyzer(linear([1.0, 2, 3]), "zero", initial="unit"), X)


def test_a_map_that_never_changes_is_not_sensitive():
    result = sensitivity(lambda x, target: np.ones_like(x), X, 0, verbose=0)
    assert result.values.tolist() == [0] * 5


def test_a_linear_map_changes_as_much_as_its_input():
    """Of R(x) = 2 x: the largest |noise| / |x| of all draws."""
    seen = []

    def relevance(x, target):
        seen.append(np.asarray(x))
        return 2 * x

    result = sensitivity(relevance, X, 0, radius=0.1, draws=4, batch_size=5, verbose=0)
    first, *moved = seen
    assert len(moved) == 4
    amplitude = 0.1 * (X.max() - X.min())
    changes = [np.linalg.norm(other - first, axis=1) for other in moved]
    assert result.values == pytest.approx(np.max(changes, axis=0) / np.linalg.norm(X, axis=1))
    for other in moved:
        assert 0 < np.abs(other - first).max() <= amplitude * (1 + 1e-6)
        assert other.min() >= X.min()
        assert other.max() <= X.max()
    assert len({other.tobytes() for other in moved}) == 4


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused_whoever_explains(wrong):
    """A function may not mind; the range of the samples, and so the noise, would be NaN."""
    x = X.copy()
    x[3, 1] = wrong
    with pytest.raises(InputError, match=r"Samples \[3\] hold NaN"):
        sensitivity(lambda x, target: np.ones_like(x), x, 0, batch_size=2, verbose=0)


def test_sensitivity_keeps_the_class_and_does_not_depend_on_batches():
    analyzer = lrpkeras.Analyzer(small_net(), "epsilon", verify=False)
    one, two = (sensitivity(analyzer, IMAGES, batch_size=n, verbose=0) for n in (4, 3))
    assert one.values == pytest.approx(two.values, rel=1e-3)
    winners = np.asarray(analyzer.logits(IMAGES)).argmax(axis=1)
    classes = []

    def relevance(x, target):
        classes.append(target)
        return analyzer(x, target)

    three = sensitivity(relevance, IMAGES, model=analyzer, radius=1.0, verbose=0)
    assert all((one == winners).all() for one in classes)
    assert three.values.min() > 0


@pytest.mark.parametrize(
    ("explainer", "settings", "message"),
    [
        (X, {}, "no array"),
        (lambda x, t: x, {"radius": 0}, "radius"),
        (lambda x, t: x, {"draws": 0}, "draws"),
        (lambda x, t: x, {"seed": -1}, "seed"),
        (lambda x, t: 0 * x, {}, r"The maps of samples \[0, 1, 2, 3, 4\] are zero"),
        (lambda x, t: x[:2], {}, "Relevance has shape"),
        (lambda x, t: x * np.inf, {}, "infinite"),
    ],
)
def test_sensitivity_refuses_what_it_cannot_measure(explainer, settings, message):
    with pytest.raises(InputError, match=message):
        sensitivity(explainer, X, 0, verbose=0, **settings)


def test_what_speaks_against_a_class_is_found_and_its_removal_helps():
    """Weights are 1, and -2 in a square: without it the logit gains 2 x 9."""
    weights = np.full((1, 12, 10, 1), 0.01, "float32")
    weights[0, 6:9, 2:5] = -2
    model = on_images(weights, "sigmoid", bias=np.array([15.0]))
    x = np.ones((6, 12, 10, 1), "float32")
    analyzer = lrpkeras.Analyzer(model, "zero")
    result = counterfactual(
        analyzer, x, size=3, replacement="zero", score="logit", batch_size=4, verbose=0
    )
    assert result.corners.tolist() == [[6, 2]] * 6
    assert result.relevance == pytest.approx([-18] * 6, rel=1e-5)
    assert result.change.values == pytest.approx([18] * 6, rel=1e-5)
    assert result.before == pytest.approx([15 + 1.11 - 18] * 6, abs=1e-4)
    assert (result.gain.values >= 0).all()
    likely = counterfactual(analyzer, x, size=3, replacement="zero", verbose=0)
    expected = 1 / (1 + np.exp(-np.array([16.11 - 18, 16.11])))
    assert likely.before == pytest.approx([expected[0]] * 6, abs=1e-5)
    assert likely.after == pytest.approx([expected[1]] * 6, abs=1e-5)
    assert likely.change.chance.mean() == pytest.approx((likely.random - likely.before).mean())


def test_squares_at_random_places_reach_every_place():
    weights = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    x = np.ones((400, 4, 4, 1), "float32")
    result = counterfactual(
        lrpkeras.Analyzer(on_images(weights), "zero"),
        x,
        size=1,
        replacement="zero",
        score="logit",
        verbose=0,
    )
    lost = result.before - result.random
    assert set(np.round(lost).astype(int)) == set(range(16))


def test_of_squares_with_the_same_relevance_one_is_taken_by_lot():
    """What a map of one value takes away is what chance does: the mean of all 9 places.

    The pixels weigh 0 to 15, and a square of 2 by 2 at (i, j) weighs 4 (4 i + j) + 10.
    """
    weights = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    x = np.ones((400, 4, 4, 1), "float32")
    settings = {"model": on_images(weights), "size": 2, "replacement": "zero", "score": "logit"}
    result = counterfactual(np.ones_like(x), x, 0, **settings, verbose=0)
    lost = result.before - result.after
    assert set(map(tuple, result.corners.tolist())) == set(np.ndindex(3, 3))
    assert abs(lost.mean() - 30) < 4 * lost.std() / 20
    in_batches = counterfactual(np.ones_like(x), x, 0, **settings, batch_size=150, verbose=0)
    assert np.array_equal(in_batches.corners, result.corners)
    other = counterfactual(np.ones_like(x), x, 0, **settings, seed=1, verbose=0)
    assert not np.array_equal(other.corners, result.corners)


def test_the_square_is_a_fifth_of_the_shorter_side_unless_told():
    analyzer = lrpkeras.Analyzer(small_net(), "epsilon", verify=False)
    assert counterfactual(analyzer, IMAGES, verbose=0).size == 1
    assert counterfactual(analyzer, IMAGES, size=np.int64(3), verbose=0).size == 3
    for wrong in (0, 9, 2.5):
        with pytest.raises(InputError, match="size is a number of pixels from 1 to 8"):
            counterfactual(analyzer, IMAGES, size=wrong, verbose=0)
    with pytest.raises(InputError, match="Squares are of images"):
        counterfactual(lrpkeras.Analyzer(linear([1.0, 2, 3]), "zero"), X, verbose=0)


@pytest.fixture
def net():
    return small_net()


def test_layers_are_randomized_from_the_top_and_come_back(net):
    """What is explained along the way are the maps of the shuffled model, read anew."""
    pytest.importorskip("scipy")
    analyzer = lrpkeras.Analyzer(net, "epsilon")
    before = [weight.copy() for weight in net.get_weights()]
    maps = np.asarray(analyzer(IMAGES))
    result = randomization(analyzer, IMAGES, verbose=0)
    assert result.layers == ("head", "hidden", "normalized", "first")
    assert result.values.shape == (4, 5)
    assert result.values[:, 0] == pytest.approx([1] * 4)
    assert (result.values[:, 1:] < 0.99).all()
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))
    assert np.array_equal(np.asarray(analyzer(IMAGES)), maps)


def nested(kind):
    """Return a network in a network in a network, with layers numbered from the bottom."""
    x = keras.Input((4,))

    def model(first, second, name):
        if kind == "sequential":
            return keras.Sequential([keras.Input((4,)), first, second], name=name)
        return keras.Model(x, second(first(x)), name=name)

    def layer(number):
        return keras.layers.Dense(4, name=str(number))

    middle = model(model(layer(1), layer(2), "inner"), layer(3), "middle")
    return model(layer(0), model(middle, layer(4), "outer"), "whole")


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_nested_layers_are_randomized_from_the_top_too(kind):
    pytest.importorskip("scipy")
    analyzer = lrpkeras.Analyzer(nested(kind), "zero")
    result = randomization(analyzer, GENERATOR.uniform(size=(2, 4)), verbose=0)
    assert result.layers == ("4", "3", "2", "1", "0")


def test_maps_of_one_value_are_not_compared():
    """Where the only hidden neuron is closed, at x = -1, the map is zero."""
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, activation="relu"), keras.layers.Dense(1)]
    )
    model.set_weights([np.ones((3, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    x = np.array([[1, 2, 3], [-1, -1, -1], [3, 2, 1]], "float32")
    with pytest.raises(InputError, match=r"samples \[1\] have one value everywhere"):
        randomization(lrpkeras.Analyzer(model, "zero"), x, verbose=0)


class Scaled(keras.layers.Layer):
    """A layer with a weight of its own, and one that belongs to a layer inside."""

    def build(self, shape):
        self.inner = keras.layers.Dense(4, use_bias=False, name="inner")
        self.inner.build(shape)
        self.scale = self.add_weight(shape=(4,), initializer=lambda *_, **__: np.arange(1.0, 5))

    def call(self, x):
        return self.inner(x) * self.scale


def test_a_layer_is_randomized_without_the_layers_inside_it():
    model = keras.Sequential([keras.Input((4,)), Scaled(name="outer")])
    trained = model.get_weights()
    same = []

    def compare(one, other):
        now = zip(model.get_weights(), trained, strict=True)
        same.append([np.array_equal(weight, before) for weight, before in now])
        return 0.0

    analyzer = lrpkeras.Analyzer(model, "zero")
    result = randomization(
        analyzer, np.ones((1, 4)), similarity=compare, cascade=False, seed=1, verbose=0
    )
    assert [weight.shape for weight in trained] == [(4,), (4, 4)]
    assert result.layers == ("outer", "inner")
    assert same == [[True, True], [False, True], [True, False]]


def test_the_maps_that_others_are_compared_with_are_those_of_the_model_as_it_is():
    """The analyzer has read w = (1, 2, 3), and the model has (3, 2, 1) by now."""
    model = linear([1.0, 2, 3])
    analyzer = lrpkeras.Analyzer(model, "zero")
    model.set_weights([np.array([[3.0], [2], [1]]), np.zeros(1)])
    seen = []
    randomization(
        analyzer, np.ones((1, 3)), similarity=lambda one, other: seen.append(one) or 0.0, verbose=0
    )
    assert seen[0] == pytest.approx([3, 2, 1])


@pytest.mark.parametrize("cascade", [True, False])
def test_each_map_is_that_of_an_analyzer_of_the_shuffled_model(net, cascade):
    analyzer = lrpkeras.Analyzer(net, "epsilon")
    trained = net.get_weights()
    winners = np.asarray(net(IMAGES)).argmax(axis=1)
    seen = []

    def compare(one, other):
        seen.append((other, [weight.copy() for weight in net.get_weights()]))
        return 0.0

    randomization(analyzer, IMAGES[:1], similarity=compare, cascade=cascade, verbose=0)
    # By layer: the first conv, the normalization (4), the hidden dense (2), the head (2).
    layers = {"first": [0], "normalized": [1, 2, 3, 4], "hidden": [5, 6], "head": [7, 8]}
    order = ["head", "hidden", "normalized", "first"]
    for number, (shown, weights) in enumerate(seen):
        random = order[:number] if cascade else order[max(0, number - 1) : number]
        for name, places in layers.items():
            same = [np.array_equal(weights[i], trained[i]) for i in places]
            assert all(same) == (name not in random), (number, name)
            for i in places:
                assert np.array_equal(np.sort(weights[i], None), np.sort(trained[i], None))
        copy = keras.models.clone_model(net)
        copy.set_weights(weights)
        expected = lrpkeras.Analyzer(copy, "epsilon")(IMAGES[:1], winners[:1])
        expected = np.asarray(expected)[0].sum(axis=-1)
        assert shown == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))


def test_the_model_has_its_weights_back_after_an_error(net):
    analyzer = lrpkeras.Analyzer(net, "epsilon")
    before, maps = net.get_weights(), np.asarray(analyzer(IMAGES))
    calls = []

    def failing(one, other):
        calls.append(1)
        if len(calls) > len(IMAGES):
            raise RuntimeError("no")
        return 1.0

    with pytest.raises(RuntimeError, match="no"):
        randomization(analyzer, IMAGES, similarity=failing, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))
    assert np.array_equal(np.asarray(analyzer(IMAGES)), maps)


def test_similarities_are_those_of_the_libraries():
    from lrpkeras.evaluate.similarity import named

    stats = pytest.importorskip("scipy.stats")
    metrics = pytest.importorskip("skimage.metrics")
    one, other = GENERATOR.normal(size=(2, 9, 9))
    expected = stats.spearmanr(one.reshape(-1), other.reshape(-1)).statistic
    assert named("rank")(one, other) == pytest.approx(expected)
    assert named("rank")(one, -one) == pytest.approx(-1)
    assert named("absolute_rank")(one, -one) == pytest.approx(1)
    assert named("rank")(one, np.ones_like(one)) == 0
    assert named("ssim")(one, 3 * one) == pytest.approx(1)
    scaled = one / np.abs(one).max(), other / np.abs(other).max()
    expected = metrics.structural_similarity(*scaled, data_range=2)
    assert named("ssim")(one, other) == pytest.approx(expected)
    with pytest.raises(InputError, match="windows of 7 pixels"):
        named("ssim")(one[:5], other[:5])
    with pytest.raises(InputError, match="similarity='cosine' is none of"):
        named("cosine")


@pytest.mark.parametrize("given", [np.nan, np.ones(2), None, "alike"])
def test_a_similarity_is_one_number(given):
    analyzer = lrpkeras.Analyzer(linear([1.0, 2, 3]), "zero")
    with pytest.raises(InputError, match="to one number; it gave"):
        randomization(analyzer, X, similarity=lambda one, other: given, verbose=0)


def test_what_cannot_be_randomized_is_refused(net):
    with pytest.raises(InputError, match="seed"):
        randomization(lrpkeras.Analyzer(net, "zero"), IMAGES, seed=-1, similarity=np.vdot)
    for wrong in (IMAGES, lambda x, target: x):
        with pytest.raises(InputError, match="Analyzer's Keras model"):
            randomization(wrong, IMAGES)
    bare = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    with pytest.raises(InputError, match="no weights"):
        randomization(lrpkeras.Analyzer(bare, "zero"), X, verbose=0)


def test_the_plot_of_a_randomization_names_the_layers(net):
    pytest.importorskip("scipy")
    result = randomization(lrpkeras.Analyzer(net, "epsilon"), IMAGES, verbose=0)
    _, axes = result.plot()
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["trained", "head", "hidden", "normalized", "first"]


def test_a_missing_package_is_named(monkeypatch):
    from lrpkeras.evaluate import optional

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(optional.importlib, "import_module", absent)
    with pytest.raises(lrpkeras.LrpError, match=r"needs scipy: pip install 'lrpkeras\[evaluate\]'"):
        optional.needed("scipy.stats", "similarity='rank'")
