"""Pixel flipping, against the scores of linear models."""

import keras
import numpy as np
import pytest
from evaluate.linear_models import linear, of_class, on_images

import lrpkeras
from lrpkeras.errors import InputError, TargetError
from lrpkeras.evaluate import Curve, conservation, counterfactual, pixel_flipping, retention
from lrpkeras.evaluate.replacement import Filling

GENERATOR = np.random.default_rng(0)
WEIGHTS = GENERATOR.normal(size=(3, 6, 5, 2)).astype("float32")
IMAGES = GENERATOR.uniform(0.1, 1, size=(7, 6, 5, 2)).astype("float32")

MODEL = on_images(WEIGHTS)


def scores_by_hand(weights, x, order, filled, counts):
    """Flip one pixel after another of an image `(height, width, channels)`, and multiply out."""
    scores = []
    for count in counts:
        flipped = x.copy()
        for row, column in order[:count]:
            flipped[row, column] = filled[row, column]
        scores.append(float((weights * flipped).sum()))
    return scores


@pytest.mark.parametrize("order", ["most", "least"])
@pytest.mark.parametrize("filled", [0.0, 0.25])
def test_scores_of_a_linear_model_are_those_of_flipping_by_hand(order, filled):
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    target = np.array([0, 1, 2, 2, 1, 0, 0])
    result = pixel_flipping(
        analyzer, IMAGES, target, orders=order, steps=30, replacement=filled, verbose=0
    )
    curve = result.curves[order]
    assert curve.at == pytest.approx(np.arange(31) / 30)
    for x, label, values in zip(IMAGES, target, curve.values, strict=True):
        relevance = of_class(WEIGHTS, x, label).sum(axis=-1)
        sign = -1 if order == "most" else 1
        places = sorted(np.ndindex(6, 5), key=lambda place: sign * relevance[place])
        other = np.full_like(x, filled)
        expected = scores_by_hand(WEIGHTS[label], x, places, other, range(31))
        assert values == pytest.approx(expected, abs=1e-5)


def test_the_area_of_a_straight_line_is_its_middle():
    """Equal contributions fall in a straight line, in any order."""
    analyzer = lrpkeras.Analyzer(linear([2.0] * 8), "zero")
    result = pixel_flipping(analyzer, np.ones((3, 8), "float32"), steps=8, replacement=0, verbose=0)
    for curve in result.curves.values():
        assert curve.mean == pytest.approx(16 - 2 * np.arange(9))
        assert curve.area.values == pytest.approx([8.0] * 3)
    assert result.gap.mean == pytest.approx(0)
    assert result.area.mean == pytest.approx(8)


def test_regions_are_ordered_by_their_sum_and_flipped_whole():
    weights = np.zeros((1, 5, 5, 1), "float32")
    weights[0, 0, 0] = 3  # alone in the region that counts second
    weights[0, 2:4, 2:4] = 1  # the region that counts most
    analyzer = lrpkeras.Analyzer(on_images(weights), "zero")
    result = pixel_flipping(
        analyzer,
        np.ones((1, 5, 5, 1), "float32"),
        region=2,
        steps=9,
        orders="most",
        replacement="zero",
        verbose=0,
    )
    assert result.curves["most"].mean == pytest.approx([7, 3] + [0] * 8)
    # Those at the ends have fewer pixels.
    assert result.curves["most"].along == "share of squares flipped"


def test_regions_at_the_ends_are_cut():
    weights = np.zeros((1, 5, 5, 1), "float32")
    weights[0, 4, 4] = 1
    analyzer = lrpkeras.Analyzer(on_images(weights), "zero")
    x = np.ones((1, 5, 5, 1), "float32")
    result = pixel_flipping(
        analyzer, x, region=3, steps=4, orders="most", replacement="zero", verbose=0
    )
    assert result.curves["most"].mean == pytest.approx([1, 0, 0, 0, 0])


def test_a_share_alone_is_flipped():
    analyzer = lrpkeras.Analyzer(linear(np.arange(1.0, 11)), "zero")
    result = pixel_flipping(
        analyzer,
        np.ones((1, 10), "float32"),
        fraction=0.3,
        steps=3,
        orders="most",
        replacement=0.0,
        verbose=0,
    )
    assert result.curves["most"].at == pytest.approx([0, 0.1, 0.2, 0.3])
    assert result.curves["most"].mean == pytest.approx([55, 45, 36, 28])


