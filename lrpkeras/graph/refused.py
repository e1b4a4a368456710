"""Layers that no kind of node can express: why, and what to do instead."""

from __future__ import annotations

from keras import layers

from lrpkeras.graph.lower import REASONS, Reason

CUT = (
    "until then, explain the part of the model in front of it: "
    "keras.Model(model.inputs, model.get_layer('its name').input)"
)
BEFORE = "apply it to the data before, and begin the model behind it"


def _because(why: str, helps: str, *names: str) -> None:
    """Give the reason for layers that `keras.layers` may export, depending on its version."""
    classes = [getattr(layers, name) for name in names if hasattr(layers, name)]
    REASONS.update(dict.fromkeys(classes, Reason(why, helps)))


_because(
    "attention multiplies tensors by a softmax inside the network; support is planned",
    CUT,
    "AdditiveAttention",
    "Attention",
    "GroupQueryAttention",
    "MultiHeadAttention",
)
_because(
    "recurrent layers compute from what they gave the step before; support is planned",
    CUT,
    "Bidirectional",
    "RNN",
)
_because(
    "it multiplies two tensors as matrices, which no rule is known for yet; support is planned",
    CUT,
    "Dot",
)
_because(
    "its mask would change what later layers compute",
    "leave it out, and give samples without steps to skip",
    "Masking",
)
_because(
    "it encodes text or numbers as categories, and nothing of a value's relevance is left there",
    BEFORE,
    "CategoryEncoding",
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)
_because(
    "it takes the magnitude of complex numbers, which no rule is known for",
    BEFORE,
    "MelSpectrogram",
    "STFTSpectrogram",
)
_because(
    "it changes every pixel by a statistic of its image that no rule is known for",
    BEFORE,
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
)
_because("it is for bounding boxes, not for values", BEFORE, "MaxNumBoundingBoxes")
_because(
    "it runs another framework's code",
    "rebuild it from Keras layers",
    "FlaxLayer",
    "JaxLayer",
    "TorchModuleWrapper",
)
