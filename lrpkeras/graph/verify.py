"""Run a rewritten graph against its model, layer by layer, to name the first that differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from itertools import zip_longest
from typing import Any

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.errors import ModelError, VerificationError
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.lookup import row_counts
from lrpkeras.graph.nodes import Node
from lrpkeras.graph.sources import Source, source_of

Array = Any

LARGEST = 2**30  # numbers of a node, for one sample

# The largest difference that rounding explains, relative to the layer's largest value, by the
# narrowest type that the model computes in.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 0.2, "float16": 0.05}
# Deep networks amplify rounding, those with random weights to 1e-4 and beyond. So a node's value
# may also differ by this many times what it does from itself: in float64, and with inputs changed
# by so many units in the last place.
ROUNDINGS = 10.0
SHAKES, UNITS = 3, 8.0
# Tried in turn for axes without a size; odd ones, too, since padding depends on it.
SIZES = (65, 97, 160, 257)


def verify(
    graph: Graph,
    model: Any,
    input_range: tuple[float, float] | None = None,
    evaluate: Callable[[list[Array]], Mapping[str, Array]] | None = None,
) -> float:
    """Compare every layer whose value the graph still has, on random input.

    Parameters
    ----------
    graph
        A canonized graph of `model`.
    model
        The model, or source, that it was read from.
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
    source = source_of(model)
    _check_sizes(graph)
    inputs, expected = _run(graph, source, input_range)
    tensors = [backend.constant(array) for array in inputs]
    plain = cache(lambda: graph.evaluate(dict(zip(graph.inputs, tensors, strict=True))))
    values = plain() if evaluate is None else evaluate(tensors)
    rounded = {node.precision for node in graph if node.precision is not None}
    tolerance = TOLERANCE[_narrowest(source.dtypes | rounded, graph.dtype)]
    precisely = cache(lambda: _in_float64(graph, inputs))
    shaken = cache(lambda: [_shaken(graph, inputs, seed) for seed in range(SHAKES)])
    worst, before = 0.0, dict(zip(graph.inputs, zip(tensors, tensors, strict=True), strict=True))
    for layer, name in _compared(graph, expected):
        shown = _shown(graph, layer, values[name])
        difference = _difference(shown, graph[name].held(expected[layer]))
        if not difference <= tolerance:
            # Of the plain graph, never of what is under test: a mistake is no rounding.
            others = (precisely(), *shaken())
            rounding = max(_difference(other[name], plain()[name]) for other in others)
            rounding += _cancelled(expected, layer) if graph.dtype == "float64" else 0.0
            right = difference <= ROUNDINGS * rounding or (
                layer not in graph.heads
                and name not in graph.inputs
                and _right_after(graph, before, name, (expected[layer], values[name]), tolerance)
            )
            if not right:
                raise VerificationError(
                    f"The rewritten graph differs from the model, first at layer {layer!r}: by "
                    f"{difference:.1e} of its largest value, where rounding explains "
                    f"{max(tolerance, ROUNDINGS * rounding):.0e}. "
                    "If you registered its class, what `lower` returns computes something else. "
                    "If not, please report it, with the model. verify=False skips this check."
                )
        if layer not in graph.heads:
            before[name] = expected[layer], values[name]
        worst = max(worst, difference)
    _check_contrast(graph, values)
    return worst


def _check_sizes(graph: Graph) -> None:
    """Refuse to compute what fills the memory."""
    for node in graph:
        size = math.prod(n or 1 for n in node.shape[1:])
        if size > LARGEST:
            raise ModelError(
                f"{node.name!r} has {size} numbers for each sample, more than {LARGEST}: "
                "verify=False reads the model without running it."
            )


def _right_after(
    graph: Graph,
    before: Mapping[str, tuple[Array, Array]],
    name: str,
    results: tuple[Array, Array],
    tolerance: float,
) -> bool:
    """Whether model and graph are both right at a node, after what each computed before it.

    A sigmoid of 1e5 less 1e5 is 0 in one and 1 in the other, from values that hardly differ, and
    does not show when these are shaken.

    Parameters
    ----------
    before
        The values of nodes in front, of the model and of the graph; of all inputs at least.
    results
        The values of the node, likewise.
    """
    wide = _wide(graph)
    for which, result in enumerate(results):
        known = {n: backend.to_numpy(pair[which]) for n, pair in before.items() if n != name}
        plain = _value(graph, known, name)
        with backend.precise():
            precise = _value(wide, known, name)
        rounding = _difference(precise, plain)
        if not _difference(graph[name].held(result), plain) <= max(tolerance, ROUNDINGS * rounding):
            return False
    return True


def _value(graph: Graph, known: Mapping[str, np.ndarray], name: str) -> Array:
    """Compute one node's value from the nearest known ones."""
    values = {n: backend.constant(x.astype(graph.dtype)) for n, x in known.items()}
    return graph.leading_to(name, known).evaluate(values)[name]


