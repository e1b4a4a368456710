"""The memory that this process holds."""

import ctypes
import gc
import os
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")
measured = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


def resident_mb():
    """Return the resident memory, less what Python and the C library would give back if asked."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
