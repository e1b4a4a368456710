"""`lrpkeras.quantus.explain` by itself, and called by the metrics of Quantus.

On a linear model without bias, `Zero` gives `x_i w_i`: what metrics make of that is known by hand.
Values are small whole numbers, so that float32 has every digit of them.
"""

import copy
import functools
import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras
from lrpkeras.errors import InputError, ModelError, RuleError, TargetError
from lrpkeras.quantus import HELD, KEPT, explain

CLASSES = np.array([0, 2, 1])


@pytest.fixture(scope="module")
def quantus():
    # An ImportError too: its OpenCV needs a library of the system.
    return pytest.importorskip(
        "quantus", reason="needs the metrics library: pip install quantus", exc_type=ImportError
    )


def whole_numbers(*shape, seed=0):
    """Whole numbers from -9 to 9 without 0, so that replacing any of them changes the output."""
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 10, shape) * rng.choice([-1, 1], shape)).astype("float32")


def linear(*shape, classes=3):
    """A model `x -> x w`, and `w` as `(*shape, classes)`."""
    inputs = keras.Input(shape)
    head = layers.Dense(classes, use_bias=False)
    model = keras.Model(inputs, head(layers.Flatten()(inputs)))
    weights = whole_numbers(*shape, classes, seed=1)
    head.set_weights([weights.reshape(-1, classes)])
    return model, weights


def products(x, weights, targets=CLASSES):
    """`x_i w_i` for each sample's target, of x's shape."""
    return x * np.moveaxis(weights[..., targets], -1, 0)


