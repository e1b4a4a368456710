"""Exported analyzers are measured like those that they were made from."""

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.evaluate import conservation, counterfactual, pixel_flipping, retention

IMAGES = np.random.default_rng(0).uniform(0.1, 1, size=(6, 8, 8, 3)).astype("float32")


def exported(model, folder, preset="epsilon", **settings):
    analyzer = lrpkeras.Analyzer(model, preset, **settings)
    analyzer.export(folder / "exported")
    return analyzer, lrpkeras.load(folder / "exported")


def classifier(units=4, activation=None, data_format=None):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(5, 3, activation="relu", data_format=data_format),
            layers.GlobalAveragePooling2D(data_format=data_format),
            layers.Dense(units, activation=activation),
        ]
    )


def numbers(analyzer, **settings):
    flipping = pixel_flipping(analyzer, IMAGES, region=2, steps=4, replacement="zero", **settings)
    counter = counterfactual(analyzer, IMAGES, replacement="zero")
    return [
        flipping.gap.values,
        retention(analyzer, IMAGES).area.values,
        conservation(analyzer, IMAGES).values,
        counter.change.values,
    ]


@pytest.mark.parametrize(
    ("units", "activation"),
    [(4, None), (4, "softmax"), (4, "log_softmax"), (1, "sigmoid"), (3, "sigmoid")],
)
def test_measures_are_those_of_the_analyzer(tmp_path, units, activation):
    analyzer, loaded = exported(classifier(units, activation), tmp_path)
    assert loaded.decision == analyzer.decision
    for got, expected in zip(
        numbers(loaded, score="probability"), numbers(analyzer, score="probability"), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_a_log_softmax_has_the_probabilities_of_a_softmax():
    scores = []
    for activation in ("softmax", "log_softmax"):
        analyzer = lrpkeras.Analyzer(classifier(4, activation), "epsilon")
        probabilities = np.asarray(analyzer.decision.probabilities(analyzer.logits(IMAGES)))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        scores.append(probabilities)
    np.testing.assert_array_equal(*scores)


def test_what_an_analyzer_is_refused_an_exported_one_is(tmp_path):
    _, loaded = exported(classifier(1, "relu"), tmp_path)
    with pytest.raises(InputError, match="never negative"):
        retention(loaded, IMAGES)
    with pytest.raises(InputError, match="weights of an Analyzer's"):
        lrpkeras.evaluate.randomization(loaded, IMAGES)


def test_an_exported_analyzer_decides_for_other_maps(tmp_path):
    analyzer, loaded = exported(classifier(), tmp_path)
    maps = np.asarray(analyzer(IMAGES))
    settings = {"region": 2, "steps": 4, "replacement": "zero"}
    got = pixel_flipping(maps, IMAGES, model=loaded, **settings)
    expected = pixel_flipping(maps, IMAGES, model=analyzer, **settings)
    np.testing.assert_allclose(got.gap.values, expected.gap.values, rtol=1e-5, atol=1e-6)


def test_channels_at_axis_1_are_told(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3, 8, 8)),
            layers.AveragePooling2D(2, data_format="channels_first"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    _, loaded = exported(model, tmp_path)
    with pytest.raises(InputError, match="channels at axis 1"):
        pixel_flipping(loaded, np.moveaxis(IMAGES, -1, 1))
