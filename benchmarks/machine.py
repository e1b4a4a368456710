"""What a measurement ran on: without it, no number means anything."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import lrpkeras

# What decides how fast convolutions and matrix products are, as Linux names it.
FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "asimd", "bf16", "sve",
)  # fmt: skip
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
# What makes libraries fast or slow, if it is set.
VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
    "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
NO_BFLOAT16 = f"not asked for, or the processor has none of {', '.join(BFLOAT16_FLAGS)}"


def where() -> dict[str, Any]:
    """Return the machine and the versions."""
    found = _cpu()
    return {
        "processor": found.get("model name") or platform.processor() or platform.machine(),
        "machine": platform.machine(),
        "flags": [flag for flag in FLAGS if flag in flags()],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory": _memory(),
        "system": platform.system() + " " + platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "lrpkeras": lrpkeras.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "load": _load(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
    }


def run(module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return what is to be known of a run that begins: command line, date, machine, versions."""
    # Of paths outside the repository, only what anyone can make sense of.
    shown = [f".../{Path(text).name}" if Path(text).is_absolute() else text for text in arguments]
    when = datetime.datetime.now().isoformat(" ", "minutes")
    return {"command": shlex.join(["python", "-m", module, *shown]), "when": when, **where()}


def flags() -> set[str]:
    """Return what the processor says that it has; empty where it cannot be asked."""
    found = _cpu()
    return set((found.get("flags") or found.get("Features") or "").split())


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    return bool(flags() & set(BFLOAT16_FLAGS))


def _load() -> list[float] | None:
    """Return how many processes waited in the last 1, 5 and 15 minutes: was it idle."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _cpu() -> dict[str, str]:
    """Return what Linux tells of the first core."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory() -> str | None:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        return None
