"""The memory that this process holds."""

import gc
import os
from pathlib import Path

import pytest

from lrpkeras.memory import hand_back

STATM = Path("/proc/self/statm")
measured = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


def resident_mb():
    """Return the resident memory, less what Python and the C library would give back if asked."""
    gc.collect()
    hand_back()
    return held_mb()


def held_mb():
    """Return the resident memory as it is."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