def network():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm1")(x))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", name="conv2")(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


def maps(model, x, targets, **settings):
    """What a new analyzer finds, summed over channels."""
    analyzer = lrpkeras.Analyzer(model, **settings)
    return analyzer.explain(x, targets, verbose=0).relevance.sum(axis=-1)[:, None]


@pytest.fixture
def built(monkeypatch):
    """The models that analyzers are built of, in order."""
    models = []

    def counted(model, *args, **kwargs):
        models.append(weakref.ref(model))
        return lrpkeras.Analyzer(model, *args, **kwargs)

    monkeypatch.setattr(lrpkeras.quantus, "Analyzer", counted)
    return models


# --- the form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 2), (4, 5, 2), (3, 4, 5, 2)])
def test_relevance_is_summed_over_channels_of_either_layout(shape):
    model, weights = linear(*shape)
    x = whole_numbers(3, *shape)
    expected = products(x, weights).sum(axis=-1)[:, None]
    for first, given in ((False, x), (True, np.moveaxis(x, -1, 1))):
        for answer in (None, first):
            relevance = explain(model, given, CLASSES, preset="zero", channel_first=answer)
            np.testing.assert_array_equal(relevance, expected)
        # Quantus perturbs in float64.
        wide = explain(model, given.astype("float64"), CLASSES, preset="zero")
        np.testing.assert_array_equal(wide, expected)


def test_features_without_channels_keep_their_shape_and_may_be_written_to():
    model, weights = linear(5)
    x = whole_numbers(3, 5)
    relevance = explain(model, x, CLASSES, preset="zero")
    np.testing.assert_array_equal(relevance, products(x, weights))
    relevance /= 2
    np.testing.assert_array_equal(explain(model, x, 2, preset="zero"), x * weights[:, 2])


def test_without_targets_each_samples_winner_is_explained():
    model, weights = linear(4, 5, 2)
    x = whole_numbers(3, 4, 5, 2)
    winner = np.tensordot(x, weights, 3).argmax(axis=-1)
    expected = products(x, weights, winner).sum(axis=-1)[:, None]
    np.testing.assert_array_equal(explain(model, x, None, preset="zero"), expected)


def test_channels_that_the_shape_leaves_open_are_asked_for():
    model, weights = linear(4, 4, 4)
    x = whole_numbers(3, 4, 4, 4)
    with pytest.raises(InputError, match=r"takes \(n, 4, 4, 4\).*channel_first=True or False"):
        explain(model, x, CLASSES)
    last = products(x, weights).sum(axis=-1)
    first = products(np.moveaxis(x, 1, -1), weights).sum(axis=-1)
    for answer, expected in ((False, last), (True, first)):
        relevance = explain(model, x, CLASSES, preset="zero", channel_first=answer)
        np.testing.assert_array_equal(relevance, expected[:, None])


def test_channels_of_a_model_of_any_size_are_asked_for_only_where_both_axes_fit():
    inputs = keras.Input((None, None, 3))
    outputs = layers.Dense(2, use_bias=False)(layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).random((2, 5, 4, 3), "float32")
    first = explain(model, np.moveaxis(x, -1, 1), 1)
    np.testing.assert_array_equal(explain(model, x, 1), first)
    with pytest.raises(InputError, match="first and last"):
        explain(model, x[:, :3], 1)
    assert explain(model, x[:, :3], 1, channel_first=False).shape == (2, 1, 3, 4)


def test_a_model_with_channels_first_inside_is_explained_where_it_has_them():
    inputs = keras.Input((3, 4, 5))
    pooled = layers.GlobalAveragePooling2D(data_format="channels_first")(inputs)
    head = layers.Dense(2, use_bias=False)
    model = keras.Model(inputs, head(pooled))
    head.set_weights([whole_numbers(3, 2)])
    x = whole_numbers(2, 3, 4, 5)
    with pytest.raises(InputError, match="channel_first=True or False"):
        explain(model, x, 1)
    relevance = explain(model, x, 1, preset="zero", channel_first=True)
    expected = np.einsum("nchw,c->nhw", x, whole_numbers(3, 2)[:, 1] / 20)
    # Shares of a mean are quotients: a few roundings each.
    np.testing.assert_allclose(relevance[:, 0], expected, rtol=1e-5, atol=1e-5)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"present": "zero"}, InputError, "'present'.*did you mean 'preset'"),
        ({"softmax": False}, InputError, "'softmax'.*batch_size, channel_first, method, device"),
        ({"target": 1}, InputError, "'target'"),
        ({"preset": "zeroo"}, RuleError, "did you mean 'zero'"),
        ({"batch_norm": "folded"}, RuleError, "batch_norm"),
        (
            {"method": "gamma"},
            RuleError,
            "'gamma' is the name of a preset, but 'epsilon_plus_flat'",
        ),
        ({"inputs": np.ones((3, 4, 2, 5))}, InputError, "do not fit"),
        ({"inputs": np.ones((3, 4, 5))}, InputError, "do not fit"),
        ({"channel_first": True}, InputError, "do not fit with channel_first=True"),
        ({"targets": np.eye(3)}, TargetError, "argmax"),
        ({"targets": CLASSES[:, None]}, TargetError, r"\(3, 1\): of a column give targets\[:, 0\]"),
        ({"targets": np.ones(3)}, TargetError, "float64"),
        ({"targets": np.array([0, 1])}, TargetError, "2 entries for 3 samples"),
        ({"model": "model.keras"}, ModelError, "str"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changed, error, says):
    given = {"model": linear(4, 5, 2)[0], "inputs": np.ones((3, 4, 5, 2)), "targets": CLASSES}
    with pytest.raises(error, match=says):
        explain(**{**given, **changed})


def test_features_have_no_channels_to_come_first():
    with pytest.raises(InputError, match="leave channel_first out"):
        explain(linear(5)[0], np.ones((3, 5)), CLASSES, channel_first=True)


def test_a_model_of_two_inputs_is_refused():
    inputs = [keras.Input((4, 5, 2), name="left"), keras.Input((4, 5, 2), name="right")]
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Add()(inputs))))
    with pytest.raises(ModelError, match="2 inputs.*left.*right"):
        explain(model, np.ones((3, 4, 5, 2)), 1)


# --- analyzers over time -------------------------------------------------------------------------


def test_settings_are_those_of_an_analyzer():
    model = network()
    x = np.random.default_rng(0).random((3, 8, 8, 3), "float32")
    settings = {
        "preset": "gamma",
        "rules": {"conv1": lrpkeras.rules.Box(low=0.0, high=1.0)},
        "batch_norm": "identity",
        "bias": "ignore",
        "initial": "contrast",
    }
    got = explain(model, x, CLASSES, **settings, batch_size=2, device="cpu", method="ours")
    # Batches of two and of three may add up in another order.
    np.testing.assert_allclose(got, maps(model, x, CLASSES, **settings), rtol=1e-4, atol=1e-6)


