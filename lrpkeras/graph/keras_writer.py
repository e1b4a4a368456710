"""Write a Keras model again, with some layers' weights replaced and some calls left out.

The new model is made of new layers; nothing is called on the layers of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import keras
import numpy as np
from keras import layers

from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph.call_arguments import first_argument
from lrpkeras.graph.lower import overrides
from lrpkeras.graph.nodes import Linear
from lrpkeras.graph.walk import Call, functional, walk

Weights = dict[str, np.ndarray]
Config = dict[str, Any]
Parts = Mapping[str, Linear]


@dataclass(frozen=True)
class Change:
    """What becomes of a layer at one call: its configuration, and its weights by attribute."""

    config: Config
    weights: Weights


@dataclass(frozen=True)
class Edits:
    """What is written differently, by the path of the call: changed layers, and calls left out."""

    changes: dict[str, Change]
    dropped: frozenset[str]


def write(model: keras.Model, edits: Edits) -> keras.Model:
    """Return a new model that is `model` but for the edits, with copies of all weights.

    A layer that changes differently at its several calls becomes several layers; the first keeps
    the name.

    Raises
    ------
    UnsupportedLayerError
        A layer cannot be made again from its configuration.
    """
    writer = _Writer(edits, model)
    written = writer.operation(model, "")
    writer.copy_states()
    return written


def change_of(layer: Any, parts: Parts) -> Change:
    """Return how a layer takes the kernels and vector biases of its linear nodes.

    Parameters
    ----------
    layer
        A layer that `can_hold` its weights.
    parts
        Its nodes: "" the one that has the layer's name, "depthwise" the other one of a separable
        convolution.
    """
    return CHANGES[_known_class(layer)](layer, parts)


def can_hold(layer: Any) -> bool:
    """Whether a layer computes with its kernel and bias what `change_of` takes it to."""
    cls = _known_class(layer)
    return cls is not None and not overrides(layer, cls)


def _known_class(layer: Any) -> Any:
    return next((base for base in type(layer).__mro__ if base in CHANGES), None)


def _kernel_and_bias(layer: Any, parts: Parts) -> Change:
    node = parts[""]
    weights = {"kernel": node.kernel} | ({} if node.bias is None else {"bias": node.bias})
    return Change({"use_bias": node.bias is not None}, weights)


def _einsum(layer: layers.EinsumDense, parts: Parts) -> Change:
    return Change({"bias_axes": layer.equation[-1]}, _kernel_and_bias(layer, parts).weights)


def _separable(layer: Any, parts: Parts) -> Change:
    """The depthwise node's bias, for which there is no place, goes on through the pointwise one."""
    depthwise, pointwise = parts["depthwise"], parts[""]
    kernel = pointwise.kernel
    bias = np.zeros(kernel.shape[-1]) if pointwise.bias is None else pointwise.bias
    if depthwise.bias is not None:
        bias = bias + depthwise.bias.astype("float64") @ kernel.reshape(-1, kernel.shape[-1])
    weights = {"depthwise_kernel": depthwise.kernel, "pointwise_kernel": kernel, "bias": bias}
    return Change({"use_bias": True}, weights)


CHANGES: dict[type, Callable[[Any, Parts], Change]] = {
    **dict.fromkeys(
        (
            layers.Dense,
            layers.Conv1D,
            layers.Conv2D,
            layers.Conv3D,
            layers.Conv1DTranspose,
            layers.Conv2DTranspose,
            layers.Conv3DTranspose,
            layers.DepthwiseConv1D,
            layers.DepthwiseConv2D,
        ),
        _kernel_and_bias,
    ),
    layers.SeparableConv1D: _separable,
    layers.SeparableConv2D: _separable,
    layers.EinsumDense: _einsum,
}


