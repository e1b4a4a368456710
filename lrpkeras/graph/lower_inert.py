"""Layers that do nothing in inference, and layers that no lowering is known for yet."""

from __future__ import annotations

from typing import Any

from keras import layers

from lrpkeras.graph.lower import REASONS, Tensor, register
from lrpkeras.graph.moves import Keep
from lrpkeras.graph.nodes import Route


@register(
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.RandomBrightness,
    layers.RandomColorDegeneration,
    layers.RandomColorJitter,
    layers.RandomContrast,
    layers.RandomErasing,
    layers.RandomFlip,
    layers.RandomGaussianBlur,
    layers.RandomGrayscale,
    layers.RandomHue,
    layers.RandomInvert,
    layers.RandomPerspective,
    layers.RandomPosterization,
    layers.RandomRotation,
    layers.RandomSaturation,
    layers.RandomSharpness,
    layers.RandomShear,
    layers.RandomTranslation,
    layers.RandomZoom,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
)
def nothing(layer: layers.Layer, x: Tensor) -> Tensor:
    """Noise, dropout and augmentation act in training alone."""
    return keep(x)


def keep(x: Tensor) -> Tensor:
    """Emit a node that only names its input."""
    return x.then(Route, move=Keep())


def _because(why: str, *classes: Any) -> None:
    REASONS.update(dict.fromkeys(classes, why))


_because(
    "attention multiplies tensors by a softmax inside the network, which no rule is known for yet",
    layers.AdditiveAttention,
    layers.Attention,
    layers.GroupQueryAttention,
    layers.MultiHeadAttention,
)
_because("recurrent layers cannot be explained yet", layers.Bidirectional, layers.RNN)
_because("its mask would change what later layers compute", layers.Masking)
