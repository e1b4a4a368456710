"""What the lowering of a TensorFlow operation sees, and the registry that says which one it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lrpkeras.graph.draft import Refusal, Tensor
from lrpkeras.graph.moves import Shape

if TYPE_CHECKING:
    from lrpkeras.graph.tensorflow_reader.reading import Reading

Value = Any
Lowering = Callable[["Op"], Any]

LOWERINGS: dict[str, Lowering] = {}
# Those that treat every row alike, so that rows of several samples may be merged.
ROWWISE: set[str] = set()


def lowers(*types: str, rowwise: bool = False) -> Callable[[Lowering], Lowering]:
    """Register a lowering function for types of TensorFlow operations.

    It is called with an `Op` and returns the value (or the list of values) of its outputs.
    `rowwise` says that it acts on the last axis alone, the same at each position.
    """

    def decorate(function: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(types, function))
        ROWWISE.update(types if rowwise else ())
        return function

    return decorate


@dataclass(frozen=True)
class Rows:
    """A tensor whose batch and positions were merged into one axis of rows: `(-1, channels)`.

    Keras' Dense multiplies so where its input has more than two axes. No node can hold it, since
    nodes keep samples apart; operations that treat all rows alike act on `base` instead.
    """

    base: Tensor


@dataclass(frozen=True)
class Blocks:
    """A tensor that SpaceToBatch took apart, as dilated convolutions are spelled out.

    `axis` is one of size 1 that was put in for the convolution alone, `linear` the convolution.
    """

    base: Tensor
    block: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    axis: int | None = None
    linear: tuple[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Op:
    """One operation, its inputs as handles or constants."""

    operation: Any
    reading: Reading
    values: tuple[Value, ...] | None = None

    @property
    def type(self) -> str:
        """The operation's type."""
        kind: str = self.operation.type
        return kind

    @property
    def count(self) -> int:
        """How many inputs it has."""
        return len(self.operation.inputs)

    @property
    def shape(self) -> Shape:
        """The static shape of its first output."""
        return self.reading.shape(self.operation.outputs[0])

    def get(self, attribute: str) -> Any:
        """Return an attribute; text as str."""
        value = self.operation.get_attr(attribute)
        return value.decode() if isinstance(value, bytes) else value

    def is_constant(self, number: int) -> bool:
        """Whether an input does not depend on what the model is called with."""
        return self.reading.constants.is_constant(self.operation.inputs[number])

    def constant(self, number: int) -> np.ndarray:
        """Return an input that must be constant."""
        if not self.is_constant(number):
            raise Refusal(f"input {number} of {self.type} depends on the model's input")
        value = self.reading.constants.value(self.operation.inputs[number])
        if np.iscomplexobj(value):
            raise Refusal("it computes with complex numbers")
        return value

    def tensor(self, number: int = 0) -> Tensor:
        """Return the handle of an input that is not constant."""
        value = self.value(number)
        if not isinstance(value, Tensor):
            raise Refusal(f"{self.type} acts on merged samples, or on a constant")
        return value

    def value(self, number: int = 0) -> Value:
        """Return an input: a handle, or what stands for one."""
        if self.values is not None:
            return self.values[number]
        return self.reading.value(self.operation.inputs[number])

    def either(self, number: int) -> Tensor | np.ndarray:
        """Return an input: a constant if it is one, a handle otherwise."""
        return self.constant(number) if self.is_constant(number) else self.tensor(number)

    @property
    def fixed(self) -> int | None:
        """Which of its inputs is constant, if one is."""
        return next((n for n in range(self.count) if self.is_constant(n)), None)

    @property
    def data(self) -> list[Tensor]:
        """The handles of all inputs; none of them may be constant."""
        return [self.tensor(number) for number in range(self.count)]
