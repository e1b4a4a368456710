"""One layer, or a small net, explained step by step: eagerly, so that nothing is traced."""

from dataclasses import dataclass

import keras
import numpy as np

from lrpkeras import backend, presets
from lrpkeras.canonize import canonize
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.propagate import Program
from lrpkeras.rules import Relevance, Rule


def rewritten(model: keras.Model, input_range=None) -> Graph:
    return with_facts(canonize(keras_reader.read(model)), input_range)


def linear_nodes(graph: Graph) -> list[Node]:
    return [node for node in graph if isinstance(node, Linear | Affine)]


@dataclass(frozen=True)
class Explained:
    """Value and relevance of the tensors asked for, and the relevance that was put in.

    Values are `(batch, ...)`, relevances `(k, batch, ...)`; `inputs` is relevance of the inputs.
    """

    program: Program
    output: np.ndarray
    start: np.ndarray
    values: dict[str, np.ndarray]
    relevance: dict[str, np.ndarray]
    inputs: list[np.ndarray]


def explained(
    model: keras.Model,
    rules: dict[str, Rule] | Rule,
    inputs,
    start: np.ndarray,
    form: str = "R",
    input_range=None,
    layers: tuple[str, ...] = (),
) -> Explained:
    """Send `start`, `(k, batch, ...)` in the given form, back through a model.

    `rules` is one rule for all linear nodes, or a table of overrides; all other nodes get the
    defaults.
    """
    graph = rewritten(model, input_range)
    table = rules if isinstance(rules, dict) else {"Linear": rules, "Affine": rules}
    assigned = presets.Preset("test", tuple(table.items())).assign(graph)
    vanishes = form == "ratio" or not np.any(start)
    program = Program(graph, assigned, vanishes=vanishes)
    arrays = inputs if isinstance(inputs, list) else [inputs]
    forward = program.forward([backend.constant(a.astype(graph.dtype)) for a in arrays])
    output = backend.to_numpy(forward.output(graph))
    relevance = Relevance(backend.constant(start.astype(graph.dtype)), form)
    arrived, hidden = program.backward(forward, relevance, layers)
    return Explained(
        program,
        output,
        start * output if form == "ratio" else start,
        {name: backend.to_numpy(forward.values[name]) for name in layers},
        {name: backend.to_numpy(r) for name, r in hidden.items()},
        [backend.to_numpy(r) for r in arrived],
    )


def assert_close(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-10) -> None:
    """Compare relative to the largest expected entry.

    The default leaves float64 six digits: entries are sums of up to a few dozen quotients whose
    denominators lose up to four or five digits where terms cancel.
    """
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    scale = np.abs(expected).max()
    assert np.abs(got - expected).max() <= tolerance * (scale if scale > 0 else 1.0)
