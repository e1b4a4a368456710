"""The version of this package, and of what it runs on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import keras

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Return versions by name: lrpkeras, Keras, its backend and Python."""
    backend = keras.backend.backend()
    return {
        "lrpkeras": __version__,
        "keras": keras.__version__,
        backend: _installed(backend),
        "python": platform.python_version(),
    }


def _installed(backend: str) -> str:
    """Return a backend's version: TensorFlow has several packages."""
    for name in (backend, f"{backend}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
