"""What every explainer does with batches: targets in chunks, sizes, devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from lrpkeras import backend, targets
from lrpkeras.conditions import Conditions, Ways
from lrpkeras.errors import LrpError
from lrpkeras.inputs import Intake
from lrpkeras.targets import Target

Array = Any


class Runner(ABC):
    """Explains batches by compiled functions, whoever compiled them.

    Parameters
    ----------
    intake
        The inputs' names, shapes and types.

    Attributes
    ----------
    chunk
        Classes (times conditions) explained at once: relevance of so many is in memory together.
    """

    chunk = 10

    def __init__(self, intake: Intake) -> None:
        self.intake = intake

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int | None, ...]:
        """Static shape of the explained output, with batch."""

    def anew(self) -> Runner:
        """Return one that explains the same and has explained nothing yet."""
        return self

    @abstractmethod
    def function(
        self,
        mode: str = "winner",
        k: int = 1,
        layers: tuple[str, ...] = (),
        several: bool = False,
        ways: Ways | None = None,
    ) -> backend.Compiled:
        """Return the compiled function for one kind of target and condition; "output" has none."""

    def _signature(self, mode: str, k: int) -> list[Any]:
        """Return what a compiled function takes: the inputs, and the values of a target."""
        dtype = self.intake.dtype
        signature: list[Any] = [[backend.Spec(shape, dtype) for shape in self.intake.shapes]]
        if mode == "index":
            signature.append(backend.Spec((None, k), "int32"))
        elif mode == "array":
            signature.append(backend.Spec(self.output_shape, dtype))
        return signature

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
        parts = [None] if conditions is None else conditions.chunks(max(1, self.chunk // target.k))
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
        if target.mode == "index" and target.k > self.chunk:
            parts = [values[:, i : i + self.chunk] for i in range(0, target.k, self.chunk)]
        results = []
        for part in parts:
            k = part.shape[1] if target.mode == "index" else 1
            function = self.function(target.mode, k, layers, target.several, ways)
            results.append(_call(function, inputs, part, room, masks))
        return _chained(results, 1, ("relevance", "layers", "target"))

    def converted(self, arrays: Sequence[Array]) -> list[Array]:
        """Return arrays as tensors of the type that is computed in."""
        # By way of the type of the model's input: the model would round to that, too.
        types = zip(arrays, self.intake.types, strict=True)
        given = [backend.constant(array, dtype=dtype) for array, dtype in types]
        return [backend.constant(array, dtype=self.intake.dtype) for array in given]

    def values(self, inputs: list[Array], target: Target, start: int) -> Any:
        """Return the target's values for one batch; a callable is asked here."""
        count = int(inputs[0].shape[0])
        if not callable(target.values):
            return target.batch(start, start + count)
        output = self.function("output")(inputs)
        return targets.answer(target.values, output)


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


def _chained(chunks: list[dict[str, Any]], axis: int, keys: Sequence[str]) -> dict[str, Any]:
    """Put several results together along an axis that those called `keys` have."""
    if len(chunks) == 1:
        return chunks[0]

    def joined(*arrays: Array) -> Array:
        return ops.concatenate(arrays, axis=axis)

    together = {key: keras.tree.map_structure(joined, *(c[key] for c in chunks)) for key in keys}
    return {**chunks[0], **together}
