"""Elementwise functions: as layers, fused into other layers, as operations between layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.src.activations import activations as keras_activations
from keras.src.ops import nn, numpy

from lrpkeras.graph import functions
from lrpkeras.graph.draft import Site
from lrpkeras.graph.functions import SIMPLE, Function
from lrpkeras.graph.lower import Refusal, Tensor, lowering_of, register
from lrpkeras.graph.lower_inert import keep
from lrpkeras.graph.nodes import Activation

SELU = (1.6732632423543772, 1.0507009873554805)
# By name of the Keras function: what makes the function here, from the same arguments.
MAKERS: dict[str, Callable[..., Function]] = {
    **{name: partial(SIMPLE.__getitem__, name) for name in SIMPLE},
    "relu": lambda **settings: _relu(**settings),
    "relu6": lambda: functions.relu(max_value=6.0),
    "leaky_relu": lambda negative_slope=0.2: _relu(negative_slope),
    "elu": functions.elu,
    "selu": lambda: functions.elu(*SELU),
    "celu": functions.celu,
    "gelu": functions.gelu,
    "soft_shrink": functions.soft_shrink,
    "hard_shrink": functions.hard_shrink,
    "squareplus": functions.squareplus,
    "threshold": lambda threshold, default_value: functions.thresholded(threshold, default_value),
    "softmax": lambda axis=-1: _last(functions.softmax(), axis),
    "log_softmax": lambda axis=-1: _last(functions.log_softmax(), axis),
}
# By identity. The operations of the same meaning too, where an argument has another default.
BY_FUNCTION: dict[int, Callable[..., Function]] = {
    id(getattr(keras.ops, name)): MAKERS[name] for name in MAKERS if hasattr(keras.ops, name)
}
BY_FUNCTION.update({id(getattr(keras.activations, name)): MAKERS[name] for name in MAKERS})
BY_FUNCTION[id(keras.ops.gelu)] = lambda approximate=True: functions.gelu(approximate)
SAME_IN_TENSORFLOW = ("relu", "relu6", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign")
TENSORFLOW_NAMES = {
    **{name: name for name in (*SAME_IN_TENSORFLOW, "leaky_relu", "gelu")},
    "swish": "silu",
    "softmax_v2": "softmax",
}


def fused(activation: Any, x: Tensor) -> Tensor:
    """Emit a layer's own activation as a node of its own, `layer:relu`.

    `activation` is a Keras activation function, or a layer such as `LeakyReLU` in its place.
    """
    if activation is None or activation is keras.activations.linear:
        return x
    if isinstance(activation, keras.Operation):
        site = x.draft.site
        with x.draft.at(Site(f"{site.path}:{activation.name}", site.layer, activation)):
            y: Tensor = lowering_of(activation)(activation, x)
        return y
    function = function_of(activation)
    return x.then(Activation, function.name.partition("(")[0], function=function)


def function_of(activation: Callable) -> Function:
    """Return the function that a Keras activation function is, also one with arguments bound.

    Raises
    ------
    Refusal
        It is none of Keras' own.
    """
    settings: dict[str, Any] = {}
    if isinstance(activation, partial) and not activation.args:
        settings, activation = activation.keywords, activation.func
    maker = BY_FUNCTION.get(id(activation)) or _of_tensorflow(activation)
    name = getattr(activation, "__name__", repr(activation))
    if maker is None:
        why = f"its activation {name!r} is no elementwise function of keras.activations"
        raise Refusal(why, "use one of keras.activations, or a layer of your own for it")
    try:
        return maker(**settings)
    except TypeError:
        raise Refusal(f"its activation {name!r} has settings {settings}, not understood") from None


def _of_tensorflow(activation: Callable) -> Callable[..., Function] | None:
    """Return what a function such as `tf.nn.relu` is; its module tells that it is TensorFlow's."""
    if not getattr(activation, "__module__", "").startswith("tensorflow.python.ops."):
        return None
    name = getattr(activation, "__name__", "")
    return MAKERS.get(TENSORFLOW_NAMES.get(name, ""))


