"""Results that are kept: those used last, as many as there is room for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Recent(Generic[Result]):
    """Results by key; of too many those are dropped that were used longest ago.

    Parameters
    ----------
    room
        What all results together may take. The last one is kept whatever it takes.
    size
        What a result takes; by default 1, so that `room` is their number.

    Examples
    --------
    >>> recent = Recent(2)
    >>> [recent.get(key, lambda key=key: key.upper()) for key in "abac"]
    ['A', 'B', 'A', 'C']
    >>> list(recent.held)
    ['a', 'c']
    """

    def __init__(self, room: int, size: Callable[[Result], int] = lambda result: 1) -> None:
        self.held: OrderedDict[Hashable, Result] = OrderedDict()
        self._room, self._size = room, size

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Return the result of a key, made if it is not held; an error is not kept."""
        if key not in self.held:
            self.held[key] = make()
        self.held.move_to_end(key)
        while len(self.held) > 1 and sum(map(self._size, self.held.values())) > self._room:
            self.held.popitem(last=False)
        return self.held[key]
