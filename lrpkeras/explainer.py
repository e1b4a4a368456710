"""The compiled functions behind an analyzer: one for each kind of target and set of layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import ops

from lrpkeras import backend, targets
from lrpkeras.conditions import Conditions, Ways
from lrpkeras.errors import LrpError
from lrpkeras.inputs import Intake
from lrpkeras.presets import Preset
from lrpkeras.propagate import Forward, Prepared, Program, Sieve
from lrpkeras.rules import Relevance
from lrpkeras.targets import Mode, Target
from lrpkeras.unit_start import signs

Array = Any

# Classes (times conditions) explained at once: relevance of so many is held in memory together.
CHUNK = 10


class Explainer:
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
        self.program = program
        self._preset, self._initial, self._intake = preset, initial, intake
        self._jit_compile = jit_compile
        self._compiled: dict[Any, backend.Compiled] = {}
        self._lock = threading.Lock()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Static shape of the explained output, with batch."""
        graph = self.program.graph
        return graph[graph.outputs[0]].shape

    def run(
        self,
        arrays: Sequence[Array],
        target: Target,
        start: int,
        layers: tuple[str, ...],
        batch_size: int = 0,
        conditions: Conditions | None = None,
        devices: tuple[Any, ...] = (),
    ) -> dict[str, Any]:
        """Explain one batch.

        Parameters
        ----------
        arrays
            One for each input.
        target
            For the whole data set, of which this batch begins at `start`.
        layers
            Node names whose outputs' relevance is wanted too.
        batch_size
            The size of the other batches: XLA, which compiles for each size anew, gets a smaller
            one filled up.
        conditions
            Through which channels relevance flows.
        devices
            What the batch is split over; where the backend computes, if there are none.

        Returns
        -------
        Tensors: "relevance", one per input; "layers" by node name; "output"; "target".
        """
        inputs = self.converted(arrays)
        values = self.values(inputs, target, start)
        parts = [None] if conditions is None else conditions.chunks(max(1, CHUNK // target.k))
        axis = 2 if target.several else 1
        return _chained(
            [
                self._targets(inputs, target, values, layers, _Room(batch_size, devices), part)
                for part in parts
            ],
            axis,
            ("relevance", "layers"),
        )

    def _targets(
        self,
        inputs: list[Array],
        target: Target,
        values: Any,
        layers: tuple[str, ...],
        room: _Room,
        conditions: Conditions | None,
    ) -> dict[str, Any]:
        """Explain all targets of one batch under a few conditions."""
        ways, masks = (None, None) if conditions is None else (conditions.ways, conditions.arrays)
        parts = [values]
        if target.mode == "index" and target.k > CHUNK:
            parts = [values[:, i : i + CHUNK] for i in range(0, target.k, CHUNK)]
        results = []
        for part in parts:
            k = part.shape[1] if target.mode == "index" else 1
            function = self.function(target.mode, k, layers, target.several, ways)
            results.append(_call(function, inputs, part, room, masks))
        return _chained(results, 1, ("relevance", "layers", "target"))

    def converted(self, arrays: Sequence[Array]) -> list[Array]:
        """Return arrays as tensors of the type that is computed in."""
        # By way of the type of the model's input: the model would round to that, too.
        types = zip(arrays, self._intake.types, strict=True)
        given = [backend.constant(array, dtype=dtype) for array, dtype in types]
        return [backend.constant(array, dtype=self._intake.dtype) for array in given]

    def values(self, inputs: list[Array], target: Target, start: int) -> Any:
        """Return the target's values for one batch; a callable is asked here."""
        count = int(inputs[0].shape[0])
        if not callable(target.values):
            return target.batch(start, start + count)
        output = self.function("output")(inputs)
        return targets.answer(target.values, output)

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
                function = self._forward
                if mode != "output":
                    function = self._traceable(mode, k, layers, several, ways)
                self._compiled[key] = backend.compile(
                    function,
                    self._signature(mode, k, ways),
                    variables=self.program.prepared,
                    jit_compile=self._jit_compile,
                )
            return self._compiled[key]

    def _signature(self, mode: str, k: int, ways: Ways | None) -> list[Any]:
        dtype = self._intake.dtype
        signature: list[Any] = [[backend.Spec(shape, dtype) for shape in self._intake.shapes]]
        if mode == "index":
            signature.append(backend.Spec((None, k), "int32"))
        elif mode == "array":
            signature.append(backend.Spec(self.output_shape, dtype))
        if ways is not None:
            sizes = ways.sizes(self.program.graph)
            signature.append([backend.Spec((ways.count, size), dtype) for size in sizes])
        return signature

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


@dataclass(frozen=True)
class _Room:
    """What a batch is explained on: the size that it is filled up to, and devices to split it."""

    batch_size: int
    devices: tuple[Any, ...]

    def size(self, count: int) -> int:
        """Return what `count` samples are filled up to: equal parts for all devices."""
        parts = max(1, len(self.devices))
        return -(-max(count, self.batch_size) // parts) * parts

    def run(self, function: backend.Compiled, *arguments: Any) -> dict[str, Any]:
        """Call a compiled function."""
        if not self.devices:
            return dict(function(*arguments))
        return dict(backend.spread(function, self.devices, *arguments))


def check_finite(relevance: Sequence[Array]) -> None:
    """Raise `LrpError` where relevance is NaN or infinite: no map is better than such a map."""
    if not all(bool(ops.all(ops.isfinite(array))) for array in relevance):
        raise LrpError(
            "The relevance is not finite: some activation is too large or too small for the type "
            "that is computed in. analyzer.check(x) tells where; a float64 model, or inputs and "
            "weights of a common size, help."
        )


def _call(
    function: backend.Compiled,
    inputs: list[Array],
    values: Any,
    room: _Room,
    masks: list[Array] | None,
) -> dict[str, Any]:
    """Call a compiled function on a batch, filled up where XLA compiles."""
    count = int(inputs[0].shape[0])
    held = [] if values is None else [backend.constant(values)]
    last = [] if masks is None else [masks]
    size = room.size(count)
    if not function.jit_compile or count == size:
        return room.run(function, inputs, *held, *last)
    filled = [_filled(array, size) for array in (*inputs, *held)]
    result = room.run(function, filled[: len(inputs)], *filled[len(inputs) :], *last)
    return dict(keras.tree.map_structure(lambda array: array[:count], result))


def _filled(array: Array, size: int) -> Array:
    """Repeat the last sample until there are `size`."""
    missing = size - int(array.shape[0])
    return ops.concatenate([array, ops.repeat(array[-1:], missing, axis=0)], axis=0)


def _batch_first(relevance: Array) -> Array:
    """`(k, batch, ...)` -> `(batch, k, ...)`."""
    return ops.swapaxes(relevance, 0, 1)


def _only(relevance: Array) -> Array:
    """`(1, batch, ...)` -> `(batch, ...)`: one target a sample by nature."""
    return ops.squeeze(relevance, 0)


def _chained(chunks: list[dict[str, Any]], axis: int, keys: Sequence[str]) -> dict[str, Any]:
    """Put several results together along an axis that those called `keys` have."""
    if len(chunks) == 1:
        return chunks[0]

    def joined(*arrays: Array) -> Array:
        return ops.concatenate(arrays, axis=axis)

    together = {key: keras.tree.map_structure(joined, *(c[key] for c in chunks)) for key in keys}
    return {**chunks[0], **together}
