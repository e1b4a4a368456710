"""`Analyzer`: a model and a preset, compiled to one function that explains."""

from __future__ import annotations

import fnmatch
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from lrpkeras import backend, ledger, presets, serialize, summary, targets
from lrpkeras.canonize import canonize, drop_inert, select_output, strip_head
from lrpkeras.errors import InputError, RuleError, near_misses
from lrpkeras.explanation import Explanation
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.walk import functional
from lrpkeras.graph.verify import verify as verify_graph
from lrpkeras.inputs import Intake
from lrpkeras.loading import load_model
from lrpkeras.presets import Preset
from lrpkeras.propagate import Forward, Program, divides_by_output
from lrpkeras.rules import Relevance, Rule

Array = Any

INITIALS = ("logit", "unit", "contrast")
BATCH_NORMS = ("fold",)
# Classes explained at once by target="all": relevance of so many targets is held in memory.
CHUNK = 10


class Analyzer:
    """Explains a model's decisions by Layer-wise Relevance Propagation.

    Parameters
    ----------
    model
        A `keras.Model` (functional or Sequential, nested at any depth), or the path of a `.keras`,
        `.h5` or `.hdf5` file. It is read once and never changed.
    preset
        A preset's name (`lrpkeras.presets.names()`) or a `Preset`.
    rules
        Overrides in front of the preset's entries: `{where: rule}`, see `Preset` for *where*.
    batch_norm
        "fold": folded exactly into the linear layers around [Guillemot et al. 2020].
    bias
        None: every rule treats the bias as its docstring says.
    input_range
        Smallest and largest value of the inputs, if known: facts about signs save work, and
        "epsilon_plus_box" takes its bounds from it. Input outside it is refused.
    output
        Which output of several, by name or index, or a hidden layer's name.
    initial
        Where relevance starts: "logit": the logit's value; "unit": 1 (with the logit's sign where
        the last rule divides by it), so that evidence for the class is positive whatever the
        logit's sign [Gonzalez 2020]; "contrast": its lead over the mean of the other logits.
    precision
        None: float32, or the model's type where that is wider.
    jit_compile
        Whether XLA compiles; "auto" does on a GPU.
    verify
        Run the rewritten graph against the model, layer by layer, on random input.

    Raises
    ------
    LrpError
        Subclasses that say what to do: unknown names, layers that cannot be read, bad files.

    Examples
    --------
    >>> import lrpkeras, numpy as np, keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    >>> analyzer = lrpkeras.Analyzer(model, preset="epsilon")
    >>> analyzer(np.ones((2, 4), "float32")).shape
    TensorShape([2, 4])
    """

    def __init__(
        self,
        model: keras.Model | str | os.PathLike,
        preset: str | Preset = "epsilon_plus_flat",
        *,
        rules: Any = None,
        batch_norm: str = "fold",
        bias: str | None = None,
        input_range: tuple[float, float] | None = None,
        output: str | int | None = None,
        initial: str = "logit",
        precision: str | None = None,
        jit_compile: bool | str = "auto",
        verify: bool = True,
    ) -> None:
        _check_options(batch_norm, bias, initial, precision, input_range, jit_compile)
        self.model = load_model(model) if isinstance(model, str | os.PathLike) else model
        self._settings = {
            "batch_norm": batch_norm,
            "bias": bias,
            "input_range": input_range,
            "output": output,
            "initial": initial,
            "precision": precision,
            "jit_compile": jit_compile,
            "verify": verify,
        }
        self._overrides = serialize.as_entries(rules)
        self._base = presets.named(preset, input_range)
        self.preset = self._base.with_overrides(self._overrides)
        graph = self._rewritten()
        assigned = self.preset.assign(graph, required=len(self._overrides))
        if verify:
            verify_graph(graph, self.model, input_range)
        self._program = Program(graph, assigned, vanishes=initial != "unit")
        self._intake = _intake(self.model, graph)
        self._compiled: dict[Any, backend.Compiled] = {}
        self._lock = threading.Lock()

    def _rewritten(self) -> Graph:
        plain = strip_head(drop_inert(self._selected()))
        self._plain = plain
        graph = canonize(plain, contrast=self._settings["initial"] == "contrast")
        return with_facts(graph, self._settings["input_range"])

    def _selected(self) -> Graph:
        return select_output(keras_reader.read(self.model), self._settings["output"])

    @property
    def graph(self) -> Graph:
        """The rewritten graph that is explained."""
        return self._program.graph

    @property
    def rules(self) -> dict[str, Rule]:
        """The rule that each node got, by node name."""
        return dict(self._program.rules)

    def __call__(self, x: Any, target: Any = None) -> Any:
        """Return the relevance of a batch.

        Parameters
        ----------
        x
            What the model is called with, batch first: array, tensor, or list or dict of them.
        target
            What is explained: None (each sample's winner), an int, one int per sample, a list of
            lists (several classes per sample), "all", a float array shaped like the output
            (relevance starts as array x output), or a callable from the output to such an array.
            For outputs with positions, `(batch, ..., classes)`, an int means the class everywhere.

        Returns
        -------
        Tensors shaped and nested like `x`; with several targets, `(batch, k, ...)`.

        Raises
        ------
        InputError, TargetError
            If `x` or `target` does not fit.
        """
        arrays = self._checked(x)
        parsed = targets.parse(target, arrays[0].shape[0], self._output_shape)
        relevance = self._run(arrays, parsed, slice(None), ())["relevance"]
        return self._intake.pack(x, relevance)

    def explain(
        self,
        x: Any,
        target: Any = None,
        *,
        batch_size: int = 32,
        layers: str | Sequence[str] | None = None,
        verbose: str | int = "auto",
    ) -> Explanation:
        """Explain a data set in batches.

        Parameters
        ----------
        x
            Arrays or tensors as for `__call__`, or a batched `tf.data.Dataset` of inputs, or of
            (inputs, labels).
        target
            As for `__call__`; for a dataset, one that fits every batch.
        batch_size
            Samples at a time; a dataset brings its own.
        layers
            Names (or globs) of layers whose outputs' relevance is wanted too.
        verbose
            1 shows a progress bar, 0 none; "auto" shows it where there is more than one batch.

        Returns
        -------
        NumPy arrays in an `Explanation`.
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a positive integer, not {batch_size!r}.")
        nodes = self._layer_nodes(layers)
        dataset = backend.is_dataset(x)
        arrays = None if dataset else self._checked(x)
        number = None if arrays is None else arrays[0].shape[0]
        parsed = targets.parse(target, number, self._output_shape)
        if dataset and parsed.values is not None and not callable(parsed.values):
            if parsed.values.shape[0] != 1:
                raise InputError("For a dataset, give one target for all samples, or None.")
        total = backend.count(x if dataset else arrays, batch_size)
        bar = _progress(total, verbose)
        parts, like = [], x
        for batch, start in self._batches(x if dataset else arrays, batch_size, dataset):
            like = batch if dataset else x
            flat = self._checked(batch) if dataset else batch
            span = slice(start, start + flat[0].shape[0])
            parts.append(_as_numpy(self._run(flat, parsed, span, tuple(nodes.values()))))
            if bar is not None:
                bar.add(1)
        if not parts:
            raise InputError("The dataset is empty: there is no sample to explain.")
        return self._gathered(parts, like, nodes)

    def _batches(self, data: Any, batch_size: int, dataset: bool) -> Iterator[tuple[Any, int]]:
        start = 0
        for batch in backend.batches(data, batch_size):
            yield batch, start
            start += 0 if dataset else batch[0].shape[0]

    def _gathered(self, parts: list[dict], like: Any, nodes: dict[str, str]) -> Explanation:
        def joined(pick: Any) -> np.ndarray:
            return np.concatenate([pick(part) for part in parts])

        relevance = [
            joined(lambda part, i=i: part["relevance"][i]) for i in range(len(self._intake.names))
        ]
        return Explanation(
            relevance=self._intake.pack(like, relevance),
            output=joined(lambda part: part["output"]),
            target=joined(lambda part: part["target"]),
            layers={
                layer: joined(lambda part, name=name: part["layers"][name])
                for layer, name in nodes.items()
            },
        )

    def _run(self, arrays: Sequence[Array], target: Any, span: slice, layers: tuple) -> dict:
        """Explain one batch; many targets go in chunks."""
        count = int(arrays[0].shape[0])
        start = span.start or 0
        values = target.batch(start, start + count)
        if target.mode != "index" or target.k <= CHUNK:
            return _single(self._explain(arrays, target.mode, values, layers), target.several)
        chunks = [
            self._explain(arrays, "index", values[:, first : first + CHUNK], layers)
            for first in range(0, target.k, CHUNK)
        ]
        return _chained(chunks)

    def _explain(self, arrays: Sequence[Array], mode: str, values: Any, layers: tuple) -> dict:
        function = values if callable(values) else None
        k = values.shape[1] if mode == "index" else 1
        compiled = self._function(mode, k, layers, function)
        dtype = self._plain.dtype
        inputs = [ops.cast(backend.constant(array), dtype) for array in arrays]
        held = () if values is None or function else (values,)
        return compiled(inputs, *held)

    def _function(
        self, mode: str, k: int, layers: tuple, function: Any = None
    ) -> backend.Compiled:
        """The compiled function for one kind of target; made once."""
        key = (mode, k, layers, function)
        with self._lock:
            if key not in self._compiled:
                shapes = [shape for shape in self._intake.shapes]
                signature: list[Any] = [[backend.Spec(s, self._plain.dtype) for s in shapes]]
                if mode == "index":
                    signature.append(backend.Spec((None, k), "int32"))
                elif mode == "array" and function is None:
                    signature.append(backend.Spec(self._output_shape, self._plain.dtype))
                self._compiled[key] = backend.compile(
                    self._traceable(mode, layers, function),
                    signature,
                    jit_compile=self._settings["jit_compile"],
                )
            return self._compiled[key]

    def _traceable(self, mode: str, layers: tuple, function: Any) -> Any:
        program, seed = self._program, self._start

        def explain(inputs: list[Array], values: Array = None) -> dict[str, Any]:
            forward = program.forward(inputs)
            start, classes = seed(forward, mode, values, function)
            relevance, hidden = program.backward(forward, start, layers)
            if self.preset.times_input:
                relevance = [r * x for r, x in zip(relevance, inputs, strict=True)]
            return {
                "relevance": [_batch_first(r) for r in relevance],
                "layers": {name: _batch_first(r) for name, r in hidden.items()},
                "output": forward.values[program.graph.outputs[-1]],
                "target": classes,
            }

        return explain

    def _start(
        self, forward: Forward, mode: Any, values: Any, function: Any = None
    ) -> tuple[Relevance, Array]:
        """Relevance of the output, as preset and `initial` say, and the class numbers."""
        output = forward.output(self._program.graph)
        factors, classes = targets.factors(mode, values, output, function)
        if self.preset.seed == "gradient":
            return Relevance(factors), classes
        if self._settings["initial"] != "unit":
            return Relevance(factors, "ratio"), classes
        keeps_sign = divides_by_output(self._program.graph, self._program.rules)
        sign = ops.where(output < 0, -1.0, 1.0) if keeps_sign else 1.0
        return Relevance(factors * ops.cast(sign, factors.dtype)), classes

    @property
    def _output_shape(self) -> tuple[int | None, ...]:
        return self.graph[self.graph.outputs[0]].shape

    def _checked(self, x: Any) -> list[Array]:
        arrays = self._intake.flatten(x)
        self._intake.check_values(arrays, self._settings["input_range"])
        return arrays

    def _layer_nodes(self, layers: str | Sequence[str] | None) -> dict[str, str]:
        """Look up layer names and globs: layer name -> node."""
        graph, wanted = self.graph, [layers] if isinstance(layers, str) else list(layers or ())
        known = {**{name: name for name in graph.nodes}, **graph.places}
        found: dict[str, str] = {}
        for pattern in wanted:
            names = fnmatch.filter(graph.places, pattern) or fnmatch.filter(known, pattern)
            if not names:
                merged = [node.name for node in graph if pattern in node.layers]
                hint = f"; it was merged into {merged[0]!r}" if merged else ""
                hint = hint or near_misses(pattern, known)
                raise RuleError(f"layers={pattern!r} names no layer of this model{hint}.")
            found |= {name: known[name] for name in names}
        return found

    def summary(self, print_fn: Any = None) -> str:
        """Print (or hand to `print_fn`) and return one line per node: kind, shape, rule, notes."""
        text = summary.summary(self._program, self.preset.name)
        (print_fn or print)(text)
        return text

    def check(self, x: Any, target: Any = None) -> ledger.Check:
        """Account for all relevance of a batch, and compare the rewritten forward pass.

        Parameters
        ----------
        x, target
            As for `__call__`, with one target a sample.

        Returns
        -------
        A `Check`: fidelity, and per node what came in, went out, and went to each sink (bias,
        epsilon, padding, empty sums, the rule's design), each from its own formula.
        """
        arrays = self._checked(x)
        parsed = targets.parse(target, int(arrays[0].shape[0]), self._output_shape)
        inputs = [ops.cast(backend.constant(array), self._plain.dtype) for array in arrays]
        values = parsed.batch(0, int(arrays[0].shape[0]))
        function = values if callable(values) else None
        held = None if values is None or function else backend.constant(values)

        def start(forward: Forward) -> Relevance:
            return self._start(forward, parsed.mode, held, function)[0]

        plain = self._plain.evaluate(dict(zip(self._plain.inputs, inputs, strict=True)))
        expected = backend.to_numpy(plain[self._plain.outputs[0]]).astype("float64")
        return ledger.check(self._program, inputs, start, expected)

    def refresh(self) -> None:
        """Read all weights of the model again, without tracing anew.

        An analyzer is a snapshot: training the model further does not reach it until then.
        """
        self._program.refresh(self._rewritten())

    def concrete_function(self, batch_size: int | None = None) -> Any:
        """Return the traced graph that explains each sample's winner, for any batch size or one."""
        return backend.concrete(self._function("winner", 1, ()), batch_size)

    def get_config(self) -> dict[str, Any]:
        """Return all settings but the model as plain values; `from_config` takes them."""
        return {
            "preset": serialize.preset_to_config(self._base),
            "rules": serialize.entries_to_config(self._overrides),
            **self._settings,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], model: keras.Model | str | os.PathLike) -> Analyzer:
        """Build an analyzer of `model` with the settings that `get_config` gave."""
        settings = dict(config)
        preset = serialize.preset_from_config(settings.pop("preset"))
        rules = serialize.entries_from_config(settings.pop("rules"))
        return cls(model, preset, rules=rules, **settings)


