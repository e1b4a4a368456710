"""What one way costs a fresh process: `python -m benchmarks.fresh VGG16 epsilon 16`.

Seconds from the model to the first explanation, and memory. Linux tells how much: the resident
memory of the process now (VmRSS) and at most since it was last told to forget (VmHWM). "loaded":
TensorFlow imported, the model built and called once, without a graph, on one image; "built": the
function or analyzer built and called on one image; "building": the most until then; "explaining":
the most during three calls on the batch. What it adds is the larger of both, less "loaded": the
analyzer's own copies of weights are part of it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import Cell

ROOT = Path(__file__).parents[1]
CALLS = 3


def in_a_process(name: str, what: str, batch: int, size: int | None = None) -> Cell:
    """Measure in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """
    command = [sys.executable, "-m", "benchmarks.fresh", name, what, str(batch), str(size or 0)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1:] or f"status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, what: str, batch: int, size: int | None = None) -> Cell:
    """Measure in this process, which must have done nothing before."""
    from benchmarks import networks, ways

    model = networks.build(name, size)
    one, images = ways.images(model, 1), ways.images(model, batch)
    model(one, training=False)
    loaded = memory("VmRSS")
    forget_peak()
    start = time.perf_counter()
    call, _ = ways.built(model, what)
    built = time.perf_counter()
    call(one)
    called = time.perf_counter()
    held, building = memory("VmRSS"), memory("VmHWM")
    forget_peak()
    for _ in range(CALLS):
        call(images)
    return {
        "batch": batch,
        "build": built - start,
        "first_call": called - built,
        "loaded": loaded,
        "built": held,
        "building": building,
        "explaining": memory("VmHWM"),
    }


def medians(cells: list[Cell]) -> Cell:
    """Return the median of every number over processes; the lower one of two."""
    return {
        key: None if cells[0][key] is None else statistics.median_low(cell[key] for cell in cells)
        for key in cells[0]
    }


def peak(cell: Cell) -> int | None:
    """Return the most memory that the process ever took, if it could be read."""
    return None if cell["explaining"] is None else max(cell["building"], cell["explaining"])


def added(cell: Cell) -> int | None:
    """Return the most memory beyond what was loaded, if it could be read."""
    most = peak(cell)
    return None if most is None else most - cell["loaded"]


def memory(key: str) -> int | None:
    """Return an entry of Linux' account of this process, in bytes; None on other systems."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith(key + ":")]
    return 1024 * int(found[0][1]) if found else None


def forget_peak() -> None:
    """Have Linux count the most memory anew: what building the model took for a moment is over."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is that of the whole process


if __name__ == "__main__":
    network, way, number, pixels = sys.argv[1:]
    print(json.dumps(measure(network, way, int(number), int(pixels) or None)))
