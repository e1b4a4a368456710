"""An exported analyzer, loaded: called like the one that it was made from, without the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keras import ops

from lrpkeras import backend
from lrpkeras.conditions import Conditions, Ways
from lrpkeras.decision import Decision
from lrpkeras.errors import LrpError, ModelError
from lrpkeras.explore.offer import Offer, Way
from lrpkeras.facade import Facade
from lrpkeras.graph.draft import Refusal
from lrpkeras.graph.tracer import tensorflow_reader
from lrpkeras.options import Options
from lrpkeras.runner import Runner
from lrpkeras.summary import Summary, read

Array = Any


def load(path: str | os.PathLike) -> LoadedAnalyzer:
    """Load what `Analyzer.export` wrote.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    LoadedAnalyzer
        Called like an `Analyzer`, without what needs the model.

    Raises
    ------
    ModelError
        If it is no exported analyzer, or Keras does not run on TensorFlow.

    Examples
    --------
    >>> import lrpkeras, tempfile
    >>> images = lrpkeras.datasets.shapes(2, seed=0).images
    >>> analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     analyzer.export(f"{folder}/shapes")
    ...     loaded = lrpkeras.load(f"{folder}/shapes")
    >>> loaded(images).shape
    TensorShape([2, 48, 48, 3])
    """
    try:
        tensorflow_reader()
    except Refusal as refusal:
        raise ModelError(f"An exported analyzer runs on TensorFlow: {refusal.helps}.") from None
    from lrpkeras import export

    return LoadedAnalyzer(*export.read(path), path=Path(path).absolute())


class LoadedAnalyzer(Facade["Recorded"]):
    """Explains as the analyzer did that was exported: same weights, rules and settings.

    It is called like an `Analyzer`; relevance of hidden layers and under conditions, `check` and
    `refresh` need the model, which it has not. Several classes of a sample are explained one after
    the other. `lrpkeras.load` makes one.

    Attributes
    ----------
    options
        The settings that it was built with.
    versions
        Of lrpkeras, Keras, TensorFlow and Python, when it was exported.
    """

    def __init__(self, saved: Any, record: Mapping[str, Any], path: Path) -> None:
        self._path = path
        try:
            settings = {**record["config"]}
            self._preset, self._rules = settings.pop("preset"), settings.pop("rules")
            self.options = Options(**settings)
            self.versions = dict(record["versions"])
            self._fingerprint = str(record["fingerprint"])
            self._decision: Decision = record["decision"]
            self._summary = str(record["summary"])
            explainer = Recorded(saved, record, self.options)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The exported analyzer's record is damaged: {type(error).__name__}: {error}."
            ) from None
        super().__init__(explainer, self.options.input_range)

    def __repr__(self) -> str:
        return f"LoadedAnalyzer(preset={self._preset['name']!r}, versions={self.versions})"

    def _sent(self) -> Callable[[], Runner]:
        return partial(_loaded_runner, self._path)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the model that was explained: its graph and weights."""
        return self._fingerprint

    @property
    def decision(self) -> Decision:
        """How the model decides that was explained, as measures need to know it."""
        return self._decision

    def _places(self, layers: str | Sequence[str] | None) -> dict[str, str]:
        if layers is not None:
            raise LrpError(
                "An exported analyzer has no hidden layers: explain them with "
                "lrpkeras.Analyzer(model), or export one with output=..."
            )
        return {}

    def _conditions(self, condition: Any) -> Conditions | None:
        if condition is not None:
            raise LrpError(
                "An exported analyzer takes no condition: it has no hidden layers. Build "
                "lrpkeras.Analyzer(model)."
            )
        return None

    def _offer(self) -> Offer:
        name = str(self._preset["name"])
        note = (
            "An exported analyzer has its one preset, and no hidden layers: for others build "
            "lrpkeras.Analyzer(model)."
        )
        way = Way(self.explain, {})
        return Offer(
            name, {name: ""}, lambda preset: way, self.logits, lambda: self.fingerprint, note
        )

    def summary(self, print_fn: Any = None) -> str:
        """Print (or hand to `print_fn`) and return the summary as it was when exported."""
        (print_fn or print)(self._summary)
        return self._summary

    def _table(self) -> Summary:
        return read(self._summary, str(self._preset["name"]))

    def get_config(self) -> dict[str, Any]:
        """Return all settings as plain values; `Analyzer.from_config` takes them with a model."""
        settings = {name: getattr(self.options, name) for name in self.options.__dataclass_fields__}
        return {"preset": self._preset, "rules": self._rules, **settings}


def _loaded_runner(path: Path) -> Runner:
    return load(path)._explainer


class Recorded(Runner):
    """Runs the signatures of an exported analyzer.

    Parameters
    ----------
    saved
        What `tf.saved_model.load` returned.
    record
        What was recorded beside it.
    options
        Among them whether XLA compiles.
    """

    chunk = 1

    def __init__(self, saved: Any, record: Mapping[str, Any], options: Options) -> None:
        super().__init__(record["intake"])
        self._saved = saved  # it holds the variables
        self._output_shape = record["output_shape"]
        self._arguments, self._maps = tuple(record["arguments"]), tuple(record["maps"])
        self._compiled = {
            (mode, several): backend.compile(
                self._traceable(saved.signatures[name], argument, several),
                self._signature(mode, 1),
                jit_compile=options.jit_compile,
            )
            for mode, (name, argument) in record["signatures"].items()
            for several in ((False, True) if argument == "target" else (False,))
        }

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Static shape of the explained output, with batch."""
        return self._output_shape

    def run(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Explain one batch, on one device."""
        return super().run(*arguments, **{**options, "devices": ()})

    def function(
        self,
        mode: str = "winner",
        k: int = 1,
        layers: tuple[str, ...] = (),
        several: bool = False,
        ways: Ways | None = None,
    ) -> backend.Compiled:
        """Return the compiled function for one kind of target."""
        return self._compiled[mode, several]

    def _traceable(
        self, signature: Callable, argument: str | None, several: bool
    ) -> Callable[..., Any]:
        def explain(held: Any, inputs: Sequence[Array], *given: Array) -> Any:
            named = zip(self._arguments, inputs, self.intake.types, strict=True)
            arguments = {name: ops.cast(x, dtype) for name, x, dtype in named}
            if argument:
                arguments[argument] = given[0][:, 0] if argument == "target" else given[0]
            found = signature(**arguments)
            if "target" not in found:
                return found["output"]
            maps, target = [found[name] for name in self._maps], found["target"]
            if several:
                maps, target = [ops.expand_dims(x, 1) for x in maps], ops.expand_dims(target, 1)
            output = found["output"]
            return {"relevance": maps, "layers": {}, "output": output, "target": target}

        return explain
