"""Let everything that is compared run in turn.

Noise from other programs then falls on all alike, and ratios, taken round by round, hold where
milliseconds do not.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

Run = Callable[[], float]  # runs once; returns the seconds that it took


def take_turns(
    runs: Mapping[str, Run], budget: float, least: int = 3, most: int = 15
) -> dict[str, list[float]]:
    """Run all in rounds, and return the seconds of every round.

    Parameters
    ----------
    runs
        By name, what to run. Each has run before: first calls are measured apart.
    budget
        Seconds for all rounds together: another is begun if it should end within them.
    least, most
        How many rounds there are whatever the budget says.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    start = last = time.perf_counter()
    gc.disable()  # a collection would fall on whichever is running
    try:
        for number in range(1, most + 1):
            for name, run in runs.items():
                seconds[name].append(run())
            now = time.perf_counter()
            if number >= least and now + (now - last) > start + budget:
                break
            last = now
    finally:
        gc.enable()
    return seconds


def timed(function: Callable[[], object]) -> Run:
    """Return what runs a function once and returns the seconds that it took."""

    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run
