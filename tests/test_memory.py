"""Freed memory goes back to the system."""

import platform

import numpy as np
import pytest
from memory import held_mb

from lrpkeras.memory import hand_back


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory")
def test_memory_between_blocks_in_use_is_handed_back():
    blocks = [np.ones(16384, "uint8") for _ in range(200 * 64)]
    kept, full = blocks[::64], held_mb()
    del blocks
    hand_back()
    assert len(kept) == 200
    assert held_mb() < full - 150