def _intake(model: keras.Model, graph: Graph) -> Intake:
    return Intake(
        names=tuple(graph.inputs),
        shapes=tuple(graph[name].shape for name in graph.inputs),
        structure=functional(model)._inputs_struct,
        dtype=graph.dtype,
    )


def _batch_first(relevance: Array) -> Array:
    """`(k, batch, ...)` -> `(batch, k, ...)`."""
    return ops.swapaxes(relevance, 0, 1)


def _single(result: dict, several: bool) -> dict:
    """Drop the target axis where there is one target by nature."""
    if several:
        return result
    return {
        "relevance": [r[:, 0] for r in result["relevance"]],
        "layers": {name: r[:, 0] for name, r in result["layers"].items()},
        "output": result["output"],
        "target": result["target"][:, 0],
    }


def _chained(chunks: list[dict]) -> dict:
    """Put the target axis of several results together."""
    first = chunks[0]

    def joined(pick: Any) -> Array:
        return ops.concatenate([pick(chunk) for chunk in chunks], axis=1)

    return {
        "relevance": [
            joined(lambda c, i=i: c["relevance"][i]) for i in range(len(first["relevance"]))
        ],
        "layers": {name: joined(lambda c, n=name: c["layers"][n]) for name in first["layers"]},
        "output": first["output"],
        "target": joined(lambda c: c["target"]),
    }


