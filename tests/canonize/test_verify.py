"""A wrong rewriting is caught when the analyzer is built; the user's model is never touched."""

import sys

import keras
import numpy as np
import pytest
from keras import layers

from lrpkeras import Analyzer
from lrpkeras.canonize import canonize
from lrpkeras.errors import VerificationError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.convolutions import Convolution
from lrpkeras.graph.operations import Dense
from lrpkeras.graph.verify import random_inputs, verify

BN = layers.BatchNormalization
CONV = {"padding": "same", "use_bias": False}


def network():
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.ZeroPadding2D(1, name="pad")(inputs)
    x = layers.Conv2D(4, 3, name="conv1")(x)
    x = layers.ReLU(name="relu1")(BN(name="norm1")(x))
    tower = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, **CONV), BN()])
    x = layers.Add(name="add")([x, layers.Dropout(0.5)(tower(x))])
    x = layers.ReLU(name="relu2")(BN(name="norm2")(x))
    x = layers.Conv2D(4, 3, name="conv2", **CONV)(x)
    x = BN(name="norm3")(layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu3")(x)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


def scaled_twice(right):
    return lambda operation, kernel, scale: right(operation, kernel, scale * scale)


def unscaled(right):
    return lambda operation, kernel, scale: right(operation, kernel, np.ones_like(scale))


def nearly(right):
    return lambda operation, kernel, scale: right(operation, kernel, scale * 1.001)


BROKEN = {
    "left-squared": (Convolution, "scale_output", scaled_twice, "norm1"),
    "left-dropped": (Convolution, "scale_output", unscaled, "norm1"),
    "left-nearly-right": (Convolution, "scale_output", nearly, "norm1"),
    "right": (Dense, "scale_input", unscaled, "head"),
    "right-nearly-right": (Dense, "scale_input", nearly, "head"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_fold_names_the_first_wrong_layer(name, monkeypatch, randomize):
    operation, method, broken, layer = BROKEN[name]
    model = randomize(network())
    monkeypatch.setattr(operation, method, broken(getattr(operation, method)))
    with pytest.raises(VerificationError, match=f"first at layer '{layer}'"):
        Analyzer(model)


def test_a_wrong_gate_names_the_layer_behind_it(monkeypatch, randomize):
    # A gate has no value that the model has; the convolution that reads it does.
    model = randomize(network())
    fold_right = sys.modules["lrpkeras.canonize.fold_right"]
    monkeypatch.setattr(fold_right, "_gated_end", wrong_end(fold_right._gated_end))
    with pytest.raises(VerificationError, match="first at layer 'conv2'"):
        Analyzer(model)


def wrong_end(right):
    def gated_end(norm, fold, shift):
        end = right(norm, fold, shift)
        end.fold_scale[...] *= 1.01
        return end

    return gated_end


def test_a_padding_absorbed_on_the_wrong_side_is_caught(monkeypatch, randomize):
    model = randomize(network())
    graph = canonize(keras_reader.read(model))
    conv = graph["conv1"]
    shifted = Convolution((1, 1), ((2, 0), (1, 1)), (1, 1))
    wrong = graph.with_nodes([type(conv)(**{**vars(conv), "operation": shifted})])
    with pytest.raises(VerificationError, match="first at layer 'norm1'"):
        verify(wrong, model)


def test_weights_that_are_not_finite_are_caught(randomize):
    model = randomize(network())
    analyzer_graph = canonize(keras_reader.read(model))
    analyzer_graph["conv1"].kernel[0, 0, 0, 0] = np.nan
    with pytest.raises(VerificationError, match="first at layer 'norm1'"):
        verify(analyzer_graph, model)


def test_a_wrong_fold_passes_unseen_only_where_the_check_is_off(monkeypatch, randomize):
    model = randomize(network())
    broken = unscaled(Convolution.scale_output)
    monkeypatch.setattr(Convolution, "scale_output", broken)
    Analyzer(model, verify=False)


@pytest.mark.usefixtures("float64")
def test_a_right_graph_is_as_close_as_float64_is(randomize):
    model = randomize(network())
    assert verify(canonize(keras_reader.read(model)), model) <= 1e-12


def test_what_a_deep_network_amplifies_of_rounding_is_no_mistake():
    # Normalized by the statistics of few samples, random layers amplify differences without end.
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16,))
    for number in range(26):
        x = layers.Dense(16, use_bias=False, name=f"dense{number}")(x)
        x = layers.ReLU()(BN(momentum=0.0, name=f"norm{number}")(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    model(np.random.default_rng(0).normal(size=(8, 16)), training=True)
    graph = canonize(keras_reader.read(model))
    assert verify(graph, model) > 1e-4
    graph["dense5"].kernel[...] *= 1.01
    with pytest.raises(VerificationError, match="first at layer 'norm5'"):
        verify(graph, model)


def operations(model):
    """All layers and operations at any depth."""
    found = {}
    for part in model._flatten_layers():
        inner = getattr(part, "_functional", None) or part
        for operation in (part, *getattr(inner, "operations", ())):
            found[id(operation)] = operation
    return list(found.values())


def state(model):
    """All that could be found changed: weights, configuration, recorded calls, flags."""
    return (
        [np.asarray(keras.ops.convert_to_numpy(v)).tobytes() for v in model.variables],
        model.to_json(),
        [(len(o._inbound_nodes), len(o._outbound_nodes), o.name) for o in operations(model)],
        [(part.trainable, part.built, sorted(vars(part))) for part in model._flatten_layers()],
        model.compiled,
    )


def test_the_users_model_is_bit_for_bit_what_it_was(randomize):
    model = randomize(network())
    model.compile("sgd", "categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    model.predict(x, verbose=0)
    before = state(model)
    analyzer = Analyzer(model)
    analyzer(x)
    analyzer.explain(x, layers=["conv*"], verbose=0)
    analyzer.check(x)
    analyzer.refresh()
    assert state(model) == before


def test_a_layer_that_cancels_to_rounding_is_no_mismatch():
    # (x + x + x) / 3 - x: what Keras returns is 1e-17 where our own order of additions gives 0.
    x = keras.Input((5,), dtype="float64")
    y = keras.layers.ReLU(dtype="float64")(x)
    mean = keras.layers.Average(dtype="float64")([y, y, y])
    nothing = keras.layers.Subtract(dtype="float64")([y, mean])
    model = keras.Model(x, keras.layers.Dense(2, dtype="float64")(nothing))
    Analyzer(model)


def saturating():
    """Sums of 1e6 that cancel to -20 in front of a sigmoid: 3e-5 of such a sum is more."""
    inputs = keras.Input((4,))
    x = layers.Dense(2, name="first")(inputs)
    outputs = layers.Dense(1, activation="sigmoid", name="gate")(x)
    model = keras.Model(inputs, layers.Dense(2, name="last")(outputs))
    kernel = np.array([[1, 0.5, 0.2, 0.1], [0.3, 0.4, 0.5, 0.6]], "float32").T
    model.get_layer("first").set_weights([kernel, np.ones(2)])
    return model


@pytest.mark.parametrize("mistaken", [False, True])
def test_what_rounding_turns_over_in_a_sigmoid_is_no_mistake(mistaken):
    """The first layer is 3e-5 off, which is accepted; the gate behind it goes from 0 to 1.

    A gate that is something else than the sigmoid of what was in front of it is a mistake.
    """
    model = saturating()
    inputs = random_inputs(model, "float32", None)
    first = np.asarray(model.get_layer("first")(inputs[0]), "float64")
    weights = np.array([1e6 / first[0, 0], -1e6 / first[0, 1]])
    model.get_layer("gate").set_weights([weights[:, None], np.array([-20.0])])
    graph = canonize(keras_reader.read(model))

    def evaluate(tensors):
        values = graph.evaluate({graph.inputs[0]: tensors[0]})
        moved = values["first"] * np.array([1 + 3e-5, 1.0], "float32")
        values = graph.evaluate({graph.inputs[0]: tensors[0], "first": moved})
        gate = graph.places["gate"]
        assert np.asarray(values[gate])[0, 0] > 0.99
        assert np.asarray(model.get_layer("gate")(first.astype("float32")))[0, 0] < 0.01
        if mistaken:
            values = graph.evaluate(
                {graph.inputs[0]: tensors[0], "first": moved, gate: values[gate] * 0.9}
            )
        return values

    if mistaken:
        with pytest.raises(VerificationError, match="first at layer 'gate'"):
            verify(graph, model, evaluate=evaluate)
    else:
        verify(graph, model, evaluate=evaluate)
