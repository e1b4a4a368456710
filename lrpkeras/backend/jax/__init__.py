"""The primitives on JAX: linear maps with written-out adjoints, pooling, compiling.

All arrays are channels-last, `(batch, *spatial, channels)`; all sizes are known while tracing,
since JAX compiles for each shape anew. An adjoint is the transposed linear map, for all x and s
`<convolve(x), s> = <x, convolve_adjoint(s)>`.
"""

from lrpkeras.backend.jax.arrays import (
    add_bias,
    after,
    as_array,
    assign,
    carried,
    constant,
    full_products,
    is_tensor,
    lacks,
    local_response_normalization,
    merge_leading,
    nbytes,
    precise,
    select,
    shape,
    split_leading,
    to_numpy,
    values,
    variable,
    where_positive,
)
from lrpkeras.backend.jax.compiling import (
    Compiled,
    compile,
    concrete,
    fused,
    trace_count,
)
from lrpkeras.backend.jax.convolution import (
    convolve,
    convolve_adjoint,
    depthwise,
    depthwise_adjoint,
)
from lrpkeras.backend.jax.narrow import multiplies_bfloat16
from lrpkeras.backend.jax.pooling import (
    average_pool,
    average_pool_adjoint,
    max_pool,
    max_pool_adjoint,
    max_pool_ties_adjoint,
    max_pool_ties_sum,
)
from lrpkeras.backend.jax.products import (
    bilinear_matrix,
    einsum,
    matmul,
    matmul_adjoint,
    resample,
    resample_adjoint,
    resizing_matrix,
)
from lrpkeras.backend.jax.spreading import devices, spread

__all__ = [
    "Compiled",
    "add_bias",
    "after",
    "as_array",
    "assign",
    "average_pool",
    "average_pool_adjoint",
    "bilinear_matrix",
    "carried",
    "compile",
    "concrete",
    "constant",
    "convolve",
    "convolve_adjoint",
    "depthwise",
    "depthwise_adjoint",
    "devices",
    "einsum",
    "full_products",
    "fused",
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
    "split_leading",
    "spread",
    "to_numpy",
    "trace_count",
    "values",
    "variable",
    "where_positive",
]
