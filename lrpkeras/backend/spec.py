"""What a compiled function takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """Shape (None where any size goes) and dtype of one array that a compiled function takes."""

    shape: tuple[int | None, ...]
    dtype: str

    @property
    def batched(self) -> bool:
        """Whether the first axis is the batch, of any size."""
        return bool(self.shape) and self.shape[0] is None
