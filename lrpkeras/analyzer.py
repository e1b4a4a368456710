"""`Analyzer`: a model and a preset, compiled to one function that explains."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import keras

from lrpkeras import backend, conditions, layer_names, ledger, presets, summary, targets
from lrpkeras.canonize import canonize, select_output
from lrpkeras.conditions import Conditions
from lrpkeras.decision import Decision
from lrpkeras.errors import InputError, ModelError, RuleError
from lrpkeras.explainer import Explainer
from lrpkeras.explore.offer import Offer, Way, all_presets
from lrpkeras.facade import Facade
from lrpkeras.graph.draft import Refusal
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.fingerprint import fingerprint
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.lookup import row_counts
from lrpkeras.graph.sources import Source, source_of
from lrpkeras.graph.tracer import tensorflow_reader
from lrpkeras.graph.verify import check_weights, fidelity
from lrpkeras.graph.verify import verify as verify_graph
from lrpkeras.inputs import Intake
from lrpkeras.loading import load_model
from lrpkeras.memory import hand_back
from lrpkeras.options import Options, refuse_mixed, refuse_narrow
from lrpkeras.presets import Preset
from lrpkeras.presets import config as serialize
from lrpkeras.propagate import Forward, Program
from lrpkeras.rules import Relevance, Rule
from lrpkeras.runner import Runner
from lrpkeras.summary import Summary

Array = Any
# A concrete function has no public class to name.
Model: TypeAlias = keras.Model | str | os.PathLike | Any


class Analyzer(Facade[Explainer]):
    """Explains a model's decisions by Layer-wise Relevance Propagation.

    Parameters
    ----------
    model
        A `keras.Model` of any kind (a subclassed one is traced), the path of a `.keras`, `.h5` or
        `.hdf5` file or of a SavedModel's folder, or a concrete function, such as a signature of a
        loaded SavedModel. It is read once and never changed.
    preset
        A preset's name (`lrpkeras.presets.names()`) or a `Preset`.
    rules
        Overrides in front of the preset's entries: `{where: rule}`, see `Preset` for *where*.
    batch_norm
        "fold": folded exactly into the linear layers around, through a ReLU as a gate [Guillemot et
        al. 2020]. "threshold": there as the paper's thresholded ReLU, which cancels large products
        against the bias: rules that split by sign then lose much relevance. Unfolded, with a rule
        of their own: "identity": relevance passes unchanged (the papers' baseline); "epsilon":
        `Epsilon()`; "abs": `Abs()` [Hui & Binder 2019]. Presets that start from a gradient fold
        nothing: gradients of hidden layers are the model's own.
    bias
        What becomes of the bias's share in every rule that has the setting, whatever the preset or
        `rules` say: "absorb": it keeps it; "ignore": it is in no denominator; "distribute": it goes
        in equal parts to the inputs of the output. None: as each rule says ("absorb" unless given).
    input_range
        Smallest and largest value of the inputs, if known: facts about signs save work, and
        "epsilon_plus_box" takes its bounds from it. Input outside it is refused.
    output
        Which output of several, by name or index, or a hidden layer's name.
    initial
        Where relevance starts: "logit": the logit's value; "unit": 1 (with the sign of what the
        last rule divides by, if it does), so that evidence for the class is positive whatever the
        logit's sign [Gonzalez 2020]; "contrast": its lead over the mean of the other logits.
    precision
        None: float32, or the model's type where that is wider. "bfloat16": convolutions and dense
        layers multiply in bfloat16, which is faster on large networks where the processor has
        instructions for it (avx512_bf16, amx_bf16, tensor cores) and nowhere else; all but the
        first layers' and the last's. Denominators, quotients, sums and relevance stay in float32.
        Kernels take half the memory; every product is rounded to 8 bits, 0.4 %.
    jit_compile
        Whether XLA compiles it all; "auto" does on a GPU, and always on JAX. On a CPU that is no
        faster (ResNet50 takes the same time, VGG16 1.1 to 1.4 times), and compiles each size anew.
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
        model: Model,
        preset: str | Preset = "epsilon_plus_flat",
        *,
        rules: Any = None,
        batch_norm: str = "fold",
        bias: str | None = None,
        input_range: tuple[float, float] | None = None,
        output: str | int | None = None,
        initial: str = "logit",
        precision: str | None = None,
        jit_compile: bool | Literal["auto"] = "auto",
        verify: bool = True,
    ) -> None:
        self.options = Options(
            batch_norm, bias, input_range, output, initial, precision, jit_compile, verify
        )
        self.model = load_model(model) if isinstance(model, str | os.PathLike) else model
        self._source = source_of(self.model)
        self._overrides = presets.as_entries(rules)
        self._base = presets.named(preset, self.options.input_range)
        refuse_mixed(self._base, rules, batch_norm)
        self.preset = (
            self._base.with_overrides(presets.UNFOLDED.get(batch_norm))
            .with_overrides(self._overrides)
            .with_bias(self.options.bias)
        )
        self._program = self._built(self._rewritten())
        intake = _intake(self._source, self.graph)
        explainer = Explainer(self._program, self.preset, initial, intake, jit_compile)
        super().__init__(explainer, self.options.input_range)
        hand_back()

    def _built(self, graph: Graph) -> Program:
        """Give every node its rule, and verify the forward pass."""
        matches = self.preset.match(graph, required=len(self._overrides))
        self._why = {name: match.why for name, match in matches.items()}
        assigned = {name: match.rule for name, match in matches.items()}
        vanishes = self.options.initial != "unit" and self.preset.seed == "relevance"
        precision = self.options.precision
        refuse_narrow(precision, graph.dtype)
        program = Program(graph, assigned, vanishes=vanishes)
        if self.options.verify:
            self._verify(program)
        if precision is not None:
            # After verification: rounding to so few bits would hide mistakes.
            program = Program(graph, assigned, vanishes=vanishes, precision=precision)
        program.release()
        return program

    def _verify(self, program: Program) -> None:
        """Compare the forward pass that is compiled, rules included, with the model's layers.

        It runs eagerly, where convolutions do not go by tiles.
        """

        def values(inputs: list[Array]) -> Mapping[str, Array]:
            return program.forward(inputs).values

        verify_graph(program.graph, self._source, self.options.input_range, values)

    def _rewritten(self) -> Graph:
        whole = self._source.read()
        self._fingerprint = fingerprint(whole)
        read = select_output(whole, self.options.output)
        check_weights(read)
        mode = self.options.batch_norm
        # A gradient at a folded layer would be that of the folded weights, not of the layer's own.
        gradient = self.preset.seed == "gradient"
        graph = canonize(
            read,
            fold=mode not in presets.UNFOLDED and not gradient,
            thresholds=mode == "threshold",
            contrast=self.options.initial == "contrast",
        )
        return with_facts(graph, self.options.input_range)

    @property
    def graph(self) -> Graph:
        """The rewritten graph that is explained.

        Weights that rules hold in another form only (split by sign, say) are NaN in it.
        """
        return self._program.graph

    @property
    def rules(self) -> dict[str, Rule]:
        """The rule that each node got, by node name."""
        return dict(self._program.rules)

    @functools.cached_property
    def decision(self) -> Decision:
        """How the model decides, as measures need to know it."""
        return Decision.of(self.graph)

    def _places(self, layers: str | Sequence[str] | None) -> dict[str, str]:
        return layer_names.look_up(self.graph, layers)

    def _conditions(self, condition: Any) -> Conditions | None:
        def find(name: str) -> dict[str, str]:
            return layer_names.one_call(self.graph, name, "condition: ")

        return conditions.parse(condition, self._program, find)

    def _offer(self) -> Offer:
        own, refused = all_presets(self._base, self.options)

        def build(preset: str) -> Way:
            return (self if preset == own else self._with_preset(preset))._way()

        return Offer(own, refused, build, self.logits, lambda: self.fingerprint)

    def _with_preset(self, preset: str) -> Analyzer:
        """Return an analyzer of the same weights with the same settings, but for the preset."""
        settings = dataclasses.asdict(self.options)
        other = Analyzer(self.model, preset, rules=self._overrides, **settings)
        if other.fingerprint != self.fingerprint:
            raise InputError(
                "The model has other weights by now than this analyzer explains: call refresh()."
            )
        return other

    def _way(self) -> Way:
        """Return how this analyzer explains, and the layers that relevance reaches."""
        named: dict[str, list[str]] = {}
        for layer, node in self.graph.places.items():
            if node in self._program.reached and node not in self.graph.inputs:
                named.setdefault(node, []).append(layer)
        return Way(self.explain, {names[0]: " = ".join(names) for names in named.values()})

    def summary(self, print_fn: Any = None) -> str:
        """Print (or hand to `print_fn`) and return one line per node.

        Name, kind, output shape, rule, why it got that rule (the entry of `rules` or of the preset
        that matched first, or the default of its kind), and notes of what was rewritten. Below:
        the memory that the analyzer holds, beside the model's own.

        Parameters
        ----------
        print_fn
            Called with the text in place of `print`.

        Returns
        -------
        str
            The same text.
        """
        text = str(self._table())
        (print_fn or print)(text)
        return text

    def _table(self) -> Summary:
        program = self._program
        rules = {name: program.rules[name] for name in program.reached if name in program.rules}
        return summary.summary(self.graph, rules, self._why, self.preset.name, program.nbytes)

    def check(self, x: Any, target: Any = None) -> ledger.Check:
        """Account for all relevance of a batch, and compare the rewritten forward pass.

        Parameters
        ----------
        x, target
            As for `__call__`, with one target a sample.

        Returns
        -------
        Check
            Fidelity, and per node what came in, went out, and went to each sink (bias, epsilon,
            padding, empty sums, the rule's design), each from its own formula;
            `lrpkeras.plot.flow` draws it.

        Raises
        ------
        InputError, TargetError
            If `x` or `target` does not fit.

        Examples
        --------
        A bias of 1 beside messages of 3 takes a quarter of the logit:

        >>> import lrpkeras, numpy as np, keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.set_weights([np.array([[3.0]]), np.array([1.0])])
        >>> check = lrpkeras.Analyzer(model, "zero").check(np.ones((1, 1), "float32"))
        >>> check.closes, check.start, check.inputs, check.sinks["bias"]
        (True, 4.0, 3.0, 1.0)
        """
        arrays = self._checked(x)
        parsed = targets.parse(target, int(arrays[0].shape[0]), self._explainer.output_shape)
        inputs = self._explainer.converted(arrays)
        given = self._explainer.values(inputs, parsed, 0)
        values = None if given is None else backend.constant(given)

        def start(forward: Forward) -> Relevance:
            return self._explainer.start(forward, parsed.mode, values)[0]

        def faithful(output: Array) -> float:
            return fidelity(self.graph, self._source, inputs, output)

        return ledger.check(self._program, inputs, start, faithful)

    def refresh(self) -> None:
        """Read all weights of the model again, without tracing anew.

        An analyzer is a snapshot: training the model further does not reach it until then. The
        structure was verified when the analyzer was built, and no pass depends on the values of
        weights; that they are finite is checked again. Not while another thread explains: its maps
        would be of some old weights and some new ones.
        """
        self._program.refresh(self._rewritten())

    def concrete_function(self, batch_size: int | None = None) -> Any:
        """Return the traced graph that explains each sample's winner, for any batch size or one.

        Parameters
        ----------
        batch_size
            The one that it is for; None for any.

        Returns
        -------
        tensorflow.types.experimental.ConcreteFunction or callable
            On JAX, a jitted function of the list of inputs, with the weights as they are now.
        """
        return backend.concrete(self._explainer.function(), batch_size)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the model: its graph, and the weights that are explained.

        They are those from when the analyzer was built, or last refreshed.
        """
        return self._fingerprint

    def export(self, path: str | os.PathLike) -> None:
        """Write a TensorFlow SavedModel, which runs where neither lrpkeras nor Keras is.

        Its signatures take the model's inputs by name, any number of samples:

        - `serving_default` explains each sample's winner: `relevance` (of several inputs
          `relevance_NAME` each), `output` (the logits) and `target` (the class);
        - `explain` the classes `target`, `(samples,)` of type int32;
        - `explain_array` what `factors`, shaped like the output, multiply it to;
        - `logits` is the forward pass alone: `output`;
        - those of the SavedModel that was explained, if it was one, under their own names, with
          `original_` before one that is among these.

        They refuse what an analyzer refuses: values that are not finite or out of `input_range`,
        classes that are none. The settings, this summary, the model's fingerprint and versions are
        recorded as JSON, `assets/lrpkeras.json`. `lrpkeras.load(path)` is called like an analyzer.

        Parameters
        ----------
        path
            A folder that is not there yet; complete or not there at all.

        Raises
        ------
        ModelError
            If there is something at `path`, or Keras does not run on TensorFlow.
        """
        try:
            tensorflow_reader()
        except Refusal as refusal:
            raise ModelError(f"Only TensorFlow writes SavedModels: {refusal.helps}.") from None
        from lrpkeras import export

        about = {**self._about(), "summary": str(self._table())}
        loaded = getattr(self._source, "keep", None)
        export.write(path, self._explainer, self.options.input_range, about, loaded)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "An analyzer cannot be pickled or copied: it holds compiled graphs. Keep the model and "
            "analyzer.get_config(), and build it anew: Analyzer.from_config(config, model)."
        )

    def get_config(self) -> dict[str, Any]:
        """Return all settings but the model as plain values; `from_config` takes them.

        Returns
        -------
        dict of str to Any
            Numbers, texts, lists and dicts, as JSON can hold them.
        """
        return {
            "preset": serialize.preset_to_config(self._base),
            "rules": serialize.entries_to_config(self._overrides),
            **dataclasses.asdict(self.options),
        }

    def _sent(self) -> Callable[[], Runner]:
        config = {**self.get_config(), "verify": False}  # that was done here
        if not isinstance(self.model, keras.Model):
            raise InputError(
                "This analyzer's model is no Keras model that could be sent to other processes: "
                "export it, and explain the data set with lrpkeras.load(path)."
            )
        if fingerprint(self._source.read()) != self._fingerprint:
            raise InputError(
                "The model has other weights than this analyzer explains: call refresh() first."
            )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.keras"
            self.model.save(file)
            return functools.partial(_rebuilt, file.read_bytes(), config)

    def save_config(self, path: str | os.PathLike) -> None:
        """Write all settings but the model to a JSON file; `from_config` takes its path.

        Parameters
        ----------
        path
            The file.
        """
        Path(path).write_text(json.dumps(self.get_config(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | os.PathLike, model: Model) -> Analyzer:
        """Build an analyzer of `model` with the settings of another one.

        Parameters
        ----------
        config
            What `get_config` gave, or the path of what `save_config` wrote.
        model
            As for `Analyzer`; it may be another one.

        Returns
        -------
        Analyzer
            With these settings.

        Raises
        ------
        RuleError
            If `config` is neither.

        Examples
        --------
        >>> import lrpkeras
        >>> model = lrpkeras.datasets.shapes_model()
        >>> config = lrpkeras.Analyzer(model, "gamma").get_config()
        >>> lrpkeras.Analyzer.from_config(config, model).preset.name
        'gamma'
        """
        if isinstance(config, str | os.PathLike):
            config = _settings_of(config)
        expected = {"preset", "rules", *(field.name for field in dataclasses.fields(Options))}
        if not isinstance(config, Mapping) or set(config) != expected:
            raise RuleError(
                f"from_config takes what get_config returned, with the keys {sorted(expected)}."
            )
        settings = dict(config)
        try:
            preset = serialize.preset_from_config(settings.pop("preset"))
            rules = serialize.entries_from_config(settings.pop("rules"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RuleError(
                f"This is not what get_config returned: {type(error).__name__}: {error}."
            ) from error
        return cls(model, preset, rules=rules, **settings)


def _rebuilt(model: bytes, config: Mapping[str, Any]) -> Runner:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        file.write_bytes(model)
        return Analyzer.from_config(config, file)._explainer


def _settings_of(path: str | os.PathLike) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RuleError(
            f"{os.fspath(path)!r} cannot be read as settings: {type(error).__name__}: {error}."
        ) from None


def _intake(source: Source, graph: Graph) -> Intake:
    return Intake(
        names=tuple(graph.inputs),
        shapes=tuple(graph[name].shape for name in graph.inputs),
        structure=source.structure,
        types=tuple(x.dtype for x in source.inputs),
        dtype=graph.dtype,
        rows=row_counts(graph),
    )