@dataclass
class _Writer:
    """The visitor that calls new layers where the old model called its own.

    `made` holds the new layers by old layer and by what the edits say of it. What is inside the
    second copy of a nested model is not shared with the first, since Keras could not save that;
    `copy` tells them apart.
    """

    edits: Edits
    root: keras.Model
    made: dict[tuple, Any] = field(default_factory=dict)
    copies: list[tuple[Any, Any, Change | None]] = field(default_factory=list)
    copy: str = ""

    def __post_init__(self) -> None:
        changed = {path: _digest(change) for path, change in self.edits.changes.items()}
        self.marks = changed | dict.fromkeys(self.edits.dropped, b"")
        models = filter(None, map(functional, self.root._flatten_layers()))
        self.names = {operation.name for model in models for operation in model.operations}

    def operation(self, old: Any, path: str) -> Any:
        """Return the new layer, model or operation for a call of the old one at `path`."""
        prefix = path + "/" if path else ""
        marks = {p: m for p, m in self.marks.items() if p == path or p.startswith(prefix)}
        owner = (self.copy, id(old))
        key = (*owner, frozenset((p[len(path) :], m) for p, m in marks.items()))
        if key not in self.made:
            first = all(known[:2] != owner for known in self.made)
            name, outer = old.name if first else self._free_name(old.name), self.copy
            self.copy = outer if first else name
            self.made[key] = self._make(old, path, prefix, name)
            self.copy = outer
        return self.made[key]

    def _make(self, old: Any, path: str, prefix: str, name: str) -> Any:
        change = self.edits.changes.get(path)
        if isinstance(old, keras.Sequential) and functional(old) is not None:
            new = self._sequential(old, prefix, name)
        elif functional(old) is not None:
            new = self._functional(old, prefix, name)
        else:
            new = _again(old, path, {"name": name} | ({} if change is None else change.config))
        if isinstance(old, keras.Layer):
            self.copies.append((new, old, change))
        return new

    def _free_name(self, name: str) -> str:
        number = 2
        while f"{name}_{number}" in self.names:
            number += 1
        self.names.add(f"{name}_{number}")
        return f"{name}_{number}"

    def _sequential(self, old: keras.Sequential, prefix: str, name: str) -> keras.Sequential:
        kept = [layer for layer in old._layers if prefix + layer.name not in self.edits.dropped]
        stack = [self.operation(layer, prefix + layer.name) for layer in kept]
        if all(isinstance(layer, layers.InputLayer) for layer in kept):
            # An empty Sequential cannot be called.
            stack.append(_idle(old.layers[-1]))
        return keras.Sequential(stack, name=name)

    def _functional(self, old: Any, prefix: str, name: str) -> keras.Model:
        sources = [x._keras_history.operation for x in old.inputs]
        inputs = [_again(source, source.name, {}).output for source in sources]
        outputs = walk(old, inputs, self, prefix, prefix)
        dropped = [x for x in old.layers if prefix + x.name in self.edits.dropped]
        if dropped and any(y is x for y in outputs for x in inputs):
            # Keras 3.12 builds no model whose input is its output.
            idle = _idle(dropped[-1])
            outputs = [idle(y) if any(y is x for x in inputs) else y for y in outputs]
        return keras.Model(
            keras.tree.pack_sequence_as(old._inputs_struct, inputs),
            keras.tree.pack_sequence_as(old._outputs_struct, outputs),
            name=name,
        )

    def enter(self, call: Call, model: Any) -> None:
        """Take a nested model for a layer: it is written as a model of its own."""

    def apply(self, call: Call) -> list[Any]:
        """Return the outputs of the new layer's call; those of a dropped one are its inputs."""
        if call.path in self.edits.dropped:
            return [first_argument(call)]
        new = self.operation(call.operation, call.path)
        return list(keras.tree.flatten(new(*call.args, **call.kwargs)))

    def leave(self, path: str, values: Sequence[Any]) -> None:
        """Keep no outputs by name."""

    def copy_states(self) -> None:
        """Give the new layers the weights, policies and flags of the old, models before layers."""
        for new, old, change in reversed(self.copies):
            if functional(old) is None:
                _copy_weights(new, old, change)
            else:
                new.dtype_policy = old.dtype_policy
            if new.trainable != old.trainable:
                # A model hands its flag down, so that layers inside come after it.
                new.trainable = old.trainable


def _digest(change: Change) -> bytes:
    digest = blake2b()
    for name, array in change.weights.items():
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.digest()


def _idle(dropped: Any) -> layers.Identity:
    """Return a layer that does nothing in place of one, in the same type."""
    return layers.Identity(name=dropped.name, dtype=dropped.dtype_policy.name)


def _again(old: Any, path: str, config: Config) -> Any:
    """Make a layer or operation again from its configuration."""
    settings = {**old.get_config(), **config}
    if "use_bias" in config or "bias_axes" in config:
        # The kernel that was read has the low-rank update in it.
        settings.pop("lora_rank", None)
        settings.pop("lora_alpha", None)
    try:
        return type(old).from_config(settings)
    except Exception as error:
        raise UnsupportedLayerError(
            f"{path!r} ({type(old).__name__}) cannot be made again from its get_config() "
            f"({error}), which a new model needs. Give the class a complete get_config, or use "
            "Analyzer, which folds without writing a model."
        ) from error


def _copy_weights(new: Any, old: Any, change: Change | None) -> None:
    if change is not None:
        for name, array in change.weights.items():
            getattr(new, name).assign(array)
        return
    for target, source in zip(new._flatten_layers(), old._flatten_layers(), strict=True):
        stored: dict[str, Any] = {}
        source.save_own_variables(stored)
        target.load_own_variables(stored)
