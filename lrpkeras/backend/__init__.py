"""The primitives that `keras.ops` lacks, from the file of the backend that Keras runs on."""

from __future__ import annotations

import keras

from lrpkeras.errors import LrpError

if keras.backend.backend() != "tensorflow":
    raise LrpError(
        f"lrpkeras runs on TensorFlow, but Keras runs on {keras.backend.backend()!r} here. "
        "Set the environment variable KERAS_BACKEND=tensorflow before Keras is imported."
    )

from lrpkeras.backend.tensorflow import (
    Compiled,
    Spec,
    add_bias,
    after,
    assign,
    average_pool,
    average_pool_adjoint,
    batches,
    bilinear_matrix,
    compile,
    concrete,
    constant,
    convolve,
    convolve_adjoint,
    count,
    depthwise,
    depthwise_adjoint,
    einsum,
    fused,
    is_dataset,
    is_tensor,
    local_response_normalization,
    matmul,
    matmul_adjoint,
    max_pool,
    max_pool_adjoint,
    max_pool_ties_adjoint,
    max_pool_ties_sum,
    merge_leading,
    multiplies_bfloat16,
    resample,
    resample_adjoint,
    resizing_matrix,
    select,
    shape,
    split_leading,
    to_numpy,
    trace_count,
    variable,
    where_positive,
)

__all__ = [
    "Compiled",
    "Spec",
    "add_bias",
    "after",
    "assign",
    "average_pool",
    "average_pool_adjoint",
    "batches",
    "bilinear_matrix",
    "compile",
    "concrete",
    "constant",
    "convolve",
    "convolve_adjoint",
    "count",
    "depthwise",
    "depthwise_adjoint",
    "einsum",
    "fused",
    "is_dataset",
    "is_tensor",
    "local_response_normalization",
    "matmul",
    "matmul_adjoint",
    "max_pool",
    "max_pool_adjoint",
    "max_pool_ties_adjoint",
    "max_pool_ties_sum",
    "merge_leading",
    "multiplies_bfloat16",
    "resample",
    "resample_adjoint",
    "resizing_matrix",
    "select",
    "shape",
    "split_leading",
    "to_numpy",
    "trace_count",
    "variable",
    "where_positive",
]
