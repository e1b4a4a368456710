"""Convolutions by tiles, against direct ones in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import randomized

import lrpkeras
from lrpkeras import backend
from lrpkeras.backend.spec import Spec
from lrpkeras.backend.tensorflow import convolution, winograd

IN, OUT = 5, 7
SIZES = [(6, 6), (7, 9), (21, 10), (16, 5), (5, 4)]
PADDINGS = ["same", ((0, 0), (0, 0)), ((1, 2), (0, 1)), ((2, 2), (2, 0))]
# Of the largest sum of magnitudes: what rounding to 24 bits may change, a few times over.
TOLERANCE = 8 * 2.0**-24


@pytest.fixture
def tiles(monkeypatch):
    """Tiles wherever they can be, some rows at a time."""
    monkeypatch.setattr(convolution, "convolves_with_onednn", lambda: True)
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "LEAST_SIZE", 3)
    monkeypatch.setattr(winograd, "MOST_TILES", 8)


def traced(function, kernel, shape):
    """The function `(x, kernel)` as analyzers compile it, and the types of its operations."""
    compiled = backend.compile(
        lambda variables, x: function(x, variables[0]),
        (Spec((None, *shape[1:]), "float32"),),
        variables=[backend.variable(kernel, "kernel")],
        jit_compile=False,
    )
    graph = compiled.graph(shape[0]).graph
    return compiled, {op.type for op in graph.get_operations()}


def geometry(padding, strides=(1, 1), dilation=(1, 1), groups=1):
    return {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}


def in_double(function, x, kernel):
    """The direct result, and the sum of magnitudes at each entry."""
    x, kernel = tf.constant(x, "float64"), tf.constant(kernel, "float64")
    return function(x, kernel).numpy(), function(tf.abs(x), tf.abs(kernel)).numpy()


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", SIZES)
def test_tiles_give_the_convolution_and_its_adjoint(size, padding, tiles):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, IN, OUT)).astype("float32")
    x = rng.normal(size=(3, *size, IN)).astype("float32")

    def forward(x, kernel):
        return backend.convolve(x, kernel, **geometry(padding))

    def back(s, kernel):
        return backend.convolve_adjoint(s, kernel, size, **geometry(padding))

    s = rng.normal(size=forward(x, kernel).shape).astype("float32")
    for function, array in ((forward, x), (back, s)):
        compiled, operations = traced(function, kernel, array.shape)
        if min(array.shape[1:3]) >= 3:
            assert "BatchMatMulV2" in operations
            assert not {"Conv2D", "Conv2DBackpropInput"} & operations
        expected, magnitude = in_double(function, array, kernel)
        for count in (3, 1):
            difference = np.abs(compiled(array[:count]) - expected[:count])
            assert difference.max() <= TOLERANCE * magnitude.max()


@pytest.mark.parametrize(
    ("settings", "width"),
    [
        (geometry("same", strides=(2, 2)), 3),
        (geometry("same", dilation=(2, 2)), 3),
        (geometry("same"), 5),
        (geometry(((3, 3), (1, 1))), 3),
    ],
)
def test_other_convolutions_go_directly(settings, width, tiles):
    kernel = np.ones((width, width, IN, OUT), "float32")
    _, operations = traced(lambda x, k: backend.convolve(x, k, **settings), kernel, (2, 9, 9, IN))
    assert "BatchMatMulV2" not in operations


def test_groups_go_directly_though_as_many_channels_come_out(tiles):
    kernel = np.ones((3, 3, 2, 6), "float32")
    _, operations = traced(
        lambda x, k: backend.convolve(x, k, **geometry("same", groups=3)), kernel, (2, 9, 9, 6)
    )
    assert "BatchMatMulV2" not in operations


def test_doubles_and_eager_calls_go_directly(tiles, monkeypatch):
    monkeypatch.setattr(winograd, "convolve", None)
    x, kernel = np.ones((2, 9, 9, IN)), np.ones((3, 3, IN, OUT))
    for dtype in ("float32", "float64"):
        backend.convolve(x.astype(dtype), kernel.astype(dtype), **geometry("same"))


def test_small_networks_are_traced_once(monkeypatch):
    """They have nothing to compile alone, so that one graph serves any number of batch sizes."""
    monkeypatch.setattr(convolution, "convolves_with_onednn", lambda: True)
    compiled, _ = traced(
        lambda x, k: backend.convolve(x, k, **geometry("same")),
        np.ones((3, 3, IN, OUT), "float32"),
        (1, 16, 16, IN),
    )
    before = backend.trace_count(compiled)
    for count in range(1, 12):
        compiled(np.ones((count, 16, 16, IN), "float32"))
    assert backend.trace_count(compiled) <= before + 1


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["epsilon", "epsilon_plus_flat", "alpha2_beta1", "gradient"])
def test_maps_are_those_of_direct_convolutions(preset, tiles, monkeypatch):
    x = keras.Input((14, 17, 3))
    y = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    y = layers.Add()([y, layers.Conv2D(12, 3, padding="same", activation="relu")(y)])
    y = layers.Conv2D(8, 3, activation="relu")(layers.MaxPooling2D()(y))
    model = randomized(keras.Model(x, layers.Dense(4)(layers.Flatten()(y))))
    image = np.random.default_rng(1).normal(size=(3, 14, 17, 3)).astype("float32")
    by_tiles = lrpkeras.Analyzer(model, preset)(image).numpy()
    monkeypatch.setattr(convolution, "convolves_with_onednn", lambda: False)
    directly = lrpkeras.Analyzer(model, preset)(image).numpy()
    assert np.abs(by_tiles - directly).max() <= 1e-5 * np.abs(directly).max()
