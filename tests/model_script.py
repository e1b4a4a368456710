"""The lines of a script that makes a Keras model, each run as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

import lrpkeras


@dataclass
class Writer:
    """Writes the lines that make a network, and runs each one to know the shapes."""

    lines: list[str] = field(default_factory=list)
    space: dict[str, Any] = field(
        default_factory=lambda: {"keras": keras, "layers": layers, "lrpkeras": lrpkeras}
    )
    prefix: str = "t"
    tensors: list[str] = field(default_factory=list)
    count: int = 0

    def run(self, line: str) -> None:
        exec(line, self.space)
        self.lines.append(line)

    def fresh(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count}"

    def input(self, shape: Sequence[int], dtype: str = "float64") -> str:
        name = self.fresh()
        self.run(f"{name} = keras.Input({tuple(shape)}, dtype={dtype!r}, name={name!r})")
        return name

    def layer(self, kind: str, *args: Any, **kwargs: Any) -> str:
        """Make a layer without calling it."""
        name = self.fresh()
        shown = [*map(repr, args), *(f"{k}={v!r}" for k, v in {**kwargs, "name": name}.items())]
        self.run(f"{name} = layers.{kind}({', '.join(shown)})")
        return name

    def call(self, layer: str, *reads: str) -> str:
        name = self.fresh()
        listed = ", ".join(reads)
        self.run(f"{name} = {layer}({listed if len(reads) == 1 else f'[{listed}]'})")
        return name

    def add(self, kind: str, reads: str | Sequence[str], *args: Any, **kwargs: Any) -> str:
        """Make a layer and call it."""
        reads = [reads] if isinstance(reads, str) else reads
        return self.call(self.layer(kind, *args, **kwargs), *reads)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor without batch."""
        return tuple(self.space[name].shape[1:])

    def back(self, number: int) -> str:
        """The tensor so many before the newest; the first ones are as good as any."""
        return self.tensors[-1 - number % len(self.tensors)]

    def sizes(self, name: str) -> tuple[int, ...]:
        return self.shape(name)[:-1]

    def part(self, tensors: list[str], prefix: str | None = None) -> Writer:
        """A writer of more lines of the same script that sees other tensors."""
        child = Writer(self.lines, self.space, prefix or f"{self.fresh()}_", tensors)
        return child
