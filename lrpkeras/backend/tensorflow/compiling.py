"""Functions traced into one graph that serves every batch size."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice, pairwise
from typing import Any, Literal

import keras
import tensorflow as tf

from lrpkeras.backend.spec import Spec
from lrpkeras.backend.tensorflow.arrays import Tensor, constant, copy_on

# Whether what is being traced is for XLA: some of its kernels break ties differently.
traced_for_xla: ContextVar[bool] = ContextVar("traced_for_xla", default=False)
# Entries of one sample from which an island pays: a launch costs as much as passes over 2^14.
LARGE = 2**14
# Batch sizes that islands are compiled for, and how many more where each is larger than all before:
# after a few trials and odd last batches the one that counts still gets them. XLA compiles islands
# anew for each size (0.7 s and 3 MB for ResNet50) and never forgets one; every other size runs a
# graph without.
MOST_SIZES = 4
MOST_LARGER_SIZES = 4


@dataclass
class _Tracing:
    """A trace for a CPU: whether large elementwise runs become islands, and how many there are.

    Islands that read what is in `inlined`, by its id, compute it for themselves: the array, the
    function that it comes from, and what that reads.
    """

    fuses: bool
    runs: int = 0
    inlined: dict[int, tuple[Tensor, Callable, tuple[Tensor, ...]]] = field(default_factory=dict)


_tracing: ContextVar[_Tracing | None] = ContextVar("_tracing", default=None)


class Compiled:
    """A function traced once for every batch size, on the first call; safe from any thread.

    Where it has compiled islands it is traced a second time, without, when it meets a batch size
    too many. It keeps the variables alive, which the traced graph reads at each call.
    """

    def __init__(
        self, function: Callable, signature: Any, variables: Any, jit_compile: bool
    ) -> None:
        self.trace_count = 0
        self._function = function
        self._variables = variables
        self._signature = tuple(signature) if isinstance(signature, list | tuple) else (signature,)
        self._graphs: dict[tuple[int | None, bool], Any] = {}
        self._handed: Any = None
        self._sizes: set[int] = set()
        self._lock = threading.RLock()
        self.jit_compile = jit_compile

    def __call__(self, *arguments: Any) -> Any:
        """Call with one value (nested as the signature is) per positional argument."""
        leaves = self._leaves(arguments)
        graph = self._graph(None, self._is_compiled_for(leaves))
        return graph(*keras.tree.pack_sequence_as(self._signature, leaves))

    def _leaves(self, arguments: Any) -> list[Tensor]:
        """Return arguments as tensors, in one list."""
        values = keras.tree.map_structure_up_to(
            self._signature, _as_spec, self._signature, arguments
        )
        return list(keras.tree.flatten(values))

    def _batch_size(self, leaves: list[Tensor]) -> int:
        """Return how many samples the arguments have; 0 where none of them has a batch."""
        pairs = zip(leaves, keras.tree.flatten(self._signature), strict=True)
        return next((int(x.shape[0]) for x, spec in pairs if spec.batched), 0)

    def shares(self, arguments: Any, count: int) -> list[Any]:
        """Return the arguments in at most `count` parts, what has a batch being split."""
        leaves, specs = self._leaves(arguments), keras.tree.flatten(self._signature)
        size = self._batch_size(leaves)
        cuts = [-(-size * number // count) for number in range(count + 1)]
        return [
            keras.tree.pack_sequence_as(
                self._signature,
                [x[low:high] if spec.batched else x for x, spec in zip(leaves, specs, strict=True)],
            )
            for low, high in pairwise(cuts)
            if high > low
        ]

    def handed(self) -> Any:
        """Return a concrete function that takes the variables' values before its arguments."""
        with self._lock:
            if self._handed is None:
                self._handed = self._traced(None, _Tracing(False), self._held_specs())
            return self._handed

    def copies(self, device: str) -> Any:
        """Return the variables' values on a device, as `handed` takes them."""
        return keras.tree.map_structure(lambda held: copy_on(held, device), self._variables)

    def _held_specs(self) -> Any:
        return keras.tree.map_structure(
            lambda held: tf.TensorSpec(held.shape, held.dtype), self._variables
        )

    def graph(self, batch_size: int | None = None) -> Any:
        """Return the traced concrete function, for one batch size or (None) for any.

        The one for any has no islands, whose memory would grow with every size.
        """
        return self._graph(batch_size, fuses=batch_size is not None)

    def _is_compiled_for(self, leaves: list[Tensor]) -> bool:
        """Whether a batch gets islands: those of the first few sizes do."""
        size = self._batch_size(leaves)
        with self._lock:
            most = MOST_SIZES
            if size > max(self._sizes, default=0):
                most += MOST_LARGER_SIZES
            if len(self._sizes) < most:
                self._sizes.add(size)
            return size in self._sizes

    def _graph(self, batch_size: int | None, fuses: bool) -> Any:
        with self._lock:
            if (batch_size, fuses) not in self._graphs:
                tracing = _Tracing(fuses)
                graph = self._traced(batch_size, tracing)
                self._graphs[batch_size, fuses] = graph
                if not tracing.runs:
                    self._graphs[batch_size, not fuses] = graph
            return self._graphs[batch_size, fuses]

    def _traced(self, batch_size: int | None, tracing: _Tracing, *held: Any) -> Any:
        specs = keras.tree.map_structure(
            lambda spec: _tensor_spec(spec, batch_size), self._signature
        )

        def run(variables: Any, *arguments: Any) -> Any:
            self.trace_count += 1
            within = None if self.jit_compile else tracing
            tokens = traced_for_xla.set(self.jit_compile), _tracing.set(within)
            try:
                return self._function(variables, *arguments)
            finally:
                traced_for_xla.reset(tokens[0])
                _tracing.reset(tokens[1])

        def traceable(*arguments: Any) -> Any:
            return run(*arguments) if held else run(self._variables, *arguments)

        # A function of its own, or TensorFlow would serve 5 with the graph for any size.
        own = tf.function(traceable, jit_compile=self.jit_compile, autograph=False)
        return own.get_concrete_function(*held, *specs)


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
    tracing = _tracing.get()
    if tracing is None or max(map(_entries, arrays)) < LARGE or not compiles_alone():
        return function(*arrays)
    made = [tracing.inlined.get(id(array)) for array in arrays]
    if not any(made):
        return _island(function)(*arrays)
    inner = tuple(None if one is None else (one[1], len(one[2])) for one in made)
    read = [(array,) if one is None else one[2] for array, one in zip(arrays, made, strict=True)]
    return _island(_Inlining(function, inner))(*chain.from_iterable(read))


