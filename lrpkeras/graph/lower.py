"""The registry that says, for each Keras layer and operation, which nodes it becomes.

Lowering is by exact class. A subclass inherits it only while it overrides nothing that computes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import keras

from lrpkeras.errors import LrpError, ModelError
from lrpkeras.graph.draft import NotYet, Refusal, Tensor, UnknownSize, join

__all__ = ["Refusal", "Tensor", "UnknownSize", "join", "register", "register_layer"]

Lowering = Callable[..., Any]
AnyLowering = TypeVar("AnyLowering", bound=Lowering)

LOWERINGS: dict[type, Lowering] = {}


class Reason(NamedTuple):
    """Why a layer cannot be lowered, and what to do instead."""

    why: str
    helps: str


REASONS: dict[type, Reason] = {}

# What a subclass may override without changing what the layer computes.
HARMLESS = {
    "add_loss",
    "build_from_config",
    "compute_mask",
    "compute_output_shape",
    "compute_output_spec",
    "from_config",
    "get_build_config",
    "get_compile_config",
    "get_config",
    "get_quantization_config",
    "load_assets",
    "load_own_variables",
    "save_assets",
    "save_own_variables",
    "summary",
    "supports_masking",
}
# Keras itself puts these on every layer.
WRAPPED_BY_KERAS = {"build", "quantize"}


def register(*classes: type) -> Callable[[AnyLowering], AnyLowering]:
    """Register a lowering function for Keras layers or operations.

    The function is called with the layer and its recorded call arguments, `Tensor` handles in
    place of Keras tensors, and returns the handle (or the list of handles) of its output.
    """

    def decorate(function: AnyLowering) -> AnyLowering:
        LOWERINGS.update(dict.fromkeys(classes, function))
        return function

    return decorate


def register_layer(
    cls: type[keras.layers.Layer], *, lower: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    """Teach lrpkeras a layer of your own: say which nodes it becomes.

    Parameters
    ----------
    cls
        The layer's class. Subclasses count only while they override nothing that computes.
    lower
        Called as `lower(layer, x)`, `x` the handle of the input (or what the layer was called
        with); returns the handle of the output. `x.then(kind, ...)` adds a node,
        `x.through(sublayer)` a whole Keras layer.

    Returns
    -------
    callable
        `lower` itself.

    Raises
    ------
    ModelError
        `cls` is no class of layers, or `lower` cannot be called.

    Examples
    --------
    >>> import keras
    >>> class Twice(keras.layers.Layer):
    ...     def __init__(self, layer, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.layer = layer
    ...     def call(self, x):
    ...         return self.layer(self.layer(x))
    >>> def lower(twice, x):
    ...     return x.through(twice.layer).through(twice.layer)
    >>> register_layer(Twice, lower=lower) is lower
    True
    """
    if not (isinstance(cls, type) and issubclass(cls, keras.Operation)):
        instead = (
            f": give its class, {type(cls).__name__}" if isinstance(cls, keras.Operation) else ""
        )
        raise ModelError(f"register_layer takes a Keras layer class, not {cls!r}{instead}")
    if not callable(lower):
        raise ModelError(f"lower must be a function of the layer and its input, not {lower!r}")
    register(cls)(Registered(cls, lower))
    return lower


@dataclass(frozen=True)
class Registered:
    """A lowering of the user's own: what goes wrong in it is said of the class that it is for."""

    cls: type
    lower: Lowering

    def __call__(self, layer: Any, *arguments: Any, **keywords: Any) -> Any:
        """Call the lowering; what it raises, and what is no handle, is a reason to refuse."""
        try:
            outputs = self.lower(layer, *arguments, **keywords)
        except (Refusal, LrpError):
            raise
        except Exception as error:
            raise self.failed(f"{type(error).__name__}: {error}") from error
        if not all(isinstance(output, Tensor) for output in keras.tree.flatten(outputs)):
            what = f"it returned {outputs!r}, no tensor handle"
            raise self.failed(what, "return what x.then(...) or x.through(...) gives")
        return outputs

    def failed(self, what: str, helps: str = "") -> Refusal:
        """Return the reason to refuse a layer for whose class the lowering does not work."""
        return Refusal(f"the lowering registered for {self.cls.__name__} failed: {what}", helps)


def lowering_of(operation: Any) -> Lowering:
    """Return the lowering function of a layer or operation.

    Raises
    ------
    Refusal
        Where there is none, or where a subclass overrides what its base computes.
    NotYet
        Where the class is known not to be supported.
    """
    cls = type(operation)
    for base in cls.__mro__:
        if base in LOWERINGS:
            _refuse_overrides(operation, base)
            return LOWERINGS[base]
        if base in REASONS:
            raise NotYet(*REASONS[base])
    raise Refusal("lrpkeras does not know this class", _registering(cls))


def _refuse_overrides(operation: Any, base: type) -> None:
    changed = overrides(operation, base)
    if changed:
        names = ", ".join(f"`{name}`" for name in changed)
        why = f"it replaces {names} of {base.__name__}, so that it may compute something else"
        raise Refusal(why, _registering(type(operation)))


def overrides(operation: Any, base: type) -> list[str]:
    """Return the attributes of `base` that the operation's class, or the object, replaces."""
    cls: Any = type(operation)
    changed = _overridden(cls, base)
    patched = vars(operation).keys() & _methods(base)
    return sorted(changed | (patched - HARMLESS - WRAPPED_BY_KERAS))


@functools.cache
def _methods(base: type) -> frozenset[str]:
    """Return the names under which a class holds functions."""
    return frozenset(name for name in dir(base) if inspect.isfunction(_static(base, name)))


@functools.cache
def _overridden(cls: type, base: type) -> frozenset[str]:
    """The same of a class alone; a model has many layers of few classes."""
    names = {n for n in dir(base) if not n.startswith("__") or n == "__call__"} - HARMLESS
    return frozenset(n for n in names if _static(cls, n) is not _static(base, n))


def _static(cls: type, name: str) -> Any:
    return inspect.getattr_static(cls, name, None)


def _registering(cls: type) -> str:
    return f"lrpkeras.register_layer({cls.__name__}, lower=...)"
