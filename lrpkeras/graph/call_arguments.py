"""What a layer was called with: every recorded argument is honoured, or the call refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from lrpkeras.graph.draft import Refusal, Tensor
from lrpkeras.graph.lower import Registered
from lrpkeras.graph.nodes import Input, Route
from lrpkeras.graph.walk import Call

# Layers that, in inference, compute the same with a mask as without.
BLIND_TO_MASKS = (keras.layers.BatchNormalization,)


def refuse_modes(call: Call) -> None:
    """Refuse what is not plain inference: training, masks that matter, quantized weights."""
    given = _bound(call)
    if given.get("training") and not _trains_by_default(call.operation):
        raise Refusal("it was called with training=True", "call it without, or with training=False")
    masked = any(mask is not None for mask in keras.tree.flatten(given.get("mask")))
    if masked and not isinstance(call.operation, BLIND_TO_MASKS):
        raise Refusal("a mask reaches it and changes its result", "build the model without masking")
    policy = getattr(call.operation, "dtype_policy", None)
    modes = (getattr(x, "quantization_mode", None) for x in (call.operation, policy))
    if any(mode is not None for mode in modes):
        raise Refusal("its weights are quantized", "explain the model before quantization")


def for_lowering(call: Call, lowering: Callable) -> tuple[list[Any], dict[str, Any]]:
    """Return the call's arguments as a lowering function takes them.

    Positional ones come first, whatever way they were given; `training` and `mask`, dealt with by
    `refuse_modes`, are left out.

    Raises
    ------
    Refusal
        The lowering does not know one of the arguments.
    """
    own = lowering if isinstance(lowering, Registered) else None
    signature = inspect.signature(lowering if own is None else own.lower)
    positional, keywords = _ordered(call, _bound(call))
    misfit = _misfit(signature, call.operation, positional, keywords)
    if misfit and own is not None:
        # Not even what every call gives: the mistake is in the lowering, not in the call.
        plain = _misfit(signature, call.operation, *_ordered(call, _required(call)))
        if plain:
            helps = "it is called with the layer and what the layer was called with"
            raise own.failed(f"TypeError: {plain}", helps)
    if misfit:
        raise Refusal(f"its call arguments are not understood ({misfit})")
    return positional, keywords


def _misfit(
    signature: inspect.Signature, operation: Any, positional: list, keywords: dict[str, Any]
) -> str:
    """Return why a function cannot be called so, or an empty string."""
    try:
        signature.bind(operation, *positional, **keywords)
    except TypeError as error:
        return str(error)
    return ""


def _required(call: Call) -> dict[str, Any]:
    """Return those of the call's arguments that have no default."""
    parameters = _signature(call.operation).parameters
    needed = {
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    return {name: value for name, value in _bound(call).items() if name in needed}


def _ordered(call: Call, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments by position as far as that goes, the others by keyword."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    contiguous = True
    for name, parameter in _signature(call.operation).parameters.items():
        if name in ("training", "mask"):
            continue
        if name not in given:
            contiguous = False
        elif parameter.kind is parameter.VAR_POSITIONAL:
            positional.extend(given[name])
        elif parameter.kind is parameter.VAR_KEYWORD:
            keywords.update(given[name])
        elif contiguous:
            positional.append(given[name])
        else:
            keywords[name] = given[name]
    return positional, keywords


def first_argument(call: Call) -> Any:
    """Return what the call was given first: its input, or the structure of its inputs."""
    return next(iter(_bound(call).values()))


def inference(call: Call) -> dict[str, Any]:
    """Return the keyword arguments with which to run the call, never in training."""
    if "training" in _signature(call.operation).parameters:
        return {**call.kwargs, "training": False}
    return call.kwargs


def _bound(call: Call) -> Mapping[str, Any]:
    """Return the arguments by name; those that were not given are missing."""
    return _signature(call.operation).bind(*call.args, **call.kwargs).arguments


def _signature(operation: Any) -> inspect.Signature:
    return inspect.signature(operation.call)


def _trains_by_default(operation: Any) -> bool:
    """Whether Keras itself records training=True, as it does for random augmentation.

    Predicting overrides it.
    """
    parameter = _signature(operation).parameters.get("training")
    return parameter is not None and parameter.default is True


def check_outputs(outputs: Sequence[Any], call: Call) -> None:
    """Refuse a lowering whose outputs cannot be what the layer gives."""
    if not all(isinstance(x, Tensor) for x in outputs) or len(outputs) != len(call.outputs):
        raise Refusal(f"its lowering returned {outputs!r}, not {len(call.outputs)} tensor handles")
    for given, expected in zip(outputs, call.outputs, strict=True):
        if not given.guessed and not _compatible(given.shape, expected.shape):
            why = f"its lowering gives shape {given.shape}, where Keras gives {expected.shape}"
            raise Refusal(why)
        if "float" not in expected.dtype and not given.guessed and not _only_moves(given):
            helps = "cast to a floating type before"
            raise Refusal(f"it computes in {expected.dtype}, which rounds or overflows", helps)


def _only_moves(x: Tensor) -> bool:
    return isinstance(x.draft.nodes[x.name], Input | Route)


def _compatible(shape: Sequence[int | None], other: Sequence[int | None]) -> bool:
    if len(shape) != len(other):
        return False
    pairs = zip(shape[1:], other[1:], strict=True)
    return all(a is None or b is None or a == b for a, b in pairs)