def inlined(function: Callable, *arrays: Tensor) -> Tensor:
    """Return `function(*arrays)`, of an elementwise function, which other such compute again.

    That is faster where each of the few that read it reads `arrays` in place of an array that would
    have to be written first. Where nothing else reads it, it is not made at all.
    """
    array = fused(function, *arrays)
    tracing = _tracing.get()
    if tracing is not None:
        tracing.inlined[id(array)] = array, function, arrays
    return array


def compiles_alone() -> bool:
    """Whether what is being traced may hold a function that XLA compiles alone; ask for each."""
    tracing = _tracing.get()
    if tracing is None:
        return False
    tracing.runs += 1
    return tracing.fuses


def alone(function: Callable, *arrays: Tensor) -> Tensor:
    """Return `function(*arrays)`, compiled alone by XLA: where `compiles_alone` says that it may.

    Parameters
    ----------
    function
        A function of a module, or an object that equals others that do the same.
    """
    return _island(function)(*arrays)


@dataclass(frozen=True)
class _Inlining:
    """A function of arrays some of which are made of others first: by what, and of how many."""

    function: Callable
    inner: tuple[tuple[Callable, int] | None, ...]

    def __call__(self, *arrays: Tensor) -> Any:
        left, read = iter(arrays), []
        for made in self.inner:
            if made is None:
                read.append(next(left))
            else:
                function, count = made
                read.append(function(*islice(left, count)))
        return self.function(*read)


@cache
def _island(function: Callable) -> Any:
    return tf.function(function, jit_compile=True, autograph=False)


def _entries(array: Any) -> int:
    """How many entries an array has, counting an unknown size as one."""
    shape = getattr(array, "shape", ())
    return math.prod(n for n in shape if n is not None)


def compile(
    function: Callable,
    signature: Any,
    *,
    variables: Any = (),
    jit_compile: bool | Literal["auto"] = "auto",
) -> Compiled:
    """Return `function` as one graph that serves every batch size.

    Parameters
    ----------
    function : takes the variables, and then tensors, or nested structures of them; returns such
    signature : a tuple or list with one entry per positional argument, each a `Spec` or a nested
        structure of them
    variables : a nested structure of variables, read at each call
    jit_compile : use XLA; "auto" does where a GPU is visible
    """
    if jit_compile == "auto":
        jit_compile = bool(tf.config.list_physical_devices("GPU"))
    return Compiled(function, signature, variables, jit_compile)


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
    shape = (batch_size, *spec.shape[1:]) if spec.batched else spec.shape
    return tf.TensorSpec(shape, spec.dtype)
