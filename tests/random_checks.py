"""What holds for every network, whatever its layers: the checks of the random graphs.

A script that a failing example prints holds this file as it is; so it reads nothing but the
package, and rules come as source text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import lrpkeras
from lrpkeras import backend, canonize, ledger, presets, rules
from lrpkeras.errors import RuleError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import KINDS, Node
from lrpkeras.graph.tensorflow_reader import FunctionSource
from lrpkeras.propagate import Forward, Program
from lrpkeras.rules import Relevance, Rule

# Twenty layers, each of which may cancel two or three digits in a row, leave float64 more than nine
# of its sixteen; a wrong formula shows in the first.
FIDELITY = 1e-9
# Where all cancels (x - x), the result is rounding of numbers of about one.
NOTHING = 1e-12
# Two ways to add up the same: quotients whose denominators lose digits where terms cancel.
EQUAL = 1e-7
# A table of rules: for each kind of node, source text of rules that its nodes get in turn.
Table = Mapping[str, Sequence[str]]
GRADIENT: Table = {kind: ["Gradient()"] for kind in KINDS}
ZERO: Table = {
    **{kind: ["Zero()"] for kind in ("Linear", "Affine")},
    **{kind: ["Proportional(delta=0.0)"] for kind in ("AveragePool", "Sum")},
}
EPSILON: Table = {kind: ["Epsilon(epsilon=1e-09)"] for kind in ("Linear", "Affine")}
# Numbers in float32, through twenty layers.
ROUNDED = 1e-5
# TensorFlow resizes in float32, whatever a model computes in.
RESIZING = (keras.layers.Resizing, keras.layers.UpSampling2D)
# What `batch_norm` may be, as `canonize` is told; unfolded, an affine node takes any rule.
MODES: dict[str, dict] = {
    "fold": {},
    "threshold": {"thresholds": True},
    "unfolded": {"fold": False},
}


@dataclass(frozen=True)
class Case:
    """A model, whose `logits` are it without its head, and one way of explaining it.

    `table` says which rules, `batch_norm` how the graph is rewritten, `ratio` how relevance starts.
    """

    model: Any
    logits: Any
    inputs: Sequence[np.ndarray]
    table: Table
    batch_norm: str
    non_negative: bool
    ratio: bool

    @cached_property
    def graph(self) -> Graph:
        graph = canonize.canonize(keras_reader.read(self.model), **MODES[self.batch_norm])
        return with_facts(graph, (0.0, 3.0) if self.non_negative else None)

    @property
    def rounded(self) -> bool:
        """Whether Keras computes a part of the model in float32."""
        found = (each for each in self.model._flatten_layers() if isinstance(each, RESIZING))
        return any(getattr(layer, "interpolation", None) != "nearest" for layer in found)

    def tolerance(self, exact: float) -> float:
        """How far from Keras values may be, `exact` where all is float64."""
        return ROUNDED if self.rounded else exact


def check(case: Case, extra: str) -> Program:
    """Check what always holds, and one thing more; return what gave every node its rule."""
    check_fidelity(case)
    program = check_ledgers(case)
    EXTRAS[extra](case)
    return program


def assigned(graph: Graph, table: Table) -> dict[str, Rule]:
    """Give the nodes of each kind the rules of its list in turn, where one can apply."""
    base = presets.Preset({"Linear": rules.Epsilon(), "Affine": rules.Epsilon()})
    found, turns = base.assign(graph), dict.fromkeys(table, 0)
    for name in found:
        kind = next((kind for kind in table if isinstance(graph[name], KINDS[kind])), None)
        if kind is None:
            continue
        rule = made(table[kind][turns[kind] % len(table[kind])])
        turns[kind] += 1
        if rule.applies(graph[name]) and _is_valid(rule, graph[name]):
            found[name] = rule
    return found


def made(source: str) -> Rule:
    """Return the rule that a line of source makes."""
    return eval(source, {name: getattr(rules, name) for name in rules.__all__})


def _is_valid(rule: Rule, node: Node) -> bool:
    try:
        rule.validate(node)
    except RuleError:
        return False
    return True


def check_fidelity(case: Case) -> None:
    """The rewritten graph computes what the model does; what was not folded tells why."""
    graph, tensors = case.graph, numbers(case.inputs)
    got = graph.evaluate(dict(zip(graph.inputs, tensors, strict=True)))[graph.outputs[0]]
    close(backend.to_numpy(got), called(case.logits, tensors), case.tolerance(FIDELITY))
    if case.batch_norm == "fold":
        left = [node for node in graph if getattr(node, "batch_norm", False)]
        assert all("not folded" in node.notes[-1] for node in left)


def numbers(inputs: Sequence[np.ndarray]) -> list[Any]:
    """Return what a graph computes with: words, too, are numbers of its type."""
    return [backend.constant(x.astype("float64")) for x in inputs]


def predict(model: Any, inputs: Sequence[Any]) -> Any:
    """Run a model as in inference: left to itself, `Resizing` puts layers behind it in training."""
    return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)


def called(model: Any, inputs: Sequence[Any]) -> np.ndarray:
    return np.asarray(predict(model, inputs))


def close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Compare relative to the largest entry, where there is more than rounding."""
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    gap, scale = np.abs(got - expected).max(), np.abs(expected).max()
    assert gap <= tolerance * scale + NOTHING, f"off by {gap:.2e} beside {scale:.2e}"


