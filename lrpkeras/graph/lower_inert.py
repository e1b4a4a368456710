"""Layers that do nothing in inference."""

from __future__ import annotations

from keras import layers

from lrpkeras.graph.lower import Tensor, register
from lrpkeras.graph.moves import Keep
from lrpkeras.graph.nodes import Route


@register(
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.AugMix,
    layers.CutMix,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.MixUp,
    layers.RandAugment,
    layers.RandomBrightness,
    layers.RandomColorDegeneration,
    layers.RandomColorJitter,
    layers.RandomContrast,
    layers.RandomElasticTransform,
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
