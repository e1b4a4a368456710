"""The compiled functions behind an analyzer: one for each kind of target and set of layers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

from keras import ops

from lrpkeras import backend, targets
from lrpkeras.conditions import Ways
from lrpkeras.inputs import Intake
from lrpkeras.presets import Preset
from lrpkeras.propagate import Forward, Prepared, Program, Sieve
from lrpkeras.rules import Relevance
from lrpkeras.runner import Runner
from lrpkeras.targets import Mode
from lrpkeras.unit_start import signs

Array = Any


class Explainer(Runner):
    """Runs a program on batches, tracing each function once, from any thread.

    Parameters
    ----------
    program
        Graph and rules.
    preset
        Says from what relevance starts, and whether the result is multiplied by the input.
    initial
        "logit", "unit" or "contrast", as `Analyzer` takes it.
    intake
        The inputs' names and shapes.
    jit_compile
        Whether XLA compiles.
    """

    def __init__(
        self,
        program: Program,
        preset: Preset,
        initial: str,
        intake: Intake,
        jit_compile: bool | Literal["auto"],
    ) -> None:
        super().__init__(intake)
        self.program = program
        self._preset, self._initial = preset, initial
        self._jit_compile = jit_compile
        self._compiled: dict[Any, backend.Compiled] = {}
        self._lock = threading.Lock()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Static shape of the explained output, with batch."""
        graph = self.program.graph
        return graph[graph.outputs[0]].shape

    def anew(self) -> Explainer:
        """Return one that has traced nothing yet: no batch has gone through it."""
        settings = self._preset, self._initial, self.intake, self._jit_compile
        return Explainer(self.program, *settings)

    def function(
        self,
        mode: str = "winner",
        k: int = 1,
        layers: tuple[str, ...] = (),
        several: bool = False,
        ways: Ways | None = None,
    ) -> backend.Compiled:
        """Return the compiled function for one kind of target and condition; each is made once."""
        key = (mode, k, layers, several, ways)
        with self._lock:
            if key not in self._compiled:
                self._compiled[key] = self._made(*key, self._jit_compile)
            return self._compiled[key]

    def portable(self, mode: str) -> backend.Compiled:
        """Return a function that is kept by others: of one target a sample, without XLA."""
        return self._made(mode, 1, (), False, None, False)

    def _made(
        self,
        mode: str,
        k: int,
        layers: tuple[str, ...],
        several: bool,
        ways: Ways | None,
        jit_compile: bool | Literal["auto"],
    ) -> backend.Compiled:
        function = self._forward
        if mode != "output":
            function = self._traceable(mode, k, layers, several, ways)
        return backend.compile(
            function,
            [*self._signature(mode, k), *self._masks(ways)],
            variables=self.program.prepared,
            jit_compile=jit_compile,
        )

    def _masks(self, ways: Ways | None) -> list[Any]:
        if ways is None:
            return []
        sizes = ways.sizes(self.program.graph)
        return [[backend.Spec((ways.count, size), self.intake.dtype) for size in sizes]]

    def _forward(self, arrays: Prepared, inputs: list[Array]) -> Array:
        return self.program.forward(inputs, arrays).values[self.program.graph.outputs[-1]]

    def _traceable(
        self, mode: Any, k: int, layers: tuple[str, ...], several: bool, ways: Ways | None
    ) -> Callable[..., dict[str, Any]]:
        targets_first = _batch_first if several else _only

        def arranged(relevance: Array) -> Array:
            if ways is None:
                return targets_first(relevance)
            return ways.arranged(relevance, k, several)

        def explain(arrays: Prepared, inputs: list[Array], *given: Any) -> dict[str, Any]:
            forward = self.program.forward(inputs, arrays)
            start, classes = self.start(forward, mode, None if mode == "winner" else given[0])
            sieve = Sieve()
            if ways is not None:
                start = start.with_array(ways.starts(start.array))
                sieve = ways.sieve(self.program, given[-1], k)
            relevance, hidden = self.program.backward(forward, start, layers, sieve=sieve)
            if self._preset.times_input:
                relevance = [r * x for r, x in zip(relevance, inputs, strict=True)]
            return {
                "relevance": [arranged(r) for r in relevance],
                "layers": {name: arranged(r) for name, r in hidden.items()},
                "output": forward.values[self.program.graph.outputs[-1]],
                "target": targets_first(ops.transpose(classes)),
            }

        return explain

    def start(self, forward: Forward, mode: Mode, values: Any) -> tuple[Relevance, Array]:
        """Return relevance of the output, as preset and `initial` say, and the class numbers."""
        output = forward.output(self.program.graph)
        factors, classes = targets.factors(mode, values, output)
        if self._preset.seed == "gradient":
            return Relevance(factors), classes
        if self._initial != "unit":
            return Relevance(factors, "ratio"), classes
        return Relevance(factors * signs(self.program, forward)), classes


def _batch_first(relevance: Array) -> Array:
    """`(k, batch, ...)` -> `(batch, k, ...)`."""
    return ops.swapaxes(relevance, 0, 1)


def _only(relevance: Array) -> Array:
    """`(1, batch, ...)` -> `(batch, ...)`: one target a sample by nature."""
    return ops.squeeze(relevance, 0)
