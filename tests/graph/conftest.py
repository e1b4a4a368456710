"""Models with random weights, read and compared with themselves."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest

from lrpkeras.graph import keras_reader
from lrpkeras.graph.graph import Graph

# Not the size of any other axis: eagerly, `keras.ops.add` takes (n, 1, 1) for a bias of (..., n).
BATCH = 7


@pytest.fixture
def float64() -> Iterator[None]:
    """Build the test's models in float64, where a wrong formula cannot hide behind rounding."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def randomize(model: keras.Model) -> None:
    """Give every weight a random value, variances positive ones, gammas of both signs."""
    rng = np.random.default_rng(7)
    for variable in model.variables:
        if not variable.dtype.startswith("float"):
            continue
        value = rng.normal(0, 0.5, variable.shape)
        if "variance" in variable.name:
            value = rng.uniform(0.5, 2.0, variable.shape)
        variable.assign(value)


def inputs_of(model: keras.Model, sizes: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Return a random batch for each input; `sizes` fill in the unknown ones."""
    rng = np.random.default_rng(11)
    arrays = []
    for x in model.inputs:
        unknown = iter(sizes)
        shape = [next(unknown) if size is None else size for size in x.shape[1:]]
        arrays.append(rng.normal(0, 1, (BATCH, *shape)))
    return arrays


@pytest.fixture
def agrees() -> Callable[..., Graph]:
    """Check that a model's graph computes what the model does; return the graph.

    Compared are the model's outputs, every layer's output against the model run layer by layer,
    and the static shapes against the computed ones.
    """

    def check(model: keras.Model, sizes: tuple[int, ...] = (), tolerance: float = 1e-12) -> Graph:
        randomize(model)
        arrays = inputs_of(model, sizes)
        chain = isinstance(model, keras.Sequential)
        structure = arrays[0] if chain else keras.tree.pack_sequence_as(model.input, arrays)
        expected = keras.tree.flatten(model(structure, training=False))
        graph = keras_reader.read(model)
        tensors = [keras.ops.convert_to_tensor(x, dtype=graph.dtype) for x in arrays]
        values = graph.evaluate(dict(zip(graph.inputs, tensors, strict=True)))
        for name, output in zip(graph.outputs, expected, strict=True):
            _close(values[name], output, tolerance)
        _check_layers(graph, values, keras_reader.run(model, structure), tolerance)
        for node in graph:
            _fits(node.shape, values[node.name].shape)
        return graph

    return check


def _check_layers(graph, values, outputs, tolerance) -> None:
    # Layers inside one that was traced have places, too; Keras does not show what they put out.
    traced = tuple(path.partition(":")[0] + "/" for path in outputs)
    assert set(outputs) <= set(graph.places)
    assert all(path.startswith(traced) for path in graph.places.keys() - outputs.keys())
    for path, output in outputs.items():
        _close(values[graph.places[path]], output, tolerance)


def _close(value, expected, tolerance) -> None:
    value, expected = map(keras.ops.convert_to_numpy, (value, expected))
    assert value.shape == expected.shape
    scale = max(np.abs(expected).max(), 1e-300)
    assert np.abs(value - expected).max() <= tolerance * scale


def _fits(static, actual) -> None:
    assert len(static) == len(actual)
    assert static[0] is None
    assert all(s in (None, a) for s, a in zip(static[1:], actual[1:], strict=True))
