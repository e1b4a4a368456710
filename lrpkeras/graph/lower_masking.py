"""Layers that read an embedding's mask: what a position with index 0 takes no part in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from keras import layers
from keras.src.ops import numpy

from lrpkeras.graph.draft import Tensor, join
from lrpkeras.graph.lookup import Masked
from lrpkeras.graph.lower_lookup import only_moved
from lrpkeras.graph.lower_pooling import global_average
from lrpkeras.graph.walk import Call

MaskLowering = Callable[[Any, Tensor, Tensor], Tensor]


def masked_indices(call: Call) -> Tensor | None:
    """Return the indices of which a call computes the mask, `indices != 0`; None for others."""
    if type(call.operation) is not numpy.NotEqual or len(call.args) != 2:
        return None
    x, other = call.args
    zero = not isinstance(other, Tensor) and bool(np.all(np.asarray(other) == 0))
    return x if isinstance(x, Tensor) and not x.guessed and zero and only_moved(x) else None


def without_mask(call: Call) -> Call:
    """Return a call that was given no mask."""
    kwargs = {name: value for name, value in call.kwargs.items() if name != "mask"}
    return replace(call, kwargs=kwargs)


def masked_lowering(operation: Any) -> MaskLowering | None:
    """Return what lowers a layer that is called with the mask of indices; None if nothing does.

    The function is called with the layer, its input and the indices.
    """
    plain = getattr(operation, "data_format", None) == "channels_last"
    return LOWERINGS.get(type(operation)) if plain else None


def masked_mean(layer: Any, x: Tensor, indices: Tensor) -> Tensor:
    """The mean over positions whose index is not 0: weights first, then the mean of all."""
    return global_average(layer, join(Masked, (x, indices), "mask"))


LOWERINGS: dict[type, MaskLowering] = {layers.GlobalAveragePooling1D: masked_mean}