def test_an_analyzer_is_built_once_for_each_setting(built):
    model, weights = linear(4, 5, 2)
    x = whole_numbers(3, 4, 5, 2)
    rules = {"last": lrpkeras.rules.Zero()}
    for _ in range(3):
        exact = explain(model, x, CLASSES, rules=rules)
        explain(model, np.moveaxis(x, -1, 1), CLASSES, preset="flat")
    assert len(built) == 2
    np.testing.assert_array_equal(exact, products(x, weights).sum(axis=-1)[:, None])
    rules["last"] = lrpkeras.rules.Flat()
    flat = explain(model, x, CLASSES, rules=rules)
    logits = products(x, weights).sum(axis=(1, 2, 3))
    # Each of the 40 inputs gets the same.
    np.testing.assert_allclose(flat, np.tile(logits[:, None, None, None] / 20, (1, 1, 4, 5)), 1e-5)
    assert len(built) == 3


def test_a_model_keeps_the_analyzers_used_last(built):
    model = linear(4, 5, 2)[0]
    x = whole_numbers(3, 4, 5, 2)
    for epsilon in range(1, KEPT + 2):
        explain(model, x, CLASSES, rules={"last": lrpkeras.rules.Epsilon(float(epsilon))})
        explain(model, x, CLASSES)
    assert len(vars(model)[HELD]) == KEPT
    assert len(built) == KEPT + 2


def test_new_weights_are_seen_at_once_and_the_old_ones_when_they_come_back(built):
    model, weights = linear(4, 5, 2)
    x = whole_numbers(3, 4, 5, 2)
    before = model.get_weights()
    for factor in (1, -2, 1):
        model.set_weights([factor * array for array in before])
        relevance = explain(model, x, CLASSES, preset="zero")
        expected = factor * products(x, weights).sum(axis=-1)[:, None]
        np.testing.assert_array_equal(relevance, expected)
    assert len(built) == 1


def test_weights_that_are_not_the_models_own_are_seen_too():
    scale = keras.Variable(1.0)
    inputs = keras.Input((5,))
    head = layers.Dense(3, use_bias=False)
    model = keras.Model(inputs, head(inputs * scale))
    x = whole_numbers(3, 5)
    for factor in (1.0, 4.0):
        scale.assign(factor)
        relevance = explain(model, x, 1, preset="zero")
        np.testing.assert_allclose(relevance, factor * x * head.get_weights()[0][:, 1], rtol=1e-5)


def test_a_model_of_another_structure_gets_an_analyzer_of_its_own():
    model = network()
    x = np.random.default_rng(0).random((3, 8, 8, 3), "float32")
    relu = explain(model, x, CLASSES)
    model.get_layer("conv2").activation = keras.activations.tanh
    tanh = explain(model, x, CLASSES)
    np.testing.assert_array_equal(tanh, maps(model, x, CLASSES))
    assert np.abs(tanh - relu).max() > 1e-3


def test_an_analyzer_goes_with_its_model():
    model = linear(4, 5, 2)[0]
    explain(model, whole_numbers(3, 4, 5, 2), CLASSES)
    [(_, analyzer)] = vars(model)[HELD]
    gone = [weakref.ref(model), weakref.ref(analyzer)]
    del model, analyzer
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("how", ["cloned", "copied", "saved"])
def test_what_is_made_of_an_explained_model_holds_no_analyzer(how, tmp_path):
    model = linear(4, 5, 2)[0]
    x = whole_numbers(3, 4, 5, 2)
    expected = explain(model, x, CLASSES)
    if how == "cloned":
        other = keras.models.clone_model(model)
        other.set_weights(model.get_weights())
    elif how == "copied":
        other = copy.deepcopy(model)
    else:
        model.save(tmp_path / "model.keras")
        other = keras.saving.load_model(tmp_path / "model.keras")
    assert HELD not in vars(other)
    np.testing.assert_array_equal(explain(other, x, CLASSES), expected)


# --- the metrics of Quantus ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def linear_case():
    """Images of one channel, so that each value is a pixel of Quantus' own."""
    model, weights = linear(4, 4, 1)
    x = whole_numbers(3, 4, 4, 1)
    return {
        "call": {
            "model": model,
            "x_batch": x,
            "y_batch": CLASSES,
            "explain_func": explain,
            "explain_func_kwargs": {"preset": "zero"},
            "softmax": False,
        },
        "relevance": products(x, weights).reshape(3, 16),
    }


