"""The final softmax or sigmoid goes, and only that."""

import keras
import numpy as np
import pytest
from keras import layers

from lrpkeras import Analyzer
from lrpkeras.canonize import drop_inert, strip_head
from lrpkeras.graph import keras_reader
from lrpkeras.graph.functions import softmax
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.moves import Concatenate, Reshape
from lrpkeras.graph.nodes import Activation, Input, Linear, Route

pytestmark = pytest.mark.usefixtures("float64")


def model_of(*makers, shape=(5,)):
    x = inputs = keras.Input(shape)
    for maker in makers:
        x = maker(x)
    return keras.Model(inputs, x)


def activations(graph):
    return [node for node in graph if isinstance(node, Activation)]


HEADS = {
    "fused-softmax": lambda: [layers.Dense(4, activation="softmax")],
    "fused-sigmoid": lambda: [layers.Dense(4, activation="sigmoid")],
    "softmax-layer": lambda: [layers.Dense(4), layers.Softmax()],
    "activation-layer": lambda: [layers.Dense(4), layers.Activation("softmax")],
    "operation": lambda: [layers.Dense(4), keras.ops.softmax],
    "before-dropout": lambda: [layers.Dense(4, activation="softmax"), layers.Dropout(0.5)],
    "nested": lambda: [
        keras.Sequential([keras.Input((5,)), layers.Dense(4, activation="softmax")])
    ],
}


@pytest.mark.parametrize("name", HEADS)
def test_the_heads_function_of_the_logits_is_the_models_output(
    name, batch, close, evaluate, randomize
):
    model = randomize(model_of(*HEADS[name]()))
    (x,) = batch(model)
    graph = strip_head(drop_inert(keras_reader.read(model)))
    assert not activations(graph)
    (logits,) = evaluate(graph, [x])
    (head,) = set(graph.heads.values())
    close(head.apply(logits), model(x))


def test_the_note_names_the_head_and_what_relevance_is_of(randomize):
    model = randomize(model_of(layers.Dense(4, activation="softmax", name="head")))
    (note,) = strip_head(keras_reader.read(model)).notes
    assert note == "softmax of 'head' stripped: relevance is of logits"


def test_a_sigmoid_goes_from_behind_a_reshape(batch, close, evaluate, randomize):
    makers = layers.Dense(6, activation="sigmoid", name="head"), layers.Reshape((2, 3))
    model = randomize(model_of(*makers))
    (x,) = batch(model)
    (logits,) = evaluate(strip_head(keras_reader.read(model)), [x])
    close(keras.ops.sigmoid(logits), model(x))
    Analyzer(model, "epsilon")


def test_a_reshape_read_twice_keeps_its_sigmoid(rewritten, batch, evaluate, close):
    inputs = keras.Input((6,))
    middle = layers.Reshape((2, 3))(layers.Dense(6, activation="sigmoid")(inputs))
    model = keras.Model(inputs, [middle, layers.Dense(2)(middle)])
    graph = rewritten(model)
    (x,) = batch(model)
    first, second = evaluate(strip_head(graph), [x])
    expected = model(x)
    close(second, expected[1])
    close(first, expected[0])


def test_what_else_reads_the_head_still_gets_its_values(batch, close, evaluate, randomize):
    inputs = keras.Input((5,))
    gate = layers.Dense(4, name="gate")(inputs)
    open_gate = layers.Activation("sigmoid", name="head")(gate)
    model = keras.Model(inputs, [open_gate, layers.Dense(3)(open_gate)])
    randomize(model)
    (x,) = batch(model)
    logits, other = evaluate(strip_head(keras_reader.read(model)), [x])
    close(keras.ops.sigmoid(logits), model(x)[0])
    close(other, model(x)[1])


def test_every_output_loses_its_own_head(batch, close, evaluate, randomize):
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu")(inputs)
    outputs = [
        layers.Dense(3, activation="softmax")(x),
        layers.Dense(2, activation="sigmoid")(x),
        layers.Dense(1)(x),
    ]
    model = randomize(keras.Model(inputs, outputs))
    (array,) = batch(model)
    graph = strip_head(keras_reader.read(model))
    a, b, c = evaluate(graph, [array])
    functions = keras.ops.softmax, keras.ops.sigmoid, keras.ops.convert_to_tensor
    for logits, function, expected in zip((a, b, c), functions, model(array), strict=True):
        close(function(logits), expected)
    assert [node.function.name for node in activations(graph)] == ["relu"]
    assert len(graph.notes) == 2


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_other_final_activations_stay(activation, rewritten):
    graph = rewritten(model_of(layers.Dense(3, activation=activation)), strip_head)
    assert [node.function.name for node in activations(graph)] == [activation]
    assert not graph.notes


def test_a_shared_sigmoid_goes_at_the_end_and_stays_inside(randomize):
    act = layers.Activation("sigmoid", name="act")
    model = randomize(model_of(layers.Dense(4), act, layers.Dense(3), act))
    analyzer = Analyzer(model, "epsilon")
    assert [node.name for node in activations(analyzer.graph)] == ["act"]


def softmax_behind_reshape():
    """A graph whose softmax is at two places: an output through a reshape, and another layer."""
    random = np.random.default_rng(0)
    dense = keras_reader.read(model_of(layers.Dense(6, name="dense")))["dense"]
    assert isinstance(dense, Linear)
    nodes = [
        Input(name="x", shape=(None, 5)),
        Linear(
            name="dense",
            inputs=("x",),
            shape=(None, 6),
            operation=dense.operation,
            kernel=random.normal(size=(5, 6)),
        ),
        Activation(
            name="head",
            inputs=("dense",),
            shape=(None, 6),
            layers=("head",),
            function=softmax(),
        ),
        Route(name="reshape", inputs=("head",), shape=(None, 2, 3), move=Reshape((2, 3))),
    ]
    return Graph({node.name: node for node in nodes}, ("x",), ("reshape",), {"head": "head"})


def test_softmax_goes_from_behind_a_reshape(close, evaluate):
    graph = softmax_behind_reshape()
    x = np.random.default_rng(1).normal(size=(4, 5))
    (expected,) = evaluate(graph, [x])
    (logits,) = evaluate(strip_head(graph), [x])
    close(keras.ops.softmax(logits.reshape(4, 6)).numpy().reshape(4, 2, 3), expected)


def test_softmax_behind_a_reshape_stays_where_another_node_reads_it(close, evaluate):
    graph = softmax_behind_reshape()
    twice = Route(name="twice", inputs=("head", "head"), shape=(None, 12), move=Concatenate(1))
    both = Graph({**graph.nodes, "twice": twice}, ("x",), ("reshape", "twice"))
    x = np.random.default_rng(1).normal(size=(4, 5))
    for actual, expected in zip(evaluate(strip_head(both), [x]), evaluate(both, [x]), strict=True):
        close(actual, expected)
