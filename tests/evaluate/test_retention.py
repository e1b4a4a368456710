"""Retention, against decisions of linear models that are made by hand."""

import keras
import numpy as np
import pytest
from evaluate.linear_models import linear, of_class, on_images

import lrpkeras
from lrpkeras.errors import InputError, TargetError
from lrpkeras.evaluate import retention
from lrpkeras.evaluate.retention import PERCENTAGES

GENERATOR = np.random.default_rng(0)
WEIGHTS = GENERATOR.normal(size=(4, 5, 5, 3)).astype("float32")
OTHER = GENERATOR.normal(size=(4, 5, 5, 3)).astype("float32")
IMAGES = GENERATOR.uniform(0.1, 1, size=(9, 5, 5, 3)).astype("float32")
MODEL = on_images(WEIGHTS, "softmax")


def decisions_by_hand(relevance, x, weights, percentage, fill):
    """Keep the most relevant entries (or pixels) of one sample, and decide."""
    size = relevance.size
    kept = sorted(range(size), key=lambda i: -relevance.reshape(-1)[i])
    kept = kept[: max(1, round(percentage * size / 100))]
    chosen = np.zeros(size, bool)
    chosen[kept] = True
    chosen = chosen.reshape(relevance.shape)
    if chosen.ndim < x.ndim:
        chosen = chosen[..., None]
    values = np.where(chosen, x, fill)
    return int((weights * values).sum(axis=(1, 2, 3)).argmax())


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("unit", ["pixel", "input"])
@pytest.mark.parametrize("fill", [0.0, -1.0])
@pytest.mark.parametrize("other", [None, OTHER])
def test_decisions_are_those_made_by_hand(unit, absolute, fill, other):
    other_model = None if other is None else on_images(other)
    result = retention(
        lrpkeras.Analyzer(MODEL, "zero"),
        IMAGES,
        unit=unit,
        absolute=absolute,
        fill=fill,
        other_model=other_model,
        percentages=[4, 20, 50, 90, 100],
        verbose=0,
    )
    decides = WEIGHTS if other is None else other
    for x, hits in zip(IMAGES, result.values, strict=True):
        winner = int((WEIGHTS * x).sum(axis=(1, 2, 3)).argmax())
        right = int((decides * x).sum(axis=(1, 2, 3)).argmax())
        relevance = of_class(WEIGHTS, x, winner)
        relevance = relevance.sum(axis=-1) if unit == "pixel" else relevance
        relevance = np.abs(relevance) if absolute else relevance
        expected = [
            decisions_by_hand(relevance, x, decides, share, fill) == right
            for share in (4, 20, 50, 90, 100)
        ]
        assert hits.tolist() == expected
    assert result.mean[-1] == 1


def test_labels_say_what_is_right():
    wrong = np.asarray(MODEL(IMAGES)).argmin(axis=1)
    result = retention(
        lrpkeras.Analyzer(MODEL, "zero"), IMAGES, labels=wrong, percentages=[100], verbose=0
    )
    assert result.mean.tolist() == [0]


def test_a_single_logit_decides_by_its_sign():
    model = linear([1.0, 1.0, -3.0])
    x = np.array([[1, 1, 1], [2, 2, 1]], "float32")  # -1 and 1
    result = retention(
        lrpkeras.Analyzer(model, "zero"), x, unit="input", percentages=[34, 67, 100], verbose=0
    )
    # The most relevant entries are the positive ones: kept alone they turn the first decision.
    assert result.values.tolist() == [[False, False, True], [True, True, True]]


def test_another_model_decides_over_maps_that_come_without_theirs():
    """Maps of the first model's class 1, decided over by the other: no third one is asked."""
    maps = np.stack([of_class(WEIGHTS, x, 1) for x in IMAGES])
    settings = {"other_model": on_images(OTHER), "percentages": [10, 40], "verbose": 0}
    alone = retention(maps, IMAGES, 1, **settings)
    both = retention(lrpkeras.Analyzer(MODEL, "zero"), IMAGES, 1, **settings)
    assert alone.values.tolist() == both.values.tolist()


def test_what_decides_nothing_is_refused():
    everywhere = keras.Sequential([keras.Input((5, 5, 3)), keras.layers.Conv2D(4, 1)])
    analyzer = lrpkeras.Analyzer(MODEL, "zero")
    for settings in ({"other_model": everywhere}, {"model": everywhere}):
        with pytest.raises(TargetError, match="other axes than samples and classes"):
            retention(analyzer, IMAGES, verbose=0, **settings)


@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu"])
def test_a_single_output_without_sign_is_refused(activation):
    """Of probabilities none is below 0: every decision would stand, whatever is kept."""
    model = on_images(WEIGHTS[:1], activation)
    for settings in ({}, {"other_model": model}):
        explainer = model if not settings else MODEL
        with pytest.raises(InputError, match="never negative: its sign decides nothing"):
            retention(lrpkeras.Analyzer(explainer, "epsilon"), IMAGES, verbose=0, **settings)
    retention(lrpkeras.Analyzer(on_images(WEIGHTS[:1], "sigmoid")), IMAGES, verbose=0)


def test_the_percentages_are_the_papers():
    result = retention(lrpkeras.Analyzer(MODEL, "zero"), IMAGES, verbose=0)
    expected = [1, 5, 10, 15, 20, 25, 40, 50, 60, 75, 80, 85, 90, 95, 99]
    assert result.at.tolist() == list(PERCENTAGES) == expected
    assert result.value_at(99).values.shape == (9,)
    with pytest.raises(InputError, match="not at 30"):
        result.value_at(30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"percentages": []}, "percentages rise"),
        ({"percentages": [5, 5]}, "percentages rise"),
        ({"percentages": [0, 5]}, "percentages rise"),
        ({"percentages": [5, 101]}, "percentages rise"),
        ({"percentages": [np.nan]}, "percentages rise"),
        ({"percentages": "ten"}, "percentages rise"),
        ({"percentages": [[5], [5, 10]]}, "percentages rise"),
        ({"labels": [[1], [1, 2]]}, "labels are one int per sample"),
        ({"labels": np.full(9, -2)}, "from 0 to 3; got -2"),
        ({"unit": "channel"}, "unit is 'pixel' or 'input'"),
        ({"labels": [0, 1]}, "labels are one int per sample"),
        ({"labels": np.zeros(9)}, "labels are one int per sample"),
        ({"labels": np.full(9, 4)}, "labels are class numbers"),
        ({"explainer": IMAGES.sum(-1), "unit": "input", "model": MODEL}, "of every channel"),
        ({"other_model": on_images(np.ones((2, 3, 3, 1)))}, "shape"),
        ({"fill": "noise"}, "is none of"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    settings = {"explainer": lrpkeras.Analyzer(MODEL, "zero"), "verbose": 0, **settings}
    with pytest.raises(lrpkeras.LrpError, match=message):
        retention(settings.pop("explainer"), IMAGES, **settings)
