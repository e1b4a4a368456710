"""Run a rewritten graph against its model, layer by layer, to name the first that differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.errors import VerificationError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.graph import Graph

Array = Any

# The largest difference that rounding explains, relative to the layer's largest value, by the
# narrowest type that the model computes in.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 0.2, "float16": 0.05}
SOME_SIZE = 64


def verify(
    graph: Graph,
    model: keras.Model,
    input_range: tuple[float, float] | None = None,
    evaluate: Callable[[list[Array]], Mapping[str, Array]] | None = None,
) -> float:
    """Compare every layer whose value the graph still has, on random input.

    Parameters
    ----------
    graph
        A canonized graph of `model`.
    model
        The model that it was read from.
    input_range
        Where to draw the input from; normally distributed if unknown.
    evaluate
        From inputs to every node's value; the graph's own computation by default.

    Returns
    -------
    The largest difference at any layer, relative to the layer's largest value.

    Raises
    ------
    VerificationError
        Naming the first layer that differs by more than rounding explains.
    """
    inputs = random_inputs(model, graph.dtype, input_range)
    expected = keras_reader.run(model, inputs)
    tensors = [backend.constant(array) for array in inputs]
    if evaluate is None:
        values: Mapping[str, Array] = graph.evaluate(dict(zip(graph.inputs, tensors, strict=True)))
    else:
        values = evaluate(tensors)
    tolerance = TOLERANCE[_narrowest(model, graph.dtype)]
    worst = 0.0
    order = {name: index for index, name in enumerate(graph.nodes)}
    exact = {layer: n for layer, n in graph.places.items() if layer not in graph.folded}
    for layer, name in sorted(exact.items(), key=lambda place: order[place[1]]):
        if layer not in expected:
            continue
        head = graph.heads.get(layer)
        value = values[name] if head is None else head.apply(values[name])
        difference = _difference(value, expected[layer])
        if not difference <= tolerance:
            raise VerificationError(
                f"The rewritten graph differs from the model, first at layer {layer!r}: by "
                f"{difference:.1e} of its largest value (rounding explains {tolerance:.0e}). "
                "Please report it, with the model; verify=False skips this check."
            )
        worst = max(worst, difference)
    return worst


def random_inputs(
    model: keras.Model, dtype: str, input_range: tuple[float, float] | None, batch: int = 2
) -> list[np.ndarray]:
    """Return one random array for each of the model's inputs."""
    random = np.random.default_rng(0)
    shapes = [[batch, *(n or SOME_SIZE for n in x.shape[1:])] for x in model.inputs]
    if input_range is None:
        return [random.normal(size=shape).astype(dtype) for shape in shapes]
    return [random.uniform(*input_range, size=shape).astype(dtype) for shape in shapes]


def _narrowest(model: keras.Model, dtype: str) -> str:
    layers: list[Any] = model._flatten_layers()
    used = {layer.compute_dtype for layer in layers}
    return next((name for name in ("bfloat16", "float16", "float32") if name in used), dtype)


def _difference(actual: Any, expected: Any) -> float:
    """The largest difference relative to the largest value; NaN where either is not finite."""
    actual = backend.to_numpy(actual).astype("float64")
    expected = backend.to_numpy(keras.ops.cast(expected, "float64"))
    if actual.shape != expected.shape:
        return float("inf")
    largest = np.max(np.abs(expected), initial=0.0)
    return float(np.max(np.abs(actual - expected), initial=0.0) / (largest or 1.0))
