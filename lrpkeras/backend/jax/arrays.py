"""Shapes, values and variables of JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Sharding

Tensor: TypeAlias = Any
Sizes: TypeAlias = tuple[int, ...]

# Its flags are made at run time, so that nothing is known of their types.
CONFIG: Any = jax.config


class Variable:
    """An array that compiled functions are handed at each call, so that it may change."""

    def __init__(self, array: Any, dtype: str | None = None) -> None:
        self.value = jnp.array(array, dtype)
        # By sharding, what was copied, and the copy: another thread may assign meanwhile.
        self._copies: dict[Sharding, tuple[Tensor, Tensor]] = {}

    def on(self, sharding: Sharding) -> Tensor:
        """Return the value where a sharding wants it: copied once, until another is assigned."""
        value = self.value
        copied, copy = self._copies.get(sharding, (None, None))
        if copied is not value:
            copy = jax.device_put(value, sharding)
            self._copies[sharding] = value, copy
        return copy

    @property
    def dtype(self) -> Any:
        """The type of its values."""
        return self.value.dtype

    @property
    def shape(self) -> Sizes:
        """The shape, which stays."""
        return tuple(self.value.shape)


def variable(array: Any, name: str, dtype: str | None = None) -> Variable:
    """Create a variable, of type `dtype` if one is given; JAX gives names to nothing."""
    return Variable(array, dtype)


def assign(variable: Variable, array: Any) -> None:
    """Overwrite the value of `variable`; shape and dtype stay.

    Raises
    ------
    ValueError
        If the array has another shape.
    """
    value = jnp.array(array, variable.value.dtype)
    if value.shape != variable.shape:
        raise ValueError(f"a variable of shape {variable.shape} got shape {value.shape}")
    variable.value = value


def as_array(variable: Variable) -> np.ndarray:
    """Return the value of a variable, read-only; on a CPU it is the variable's own memory."""
    return np.asarray(variable.value)


def snapshot(value: Any) -> np.ndarray:
    """Return what a variable, tensor or array holds now, copied: training gives memory away."""
    return to_numpy(value)


def in_memory_of(variable: Variable, array: np.ndarray) -> bool:
    """Whether the value of a variable lies in a snapshot's memory: never, as these are copies."""
    return False


def nbytes(variable: Variable) -> int:
    """Return how much memory the value of a variable takes on one device."""
    return int(variable.value.nbytes)


def values(variables: Any) -> Any:
    """Return a nested structure of variables with the value of each in its place."""
    return jax.tree.map(lambda variable: variable.value, variables)


def copies(variables: Any, sharding: Sharding) -> Any:
    """Return the same with the values where a sharding wants them."""
    return jax.tree.map(lambda variable: variable.on(sharding), variables)


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """`(..., channels) + (channels,)`."""
    return x + bias


def where_positive(x: Tensor, array: Tensor) -> Tensor:
    """Return `array`, `(k, *x.shape)`, where `x` is positive, and zero elsewhere."""
    return jnp.where(x > 0, array, jnp.zeros_like(array))


def select(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return `one` where a condition holds, else `other`: both `(k, *condition.shape)`."""
    return jnp.where(condition, one, other)


def after(x: Tensor, other: Tensor) -> Tensor:
    """Return `x`: XLA orders what it compiles by the memory that it takes."""
    return x


def shape(x: Tensor) -> Sizes:
    """Return the sizes of `x`: JAX knows all of them while it traces."""
    return tuple(map(int, jnp.shape(x)))


def merge_leading(x: Tensor) -> Tensor:
    """`(k, n, ...) -> (k * n, ...)`."""
    k, n, *rest = shape(x)
    return jnp.reshape(x, (k * n, *rest))


def split_leading(x: Tensor, k: int) -> Tensor:
    """`(k * n, ...) -> (k, n, ...)`."""
    n, *rest = shape(x)
    return jnp.reshape(x, (k, n // k, *rest))


def constant(array: Any, dtype: str | None = None) -> Tensor:
    """Return `array` as a tensor, of type `dtype` if one is given; of 32 bits where JAX has those.

    A model whose input is declared as of 64 bits computes with 32 there, too.
    """
    return jnp.asarray(array, None if dtype is None else jax.dtypes.canonicalize_dtype(dtype))


def to_numpy(tensor: Any) -> np.ndarray:
    """Return the value of a tensor, a variable or an array-like as an array of its own."""
    if isinstance(tensor, keras.Variable | Variable):
        tensor = tensor.value
    return np.array(tensor)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor of this backend."""
    return isinstance(x, jax.Array)


def local_response_normalization(
    x: Tensor, depth_radius: int, bias: float, alpha: float, beta: float
) -> Tensor | None:
    """None: JAX has no such operation."""
    return None


@contextmanager
def precise() -> Iterator[None]:
    """Within this, float64 is float64; elsewhere, only where `jax_enable_x64` is set."""
    with jax.enable_x64(True):
        yield


@contextmanager
def full_products() -> Iterator[None]:
    """Within this, Keras multiplies in as many digits as the primitives do; see `precision`."""
    told = CONFIG.jax_default_matmul_precision
    with jax.default_matmul_precision("highest" if told is None else told):
        yield


def precision() -> jax.lax.Precision | None:
    """All digits of the type, unless the user has told JAX otherwise.

    Its default on GPU and TPU has ten bits (TF32) or seven (bfloat16), of which denominators near
    zero have none left.
    """
    told = CONFIG.jax_default_matmul_precision
    return jax.lax.Precision.HIGHEST if told is None else None


def carried(function: Callable) -> Callable:
    """Return a function that does in another thread what it would do in this one.

    Whether float64 is float64, and the default device, are settings of a thread.
    """
    x64, device = CONFIG.jax_enable_x64, CONFIG.jax_default_device

    def run(*arguments: Any) -> Any:
        with jax.enable_x64(x64), jax.default_device(device):
            return function(*arguments)

    return run


def lacks(dtype: str) -> str | None:
    """Say what to set so that `dtype` is computed in; None where it is."""
    if dtype != "float64" or CONFIG.jax_enable_x64:
        return None
    return (
        "JAX computes in float32 where float64 is asked for, unless JAX_ENABLE_X64=1 is set in the "
        "environment, or jax.config.update('jax_enable_x64', True) is called before the model is "
        "made"
    )
