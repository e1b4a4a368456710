"""Products in a narrower type than everything else is computed in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Tensor

# Flags of processors that multiply in bfloat16, as Linux lists them: x86, then ARM.
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def in_kernel_type(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let a product `(x, kernel, ...)` multiply in the kernel's type, and return that of x.

    So a kernel that is held in bfloat16 makes its convolutions so; sums stay what they are. Where
    the processor has no instructions for it, the factors are rounded all the same, and multiplied
    in x's type: TensorFlow's own kernels would also add up in bfloat16 there, and not be faster.
    """

    @wraps(product)
    def multiplied(x: Any, kernel: Any, *rest: Any, **settings: Any) -> Tensor:
        x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
        if x.dtype == kernel.dtype:
            return product(x, kernel, *rest, **settings)
        narrow = tf.cast(x, kernel.dtype)
        if multiplies_bfloat16():
            return tf.cast(product(narrow, kernel, *rest, **settings), x.dtype)
        return product(tf.cast(narrow, x.dtype), tf.cast(kernel, x.dtype), *rest, **settings)

    return multiplied


@cache
def multiplies_bfloat16() -> bool:
    """Whether what computes here has instructions for products in bfloat16."""
    if tf.config.list_physical_devices("GPU"):
        return True
    try:
        listed = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return not INSTRUCTIONS.isdisjoint(listed.split())
