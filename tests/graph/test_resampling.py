"""Resizing of images: read exactly, and passed back by its weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import assert_close, rewritten, run
from keras import layers, ops
from linear_layers import float64, randomized

from lrpkeras import backend, rules
from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.nodes import Resample, Route

L = layers
# Keras resizes in float32, whatever the type of the images.
SINGLE = 1e-6


def resizing(height, width, **settings):
    return lambda x: L.Resizing(height, width, **settings)(x)


LAYERS = {
    "twice": lambda x: L.UpSampling2D(interpolation="bilinear")(x),
    "more along one axis": lambda x: L.UpSampling2D((3, 1), interpolation="bilinear")(x),
    "bicubic": lambda x: L.UpSampling2D(2, interpolation="bicubic")(x),
    "lanczos": lambda x: L.UpSampling2D((1, 2), interpolation="lanczos3")(x),
    "larger": resizing(7, 9),
    "smaller": resizing(3, 2),
    "antialiased": resizing(3, 2, antialias=True),
    "bicubic, smaller": resizing(3, 2, interpolation="bicubic"),
    "lanczos5, antialiased": resizing(3, 9, interpolation="lanczos5", antialias=True),
    "cut high": resizing(6, 7, crop_to_aspect_ratio=True),
    "cut wide": resizing(7, 2, crop_to_aspect_ratio=True),
    "filled up wide": resizing(3, 7, pad_to_aspect_ratio=True),
    "filled up high": resizing(8, 3, pad_to_aspect_ratio=True),
    "by an operation": lambda x: ops.image.resize(x, (4, 9), data_format="channels_last"),
}
COPIES = {
    "nearest, larger": resizing(10, 9, interpolation="nearest"),
    "nearest, smaller": resizing(2, 3, interpolation="nearest"),
    "nearest, twice": lambda x: L.UpSampling2D(2)(x),
    "the same size": resizing(5, 4, interpolation="bicubic"),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("float64")
def test_interpolation_is_read_as_keras_computes_it(name, agrees):
    inputs = keras.Input((5, 4, 2))
    graph = agrees(keras.Model(inputs, LAYERS[name](inputs)), tolerance=SINGLE)
    assert any(isinstance(node, Resample) for node in graph)


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.usefixtures("float64")
def test_what_copies_pixels_is_a_route(name, agrees):
    inputs = keras.Input((5, 4, 2))
    graph = agrees(keras.Model(inputs, COPIES[name](inputs)), tolerance=SINGLE)
    assert all(isinstance(node, Route) for node in list(graph)[1:])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("settings", [{}, {"crop_to_aspect_ratio": True}])
def test_channels_may_come_first(settings, agrees):
    inputs = keras.Input((2, 5, 4))
    x = L.Resizing(3, 7, data_format="channels_first", **settings)(inputs)
    x = L.UpSampling2D((1, 2), interpolation="bilinear", data_format="channels_first")(x)
    agrees(keras.Model(inputs, x), tolerance=SINGLE)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("shape", [(None, None, 2), (None, 4, 2)])
@pytest.mark.parametrize("sizes", [(5, 4), (6, 3)])
def test_bilinear_weights_of_sizes_known_at_run_time_are_the_same(shape, sizes, agrees):
    inputs = keras.Input(shape)
    x = L.UpSampling2D((2, 3), interpolation="bilinear")(inputs)
    outputs = [x, L.Resizing(5, 3)(x)]
    agrees(keras.Model(inputs, outputs), sizes=sizes[: shape.count(None)], tolerance=SINGLE)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.UpSampling2D(2, interpolation="bicubic"),
        lambda: L.Resizing(3, 3, antialias=True),
        lambda: L.Resizing(3, 3, interpolation="nearest"),
        lambda: L.Resizing(3, 3, crop_to_aspect_ratio=True),
    ],
)
def test_other_weights_need_a_fixed_size(layer):
    model = keras.Sequential([keras.Input((None, None, 2)), layer()])
    with pytest.raises(UnsupportedLayerError, match="fixed input size"):
        keras_reader.read(model)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: L.Resizing(3, 7, pad_to_aspect_ratio=True, fill_value=1.0)(x), "fill_value=0"),
        (lambda x: ops.image.resize(x[:, :, :, 0], (3, 7)), "batch"),
    ],
)
def test_what_is_no_linear_resizing_of_each_sample_is_refused(make, words):
    inputs = keras.Input((5, 4, 2))
    with pytest.raises(UnsupportedLayerError, match=words):
        keras_reader.read(keras.Model(inputs, make(inputs)))


def test_resizing_that_rounds_to_whole_numbers_is_refused():
    inputs = keras.Input((5, 4, 2), dtype="uint8")
    outputs = L.Resizing(3, 3, dtype="uint8")(inputs)
    with pytest.raises(UnsupportedLayerError, match="uint8"):
        keras_reader.read(keras.Model(inputs, outputs))


TENSORFLOW = {
    "bilinear": lambda x: tf.image.resize(x, (7, 9)),
    "bicubic": lambda x: tf.image.resize(x, (7, 3), method="bicubic"),
    "lanczos5, antialiased": lambda x: tf.image.resize(x, (3, 9), "lanczos5", antialias=True),
    "area": lambda x: tf.image.resize(x, (3, 2), method="area"),
    "nearest": lambda x: tf.image.resize(x, (10, 3), method="nearest"),
    "aligned corners": lambda x: tf.compat.v1.image.resize_bilinear(x, (7, 9), align_corners=True),
}


@pytest.mark.parametrize("name", TENSORFLOW)
@pytest.mark.usefixtures("float64")
def test_resizing_by_tensorflow_is_read_as_it_computes_it(name, agrees):
    model = keras.Sequential([keras.Input((5, 4, 2)), L.Lambda(TENSORFLOW[name]), L.Dense(2)])
    graph = agrees(model, tolerance=SINGLE)
    assert any(isinstance(node, Route if name == "nearest" else Resample) for node in graph)


def half_pixel(size, target):
    """Bilinear interpolation as its definition has it: pixels lie at their middles."""
    matrix = np.zeros((target, size))
    for j in range(target):
        place = min(max((j + 0.5) * size / target - 0.5, 0), size - 1)
        below = int(place)
        matrix[j, below] += 1 - (place - below)
        if place > below:
            matrix[j, below + 1] += place - below
    return matrix


@pytest.mark.parametrize(("size", "target"), [(4, 8), (5, 15), (7, 3), (3, 1), (1, 4), (9, 7)])
def test_the_weights_are_those_of_half_pixel_centres(size, target):
    expected = half_pixel(size, target)
    for matrix, tolerance in (
        (backend.resizing_matrix(size, target, "bilinear"), SINGLE),
        (backend.to_numpy(backend.bilinear_matrix(size, target, "float64")), 1e-14),
    ):
        assert matrix.shape == (target, size)
        assert np.abs(matrix - expected).max() <= tolerance


def test_the_adjoint_is_the_transpose():
    random = np.random.default_rng(0)
    x, s = random.normal(size=(2, 5, 4, 3)), random.normal(size=(2, 7, 6, 3))
    rows, columns = random.normal(size=(7, 5)), random.normal(size=(6, 4))
    forward = backend.to_numpy(backend.resample(x, rows, columns))
    assert_close(forward, np.einsum("oh,nhwc,pw->nopc", rows, x, columns))
    back = backend.to_numpy(backend.resample_adjoint(s, rows, columns))
    assert np.vdot(forward, s) == pytest.approx(np.vdot(x, back), rel=1e-12)
    alone = backend.to_numpy(backend.resample_adjoint(s, rows, None))
    assert_close(alone, np.einsum("oh,nowc->nhwc", rows, s))


def net(interpolation="bilinear", size=(5, 4), static=True):
    with float64():
        inputs = keras.Input((*(size if static else (None, None)), 2), dtype="float64")
        resize = L.UpSampling2D((2, 1), interpolation=interpolation, name="resize")
        return keras.Model(inputs, resize(inputs))


def loops(matrix, x, r, rule):
    """Relevance of every pixel, one old and one new pixel after another."""
    flat = np.zeros_like(x)
    for j in range(len(matrix)):
        for i in range(matrix.shape[1]):
            w = matrix[j, i]
            if w == 0:
                continue
            if rule == "Proportional":
                total = matrix[j] @ x
                share = w * x[i] / total
            elif rule == "Flat":
                share = 1 / np.count_nonzero(matrix[j])
            else:
                share = w
            flat[i] += share * r[j]
    return flat


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("rule", [rules.Proportional(), rules.Flat(), rules.Adjoint()])
def test_rules_share_as_their_equations_say(rule, static):
    random = np.random.default_rng(1)
    x = random.normal(size=(2, 5, 4, 2))
    made = run(rewritten(net(static=static)), {"Resample": rule}, x)
    matrix = np.kron(half_pixel(5, 10), np.eye(4))
    for form in ("R", "ratio"):
        start = random.normal(size=(3, 2, 10, 4, 2))
        (got,) = made.back(start, form)
        relevance = start * made.output if form == "ratio" else start
        for k, n, c in np.ndindex(3, 2, 2):
            r, values = relevance[k, n, :, :, c].ravel(), x[n, :, :, c].ravel()
            expected = loops(matrix, values, r, type(rule).__name__).reshape(5, 4)
            # Keras' weights are multiples of 1/4 here, and so exact.
            assert_close(got[k, n, :, :, c], expected)
        assert got.sum() == pytest.approx(relevance.sum())


def test_where_pixels_cancel_shares_are_by_size():
    """Weights 3/4 and 1/4, pixels 1 and -3: the sum is zero, the sizes are equal."""
    x = np.array([1.0, -3.0]).reshape(1, 2, 1, 1) * np.ones((1, 2, 1, 2))
    made = run(rewritten(net(size=(2, 1))), {}, x)
    start = np.zeros((1, 1, 4, 1, 2))
    start[0, 0, 1] = 1.0
    assert made.output[0, 1, 0, 0] == 0
    (got,) = made.back(start)
    np.testing.assert_allclose(got[0, 0, :, 0, 0], [0.5, 0.5])


def test_weights_of_both_signs_make_values_of_both_signs():
    for interpolation, expected in (("bilinear", True), ("bicubic", False)):
        graph = with_facts(keras_reader.read(net(interpolation)), (0, 1))
        assert graph["resize"].facts.non_negative is expected


def first_layers():
    with float64():
        inputs = keras.Input((4, 4, 2), dtype="float64")
        x = L.Conv2D(3, 2, name="conv")(L.Resizing(6, 6, name="resize")(inputs))
        return randomized(keras.Model(inputs, L.Dense(2)(L.Flatten()(x))))


def test_resizing_in_front_hides_no_first_layer():
    graph = rewritten(first_layers())
    table = {"first": rules.Flat(), "Linear": rules.Epsilon()}
    made = run(graph, table, np.random.default_rng(2).normal(size=(1, 4, 4, 2)))
    assert [made.program.rules[name] for name in ("resize", "conv")] == [rules.Flat()] * 2


def test_bounds_of_pixels_are_those_of_resized_pixels():
    """The bounds of Box are the input's, one for each channel; weights add up to one."""
    graph = rewritten(first_layers())
    node, rule = graph["conv"], rules.Box([-1.0, 0.0], [2.0, 3.0])
    rule.validate(node)
    low, high = rule.bounds(node)
    np.testing.assert_allclose(low, np.broadcast_to([-1.0, 0.0], (1, 6, 6, 2)), rtol=SINGLE)
    np.testing.assert_allclose(high, np.broadcast_to([2.0, 3.0], (1, 6, 6, 2)), rtol=SINGLE)
