"""A small net explained step by step: eagerly, so that nothing is traced."""

from dataclasses import dataclass, field

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.canonize import canonize
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Affine, Linear, Node
from lrpkeras.ledger import Accountant, Entry
from lrpkeras.presets import Preset
from lrpkeras.propagate import Forward, Program
from lrpkeras.rules import Relevance, Rule


def rewritten(model: keras.Model, input_range: tuple[float, float] | None = None) -> Graph:
    return with_facts(canonize(keras_reader.read(model)), input_range)


def linear_nodes(graph: Graph) -> list[Node]:
    return [node for node in graph if isinstance(node, Linear | Affine)]


@dataclass(frozen=True)
class Run:
    """A graph with rules, run forward."""

    program: Program
    forward: Forward
    entries: list[Entry] = field(default_factory=list)

    @property
    def output(self) -> np.ndarray:
        return backend.to_numpy(self.forward.output(self.program.graph))

    def value(self, name: str) -> np.ndarray:
        return backend.to_numpy(self.forward.values[name])

    @property
    def imbalance(self) -> float:
        """The largest of any node, of the last backward pass."""
        return max(entry.imbalance for entry in self.entries)

    @property
    def sinks(self) -> dict[str, float]:
        """What each sink took in the last backward pass, over all nodes, if it took anything."""
        total: dict[str, float] = {}
        for entry in self.entries:
            for sink, value in entry.sinks.items():
                total[sink] = total.get(sink, 0.0) + value
        return {sink: value for sink, value in total.items() if value != 0}

    def back(self, start: np.ndarray, form: str = "R", layers: tuple[str, ...] = ()) -> list:
        """Return relevance `(k, batch, ...)` of the inputs, then of the nodes in `layers`.

        Every node's account goes to `entries`.
        """
        accountant = Accountant(self.program, self.forward)
        start = backend.constant(start.astype(self.program.graph.dtype))
        arrived, hidden = self.program.backward(
            self.forward, Relevance(start, form), layers, accountant
        )
        self.entries[:] = accountant.entries
        return [backend.to_numpy(r) for r in (*arrived, *hidden.values())]


def run(graph: Graph, rules: dict | Rule | Preset, *inputs: np.ndarray, vanishes=True) -> Run:
    """Run a graph forward.

    `rules` is a preset, a table of where and rule, or one rule for all linear and affine nodes; the
    other nodes get the defaults. `vanishes` says that relevance will start at zero wherever the
    output is zero.
    """
    if not isinstance(rules, Preset):
        table = rules if isinstance(rules, dict) else {"Linear": rules, "Affine": rules}
        rules = Preset(tuple(table.items()), "test")
    program = Program(graph, rules.assign(graph), vanishes=vanishes)
    arrays = [backend.constant(x.astype(graph.dtype)) for x in inputs]
    return Run(program, program.forward(arrays))


def assert_close(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-10) -> None:
    """Compare relative to the largest expected entry.

    The default leaves float64 six digits: entries are sums of a few dozen quotients whose
    denominators lose up to four or five digits where terms cancel.
    """
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    scale = np.abs(expected).max()
    assert np.abs(got - expected).max() <= tolerance * (scale if scale > 0 else 1.0)
