"""Work grows with the number of samples and of pixels, and no faster: counted, not timed."""

from math import prod

import keras
import pytest
from keras import layers

import lrpkeras
from benchmarks import multiply_adds, work
from lrpkeras.backend.tensorflow import compiling

pytestmark = pytest.mark.slow

PRESETS = ["epsilon", "epsilon_plus_flat", "epsilon_gamma_box", "relative", "w_square"]


@pytest.fixture(autouse=True)
def operation_by_operation(monkeypatch):
    """Without compiled islands and tiles: there are some from a certain size on, and do less."""
    monkeypatch.setattr(compiling, "LARGE", 2**60)
    with work.without_tiles():
        yield


def net(size):
    """Convolutions, pools and a skip connection that leave no border over, and no Flatten."""
    x = keras.Input((size, size, 3))
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    z = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y))
    y = layers.MaxPooling2D()(layers.ReLU()(layers.Add()([y, z])))
    y = layers.AveragePooling2D(2)(layers.Conv2D(16, 1, activation="swish")(y))
    return keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling2D()(y)))


def traced(model, preset, batch_size):
    # Bounds for the presets that ask for them.
    analyzer = lrpkeras.Analyzer(model, preset, input_range=(-1, 1), verify=False)
    return analyzer.concrete_function(batch_size)


def counts(function):
    """Multiply-adds, and how many numbers all operations put out."""
    outputs = [x for op in function.graph.get_operations() for x in op.outputs]
    known = [prod(x.shape) for x in outputs if x.shape.is_fully_defined()]
    return multiply_adds.total(function), sum(known)


def is_affine(values, points, tolerance=0.0):
    """Whether three values lie on one line that rises, its slope the same up to a tolerance."""
    first, second = (
        (after - before) / (end - begin)
        for before, after, begin, end in zip(values, values[1:], points, points[1:], strict=False)
    )
    return first > 0 and abs(second - first) <= tolerance * first


@pytest.mark.parametrize("preset", PRESETS)
def test_work_is_linear_in_the_batch(preset):
    model = net(32)
    sizes = (1, 2, 5)
    products, numbers = zip(*(counts(traced(model, preset, n)) for n in sizes), strict=True)
    assert [n / products[0] for n in products] == list(sizes)
    # What is read and handed on, weights, is there once, whatever the batch.
    assert is_affine(numbers, sizes), numbers


@pytest.mark.parametrize("preset", PRESETS)
def test_work_is_linear_in_the_pixels(preset):
    sizes = (32, 64, 128)
    pixels = [size**2 for size in sizes]
    products, numbers = zip(*(counts(traced(net(n), preset, 2)) for n in sizes), strict=True)
    assert is_affine(products, pixels), products
    # The slices of a pool's taps leave out a border, a 500th of 128 pixels in both directions.
    assert is_affine(numbers, pixels, tolerance=1e-3), numbers


@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
def test_the_work_of_a_real_network_is_linear_in_batch_and_pixels(name):
    """The dense head apart, which sees no pixels."""
    application = getattr(keras.applications, name)
    found = {}
    for size, batch in ((64, 1), (64, 3), (128, 1)):
        keras.backend.clear_session()
        body = application(weights=None, include_top=False, input_shape=(size, size, 3))
        y = layers.Dense(10)(layers.GlobalAveragePooling2D()(body.output))
        function = traced(keras.Model(body.input, y), "epsilon_plus_flat", batch)
        head = multiply_adds.total(function, "MatMul")
        found[size, batch] = multiply_adds.total(function) - head
    assert found[64, 3] == 3 * found[64, 1]
    assert found[128, 1] == 4 * found[64, 1]
