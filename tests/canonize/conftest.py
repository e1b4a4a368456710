"""Small models with random weights, rewritten pass by pass and compared with themselves."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest

from lrpkeras.graph import keras_reader
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Affine

BATCH = 3
# What float64 rounding leaves on nets of this size, relative to the largest output.
TOLERANCE = 1e-12


@pytest.fixture
def float64() -> Iterator[None]:
    """Build the test's models in float64, where a wrong formula cannot hide behind rounding."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def randomize() -> Callable[[keras.Model], keras.Model]:
    """Give every weight a random value, gammas of both signs, and return the model."""

    def fill(model: keras.Model) -> keras.Model:
        rng = np.random.default_rng(7)
        for variable in model.variables:
            if variable.dtype.startswith("float"):
                positive = "variance" in variable.name
                value = rng.uniform(0.5, 2.0, variable.shape) if positive else None
                variable.assign(rng.normal(0, 0.5, variable.shape) if value is None else value)
        return model

    return fill


@pytest.fixture
def batch() -> Callable[..., list[np.ndarray]]:
    """Return a random batch for each input of a model; `sizes` stand in for unknown ones."""

    def draw(model: keras.Model, sizes: tuple[int, ...] = ()) -> list[np.ndarray]:
        rng, arrays = np.random.default_rng(11), []
        for x in model.inputs:
            unknown = iter(sizes)
            shape = [next(unknown) if size is None else size for size in x.shape[1:]]
            arrays.append(rng.normal(size=(BATCH, *shape)).astype(x.dtype))
        return arrays

    return draw


@pytest.fixture
def evaluate() -> Callable[[Graph, list[np.ndarray]], list[np.ndarray]]:
    """Return the values of a graph's outputs."""

    def run(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
        tensors = [keras.ops.convert_to_tensor(x) for x in arrays]
        values = graph.evaluate(dict(zip(graph.inputs, tensors, strict=True)))
        return [keras.ops.convert_to_numpy(values[name]) for name in graph.outputs]

    return run


@pytest.fixture
def close() -> Callable[..., None]:
    """Compare arrays, relative to the largest expected value."""

    def check(actual, expected, tolerance: float = TOLERANCE) -> None:
        actual, expected = map(keras.ops.convert_to_numpy, (actual, expected))
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()

    return check


@pytest.fixture
def rewritten(batch, close, evaluate, randomize) -> Callable[..., Graph]:
    """Run passes over a model's graph; every one must leave the computed function unchanged.

    The yardstick is the model itself, or, where Keras cannot run it on a CPU (`runs=False`), the
    graph as it was read.
    """

    def rewrite(
        model: keras.Model,
        *passes: Callable[[Graph], Graph],
        sizes=(),
        fill=randomize,
        runs: bool = True,
    ) -> Graph:
        fill(model)
        arrays = batch(model, sizes)
        graph = keras_reader.read(model)
        inputs = keras.tree.pack_sequence_as(model.input, arrays)
        expected = model(inputs, training=False) if runs else evaluate(graph, arrays)
        for rewriting in passes:
            graph = rewriting(graph)
            outputs = keras.tree.flatten(expected)
            for value, output in zip(evaluate(graph, arrays), outputs, strict=True):
                close(value, output)
        return graph

    return rewrite


@pytest.fixture
def norms() -> Callable[[Graph], list[Affine]]:
    """Return the normalizations that a graph still has."""
    return lambda graph: [n for n in graph if isinstance(n, Affine) and n.batch_norm]
