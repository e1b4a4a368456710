"""The primitives on TensorFlow: linear maps with written-out adjoints, pooling, compiling.

All arrays are channels-last, `(batch, *spatial, channels)`; batch and spatial sizes may be
unknown while tracing. An adjoint is the transposed linear map, for all x and s
`<convolve(x), s> = <x, convolve_adjoint(s)>`.
"""

from lrpkeras.backend.tensorflow.arrays import (
    add_bias,
    after,
    as_array,
    assign,
    carried,
    constant,
    full_products,
    in_memory_of,
    is_tensor,
    lacks,
    merge_leading,
    nbytes,
    precise,
    select,
    shape,
    snapshot,
    split_leading,
    to_numpy,
    values,
    variable,
    where_positive,
)
from lrpkeras.backend.tensorflow.compiling import (
    Compiled,
    compile,
    concrete,
    fused,
    inlined,
    trace_count,
)
from lrpkeras.backend.tensorflow.convolution import convolve, convolve_adjoint
from lrpkeras.backend.tensorflow.depthwise import depthwise, depthwise_adjoint
from lrpkeras.backend.tensorflow.local_response import local_response_normalization
from lrpkeras.backend.tensorflow.narrow import multiplies_bfloat16
from lrpkeras.backend.tensorflow.pooling import (
    average_pool,
    average_pool_adjoint,
    max_pool,
    max_pool_adjoint,
)
from lrpkeras.backend.tensorflow.products import einsum, matmul, matmul_adjoint
from lrpkeras.backend.tensorflow.resizing import (
    bilinear_matrix,
    resample,
    resample_adjoint,
    resizing_matrix,
)
from lrpkeras.backend.tensorflow.spreading import devices, spread
from lrpkeras.backend.tensorflow.ties import max_pool_ties_adjoint, max_pool_ties_sum

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
    "in_memory_of",
    "inlined",
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