def _as_numpy(result: dict) -> dict:
    return keras.tree.map_structure(backend.to_numpy, result)


def _progress(total: int | None, verbose: str | int) -> Any:
    if verbose not in ("auto", 0, 1):
        raise InputError(f"verbose is 'auto', 0 or 1, not {verbose!r}.")
    shown = verbose == 1 or (verbose == "auto" and total != 1)
    return keras.utils.Progbar(total) if shown else None


def _check_options(
    batch_norm: str,
    bias: str | None,
    initial: str,
    precision: str | None,
    input_range: Any,
    jit_compile: Any,
) -> None:
    """Refuse options that are unknown, each with those that are known."""
    choices = (
        ("batch_norm", batch_norm, BATCH_NORMS),
        ("initial", initial, INITIALS),
        ("bias", bias, (None,)),
        ("precision", precision, (None,)),
        ("jit_compile", jit_compile, ("auto", True, False)),
    )
    for name, value, known in choices:
        if value not in known:
            raise RuleError(f"{name}={value!r} is not known; it can be: {', '.join(map(repr, known))}.")
    if input_range is not None:
        ordered = len(tuple(input_range)) == 2 and input_range[0] < input_range[1]
        if not ordered:
            raise InputError(f"input_range is (low, high) with low < high, not {input_range!r}.")

