"""Functions traced into one graph that serves every batch size."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import keras
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Tensor, constant

# Whether what is being traced is for XLA: some of its kernels break ties differently.
traced_for_xla: ContextVar[bool] = ContextVar("traced_for_xla", default=False)
# Whether elementwise runs within what is being traced become compiled islands.
_fuses: ContextVar[bool] = ContextVar("_fuses", default=False)
# Entries of one sample from which an island pays: a launch costs as much as passes over 2^14.
LARGE = 2**14


@dataclass(frozen=True)
class Spec:
    """Shape (None where any size goes) and dtype of one array that a compiled function takes."""

    shape: tuple[int | None, ...]
    dtype: str


class Compiled:
    """A function traced once for every batch size, on the first call; safe from any thread.

    It keeps `function` alive, and with it the variables that the traced graph reads.
    """

    def __init__(self, function: Callable, signature: Any, jit_compile: bool) -> None:
        self.trace_count = 0
        self._function = function
        self._signature = tuple(signature) if isinstance(signature, list | tuple) else (signature,)
        self._graphs: dict[int | None, Any] = {}
        self._lock = threading.RLock()
        self.jit_compile = jit_compile

    def __call__(self, *arguments: Any) -> Any:
        """Call with one value (nested as the signature is) per positional argument."""
        graph = self.graph()
        leaves = keras.tree.map_structure_up_to(
            self._signature, _as_spec, self._signature, arguments
        )
        return graph(*keras.tree.pack_sequence_as(self._signature, keras.tree.flatten(leaves)))

    def graph(self, batch_size: int | None = None) -> Any:
        """Return the traced concrete function, for one batch size or (None) for any."""
        with self._lock:
            if batch_size not in self._graphs:
                specs = keras.tree.map_structure(
                    lambda spec: _tensor_spec(spec, batch_size), self._signature
                )
                # A function of its own, or TensorFlow would serve 5 with the graph for any size.
                traceable = tf.function(self._trace, jit_compile=self.jit_compile, autograph=False)
                self._graphs[batch_size] = traceable.get_concrete_function(*specs)
            return self._graphs[batch_size]

    def _trace(self, *arguments: Any) -> Any:
        self.trace_count += 1
        tokens = traced_for_xla.set(self.jit_compile), _fuses.set(not self.jit_compile)
        try:
            return self._function(*arguments)
        finally:
            traced_for_xla.reset(tokens[0])
            _fuses.reset(tokens[1])


def fused(function: Callable, *arrays: Any) -> Any:
    """Return `function(*arrays)`, of an elementwise function, in one pass over memory if it pays.

    TensorFlow runs one operation after another, each over all entries. Where large arrays are
    traced for a CPU, XLA compiles the function alone to one loop; convolutions stay with oneDNN,
    which XLA's do not match.

    Parameters
    ----------
    function
        A function of a module, of arrays alone: it is compiled once for each kind of array.
    """
    sizes = [_entries(array) for array in arrays]
    if not _fuses.get() or max(sizes) < LARGE:
        return function(*arrays)
    return _island(function)(*arrays)


@cache
def _island(function: Callable) -> Any:
    return tf.function(function, jit_compile=True, autograph=False)


def _entries(array: Any) -> int:
    """How many entries an array has, counting an unknown size as one."""
    shape = getattr(array, "shape", ())
    return math.prod(n for n in shape if n is not None)


def compile(
    function: Callable, signature: Any, *, jit_compile: bool | Literal["auto"] = "auto"
) -> Compiled:
    """Return `function` as one graph that serves every batch size.

    Parameters
    ----------
    function : takes and returns tensors, or nested structures of them
    signature : a tuple or list with one entry per positional argument, each a `Spec` or a nested
        structure of them
    jit_compile : use XLA; "auto" does where a GPU is visible
    """
    if jit_compile == "auto":
        jit_compile = bool(tf.config.list_physical_devices("GPU"))
    return Compiled(function, signature, jit_compile)


def concrete(compiled: Compiled, batch_size: int | None = None) -> Any:
    """Return the concrete function of `compiled`, for one batch size or (None) for any.

    It lives as long as `compiled` does.
    """
    return compiled.graph(batch_size)


def trace_count(compiled: Compiled) -> int:
    """How many times `compiled` has been traced."""
    return compiled.trace_count


def _as_spec(spec: Spec, value: Any) -> Tensor:
    return constant(value, spec.dtype)


def _tensor_spec(spec: Spec, batch_size: int | None) -> Any:
    first, *rest = spec.shape or (None,)
    if spec.shape and first is None:
        return tf.TensorSpec((batch_size, *rest), spec.dtype)
    return tf.TensorSpec(spec.shape, spec.dtype)
