"""Which backend Keras may run on."""

import runpy

import keras
import pytest

from lrpkeras import backend
from lrpkeras.errors import LrpError


def test_another_keras_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(LrpError, match="KERAS_BACKEND=tensorflow"):
        runpy.run_path(backend.__file__)