@dataclass(frozen=True)
class Explained:
    """A case run forward with a table of rules; relevance starts as a ratio or as it is."""

    program: Program
    forward: Forward
    ratio: bool

    def back(self, *classes: int, observe: Any = None) -> list[np.ndarray]:
        """Return relevance `(k, batch, ...)` of every input."""
        start = np.zeros((len(classes), *self.forward.output(self.program.graph).shape))
        for number, target in enumerate(classes):
            start[number, ..., target] = 1
        begin = Relevance(backend.constant(start), "ratio" if self.ratio else "R")
        arrived, _ = self.program.backward(self.forward, begin, observe=observe)
        return [backend.to_numpy(array) for array in arrived]


def explained(
    case: Case, table: Table | None = None, inputs: Any = None, ratio: bool | None = None
) -> Explained:
    """Run a case forward, with its own rules, inputs and start unless others are given."""
    ratio = case.ratio if ratio is None else ratio
    found = assigned(case.graph, case.table if table is None else table)
    program = Program(case.graph, found, vanishes=ratio)
    tensors = numbers(case.inputs if inputs is None else inputs)
    return Explained(program, program.forward(tensors), ratio)


def check_ledgers(case: Case) -> Program:
    """Relevance is finite, no node loses any that it does not account for; k targets, k calls."""
    run = explained(case)
    accountant = ledger.Accountant(run.program, run.forward)
    together = run.back(1, 0, observe=accountant)
    for entry in accountant.entries:
        assert entry.imbalance <= ledger.TOLERANCE["float64"], entry
    for number, target in enumerate((1, 0)):
        for got, alone in zip(together, run.back(target), strict=True):
            close(got[number], alone[0], EQUAL)
    return run.program


def check_batch(case: Case) -> None:
    """A batch is what its samples are one by one."""
    together = explained(case).back(1)
    for sample in range(len(case.inputs[0])):
        single = [x[sample : sample + 1] for x in case.inputs]
        for got, alone in zip(together, explained(case, inputs=single).back(1), strict=True):
            close(got[:, sample : sample + 1], alone, EQUAL)


# The values that a logit depends on, and its gradient with respect to them.
Slopes = tuple[np.ndarray, np.ndarray]


def slopes(case: Case) -> list[Slopes]:
    """The tape's gradient of one logit, `(batch, ...)` for each input."""
    tensors = [tf.constant(x) for x in case.inputs]
    plain = [x for x in tensors if x.dtype.is_floating]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(plain)
        logit = predict(case.logits, tensors)[:, 1]
        total, samples = tf.reduce_sum(logit), tf.unstack(logit)
    found = tape.gradient(total, plain, unconnected_gradients="zero")
    pairs = [(x.numpy(), slope.numpy()) for x, slope in zip(plain, found, strict=True)]
    words = [x for x in tensors if x.dtype.is_integer]
    return pairs + [row_slopes(case.logits, tape, samples, x) for x in words]


