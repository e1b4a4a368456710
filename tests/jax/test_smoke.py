"""The first things to hold on JAX; `tests/test_jax.py` runs this in a process of its own."""

import os
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

import every_backend
from keras import layers

import lrpkeras
from lrpkeras.errors import ModelError, UnsupportedLayerError

# Asked here: Keras itself imports what it finds to set a random seed, before the first test.
IMPORTED = set(sys.modules)


def test_tensorflow_is_not_imported():
    assert "tensorflow" not in IMPORTED


@pytest.mark.skipif("LRPKERAS_EXPECTED" not in os.environ, reason="nothing to compare with")
def test_one_network_is_explained_as_on_tensorflow():
    got = dict(every_backend.one("float32"))
    expected = dict(np.load(os.environ["LRPKERAS_EXPECTED"]))
    assert every_backend.far_apart(got, expected) == {}


class Unknown(layers.Layer):
    def call(self, x):
        return 2 * x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


INSTEAD = "KERAS_BACKEND=tensorflow before Keras is imported"


def test_what_needs_tensorflow_says_so(tmp_path):
    unknown = [Unknown(name="first"), layers.Dense(2), Unknown(name="second")]
    model = keras.Sequential([keras.Input((4,)), *unknown])
    with pytest.raises(UnsupportedLayerError, match=rf"(?s)'first'.*{INSTEAD}.*'second'"):
        lrpkeras.Analyzer(model)
    subclassed = Subclassed()
    subclassed(np.ones((1, 4)))
    with pytest.raises(UnsupportedLayerError, match=rf"'{subclassed.name}'.*{INSTEAD}"):
        lrpkeras.Analyzer(subclassed)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match=f"SavedModel.*{INSTEAD}"):
        lrpkeras.Analyzer(tmp_path)

    class Function:
        captured_inputs, graph = (), None

    with pytest.raises(ModelError, match=f"concrete function.*{INSTEAD}"):
        lrpkeras.Analyzer(Function())


def test_a_report_page_is_written(tmp_path):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)]
    )
    images = np.random.default_rng(0).uniform(size=(2, 6, 6, 1)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    explanation = analyzer.explain(images, target="all", layers="*", verbose=0)
    page = explanation.report(tmp_path / "page.html", images, check=analyzer.check(images))
    assert "jax" in page.read_text("utf-8")