def test_pixel_flipping_takes_away_the_largest_shares_first(quantus, linear_case):
    metric = quantus.PixelFlipping(features_in_step=4, perturb_baseline=0.0, normalise=False)
    curves = metric(**linear_case["call"])
    relevance = linear_case["relevance"]
    steps = -np.sort(-relevance, axis=1).reshape(3, 4, 4).sum(axis=-1)
    np.testing.assert_array_equal(curves, relevance.sum(axis=1)[:, None] - steps.cumsum(axis=1))


def test_shares_of_a_linear_model_correlate_with_what_their_pixels_contribute(quantus, linear_case):
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=20, subset_size=5, perturb_baseline=0.0, return_aggregate=False
    )
    # Dividing by the largest share is the only rounding.
    np.testing.assert_allclose(metric(**linear_case["call"]), 1, rtol=1e-6)


def test_shares_of_a_linear_model_are_complete(quantus, linear_case):
    metric = quantus.Completeness(perturb_baseline=0.0, normalise=False)
    assert np.array_equal(metric(**linear_case["call"]), [True, True, True])


def test_pixels_without_weight_get_no_relevance(quantus):
    model, weights = linear(4, 4, 1)
    weights[1:3] = 0
    model.set_weights([weights.reshape(16, 3)])
    metric = quantus.NonSensitivity(perturb_baseline=0.0)
    mismatches = metric(
        model=model,
        x_batch=whole_numbers(3, 4, 4, 1),
        y_batch=CLASSES,
        explain_func=explain,
        explain_func_kwargs={"preset": "zero"},
        softmax=False,
    )
    assert np.array_equal(mismatches, [0, 0, 0])


def brighter(arr, indices, **kwargs):
    """A perturbation that is known: 1 more everywhere."""
    return arr + 1


def test_maps_of_a_linear_model_move_with_its_inputs(quantus):
    model, weights = linear(4, 5, 2)
    x = whole_numbers(3, 4, 5, 2)
    call = {
        "model": model,
        "x_batch": x,
        "y_batch": CLASSES,
        "explain_func": explain,
        "explain_func_kwargs": {"preset": "zero"},
        "softmax": False,
        "device": "cpu",
    }
    moved = np.linalg.norm(weights.sum(axis=2)[..., CLASSES].reshape(20, 3), axis=0)
    size = np.linalg.norm(products(x, weights).sum(axis=-1).reshape(3, 20), axis=1)
    sensitivity = quantus.MaxSensitivity(nr_samples=2, perturb_func=brighter)
    # Norms are square roots in float32.
    np.testing.assert_allclose(sensitivity(**call), moved / size, rtol=1e-6)
    lipschitz = quantus.LocalLipschitzEstimate(
        nr_samples=2,
        perturb_func=brighter,
        normalise=False,
        norm_numerator=quantus.distance_euclidean,
    )
    np.testing.assert_allclose(lipschitz(**call), moved / np.sqrt(40), rtol=1e-6)


def test_random_logit_explains_the_other_class(quantus):
    model, weights = linear(4, 5, 2, classes=2)
    x = whole_numbers(3, 4, 5, 2)
    targets = np.array([0, 1, 1])

    def distance(a, b, batched):
        return np.abs(a - b).sum(axis=1)

    metric = quantus.RandomLogit(num_classes=2, similarity_func=distance, normalise=False)
    scores = metric(
        model=model,
        x_batch=x,
        y_batch=targets,
        explain_func=explain,
        explain_func_kwargs={"preset": "zero"},
    )
    apart = products(x, weights, targets) - products(x, weights, 1 - targets)
    np.testing.assert_array_equal(scores, np.abs(apart.sum(axis=-1)).sum(axis=(1, 2)))


@pytest.fixture(scope="module")
def shapes_case():
    """The shipped network and fresh images, with what an analyzer of our own finds."""
    model = lrpkeras.datasets.shapes_model()
    images, labels, masks = lrpkeras.datasets.shapes(6, seed=3)
    return {
        "call": {
            "model": model,
            "x_batch": images,
            "y_batch": labels,
            "s_batch": masks[:, None],
            "explain_func": explain,
            "explain_func_kwargs": {"preset": "epsilon_plus"},
        },
        "relevance": maps(model, images, labels, preset="epsilon_plus").reshape(6, -1),
        "masks": masks.reshape(6, -1),
    }