def row_slopes(model: Any, tape: Any, samples: Sequence[Any], words: Any) -> Slopes:
    """The rows of all tables, next to each other, and their gradients: `(batch, words, width)`.

    A row has one gradient, of all places of a sample where it is looked up.
    """
    found = [each for each in model.layers if isinstance(each, keras.layers.Embedding)]
    tables = [layer.embeddings.value for layer in found]
    gradients = [
        tf.concat([tf.convert_to_tensor(part) for part in tape.gradient(sample, tables)], 1)
        for sample in samples
    ]
    rows = tf.gather(tf.concat(tables, 1), words)
    return rows.numpy(), tf.gather(tf.stack(gradients), words, batch_dims=1).numpy()


def is_as(relevance: np.ndarray, expected: np.ndarray, x: np.ndarray, case: Case) -> None:
    """Compare what each input gets; of words, what all places of a sample with one word do."""
    if x.dtype.kind != "f":
        expected = expected.sum(-1)
        relevance = np.einsum("nij,nj->ni", x[:, :, None] == x[:, None, :], relevance)
    close(relevance, expected, case.tolerance(EQUAL))


def check_gradient(case: Case) -> None:
    """The rule `Gradient` at every node is the tape; words get the sum over their rows."""
    got = explained(case, GRADIENT, ratio=False).back(1)
    for array, x, (_, slope) in zip(got, case.inputs, slopes(case), strict=True):
        is_as(array[0], slope, x, case)


def check_zero(case: Case) -> None:
    """LRP-0 is input x gradient, where all is linear or homogeneous; words stand for their rows."""
    got = explained(case, ZERO, ratio=True).back(1)
    for array, x, (values, slope) in zip(got, case.inputs, slopes(case), strict=True):
        is_as(array[0], values * slope, x, case)


def check_layers(case: Case) -> None:
    """Every layer whose value the graph still has computes what it does in the graph as read.

    Relative to the largest value of any layer: where equal tensors are subtracted, what a layer
    returns is rounding alone.
    """
    graph, plain = case.graph, keras_reader.read(case.model)
    tensors = numbers(case.inputs)
    got, expected = (
        each.evaluate(dict(zip(each.inputs, tensors, strict=True))) for each in (graph, plain)
    )
    scale = max(np.abs(backend.to_numpy(value)).max() for value in expected.values())
    for layer in graph.places.keys() - graph.folded - graph.heads.keys():
        pair = got[graph.places[layer]], expected[plain.places[layer]]
        first, second = map(backend.to_numpy, pair)
        assert np.abs(first - second).max() <= FIDELITY * scale, layer


def check_model(case: Case) -> None:
    """The folded Keras model computes the same."""
    folded = lrpkeras.fold_batch_norm(case.logits)
    expected = called(case.logits, case.inputs)
    close(called(folded, case.inputs), expected, case.tolerance(FIDELITY))


def check_readers(case: Case) -> None:
    """The graph that TensorFlow traced of the model means the same as the model's own layers.

    Relevance is that of `Epsilon`: where Keras has a layer, TensorFlow may have several operations,
    and rules that part positive from negative act on each. Keras makes plain numbers float32 in a
    graph, so that 0.1 is another number there.
    """
    # TensorFlow has local normalization in float32 alone, and masks only as comparisons, which are
    # refused.
    if any(node.kind in ("LocalNormalize", "Masked") for node in case.graph):
        return
    specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in case.inputs]
    function = tf.function(lambda *x: predict(case.logits, x))
    source = FunctionSource(function.get_concrete_function(*specs), keep=case.logits)
    traced = canonize.canonize(source.read(), **MODES[case.batch_norm])
    other = replace(case)
    other.__dict__["graph"] = with_facts(traced, (0.0, 3.0) if case.non_negative else None)
    tensors = numbers(case.inputs)
    logits = traced.evaluate(dict(zip(traced.inputs, tensors, strict=True)))[traced.outputs[0]]
    close(backend.to_numpy(logits), called(case.logits, tensors), ROUNDED)
    for got, expected in zip(
        *(explained(each, EPSILON, ratio=True).back(1) for each in (other, case)), strict=True
    ):
        close(got, expected, ROUNDED)


EXTRAS = {
    "batch": check_batch,
    "gradient": check_gradient,
    "zero": check_zero,
    "layers": check_layers,
    "model": check_model,
    "readers": check_readers,
}
