"""Which backend Keras may run on, and what each one gives."""

import inspect
import runpy

import keras
import pytest

from lrpkeras import backend
from lrpkeras.errors import LrpError


def test_another_keras_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(LrpError, match="KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax"):
        runpy.run_path(backend.__file__)


def test_both_backends_give_the_same_functions():
    pytest.importorskip("jax", reason="JAX is not installed")
    from lrpkeras.backend import jax, tensorflow

    assert jax.__all__ == tensorflow.__all__
    assert set(backend.__all__) == {*jax.__all__, "Spec", "batches", "count", "is_dataset"}
    for name in jax.__all__:
        functions = (getattr(module, name) for module in (jax, tensorflow))
        one, other = map(inspect.signature, functions)
        assert list(one.parameters.values()) == list(other.parameters.values()) or (
            # Annotations name types of each backend's own.
            [(p.name, p.kind, p.default) for p in one.parameters.values()]
            == [(p.name, p.kind, p.default) for p in other.parameters.values()]
        ), name
