"""The memory that this process holds."""

import ctypes
import gc
import os
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")
counted = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc 2.33 or later"
)


class _Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def held_mb():
    """Return the resident memory as it is."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def allocated_mb():
    """Return what is allocated and not freed, of all threads.

    Unlike resident memory it does not move by tens of MB with what the C library keeps.
    """
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo
    memory = mallinfo2()
    return (memory.uordblks + memory.hblkhd) / 2**20