def pointing_game(relevance, masks):
    return masks[np.arange(len(masks)), relevance.argmax(axis=1)]


def mass(relevance, masks):
    """The object's part of all relevance [Arras et al. 2022, eq. 1]."""
    return np.where(masks, relevance, 0).sum(axis=1) / relevance.sum(axis=1)


def rank(relevance, masks):
    """How much of the object is among as many largest values [Arras et al. 2022, eq. 2]."""
    pairs = zip(relevance, masks, strict=True)
    return [mask[np.argsort(row)[-mask.sum() :]].mean() for row, mask in pairs]


def entropy(relevance, masks):
    """Of the shares of magnitude [Bhatt et al. 2020]."""
    shares = np.abs(relevance) / np.abs(relevance).sum(axis=1, keepdims=True)
    return -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=1)


def gini(relevance, masks):
    """Half the mean distance of two magnitudes, in means [Chalasani et al. 2020]."""
    sizes = np.abs(relevance)
    distances = np.abs(sizes[:, :, None] - sizes[:, None, :]).mean(axis=(1, 2))
    return distances / (2 * sizes.mean(axis=1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PointingGame", pointing_game),
        ("RelevanceMassAccuracy", mass),
        ("RelevanceRankAccuracy", rank),
        ("Complexity", entropy),
        ("Sparseness", gini),
    ],
)
def test_scores_of_real_maps_are_those_of_their_definition(quantus, shapes_case, name, expected):
    scores = getattr(quantus, name)()(**shapes_case["call"])
    by_hand = expected(shapes_case["relevance"], shapes_case["masks"])
    # Sums of 2304 numbers in float32; Quantus adds 1e-7 to each for the Gini index.
    np.testing.assert_allclose(scores, by_hand, rtol=1e-3)


@pytest.mark.parametrize("order", ["independent", "top_down"])
def test_randomized_weights_are_those_that_are_explained(quantus, built, order):
    model = network()
    x = np.random.default_rng(0).random((4, 8, 8, 3), "float32")
    targets = np.array([0, 1, 2, 1])
    weights, before = model.get_weights(), explain(model, x, targets)
    layouts, gaps = set(), []

    def spying(model, inputs, targets, **kwargs):
        layouts.add(inputs.shape[1:])
        relevance = explain(model, inputs, targets, **kwargs)
        gaps.append(np.abs(relevance - maps(model, x, targets)).max())
        return relevance

    def distance(a, b, batched):
        return np.abs(a - b).max(axis=1)

    metric = quantus.MPRT(layer_order=order, similarity_func=distance)
    scores = metric(model=model, x_batch=x, y_batch=targets, explain_func=spying)
    assert layouts == {(8, 8, 3), (3, 8, 8)}
    assert max(gaps) == 0
    assert set(scores) == {"original", "conv1", "norm1", "conv2", "head"}
    assert max(scores.pop("original")) == 0
    assert all(min(moved) > 0 for name, moved in scores.items() if name != "norm1")
    # The model and its one clone.
    assert len(built) == 2
    assert all(map(np.array_equal, model.get_weights(), weights))
    np.testing.assert_array_equal(explain(model, x, targets), before)


def test_evaluate_compares_presets_by_name(quantus, shapes_case):
    call = shapes_case["call"]
    presets = ("epsilon_plus", "flat")
    scores = quantus.evaluate(
        {"mass": quantus.RelevanceMassAccuracy(), "rank": quantus.RelevanceRankAccuracy()},
        {name: functools.partial(explain, preset=name) for name in presets},
        model=call["model"],
        x_batch=call["x_batch"],
        y_batch=call["y_batch"],
        s_batch=call["s_batch"],
        explain_func_kwargs={},
    )
    flat = maps(call["model"], call["x_batch"], call["y_batch"], preset="flat").reshape(6, -1)
    for preset, relevance in (("epsilon_plus", shapes_case["relevance"]), ("flat", flat)):
        for name, expected in (("mass", mass), ("rank", rank)):
            by_hand = expected(relevance, shapes_case["masks"])
            np.testing.assert_allclose(scores[preset][name], by_hand, rtol=1e-3)