def _relu(
    negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Function:
    if threshold < 0 or (max_value is not None and max_value < threshold):
        raise Refusal(f"a ReLU with threshold {threshold} and maximum {max_value} is not monotonic")
    # TensorFlow holds these numbers in float32, whatever it computes in.
    if max_value is None and threshold == 0:
        negative_slope = float(np.float32(negative_slope))
    max_value = None if max_value is None else float(np.float32(max_value))
    return functions.relu(negative_slope, max_value, threshold)


def _last(function: Function, axis: Any, rank: int | None = None) -> Function:
    """Return a softmax, if it is along the last axis."""
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if axes not in ((-1,), (None if rank is None else rank - 1,)):
        raise Refusal(f"softmax along axis {axis} mixes positions, and no rule is known for it")
    return function


@register(layers.Activation)
def activation_layer(layer: layers.Activation, x: Tensor) -> Tensor:
    """Any of `keras.activations`."""
    if layer.activation is keras.activations.linear:
        return keep(x)
    if isinstance(layer.activation, keras.Operation):
        return fused(layer.activation, x)
    return _elementwise(x, function_of(layer.activation))


@register(layers.PReLU)
def prelu(layer: layers.PReLU, x: Tensor) -> Tensor:
    """Slopes below zero that were learned, one an entry or shared along axes."""
    return x.then(Activation, function=functions.prelu(), slope=layer.alpha)


def _elementwise(x: Tensor, function: Function) -> Tensor:
    return x.then(Activation, function=function)


def _as_registered(*classes: type, settings: Sequence[str] = (), name: str) -> None:
    """Lower layers or operations to a Keras activation, their attributes its arguments."""

    def lowering(operation: Any, x: Tensor) -> Tensor:
        given = {setting: getattr(operation, setting) for setting in settings}
        return _elementwise(x, MAKERS[name](**given))

    lowering.__doc__ = f"`keras.activations.{name}`, elementwise."
    register(*classes)(lowering)


RELU = ("negative_slope", "max_value", "threshold")
_as_registered(layers.ReLU, keras_activations.ReLU, settings=RELU, name="relu")
_as_registered(layers.LeakyReLU, nn.LeakyRelu, settings=("negative_slope",), name="leaky_relu")
_as_registered(layers.ELU, nn.Elu, settings=("alpha",), name="elu")
_as_registered(nn.Celu, settings=("alpha",), name="celu")
_as_registered(nn.Gelu, settings=("approximate",), name="gelu")
_as_registered(nn.SoftShrink, settings=("threshold",), name="soft_shrink")
_as_registered(nn.HardShrink, settings=("threshold",), name="hard_shrink")
_as_registered(nn.Threshold, settings=("threshold", "default_value"), name="threshold")
_as_registered(nn.Squareplus, settings=("b",), name="squareplus")

for _name, _operation in {
    "relu": nn.Relu,
    "relu6": nn.Relu6,
    "selu": nn.Selu,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "silu": nn.Silu,
    "log_sigmoid": nn.LogSigmoid,
    "hard_sigmoid": nn.HardSigmoid,
    "hard_silu": nn.HardSilu,
    "hard_tanh": nn.HardTanh,
    "tanh_shrink": nn.TanhShrink,
    "sparse_plus": nn.SparsePlus,
    "sparse_sigmoid": nn.SparseSigmoid,
    "mish": keras_activations.Mish,
    "tanh": numpy.Tanh,
    "exponential": numpy.Exp,
}.items():
    _as_registered(_operation, name=_name)


@register(layers.Softmax, nn.Softmax)
def softmax(operation: Any, x: Tensor) -> Tensor:
    """Softmax along the last axis; the reader takes it at the end of a model alone."""
    return _elementwise(x, _last(functions.softmax(), operation.axis, x.rank))


@register(nn.LogSoftmax)
def log_softmax(operation: Any, x: Tensor) -> Tensor:
    """Log-softmax along the last axis, at the end of a model alone."""
    return _elementwise(x, _last(functions.log_softmax(), operation.axis, x.rank))