def test_random_colours_lie_between_the_smallest_and_largest_of_their_channel():
    images = IMAGES.copy()
    images[..., 1] += 10
    seen = []

    def relevance(x, target):
        return x

    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    logits = analyzer.logits
    analyzer.logits = lambda x: seen.append(np.asarray(x)) or logits(x)
    pixel_flipping(
        relevance, images, 0, model=analyzer, orders="most", steps=1, batch_size=7, verbose=0
    )
    start, flipped = seen
    assert np.array_equal(start, images)
    for channel in (0, 1):
        low, high = images[..., channel].min(), images[..., channel].max()
        new = flipped[..., channel]
        assert low <= new.min() < new.max() <= high
        assert len(np.unique(new)) == new.size
        assert abs(new.mean() - (low + high) / 2) < 0.1


@pytest.mark.parametrize(
    ("replacement", "filled"),
    [
        ("zero", np.zeros(2)),
        ("mean", IMAGES.mean(axis=(0, 1, 2))),
        (0.5, np.full(2, 0.5)),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
        (lambda x: np.ones_like(x) * 3, np.full(2, 3.0)),
    ],
)
def test_in_the_end_everything_is_the_replacement(replacement, filled):
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    result = pixel_flipping(
        analyzer, IMAGES, 1, steps=2, orders="random", replacement=replacement, verbose=0
    )
    expected = float((WEIGHTS[1] * filled).sum())
    assert result.curves["random"].values[:, -1] == pytest.approx([expected] * 7, abs=1e-5)


def test_the_mean_of_many_values_is_exact():
    """In float32, 2^24 + 1 is 2^24: the sum of one such and 4096 ones would lack all ones."""
    x = np.ones((4097, 2), "float32")
    x[0] = 2**24
    filled = Filling.of("mean", x).batch(x[:1], 0, 0)
    assert filled.tolist() == [[4096, 4096]]
    curve = Curve("score", np.arange(2.0), x, "steps")
    assert curve.mean.tolist() == [4096, 4096]
    assert curve.value_at(1).mean == 4096


def test_blurring_keeps_what_is_uniform_and_levels_the_rest():
    pytest.importorskip("scipy")
    analyzer = lrpkeras.Analyzer(on_images(np.ones((1, 9, 9, 1))), "zero")
    even = np.full((1, 9, 9, 1), 0.7, "float32")
    spot = np.zeros((1, 9, 9, 1), "float32")
    spot[0, 4, 4] = 81
    seen = []
    logits = analyzer.logits
    analyzer.logits = lambda x: seen.append(np.asarray(x)) or logits(x)
    for x in (even, spot):
        pixel_flipping(analyzer, x, 0, steps=1, orders="most", replacement="blur", verbose=0)
    assert seen[1] == pytest.approx(even, abs=1e-6)
    # A Gaussian of 3 pixels at its centre: (1 / (3 sqrt(2 pi)))^2, cut to 9 pixels a bit more.
    assert 0.9 * 81 / (2 * np.pi * 9) < seen[3][0, 4, 4, 0] < 1.6 * 81 / (2 * np.pi * 9)
    assert seen[3][0, 0, 0, 0] < seen[3][0, 4, 4, 0]


def test_random_order_is_chance():
    """By symmetry the area of a random order is that of a straight line, up to a sampling error."""
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    images = np.repeat(IMAGES[:1], 400, axis=0)
    result = pixel_flipping(
        analyzer, images, 0, steps=10, orders="random", replacement=0.0, verbose=0
    )
    area = result.area
    middle = float((WEIGHTS[0] * IMAGES[0]).sum()) / 2
    assert abs(area.mean - middle) < 4 * area.values.std() / 20
    assert area.values.std() > 0


