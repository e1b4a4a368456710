"""What does nothing in inference goes."""

import keras
import pytest
from keras import layers

from lrpkeras import Analyzer
from lrpkeras.canonize import drop_inert

pytestmark = pytest.mark.usefixtures("float64")

INERT = {
    "dropout": layers.Dropout,
    "alpha-dropout": layers.AlphaDropout,
    "gaussian-dropout": layers.GaussianDropout,
    "spatial-dropout": layers.SpatialDropout2D,
    "noise": layers.GaussianNoise,
    "linear": lambda _: layers.Activation("linear"),
    "identity": lambda _: layers.Identity(),
    "activity-regularization": lambda _: layers.ActivityRegularization(l2=0.1),
    "flip": lambda _: layers.RandomFlip("horizontal"),
    "brightness": layers.RandomBrightness,
    "zoom": layers.RandomZoom,
    "nothing-nested": lambda _: keras.Sequential([keras.Input((6, 6, 3)), layers.Dropout(0.5)]),
}


@pytest.mark.parametrize("name", INERT)
def test_inert_layers_go(name, rewritten):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(2, 3)(INERT[name](0.5)(inputs))
    model = keras.Model(inputs, x)
    graph = rewritten(model, drop_inert)
    assert [node.kind for node in graph] == ["Input", "Linear"]


def test_inert_outputs_and_neighbours_go_and_keep_their_place(rewritten):
    inputs = keras.Input((4,))
    x = layers.Dense(3, name="dense")(inputs)
    x = layers.Dropout(0.5, name="first")(x)
    x = layers.Dropout(0.5, name="second")(x)
    graph = rewritten(keras.Model(inputs, x), drop_inert)
    assert graph.outputs == ("dense",)
    assert graph.places["first"] == graph.places["second"] == "dense"


@pytest.mark.parametrize("second", ["tanh", "relu"])
def test_activations_that_compute_stay(second, rewritten):
    inputs = keras.Input((4,))
    x = layers.Activation(second)(layers.Activation("linear")(inputs))
    graph = rewritten(keras.Model(inputs, x), drop_inert)
    assert [node.kind for node in graph] == ["Input", "Activation"]


def test_dropout_between_what_folds_is_verified(randomize):
    # A dropped layer stands at the node in front of it, whose value a fold then changes.
    inputs = keras.Input((8, 8, 3))
    x = layers.Dropout(0.5)(layers.Conv2D(4, 3)(inputs))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(layers.ReLU()(x)))
    x = layers.Dropout(0.5)(layers.ReLU()(x))
    model = randomize(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
    analyzer = Analyzer(model, "epsilon")
    assert not any(node.kind == "Affine" for node in analyzer.graph)
