"""Pooling over windows."""

from __future__ import annotations

from types import SimpleNamespace

from lrpkeras.graph.draft import Refusal, Tensor
from lrpkeras.graph.lower_pooling import windows
from lrpkeras.graph.nodes import AveragePool, MaxPool
from lrpkeras.graph.tensorflow_reader.lower_linear import channels_first, dropped, inner, widened
from lrpkeras.graph.tensorflow_reader.lowering import Op, lowers


@lowers("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D")
def pool(op: Op) -> Tensor:
    """The mean or maximum of each window, padding not counted."""
    if op.get("padding") == "EXPLICIT":
        raise Refusal("pooling with explicit padding is not known yet", "pad before it")
    first = channels_first(op)
    sizes = op.get("ksize"), op.get("strides")
    if any(n != 1 for values in sizes for n in (values[0], values[1 if first else -1])):
        raise Refusal("it pools over channels or samples")
    kind = MaxPool if op.type.startswith("Max") else AveragePool
    layer = SimpleNamespace(
        pool_size=inner(sizes[0], first),
        strides=inner(sizes[1], first),
        padding=op.get("padding").lower(),
        data_format="channels_first" if first else "channels_last",
    )
    return _of_lower_rank(op, op.tensor(), kind, layer)


def _of_lower_rank(op: Op, x: Tensor, kind: type, layer: SimpleNamespace) -> Tensor:
    """Emit pooling; without the axis of size 1 that was put in for it alone."""
    before, axis = op.reading.expanded.get(x.name, (None, 0))
    place = axis - (2 if layer.data_format == "channels_first" else 1)
    rank = len(layer.pool_size)
    if before is None or not 0 <= place < rank or layer.pool_size[place] != 1:
        return windows(kind, layer, x)
    for name in ("pool_size", "strides"):
        setattr(layer, name, dropped(getattr(layer, name), place))
    return widened(op, windows(kind, layer, before), axis)