def _run(
    graph: Graph, source: Source, input_range: tuple[float, float] | None
) -> tuple[list[np.ndarray], dict[str, Array]]:
    """Draw inputs of a size that the model takes, and run it layer by layer."""
    unknown = any(None in x.shape[1:] for x in source.inputs)
    for size in SIZES if unknown else SIZES[:1]:
        inputs = random_inputs(source, graph.dtype, input_range, size, row_counts(graph))
        try:
            return inputs, _layers(source, inputs)
        except Exception as error:
            # Whatever a layer raises where its input has shrunk away, or that has no kernel here.
            failure = error
    why = " ".join(str(failure).split())[:300]
    if unknown:
        raise VerificationError(
            f"The model's input has no fixed size, and it runs on none of {SIZES}, so that it "
            "cannot be verified: give it a static input shape, or skip this check with "
            f"verify=False. It raises {type(failure).__name__}: {why}"
        ) from failure
    raise VerificationError(
        "The model itself does not run on this machine, so that it cannot be verified; "
        "verify=False skips this check, and explains it all the same. It raises "
        f"{type(failure).__name__}: {why}"
    ) from failure


def _layers(source: Source, inputs: list[Any]) -> dict[str, Array]:
    """Run the model, rounding its products no more than those that it is compared with."""
    with backend.full_products():
        return source.run(inputs)


def _check_contrast(graph: Graph, values: Mapping[str, Array]) -> None:
    """Compare a contrasted head with the contrast of the logits, which were compared before."""
    if len(graph.outputs) == 1:
        return
    contrast, logits = (backend.to_numpy(values[name]) for name in graph.outputs)
    others = (logits.sum(axis=-1, keepdims=True) - logits) / (logits.shape[-1] - 1)
    if not _difference(contrast, logits - others) <= 10 * TOLERANCE[graph.dtype]:
        raise VerificationError(
            f"The head {graph.outputs[0]!r} does not compute the contrast of the logits. Please "
            "report it, with the model; verify=False skips this check."
        )


def fidelity(graph: Graph, model: Any, inputs: list[Array], value: Array) -> float:
    """Return how far the reported output is from the model's own, relative to its largest.

    Parameters
    ----------
    graph
        The rewritten graph; its last output is the reported one.
    model
        The model, or source, that it was read from.
    inputs
        What the model is run on.
    value
        The reported output. Where a softmax or sigmoid was stripped off, it is put back on.
    """
    outputs = _layers(source_of(model), inputs)
    name = graph.outputs[-1]
    owners = {*graph[name].layers, *(layer for layer, n in graph.places.items() if n == name)}
    known = sorted(owners & outputs.keys() - graph.folded)
    plain = [layer for layer in known if layer not in graph.heads]
    if plain:
        return max(_difference(value, outputs[layer]) for layer in plain)
    return max(_through_head(graph.heads[layer].name, value, outputs[layer]) for layer in known)


def _through_head(head: str, value: Array, probability: Array) -> float:
    """Compare logits with probabilities, as logits: differences there are what rounding made."""
    logits = backend.to_numpy(value).astype("float64")
    p = backend.to_numpy(probability).astype("float64")
    # Where p is all but 0 or 1 it has no digits left that tell the logit.
    told = (p > 1e-4) & (p < 1 - 1e-4)
    if head == "sigmoid":
        gap = np.where(told, logits - np.log(np.where(told, p / (1 - p), 1.0)), 0.0)
    else:
        shifted = logits - logits.max(axis=-1, keepdims=True)
        own = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        p = np.exp(p) if head == "log_softmax" else p
        told = p > 1e-4
        gap = np.where(told, own - np.log(np.where(told, p, 1.0)), 0.0)
    sizes = np.abs(logits).reshape(len(logits), -1).max(axis=1)
    gaps = np.abs(gap).reshape(len(gap), -1).max(axis=1)
    return float(np.max(gaps / np.where(sizes == 0, 1.0, sizes)))


def _compared(graph: Graph, expected: Mapping[str, Array]) -> list[tuple[str, str]]:
    """The layers whose values the graph still has, in its order, and the nodes that have them."""
    order = {name: index for index, name in enumerate(graph.nodes)}
    places = [place for place in graph.places.items() if place[0] in expected.keys() - graph.folded]
    return sorted(places, key=lambda place: order[place[1]])


def _shown(graph: Graph, layer: str, value: Array) -> Array:
    """A layer's value: with the head, where it was stripped off."""
    head = graph.heads.get(layer)
    return value if head is None else head.apply(value)


