"""What is said of every layer of Keras is true, and said of every one."""

import importlib.util
from pathlib import Path

import keras
import pytest
from keras import layers as L  # noqa: N812 - a table of them

import lrpkeras
from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.supported import TRACED

DOCS = Path(__file__).parents[1] / "docs"


def exported():
    found = {name: getattr(L, name) for name in dir(L)}
    return {n: c for n, c in found.items() if isinstance(c, type) and issubclass(c, L.Layer)}


def test_every_layer_that_keras_exports_is_there():
    found = lrpkeras.supported_layers()
    assert set(found) == set(exported())
    assert all(support.how for support in found.values())
    assert all(support.supported or support.helps for support in found.values())


def generator():
    spec = importlib.util.spec_from_file_location("make_layers", DOCS / "make_layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_generator_writes():
    """With an older Keras some layers of the page are missing."""
    wanted, written = (text.splitlines() for text in (generator().page(), PAGE.read_text()))
    missing = [line for line in wanted if line not in written]
    assert not missing, "run python docs/make_layers.py"
    stale = [line for line in written if line not in wanted]
    assert not [line for line in stale if line.split("`")[1] in exported()]


PAGE = DOCS / "layers.md"


def on(shape, make, dtype=None):
    """A model of one layer."""

    def model():
        inputs = keras.Input(shape, dtype=dtype)
        return keras.Model(inputs, make()(inputs))

    return model


def cell(make, *states):
    """A recurrent cell called once."""

    def model():
        inputs = [keras.Input((3,)), *(keras.Input((2,)) for _ in states)]
        return keras.Model(inputs, make()(inputs[0], inputs[1:])[0])

    return model


def saved(folder):
    model = on((3,), lambda: L.Dense(2))()
    model.export(folder, verbose=False)
    return on((3,), lambda: L.TFSMLayer(folder, call_endpoint="serve"))()


class Halved(L.Layer):
    def call(self, inputs):
        return inputs / 2


class Wrapped(L.Wrapper):
    def call(self, inputs):
        return self.layer(inputs)


IMAGE, SERIES = (6, 6, 2), (6, 2)
READ = {
    "AdaptiveAveragePooling1D": on(SERIES, lambda: L.AdaptiveAveragePooling1D(4)),
    "AdaptiveAveragePooling2D": on(IMAGE, lambda: L.AdaptiveAveragePooling2D(4)),
    "AdaptiveAveragePooling3D": on((*IMAGE, 1), lambda: L.AdaptiveAveragePooling3D(2)),
    "AdaptiveMaxPooling1D": on(SERIES, lambda: L.AdaptiveMaxPooling1D(4)),
    "AdaptiveMaxPooling2D": on(IMAGE, lambda: L.AdaptiveMaxPooling2D(4)),
    "AdaptiveMaxPooling3D": on((*IMAGE, 1), lambda: L.AdaptiveMaxPooling3D(2)),
    "CenterCrop": on(IMAGE, lambda: L.CenterCrop(4, 3)),
    "GRUCell": cell(lambda: L.GRUCell(2), 1),
    "LSTMCell": cell(lambda: L.LSTMCell(2), 1, 2),
    "Lambda": on(SERIES, lambda: L.Lambda(lambda x: x / 3)),
    "Layer": on(SERIES, Halved),
    "Pipeline": on(IMAGE, lambda: L.Pipeline([L.Rescaling(0.5), L.RandomFlip()])),
    "RandomCrop": on(IMAGE, lambda: L.RandomCrop(6, 6)),
    "ReversibleEmbedding": on((4,), lambda: L.ReversibleEmbedding(5, 2), "int32"),
    "SimpleRNNCell": cell(lambda: L.SimpleRNNCell(2), 1),
    "Solarization": on(IMAGE, L.Solarization),
    "SpectralNormalization": on(IMAGE, lambda: L.SpectralNormalization(L.Conv2D(2, 2))),
    "StackedRNNCells": cell(lambda: L.StackedRNNCells([L.SimpleRNNCell(2)]), 1),
    "Wrapper": on(IMAGE, lambda: Wrapped(L.Conv2D(2, 2))),
}


def test_all_layers_that_are_read_from_what_they_compute_are_tried():
    traced = {name for name, s in lrpkeras.supported_layers().items() if s.how == TRACED}
    assert traced <= {*READ, "TFSMLayer"}


@pytest.mark.parametrize("name", sorted(set(READ) & set(exported())))
def test_a_layer_without_a_lowering_is_read_from_what_it_computes(name):
    lrpkeras.Analyzer(READ[name](), "epsilon")


def test_a_saved_model_inside_a_model_is_read(tmp_path):
    lrpkeras.Analyzer(saved(str(tmp_path)), "epsilon")


def twice(make):
    return lambda: lambda x: make()([x, x])


PLANNED = {
    "AdditiveAttention": on(SERIES, twice(L.AdditiveAttention)),
    "Attention": on(SERIES, twice(L.Attention)),
    "GroupQueryAttention": on(SERIES, lambda: lambda x: L.GroupQueryAttention(2, 2, 1)(x, x)),
    "MultiHeadAttention": on(SERIES, lambda: lambda x: L.MultiHeadAttention(1, 2)(x, x)),
    "Dot": on(SERIES, twice(lambda: L.Dot(1))),
    "Bidirectional": on(SERIES, lambda: L.Bidirectional(L.LSTM(2))),
    "ConvLSTM1D": on((3, 6, 2), lambda: L.ConvLSTM1D(2, 2)),
    "ConvLSTM2D": on((3, 6, 6, 2), lambda: L.ConvLSTM2D(2, 2)),
    "ConvLSTM3D": on((3, 4, 4, 4, 2), lambda: L.ConvLSTM3D(2, 2)),
    "GRU": on(SERIES, lambda: L.GRU(2)),
    "LSTM": on(SERIES, lambda: L.LSTM(2)),
    "RNN": on(SERIES, lambda: L.RNN(L.SimpleRNNCell(2))),
    "SimpleRNN": on(SERIES, lambda: L.SimpleRNN(2)),
}


def test_all_layers_that_are_planned_are_tried():
    found = lrpkeras.supported_layers()
    assert {name for name, support in found.items() if "planned" in support.how} == set(PLANNED)


@pytest.mark.parametrize("name", PLANNED)
def test_attention_and_recurrence_say_that_they_are_planned_and_what_to_do_meanwhile(name):
    with pytest.raises(UnsupportedLayerError) as error:
        lrpkeras.Analyzer(PLANNED[name]())
    assert "support is planned" in str(error.value)
    assert "until then" in str(error.value)


def test_what_to_do_meanwhile_works():
    """The part of a model in front of a recurrent layer, cut as the message says."""
    inputs = keras.Input((8, 2))
    x = L.Conv1D(3, 3, activation="relu")(inputs)
    model = keras.Model(inputs, L.Dense(2)(L.LSTM(4, name="its name")(x)))
    front = keras.Model(model.inputs, model.get_layer("its name").input)
    assert lrpkeras.Analyzer(front)._explainer.output_shape == (None, 6, 3)


OTHERS = {
    "AutoContrast": on(IMAGE, lambda: L.AutoContrast()),
    "CategoryEncoding": on((4,), lambda: L.CategoryEncoding(5, "multi_hot"), "int32"),
    "Discretization": on((4,), lambda: L.Discretization([0.0, 1.0])),
    "Hashing": on((4,), lambda: L.Hashing(3), "int32"),
    "IntegerLookup": on((4,), lambda: L.IntegerLookup(vocabulary=[1, 2]), "int32"),
    "Masking": on(SERIES, L.Masking),
    "StringLookup": on((4,), lambda: L.StringLookup(vocabulary=["a"]), "string"),
    "TextVectorization": on((1,), lambda: L.TextVectorization(vocabulary=["a"]), "string"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers_are_refused_as_listed(name):
    support = lrpkeras.supported_layers()[name]
    assert not support.supported
    with pytest.raises(UnsupportedLayerError) as error:
        keras_reader.read(OTHERS[name]())
    assert support.how in str(error.value)
    assert support.helps in str(error.value)
