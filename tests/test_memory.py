"""Freed memory goes back to the system."""

import platform
from pathlib import Path

import numpy as np
import pytest

from lrpkeras.memory import hand_back

MIB = 2**20


def resident() -> int:
    """This process's memory in bytes, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory")
def test_memory_between_blocks_in_use_is_handed_back():
    blocks = [np.ones(16384, "uint8") for _ in range(200 * 64)]
    kept, full = blocks[::64], resident()
    del blocks
    hand_back()
    assert len(kept) == 200
    assert resident() < full - 150 * MIB
