"""Functions compiled by `jax.jit`, once for each batch size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

import jax
import keras
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lrpkeras.backend.jax.arrays import Tensor, constant, copies, values
from lrpkeras.backend.spec import Spec


class Compiled:
    """A function compiled for each shape of its arguments on its first call; safe from any thread.

    The variables' values are arguments of what is compiled: closed over, they would be constants
    of it, and a change of a variable would change nothing.
    """

    def __init__(
        self, function: Callable, signature: Any, variables: Any, jit_compile: bool
    ) -> None:
        self.trace_count = 0
        self.jit_compile = jit_compile
        self._function = function
        self._signature = tuple(signature) if isinstance(signature, list | tuple) else (signature,)
        self._variables = variables
        self._jitted: dict[Mesh | None, Any] = {None: jax.jit(self._trace)}
        self._known: set[Any] = set()
        self._lock = threading.RLock()

    def __call__(self, *arguments: Any) -> Any:
        """Call with one value (nested as the signature is) per positional argument."""
        if not self.jit_compile:
            return self._function(values(self._variables), *self._converted(arguments))
        return self._run(None, values(self._variables), self._converted(arguments))

    def spread(self, mesh: Mesh, *arguments: Any) -> Any:
        """Call with each batch split over the devices of a mesh, which has one axis."""
        with self._lock:
            if mesh not in self._jitted:
                self._jitted[mesh] = self._mapped(mesh)
        held = copies(self._variables, NamedSharding(mesh, PartitionSpec()))
        return self._run(mesh, held, self._converted(arguments))

    def _run(self, mesh: Mesh | None, held: Any, arguments: tuple) -> Any:
        function = self._jitted[mesh]
        key = mesh, tuple(x.shape for x in jax.tree.leaves(arguments))
        if key in self._known:
            return function(held, *arguments)
        with self._lock:
            result = function(held, *arguments)
            self._known.add(key)
            return result

    def _mapped(self, mesh: Mesh) -> Callable:
        """The function, run on each device with its share of what has a batch."""
        share, whole = PartitionSpec(*mesh.axis_names), PartitionSpec()
        specs = keras.tree.map_structure(
            lambda spec: share if spec.batched else whole, self._signature
        )
        mapped = jax.shard_map(
            self._trace, mesh=mesh, in_specs=(whole, *specs), out_specs=share, check_vma=False
        )
        return jax.jit(mapped)

    def _converted(self, arguments: tuple) -> tuple:
        return tuple(
            keras.tree.map_structure_up_to(self._signature, _as_spec, self._signature, arguments)
        )

    def graph(self, batch_size: int | None = None) -> Callable:
        """Return the jitted function with the variables as they are now."""
        held = values(self._variables)
        if batch_size is None:
            return jax.tree_util.Partial(self._jitted[None], held)
        specs = keras.tree.map_structure(lambda spec: _shaped(spec, batch_size), self._signature)
        return jax.tree_util.Partial(self._jitted[None].lower(held, *specs).compile(), held)

    def _trace(self, held: Any, *arguments: Any) -> Any:
        self.trace_count += 1
        return self._function(held, *arguments)


def fused(function: Callable, *arrays: Any) -> Any:
    """Return `function(*arrays)`: XLA makes one pass over memory of what is elementwise."""
    return function(*arrays)


def inlined(function: Callable, *arrays: Any) -> Any:
    """Return `function(*arrays)`: XLA computes again what it would be slower to write and read."""
    return function(*arrays)


def compile(
    function: Callable,
    signature: Any,
    *,
    variables: Any = (),
    jit_compile: bool | Literal["auto"] = "auto",
) -> Compiled:
    """Return `function` compiled, anew for each batch size.

    Parameters
    ----------
    function : takes the variables' values, nested as they are, and then tensors, or nested
        structures of them; returns such
    signature : a tuple or list with one entry per positional argument, each a `Spec` or a nested
        structure of them
    variables : a nested structure of variables, read at each call
    jit_compile : "auto" does; without, every operation runs on its own
    """
    return Compiled(function, signature, variables, jit_compile in (True, "auto"))


def concrete(compiled: Compiled, batch_size: int | None = None) -> Any:
    """Return `compiled` as a function of its inputs alone, with the variables as they are now.

    Parameters
    ----------
    batch_size
        For one batch size, compiled ahead of its first call; None for any.
    """
    return compiled.graph(batch_size)


def trace_count(compiled: Compiled) -> int:
    """How many times `compiled` has been traced."""
    return compiled.trace_count


def _as_spec(spec: Spec, value: Any) -> Tensor:
    return constant(value, spec.dtype)


def _shaped(spec: Spec, batch_size: int) -> jax.ShapeDtypeStruct:
    first, *rest = spec.shape
    return jax.ShapeDtypeStruct((batch_size if first is None else first, *rest), spec.dtype)
