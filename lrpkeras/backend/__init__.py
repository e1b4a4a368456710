"""The primitives that `keras.ops` lacks, from the folder of the backend that Keras runs on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import keras

from lrpkeras.backend.data import batches, count, is_dataset
from lrpkeras.backend.spec import Spec
from lrpkeras.errors import LrpError

BACKENDS = ("tensorflow", "jax")

if keras.backend.backend() not in BACKENDS:
    raise LrpError(
        f"lrpkeras runs on TensorFlow and on JAX, but Keras runs on {keras.backend.backend()!r} "
        "here. Set the environment variable KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax before "
        "Keras is imported."
    )

__all__ = [
    "Compiled",
    "Spec",
    "add_bias",
    "after",
    "as_array",
    "assign",
    "average_pool",
    "average_pool_adjoint",
    "batches",
    "bilinear_matrix",
    "carried",
    "compile",
    "concrete",
    "constant",
    "convolve",
    "convolve_adjoint",
    "count",
    "depthwise",
    "depthwise_adjoint",
    "devices",
    "einsum",
    "full_products",
    "fused",
    "in_memory_of",
    "inlined",
    "is_dataset",
    "is_tensor",
    "lacks",
    "local_response_normalization",
    "matmul",
    "matmul_adjoint",
    "max_pool",
    "max_pool_adjoint",
    "max_pool_ties_adjoint",
    "max_pool_ties_sum",
    "merge_leading",
    "multiplies_bfloat16",
    "nbytes",
    "precise",
    "resample",
    "resample_adjoint",
    "resizing_matrix",
    "select",
    "shape",
    "snapshot",
    "split_leading",
    "spread",
    "to_numpy",
    "trace_count",
    "values",
    "variable",
    "where_positive",
]

if TYPE_CHECKING:
    from lrpkeras.backend.tensorflow import (
        Compiled,
        add_bias,
        after,
        as_array,
        assign,
        average_pool,
        average_pool_adjoint,
        bilinear_matrix,
        carried,
        compile,
        concrete,
        constant,
        convolve,
        convolve_adjoint,
        depthwise,
        depthwise_adjoint,
        devices,
        einsum,
        full_products,
        fused,
        in_memory_of,
        inlined,
        is_tensor,
        lacks,
        local_response_normalization,
        matmul,
        matmul_adjoint,
        max_pool,
        max_pool_adjoint,
        max_pool_ties_adjoint,
        max_pool_ties_sum,
        merge_leading,
        multiplies_bfloat16,
        nbytes,
        precise,
        resample,
        resample_adjoint,
        resizing_matrix,
        select,
        shape,
        snapshot,
        split_leading,
        spread,
        to_numpy,
        trace_count,
        values,
        variable,
        where_positive,
    )
else:
    _chosen = importlib.import_module(f"lrpkeras.backend.{keras.backend.backend()}")
    globals().update({name: getattr(_chosen, name) for name in _chosen.__all__})
