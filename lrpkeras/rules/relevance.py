"""Relevance on its way back: an array, and the form in which it is carried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Array = Any


@dataclass(frozen=True)
class Relevance:
    """Relevance of one tensor for k targets.

    Attributes
    ----------
    array
        Shape `(k, batch, ...)`: one array for each target.
    form
        "R" for relevance itself; "ratio" for relevance divided by the value of the tensor, in
        which many rules need no division: `R = array * value`.
    """

    array: Array
    form: Literal["R", "ratio"] = "R"

    @property
    def is_ratio(self) -> bool:
        """Whether the array still waits to be multiplied by the tensor's value."""
        return self.form == "ratio"

    def absolute(self, value: Array) -> Array:
        """Return relevance itself, given the value `(batch, ...)` of the tensor."""
        return self.array * value if self.is_ratio else self.array

    def with_array(self, array: Array) -> Relevance:
        """Return an array in the same form."""
        return Relevance(array, self.form)


def added(parts: list[Relevance], value: Array) -> Relevance:
    """Add relevance that several consumers of one tensor send back."""
    if len(parts) == 1:
        return parts[0]
    same = all(part.is_ratio for part in parts)
    arrays = [part.array if same else part.absolute(value) for part in parts]
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return Relevance(total, "ratio" if same else "R")
