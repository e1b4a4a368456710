"""A name for a model: its graph and its weights."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from lrpkeras.graph.graph import Graph


def fingerprint(graph: Graph) -> str:
    """Return 16 hexadecimal digits that differ for graphs of other nodes, names or weights.

    Parameters
    ----------
    graph
        As it was read, before anything is rewritten.
    """
    digest = hashlib.sha256()
    for part in _bytes([*graph, graph.inputs, graph.outputs]):
        digest.update(part)
    return digest.hexdigest()[:16]


def _bytes(value: Any) -> Iterator[bytes]:
    """Yield what two values have alike if, and only if, they are equal."""
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        # Every analyzer is named when it is built: two sums take a quarter of SHA-256's time.
        held = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        yield f"{zlib.crc32(held):08x}{zlib.adler32(held):08x}".encode()
    elif is_dataclass(value):
        yield type(value).__name__.encode()
        for field in fields(value):
            # Python functions are not compared: the name of what they compute is a field, too.
            if field.compare:
                yield f"{field.name}=".encode()
                yield from _bytes(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _bytes(part)
            yield b";"
    elif isinstance(value, dict):
        for key in value:
            yield from _bytes((key, value[key]))
    elif value is None or isinstance(value, str | int | float | bool | np.generic | frozenset):
        yield repr(value if not isinstance(value, frozenset) else sorted(value)).encode()
    elif isinstance(value, type) or callable(value):
        yield f"{value.__module__}.{getattr(value, '__qualname__', '')}".encode()
    else:
        yield str(value).encode()
