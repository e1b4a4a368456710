"""Products in another type than everything else is computed in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp

from lrpkeras.backend.jax.arrays import Tensor


def in_kernel_type(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let a product `(x, kernel, ...)` multiply in the kernel's type, and return that of x.

    So a kernel that is held in bfloat16 makes its convolutions so. On a CPU the factors are rounded
    all the same, and multiplied in x's type, since XLA would add up in bfloat16 there.
    """

    @wraps(product)
    def multiplied(x: Any, kernel: Any, *rest: Any, **settings: Any) -> Tensor:
        x, kernel = jnp.asarray(x), jnp.asarray(kernel)
        if x.dtype == kernel.dtype:
            return product(x, kernel, *rest, **settings)
        if kernel.dtype.itemsize > x.dtype.itemsize:
            # Some operations of Keras on JAX return float32 for float64.
            return product(x.astype(kernel.dtype), kernel, *rest, **settings)
        narrow = x.astype(kernel.dtype)
        if multiplies_bfloat16():
            return product(narrow, kernel, *rest, **settings).astype(x.dtype)
        return product(narrow.astype(x.dtype), kernel.astype(x.dtype), *rest, **settings)

    return multiplied


def multiplies_bfloat16() -> bool:
    """Whether products in bfloat16 are added up in float32, and faster: on accelerators."""
    return jax.default_backend() != "cpu"