def _cancelled(expected: Mapping[str, Array], layer: str) -> float:
    """What one rounding of the network's largest value is, beside a layer's largest value.

    Where terms cancel altogether (x - mean(x, x, x)), all that a layer returns is such rounding,
    of which float64 has no more precise version.
    """
    sizes = {
        name: np.abs(backend.to_numpy(value).astype("float64")).max(initial=0.0)
        for name, value in expected.items()
    }
    rounding = np.finfo("float64").eps * max(sizes.values())
    return float(rounding / sizes[layer]) if sizes[layer] else 0.0


def _shaken(graph: Graph, inputs: list[np.ndarray], seed: int) -> dict[str, Any]:
    """Every node's value for inputs that differ by rounding, which deep networks amplify."""
    random = np.random.default_rng(seed)
    tensors, exact = [], row_counts(graph)
    for x, rows in zip(inputs, exact, strict=True):
        unit = np.finfo(x.dtype).eps if rows is None else 0.0
        noise = UNITS * unit * random.normal(size=x.shape)
        tensors.append(backend.constant((x * (1 + noise)).astype(x.dtype)))
    return graph.evaluate(dict(zip(graph.inputs, tensors, strict=True)))


@backend.precise()
def _in_float64(graph: Graph, inputs: list[np.ndarray]) -> dict[str, Any]:
    """Every node's value in float64, which tells rounding from mistakes."""
    arrays = [backend.constant(x.astype("float64")) for x in inputs]
    return _wide(graph).evaluate(dict(zip(graph.inputs, arrays, strict=True)))


def _wide(graph: Graph) -> Graph:
    """The graph with all its arrays in float64."""
    return replace(graph, nodes={node.name: _widened(node) for node in graph}, dtype="float64")


def _widened(node: Node) -> Node:
    values = {field.name: getattr(node, field.name) for field in fields(node)}
    arrays = {name: a for name, a in values.items() if isinstance(a, np.ndarray)}
    wide: dict[str, Any] = {name: array.astype("float64") for name, array in arrays.items()}
    return replace(node, **wide)


def check_weights(graph: Graph) -> None:
    """Raise `ModelError` where a weight is NaN or infinite: every map would be NaN."""
    broken = [
        node.layers[0]
        for node in graph
        if any(not np.isfinite(array).all() for array in node.parameters.values())
    ]
    if broken:
        raise ModelError(
            f"These layers hold NaN or infinite weights: {', '.join(map(repr, broken))}. Nothing "
            "can be explained with them; has training diverged?"
        )


def random_inputs(
    model: Any,
    dtype: str,
    input_range: tuple[float, float] | None,
    size: int = 64,
    rows: Sequence[int | None] = (),
) -> list[np.ndarray]:
    """Return one random array for each of the model's inputs, of values that its type can hold.

    Two samples: normally distributed, and as large as pixels are (which a model that computes in
    half precision may not bear); or both within `input_range`. `rows` says of inputs that rows of
    a table are looked up by how many it has.
    """
    random = np.random.default_rng(0)
    source = source_of(model)
    arrays = []
    for x, count in zip_longest(source.inputs, rows):
        shape = (2, *(n or size for n in x.shape[1:]))
        drawn: Array
        if count is not None:
            drawn = random.integers(count, size=shape)
        elif "int" in x.dtype or x.dtype == "bool":
            low, high = (0, 1) if input_range is None else map(int, input_range)
            drawn = random.integers(low, high, size=shape, endpoint=True)
        elif input_range is None:
            drawn = random.normal(size=shape)
            if _narrowest(source.dtypes, dtype) in ("float32", "float64"):
                drawn[1] = random.uniform(0, 255, size=shape[1:])
        else:
            drawn = random.uniform(*input_range, size=shape)
        # The model would round what its input type cannot hold, and then rightly differ.
        rounded = keras.ops.cast(keras.ops.cast(drawn, x.dtype), dtype)
        arrays.append(backend.to_numpy(rounded))
    return arrays


def _narrowest(used: Collection[str], dtype: str) -> str:
    return next((name for name in ("bfloat16", "float16", "float32") if name in used), dtype)


def _difference(actual: Any, expected: Any) -> float:
    """The largest difference in a sample relative to its largest value; NaN if not finite."""
    actual = backend.to_numpy(actual).astype("float64")
    expected = backend.to_numpy(expected).astype("float64")
    if actual.shape != expected.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        # An exponential may be infinite on the way to a finite value.
        gaps = np.where(actual == expected, 0.0, np.abs(actual - expected))
    sizes = _peaks(np.where(np.isinf(expected), 0.0, np.abs(expected)))
    return float(np.max(_peaks(gaps) / np.where(sizes == 0, 1.0, sizes)))


def _peaks(array: np.ndarray) -> np.ndarray:
    """The largest entry of each sample."""
    peaks: np.ndarray = array.reshape(len(array), -1).max(axis=1, initial=0.0)
    return peaks
