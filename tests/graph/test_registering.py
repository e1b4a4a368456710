"""Layers of one's own: inherited lowerings, registered ones, and what is refused of them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from lrpkeras.errors import ModelError, UnsupportedLayerError
from lrpkeras.graph import keras_reader, lower
from lrpkeras.graph.moves import Keep
from lrpkeras.graph.nodes import Affine, Route, Sum


def model_of(function, shape=(4, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def refused(function, *words):
    with pytest.raises(UnsupportedLayerError) as error:
        keras_reader.read(model_of(function))
    for word in words:
        assert word in str(error.value)


class Unknown(layers.Layer):
    def call(self, inputs):
        return inputs


class Harmless(layers.Dense):
    """Says more about itself, computes the same."""

    def __init__(self, units, note="", **kwargs):
        super().__init__(units, **kwargs)
        self.note = note

    def get_config(self):
        return {**super().get_config(), "note": self.note}


def test_a_subclass_that_computes_the_same_inherits_the_lowering(agrees):
    graph = agrees(model_of(Harmless(2, name="dense")), tolerance=1e-6)
    assert graph["dense"].layer_class is Harmless


class Block(layers.Layer):
    """Two convolutions and a skip connection, scaled."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one = layers.Conv1D(3, 3, padding="same", activation="relu", name="one")
        self.two = keras.Sequential([layers.Conv1D(3, 1, name="conv")], name="two")
        self.gain = self.add_weight(shape=(3,), name="gain")

    def call(self, x):
        return x + self.two(self.one(x)) * self.gain


def test_a_layer_of_ones_own_can_be_registered():
    def lower_block(block, x):
        branch = x.through(block.one).through(block.two)
        scaled = branch.then(Affine, scale=block.gain)
        return lower.join(Sum, [x, scaled], coefficients=(1.0, 1.0))

    lower.register_layer(Block, lower=lower_block)
    graph = agrees_within(model_of(Block(name="block")))
    assert {"block/one", "block/one:relu", "block/two/conv", "block"} <= set(graph.nodes)
    assert graph["block/two/conv"].layers == ("block/two/conv",)


def agrees_within(model):
    graph = keras_reader.read(model)
    x = ops.convert_to_tensor(np.random.normal(size=(2, 4, 3)), dtype="float32")
    value = graph.evaluate({graph.inputs[0]: x})[graph.outputs[0]]
    np.testing.assert_allclose(value, model(x, training=False), rtol=1e-5, atol=1e-6)
    return graph


class Again(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3, activation="tanh", name="dense")

    def call(self, x):
        return self.dense(self.dense(x))


def test_a_sublayer_may_be_passed_twice():
    lower.register_layer(Again, lower=lambda layer, x: x.through(layer.dense).through(layer.dense))
    graph = agrees_within(model_of(Again(name="again")))
    assert graph["again/dense"].kernel is graph["again/dense#2"].kernel
    assert graph.places["again"] == graph.places["again/dense#2"] == "again/dense#2:tanh"


class Holder(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Unknown()

    def call(self, x):
        return self.inner(x)


def test_a_sublayer_without_lowering_is_refused_within_its_layer():
    lower.register_layer(Holder, lower=lambda layer, x: x.through(layer.inner))
    refused(Holder(name="mine"), "'mine'", "does not know")


def test_a_lowering_of_the_wrong_shape_is_refused():
    lower.register_layer(Unknown, lower=lambda layer, x: x.through(layers.Flatten(name="flat")))
    refused(Unknown(name="mine"), "'mine'", "(None, 12)", "(None, 4, 3)")


def test_a_lowering_that_returns_no_handle_is_refused():
    lower.register_layer(Unknown, lower=lambda layer, x: "nothing")
    refused(Unknown(), "nothing")


def test_call_arguments_that_a_lowering_does_not_take_are_refused():
    class Scaled(layers.Layer):
        def call(self, x, factor=1.0):
            return x * factor

    lower.register_layer(Scaled, lower=lambda layer, x: x.then(Route, move=Keep()))
    refused(lambda x: Scaled()(x, factor=2.0), "call arguments")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: x, ["TypeError"]),
        (lambda layer, x, factor: x, ["TypeError", "'factor'"]),
        (lambda layer, x: x.then(Affine, scales=2.0), ["TypeError", "'scales'"]),
        (lambda layer, x: x.then(Affine, scale=layer.gain), ["AttributeError", "'gain'"]),
        (lambda layer, x: None, ["returned None", "x.then(...)"]),
        (lambda layer, x: x.shape, ["returned", "x.then(...)"]),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_lowering_that_fails_is_named_by_its_class(wrong, words, inside):
    lower.register_layer(Unknown, lower=wrong)
    if inside:
        outer = Holder(name="mine")
        lower.register_layer(Holder, lower=lambda layer, x: x.through(layer.inner))
    else:
        outer = Unknown(name="mine")
    refused(outer, "'mine'", "the lowering registered for Unknown failed", *words)


def test_a_lowering_of_too_few_arguments_is_told_what_it_is_called_with():
    lower.register_layer(Unknown, lower=lambda x: x)
    refused(Unknown(), "called with the layer and what the layer was called with")


def test_what_a_lowering_raised_is_the_cause_of_the_error():
    lower.register_layer(Unknown, lower=lambda layer, x: 1 / 0)
    with pytest.raises(UnsupportedLayerError, match="ZeroDivisionError") as error:
        keras_reader.read(model_of(Unknown()))
    assert isinstance(error.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("cls", "function", "words"),
    [
        ("Dense", lambda layer, x: x, "layer class, not 'Dense'"),
        (int, lambda layer, x: x, "layer class, not <class 'int'>"),
        (Unknown(), lambda layer, x: x, "give its class, Unknown"),
        (Unknown, 3, "function of the layer and its input, not 3"),
        (Unknown, None, "function of the layer"),
    ],
)
def test_what_cannot_be_registered_is_refused_at_once(cls, function, words):
    before = dict(lower.LOWERINGS)
    with pytest.raises(ModelError, match=words):
        lower.register_layer(cls, lower=function)
    assert before == lower.LOWERINGS
