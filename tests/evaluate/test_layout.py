"""Models with their channels at axis 1, of which the last axis is no channel."""

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.evaluate import (
    conservation,
    counterfactual,
    pixel_flipping,
    randomization,
    relevance_mass,
    retention,
    sensitivity,
)

GENERATOR = np.random.default_rng(0)
KERNEL, HEAD = GENERATOR.normal(size=(1, 1, 2, 3)), GENERATOR.normal(size=(3, 4))
IMAGES = GENERATOR.uniform(0.1, 1, size=(3, 5, 6, 2)).astype("float32")
FIRST = np.moveaxis(IMAGES, -1, 1)


def network(data_format, front=()):
    """Return a linear network of images of 5 x 6 pixels, with the channels where they are told."""
    first = data_format == "channels_first"
    model = keras.Sequential(
        [
            keras.Input((2, 5, 6) if first else (5, 6, 2)),
            *front,
            layers.Conv2D(3, 1, use_bias=False, data_format=data_format),
            layers.GlobalAveragePooling2D(data_format=data_format),
            layers.Dense(4, use_bias=False),
        ]
    )
    model.layers[-3].set_weights([KERNEL])
    model.layers[-1].set_weights([HEAD])
    return model


@pytest.mark.parametrize(
    "front", [(), (layers.Rescaling(2.0),), (layers.ZeroPadding2D(data_format="channels_first"),)]
)
def test_channels_at_axis_1_are_refused_where_pixels_are_measured(front):
    analyzer = lrpkeras.Analyzer(network("channels_first", front), "zero")
    masks = FIRST[..., 0] > 0
    for measure in (pixel_flipping, retention, counterfactual, randomization):
        with pytest.raises(InputError, match=r"channels at axis 1.*Permute\(\(3, 1, 2\)\)"):
            measure(analyzer, FIRST, verbose=0)
    with pytest.raises(InputError, match="channels at axis 1"):
        relevance_mass(analyzer, FIRST, masks, verbose=0)
    with pytest.raises(InputError, match="channels at axis 1"):
        pixel_flipping(FIRST, FIRST, 0, model=analyzer, verbose=0)


def test_what_the_refusal_says_helps():
    """Behind the layer that moves channels, the network is that of images with channels last."""
    first = network("channels_first")
    moved = keras.Sequential([keras.Input((5, 6, 2)), layers.Permute((3, 1, 2)), first])
    settings = {"steps": 6, "verbose": 0}
    result, expected = (
        pixel_flipping(lrpkeras.Analyzer(model, "zero"), IMAGES, **settings).curves
        for model in (moved, network("channels_last"))
    )
    for order, curve in expected.items():
        assert result[order].values == pytest.approx(curve.values, abs=1e-5)


def test_measures_of_whole_maps_take_channels_anywhere():
    analyzer = lrpkeras.Analyzer(network("channels_first"), "zero")
    assert conservation(analyzer, FIRST, verbose=0).values == pytest.approx([1.0] * 3, rel=1e-4)
    # R = x w is linear: the noise is as large a share of it as of x, times how w differs.
    assert 0 < sensitivity(analyzer, FIRST, verbose=0).mean < 1
