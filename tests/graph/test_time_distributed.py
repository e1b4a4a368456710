"""Layers at every step in time: one more axis in every node of the layer inside."""

import keras
import numpy as np
import pytest
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64, randomized

from lrpkeras import rules
from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.nodes import Linear
from lrpkeras.presets import Preset

L = layers


def sequential(shape, *inside):
    return keras.Sequential([keras.Input(shape), *inside])


def branched():
    """Every kind of merging, inside one step."""
    inputs = keras.Input((5, 4, 2))
    x, y = L.Conv2D(3, 2, padding="same")(inputs), L.Dense(3)(inputs)
    x = L.Concatenate()([L.Add()([x, y]), L.Multiply()([x, y]), L.Maximum()([x, y])])
    return keras.Model(inputs, L.Average()([x, L.Permute((1, 2, 3))(x)]))


IMAGES = {
    "dense": lambda: L.Dense(3, activation="relu"),
    "einsum": lambda: L.EinsumDense("abcd,de->abce", (5, 4, 3), bias_axes="e"),
    "convolution": lambda: L.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
    "grouped": lambda: L.Conv2D(4, 2, groups=2, dilation_rate=2),
    "depthwise": lambda: L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2),
    "separable": lambda: L.SeparableConv2D(3, 2),
    "transposed": lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same"),
    "normalized": lambda: L.BatchNormalization(),
    "normalized along another axis": lambda: L.BatchNormalization(axis=1),
    "by the sample": lambda: L.LayerNormalization(axis=(1, 3)),
    "in groups": lambda: L.GroupNormalization(2),
    "learned slopes": lambda: L.PReLU(shared_axes=[1]),
    "max pooling": lambda: L.MaxPooling2D(2),
    "average pooling": lambda: L.AveragePooling2D(3, 2, "same"),
    "mean": lambda: L.GlobalAveragePooling2D(keepdims=True),
    "maximum": lambda: L.GlobalMaxPooling2D(),
    "moves": lambda: sequential(
        (5, 4, 2),
        L.ZeroPadding2D(1),
        L.Cropping2D(((0, 1), (1, 0))),
        L.UpSampling2D(2),
        L.Permute((3, 1, 2)),
        L.Reshape((-1, 2)),
        L.Lambda(lambda x: x[:, ::3]),
    ),
    "flattened": lambda: sequential((5, 4, 2), L.Flatten(), L.Dropout(0.5), L.Dense(3)),
    "branched": branched,
    "nested": lambda: sequential((5, 4, 2), sequential((5, 4, 2), L.Conv2D(3, 2)), L.ReLU()),
}


@pytest.mark.parametrize("steps", [3, None])
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.usefixtures("float64")
def test_a_layer_is_read_exactly_at_every_step(name, steps, agrees):
    inputs = keras.Input((steps, 5, 4, 2))
    agrees(keras.Model(inputs, L.TimeDistributed(IMAGES[name]())(inputs)), sizes=(4,))


@pytest.mark.usefixtures("float64")
def test_a_layer_of_series_is_read_exactly_at_every_step(agrees):
    inputs = keras.Input((3, 6, 2))
    inside = sequential(
        (6, 2), L.Conv1D(4, 3, padding="causal"), L.MaxPooling1D(), L.UpSampling1D()
    )
    agrees(keras.Model(inputs, L.TimeDistributed(inside)(inputs)))


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (lambda: L.Conv3D(2, 2), (3, 4, 4, 4, 2), "volumes"),
        (lambda: L.MaxPooling3D(2), (3, 4, 4, 4, 2), "volumes"),
        (lambda: L.UpSampling2D(2, interpolation="bilinear"), (3, 4, 4, 2), "Resample"),
        (lambda: L.MaxPooling2D(2, data_format="channels_first"), (3, 2, 4, 4), "channels_last"),
        (lambda: L.LSTM(2), (3, 4, 2), "recurrent.*planned"),
    ],
)
def test_what_has_no_kind_with_one_more_axis_is_refused(make, shape, words):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, L.TimeDistributed(make(), name="steps")(inputs))
    with pytest.raises(UnsupportedLayerError, match=f"'steps'.*{words}"):
        keras_reader.read(model)


def test_what_is_refused_inside_a_model_at_every_step_is_named():
    inputs = keras.Input((3, 4, 2))
    inside = keras.Sequential([keras.Input((4, 2)), L.LSTM(2, name="lstm")], name="inside")
    model = keras.Model(inputs, L.Dense(2)(L.TimeDistributed(inside, name="steps")(inputs)))
    with pytest.raises(UnsupportedLayerError, match="1 layer.*(?s:.*)'steps/inside/lstm'"):
        keras_reader.read(model)


def both_ways(steps=3):
    """A small network at every step, and the same network alone."""
    with float64():
        inside = keras.Sequential(
            [
                keras.Input((6, 5, 2)),
                L.ZeroPadding2D(1),
                L.Conv2D(3, 3, strides=2, use_bias=False),
                L.BatchNormalization(),
                L.ReLU(),
                L.MaxPooling2D(2),
                L.Flatten(),
                L.Dense(4),
            ]
        )
        inputs = keras.Input((steps, 6, 5, 2))
        outer = keras.Model(inputs, L.TimeDistributed(inside)(inputs))
        return randomized(inside), outer


PRESETS = {
    "z+": rules.ZPlus(),
    "flat": rules.Flat(),
    "gamma": rules.Gamma(),
    "shared bias": rules.Epsilon(bias="distribute"),
    "squares": rules.WSquare(),
}


@pytest.mark.parametrize(("name", "steps"), [*((name, 3) for name in PRESETS), ("flat", None)])
def test_each_step_is_explained_as_by_the_layer_alone(name, steps):
    inside, outer = both_ways(steps)
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5, 2))
    preset = Preset((("*", PRESETS[name]),))
    alone = run(rewritten(inside), preset, x.reshape(6, 6, 5, 2))
    together = run(rewritten(outer), preset, x)
    assert_close(together.output, alone.output.reshape(2, 3, -1))
    start = np.random.default_rng(1).normal(size=(2, 6, 4))
    (expected,) = alone.back(start)
    (got,) = together.back(start.reshape(2, 2, 3, 4))
    assert_close(got, expected.reshape(2, *x.shape))


def test_normalizations_inside_are_folded():
    _, outer = both_ways()
    graph = rewritten(outer)
    assert [node.kind for node in graph if node.kind == "Affine"] == []
    assert sum(isinstance(node, Linear) for node in graph) == 2
