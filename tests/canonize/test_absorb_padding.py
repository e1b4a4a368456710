"""Zero padding in front of a convolution becomes its own."""

import keras
import pytest
from keras import layers

from lrpkeras.canonize import absorb_padding
from lrpkeras.graph.moves import Pad
from lrpkeras.graph.nodes import Linear, Route

pytestmark = pytest.mark.usefixtures("float64")


def pads(graph):
    return [n for n in graph if isinstance(n, Route) and isinstance(n.move, Pad)]


def chain(shape, *stack):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


FIRST = {"data_format": "channels_first"}
CASES = {
    "1d": lambda: chain((9, 3), layers.ZeroPadding1D(2), layers.Conv1D(4, 3)),
    "1d-asymmetric": lambda: chain((9, 3), layers.ZeroPadding1D((0, 2)), layers.Conv1D(4, 3)),
    "1d-depthwise": lambda: chain((9, 3), layers.ZeroPadding1D(1), layers.DepthwiseConv1D(3)),
    "2d": lambda: chain((8, 8, 3), layers.ZeroPadding2D(3), layers.Conv2D(4, 7, strides=2)),
    "2d-asymmetric": lambda: chain(
        (8, 7, 3), layers.ZeroPadding2D(((0, 1), (2, 3))), layers.Conv2D(4, 3, strides=2)
    ),
    "2d-depthwise": lambda: chain(
        (8, 8, 3),
        layers.ZeroPadding2D(((0, 1), (0, 1))),
        layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2),
    ),
    "2d-separable": lambda: chain((8, 8, 3), layers.ZeroPadding2D(1), layers.SeparableConv2D(4, 3)),
    "2d-dilated-grouped": lambda: chain(
        (9, 9, 4), layers.ZeroPadding2D(2), layers.Conv2D(6, 3, groups=2, dilation_rate=2)
    ),
    "2d-before-same": lambda: chain(
        (7, 7, 3), layers.ZeroPadding2D(1), layers.Conv2D(4, 3, strides=2, padding="same")
    ),
    "2d-twice": lambda: chain(
        (8, 8, 3),
        layers.ZeroPadding2D(1),
        layers.ZeroPadding2D(((0, 2), (1, 0))),
        layers.Conv2D(4, 3),
    ),
    "3d": lambda: chain(
        (5, 6, 4, 2), layers.ZeroPadding3D(((1, 0), (2, 1), (0, 1))), layers.Conv3D(3, 2)
    ),
    "dynamic-size": lambda: chain((None, None, 3), layers.ZeroPadding2D(1), layers.Conv2D(4, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_padding_is_absorbed(name, rewritten):
    graph = rewritten(CASES[name](), absorb_padding, sizes=(6, 7))
    assert not pads(graph)
    (padded,) = (n for n in graph if isinstance(n, Linear) and n.notes)
    assert padded.operation.pads
    assert "zero_padding" in padded.notes[0]
    assert padded.notes[0].endswith("absorbed")


def test_the_paddings_add_up_side_by_side(rewritten):
    graph = rewritten(CASES["2d-twice"](), absorb_padding)
    (conv,) = (n for n in graph if isinstance(n, Linear))
    assert conv.operation.padding == ((1, 3), (2, 1))


def test_channels_first_padding_is_absorbed(rewritten):
    # TensorFlow 2.19 runs no such convolution on a CPU; that it reads right is tested elsewhere.
    stack = layers.ZeroPadding2D(((1, 0), (2, 1)), **FIRST), layers.DepthwiseConv2D(1, **FIRST)
    graph = rewritten(chain((3, 6, 5), *stack), absorb_padding, runs=False)
    (conv,) = (n for n in graph if isinstance(n, Linear))
    assert conv.operation.padding == ((1, 0), (2, 1))


def test_a_shared_padding_stays_for_the_consumer_that_cannot_absorb_it(rewritten):
    inputs = keras.Input((8, 8, 3))
    padded = layers.ZeroPadding2D(1, name="pad")(inputs)
    outputs = [
        layers.Conv2D(4, 3, name="conv")(padded),
        layers.DepthwiseConv2D(3, name="depthwise")(padded),
        layers.MaxPooling2D(name="pool")(padded),
    ]
    graph = rewritten(keras.Model(inputs, outputs), absorb_padding)
    assert len(pads(graph)) == 1
    assert graph["conv"].inputs == graph["depthwise"].inputs == graph.inputs
    assert graph["pool"].inputs == ("pad",)


def test_padding_at_the_output_stays(rewritten):
    graph = rewritten(
        chain((6, 6, 3), layers.Conv2D(4, 3), layers.ZeroPadding2D(1)), absorb_padding
    )
    assert len(pads(graph)) == 1


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(lambda: layers.Conv2DTranspose(4, 3), id="transposed"),
        pytest.param(lambda: layers.Dense(4), id="dense"),
    ],
)
def test_what_has_no_padding_of_its_own_absorbs_none(layer, rewritten):
    model = chain((6, 6, 3), layers.ZeroPadding2D(1), layer())
    assert len(pads(rewritten(model, absorb_padding))) == 1


def test_padding_of_channels_is_not_absorbed(rewritten):
    inputs = keras.Input((6, 6, 3))
    x = keras.ops.pad(inputs, ((0, 0), (0, 0), (0, 0), (1, 2)))
    graph = rewritten(keras.Model(inputs, layers.Conv2D(4, 3)(x)), absorb_padding)
    assert len(pads(graph)) == 1


def test_padding_whose_size_decides_on_same_padding_is_not_absorbed(rewritten):
    stack = layers.ZeroPadding2D(1), layers.Conv2D(4, 3, strides=2, padding="same")
    graph = rewritten(chain((None, None, 3), *stack), absorb_padding, sizes=(6, 7))
    assert len(pads(graph)) == 1
