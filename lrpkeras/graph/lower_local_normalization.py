"""Local response normalization: one node."""

from __future__ import annotations

from lrpkeras.graph.lower import Tensor, register
from lrpkeras.graph.nodes import LocalNormalize
from lrpkeras.layers import LocalResponseNormalization


@register(LocalResponseNormalization)
def local_response_normalization(layer: LocalResponseNormalization, x: Tensor) -> Tensor:
    """Divided by a power of the sum of squares of the channels around."""
    return x.then(
        LocalNormalize,
        depth_radius=layer.depth_radius,
        bias=layer.bias,
        alpha=layer.alpha,
        beta=layer.beta,
    )