def test_a_map_of_one_value_flips_in_random_order():
    """In reading order, the upper rows would go first."""
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    images = np.repeat(IMAGES[:1], 400, axis=0)
    result = pixel_flipping(
        np.ones_like(images),
        images,
        0,
        model=analyzer,
        steps=10,
        orders="most",
        replacement=0.0,
        verbose=0,
    )
    middle = float((WEIGHTS[0] * IMAGES[0]).sum()) / 2
    assert abs(result.area.mean - middle) < 4 * result.area.values.std() / 20


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_probability_is_what_the_model_says(activation, classes):
    if (activation, classes) == ("softmax", 1):
        pytest.skip("a softmax of one class is 1 always")
    model = on_images(WEIGHTS[:classes] / 5, activation)
    head = {1: keras.ops.sigmoid, 3: keras.ops.softmax}[classes]
    said = np.asarray(model(IMAGES) if activation else head(model(IMAGES)))
    result = pixel_flipping(
        lrpkeras.Analyzer(model, "zero"),
        IMAGES,
        0,
        steps=1,
        orders="most",
        score="probability",
        verbose=0,
    )
    assert result.curves["most"].values[:, 0] == pytest.approx(said[:, 0], abs=1e-6)


def test_an_analyzer_a_function_and_an_array_give_the_same():
    model = on_images(WEIGHTS, "softmax")
    analyzer = lrpkeras.Analyzer(model, "zero")
    settings = {"steps": 7, "verbose": 0, "batch_size": 3}
    first = pixel_flipping(analyzer, IMAGES, **settings)
    winners = np.asarray(model(IMAGES)).argmax(axis=1)
    maps = np.stack([of_class(WEIGHTS, x, t) for x, t in zip(IMAGES, winners, strict=True)])

    def function(x, target):
        return np.asarray(WEIGHTS)[target] * x

    for explainer in (function, maps, maps.sum(axis=-1), maps.astype("float64")):
        other = pixel_flipping(explainer, IMAGES, model=model, **settings)
        for order, curve in first.curves.items():
            assert other.curves[order].values == pytest.approx(curve.values, abs=1e-5)


def test_functions_may_write_into_what_they_get():
    """`keras.applications`' preprocessing does."""

    def relevance(x, target):
        maps = of_class(WEIGHTS, x, 1)
        x *= 0
        target[:] = 0
        return maps

    def black(x):
        x *= 0
        return x

    images = IMAGES.copy()
    settings = {"model": MODEL, "steps": 4, "verbose": 0}
    result = pixel_flipping(relevance, images, 1, replacement=black, **settings).curves
    assert np.array_equal(images, IMAGES)
    maps = of_class(WEIGHTS, IMAGES, 1)
    for order, curve in pixel_flipping(maps, IMAGES, 1, replacement=0.0, **settings).curves.items():
        assert result[order].values.tolist() == curve.values.tolist()


