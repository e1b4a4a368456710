"""Which layers of Keras can be explained, as the registry has it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import keras

# The first one imports all modules that fill the registry.
from lrpkeras.graph import keras_reader  # noqa: F401
from lrpkeras.graph.lower import LOWERINGS, REASONS

TRACED = "read from the TensorFlow operations that it computes; refused if one of them has no rule"


@dataclass(frozen=True)
class Support:
    """Whether a class of layers can be explained.

    Attributes
    ----------
    supported
        Whether it can. A layer may still be refused for its settings, or for how it is called.
    how
        What it becomes; or why it is refused.
    helps
        What to do where it is refused.
    """

    supported: bool
    how: str
    helps: str = ""


def supported_layers() -> dict[str, Support]:
    """Return, for every layer class that `keras.layers` exports, whether it can be explained.

    Layers of your own are read from the TensorFlow operations that they compute, or by
    `lrpkeras.register_layer`.

    Returns
    -------
    dict of str to Support
        By name, in alphabetical order; a class that has several names is there under each.

    Examples
    --------
    >>> import lrpkeras
    >>> layers = lrpkeras.supported_layers()
    >>> layers["Conv2D"].supported, layers["LSTM"].supported
    (True, False)
    >>> layers["LSTM"].how
    'recurrent layers compute from what they gave the step before; support is planned'
    """
    exported = inspect.getmembers(keras.layers, inspect.isclass)
    return {name: _support(cls) for name, cls in exported if issubclass(cls, keras.layers.Layer)}


def _support(cls: type) -> Support:
    if cls is keras.layers.InputLayer:
        return Support(True, "A model input")
    for base in cls.__mro__:
        if base in LOWERINGS and base is cls:
            return Support(True, _first_sentence(inspect.getdoc(LOWERINGS[base]) or ""))
        if base in REASONS:
            return Support(False, *REASONS[base])
    return Support(True, TRACED)


def _first_sentence(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ").removesuffix(".")
