"""Activations and merging layers in float64 models with random weights, against Keras itself."""

import functools

import keras
import pytest
from keras import layers
from keras.src.applications.convnext import LayerScale
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

pytestmark = pytest.mark.usefixtures("float64")

L = layers


def chain(shape, *makers):
    """A model of layers in a row."""
    x = inputs = keras.Input(shape)
    for maker in makers:
        x = maker()(x)
    return keras.Model(inputs, x)


ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_computes_the_same_fused_as_a_layer_and_as_an_operation(agrees, name):
    agrees(chain((6,), lambda: L.Dense(50, activation=name)))
    agrees(chain((6,), lambda: L.Dense(50), lambda: L.Activation(name)))
    # These two convert what they get to a tensor, so that Keras cannot call them on its own ones.
    if name not in ("mish", "hard_silu"):
        agrees(chain((6,), lambda: L.Dense(50), lambda: getattr(keras.activations, name)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.ReLU(),
        lambda: L.ReLU(max_value=1.5, negative_slope=0.3, threshold=0.4),
        lambda: L.ReLU(max_value=6.0),
        lambda: L.LeakyReLU(0.1),
        lambda: L.ELU(0.7),
        lambda: L.Softmax(),
        lambda: L.Softmax(axis=2),
        lambda: L.PReLU("glorot_normal"),
        lambda: L.PReLU("glorot_normal", shared_axes=[1]),
        lambda: L.Activation(L.LeakyReLU(0.3)),
        lambda: L.Dense(3, activation=L.ReLU(max_value=1.0)),
        lambda: L.Dense(3, activation=keras.saving.serialize_keras_object(L.ELU(0.4))),
        lambda: L.Dense(3, activation=functools.partial(keras.activations.gelu, approximate=True)),
        lambda: L.Activation(keras.ops.gelu),
        lambda: keras.ops.gelu,
        lambda: lambda x: keras.ops.gelu(x, approximate=False),
        lambda: lambda x: keras.ops.threshold(x, 0.3, 0.1),
        lambda: lambda x: keras.ops.squareplus(x, 2),
        lambda: lambda x: keras.ops.celu(x, 0.6),
        lambda: lambda x: keras.activations.relu(x, negative_slope=0.1, max_value=2.0),
    ],
)
def test_an_activation_with_settings_of_its_own_keeps_them(agrees, make):
    agrees(chain((4, 30), make))


TENSORFLOW = ["relu", "relu6", "sigmoid", "tanh", "leaky_relu", "silu", "gelu", "softmax"]


@pytest.mark.parametrize("name", TENSORFLOW)
def test_an_activation_may_be_a_function_of_tensorflow(agrees, name):
    import tensorflow as tf

    agrees(chain((6,), lambda: L.Dense(50, activation=getattr(tf.nn, name))))


def test_a_fused_activation_is_a_node_of_its_own(agrees):
    model = chain((6, 6, 3), lambda: L.Conv2D(4, 3, activation="relu", name="conv"))
    graph = agrees(model)
    assert [(n.name, n.kind) for n in graph][1:] == [
        ("conv", "Linear"),
        ("conv:relu", "Activation"),
    ]
    assert graph.places["conv"] == "conv:relu"
    assert graph["conv:relu"].layers == ("conv",)


MERGES = [L.Add, L.Average, L.Multiply, L.Maximum, L.Minimum]


@pytest.mark.parametrize("kind", [*MERGES, L.Subtract])
@pytest.mark.parametrize(
    "shapes",
    [((4, 3), (4, 3)), ((4, 3), (1, 3)), ((4, 1), (1, 3)), ((3,), (4, 3)), ((3,), (5, 4, 3))],
    ids=str,
)
def test_merging_broadcasts_as_keras_does(agrees, kind, shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    graph = agrees(keras.Model(inputs, kind(name="merged")(inputs)))
    merged = graph["merged"]
    assert len({graph[name].shape for name in merged.inputs}) == 1


@pytest.mark.parametrize("kind", MERGES)
def test_merging_takes_any_number_of_inputs(agrees, kind):
    inputs = [keras.Input((4,)) for _ in range(4)]
    agrees(keras.Model(inputs, kind()(inputs)))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concatenation_along_any_axis(agrees, axis):
    inputs = [keras.Input((3, 3)) for _ in range(3)]
    agrees(keras.Model(inputs, L.Concatenate(axis=axis)(inputs)))


def test_the_scales_of_convnext_and_inception_resnet_are_read(agrees):
    inputs = [keras.Input((4, 3)), keras.Input((4, 3))]
    merged = CustomScaleLayer(0.3)(inputs)
    agrees(keras.Model(inputs, LayerScale(0.1, 3)(merged)))


def test_a_tensor_multiplied_by_itself_is_a_product_of_two(agrees):
    inputs = keras.Input((4,))
    graph = agrees(keras.Model(inputs, L.Multiply(name="square")([inputs, inputs])))
    assert graph["square"].inputs == (graph.inputs[0],) * 2
