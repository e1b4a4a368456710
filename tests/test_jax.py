"""Keras on JAX, in processes of its own, explains as on TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import every_backend
import numpy as np
import pytest

pytest.importorskip("jax", reason="JAX is not installed")

TESTS = Path(__file__).parent


def run(backend: str, *command: str, **variables: str) -> None:
    """Run Python on a backend of Keras; warnings are errors, but for one of Keras itself."""
    ignored = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", ignored, *command],
        cwd=TESTS.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def run_tests(name: str, **variables: str) -> None:
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    run("jax", *command, str(TESTS / "jax" / name), **variables)


@pytest.mark.slow
def test_jax_explains_one_network_as_tensorflow_does_and_says_what_it_cannot(tmp_path):
    expected = str(tmp_path / "expected.npz")
    np.savez(expected, **dict(every_backend.one("float32")))
    run_tests("test_smoke.py", LRPKERAS_EXPECTED=expected)


@pytest.mark.slow
def test_an_analyzer_on_jax_keeps_its_promises():
    run_tests("test_analyzer_on_jax.py")


@pytest.mark.slow
def test_the_callback_on_jax_draws_each_epochs_weights():
    run_tests("test_callbacks_on_jax.py")


@pytest.mark.slow
@pytest.mark.parametrize("table", ["small", "applications"])
def test_jax_explains_networks_of_every_kind_as_tensorflow_does(table, tmp_path):
    """To 1e-5 without oneDNN, which TensorFlow turns on by itself on some processors.

    With it, TensorFlow's own map of VGG16 moves by 3.9e-5 (and is 2.9e-5 from JAX's).
    """
    results = []
    for backend in ("jax", "tensorflow"):
        path = str(tmp_path / f"{backend}.npz")
        run(backend, str(TESTS / "every_backend.py"), path, table, TF_ENABLE_ONEDNN_OPTS="0")
        results.append(dict(np.load(path)))
    assert every_backend.far_apart(*results) == {}