def test_a_curve_depends_on_the_sample_and_the_seed_and_not_on_the_batch():
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    one, three, other = (
        pixel_flipping(analyzer, IMAGES, steps=5, batch_size=size, seed=seed, verbose=0)
        for size, seed in ((7, 0), (3, 0), (7, 1))
    )
    for order, curve in one.curves.items():
        assert three.curves[order].values == pytest.approx(curve.values, abs=1e-5)
        assert other.curves[order].values[:, 1:] != pytest.approx(curve.values[:, 1:], abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orders": "best"}, "orders='best'"),
        ({"orders": ()}, "orders="),
        ({"region": 0}, "region is a number of pixels"),
        ({"fraction": 0}, "fraction is a share"),
        ({"fraction": 1.5}, "fraction is a share"),
        ({"steps": 0}, "steps is a number"),
        ({"replacement": "noise"}, "replacement='noise' is none of"),
        ({"replacement": np.ones(3)}, "does not fit samples"),
        # As many as in a batch: each batch would get the same.
        (
            {"replacement": np.ones((7, 6, 5, 2)), "batch_size": 7},
            "for each sample give a function",
        ),
        ({"replacement": lambda x: x[0, 0, 0, :0]}, "does not fit samples"),
        ({"replacement": None}, "The replacement holds NaN"),
        ({"replacement": {"red": 1}}, "no number or array"),
        ({"replacement": lambda x: x * np.inf}, "infinite"),
        ({"seed": -1}, "seed is a whole number, not below 0; got -1"),
        ({"seed": 0.5}, "seed is a whole number"),
        ({"explainer": [IMAGES[0], IMAGES[1, :4]], "model": MODEL}, "Maps are of different shapes"),
        ({"score": "loss"}, "score is 'logit' or 'probability'"),
        ({"target": [0, 1]}, "2 entries for 7 samples"),
        ({"target": "all"}, "One class of each sample"),
        ({"target": [[0, 1]] * 7}, "One class of each sample"),
        ({"target": 3}, "out of range"),
        ({"batch_size": 0}, "batch_size"),
        ({"x": IMAGES[0, 0, 0]}, "Samples are numbers"),
        ({"x": IMAGES[:, :4]}, "shape"),
        ({"x": [IMAGES[0], IMAGES[1, :4]]}, "of different shapes"),
        ({"x": {"images": IMAGES}}, "Samples are numbers"),
        ({"explainer": IMAGES[:3], "model": MODEL}, "Relevance has shape"),
        ({"explainer": IMAGES * np.nan, "model": MODEL}, "NaN"),
        ({"explainer": "epsilon", "model": MODEL}, "Relevance has shape"),
        ({"explainer": IMAGES}, "A model decides"),
        ({"explainer": MODEL}, "A model by itself explains nothing"),
        ({"explainer": MODEL, "model": MODEL, "target": 0}, "by itself explains nothing"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    settings = {
        "explainer": lrpkeras.Analyzer(MODEL, "zero"),
        "x": IMAGES,
        "verbose": 0,
        **settings,
    }
    with pytest.raises(lrpkeras.LrpError, match=message):
        pixel_flipping(settings.pop("explainer"), settings.pop("x"), **settings)


def test_numbers_may_be_numpys():
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    plain, numpys = (
        pixel_flipping(analyzer, IMAGES, steps=kind(2), region=kind(2), verbose=0)
        for kind in (int, np.int64)
    )
    assert plain.area.values.tolist() == numpys.area.values.tolist()


def test_an_order_that_is_asked_for_twice_counts_once():
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    once, twice = (
        pixel_flipping(analyzer, IMAGES, orders=orders, steps=2, verbose=0).curves["most"]
        for orders in ("most", ("most", "random", "most"))
    )
    assert twice.values.tolist() == once.values.tolist()


@pytest.mark.parametrize("target", [2, None])
def test_a_class_that_the_deciding_model_does_not_have_is_refused(target):
    images = np.repeat(IMAGES[:1] * 0 + WEIGHTS[2], 2, axis=0)  # class 2 wins
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    for measure in (pixel_flipping, counterfactual, conservation):
        with pytest.raises(TargetError, match="Class 2 is explained, .* classes 0 to 1"):
            measure(analyzer, images, target, model=on_images(WEIGHTS[:2]), verbose=0)
    assert retention(analyzer, images, target, model=on_images(WEIGHTS[:2]), verbose=0).mean[-1]


def test_an_output_with_positions_is_refused():
    model = keras.Sequential([keras.Input((6, 5, 2)), keras.layers.Conv2D(3, 1)])
    with pytest.raises(lrpkeras.LrpError, match="other axes than samples and classes"):
        pixel_flipping(lrpkeras.Analyzer(model, "zero"), IMAGES, verbose=0)


def test_the_plot_has_a_line_for_each_order():
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    _, axes = pixel_flipping(analyzer, IMAGES, verbose=0).plot()
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["most relevant first", "least relevant first", "random"]
    assert axes.get_xlabel() == "share of pixels flipped"
    assert axes.get_ylabel() == "logit"


def test_without_random_order_there_is_no_gap():
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    result = pixel_flipping(analyzer, IMAGES, orders="most", verbose=0)
    with pytest.raises(InputError, match="ask for both"):
        result.gap  # noqa: B018


def test_progress_is_shown_where_there_are_several_batches(capsys):
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    pixel_flipping(analyzer, IMAGES, steps=1)
    assert capsys.readouterr().out == ""
    pixel_flipping(analyzer, IMAGES, steps=1, batch_size=4)
    assert "2/2" in capsys.readouterr().out
