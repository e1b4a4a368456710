"""Shapes, values and variables of TensorFlow."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.ops import EagerTensor
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

Tensor: TypeAlias = Any
Size: TypeAlias = Any  # an int where it is known while tracing, else a scalar int32 tensor
Sizes: TypeAlias = tuple[Size, ...]

# Functions of one analyzer may be traced at the same time, and both need what is made of a kernel.
_MAKING = threading.Lock()


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """`(..., channels) + (channels,)`: the form that TensorFlow fuses into a convolution.

    It would fuse it into one of several groups, too, and then has no kernel for that.
    """
    return x + bias if _is_grouped(x) else tf.nn.bias_add(x, bias)


def _is_grouped(x: Tensor) -> bool:
    """Whether a tensor of a graph comes from a convolution of several groups."""
    if tf.executing_eagerly():
        return False
    # In one dimension, a convolution is one of height 1.
    made = x.op.inputs[0].op if x.op.type == "Squeeze" else x.op
    if made.type != "Conv2D":
        return False
    image, kernel = made.inputs
    return bool(image.shape[-1] != kernel.shape[-2])


def where_positive(x: Tensor, array: Tensor) -> Tensor:
    """Return `array`, `(k, *x.shape)`, where `x` is positive, and zero elsewhere.

    For one target that is the adjoint of a ReLU, which passes over memory once.
    """
    if array.shape[0] != 1:
        return array * tf.cast(x > 0, array.dtype)
    one = tf.raw_ops.ReluGrad(gradients=tf.squeeze(array, [0]), features=x)
    return tf.expand_dims(one, 0)


def select(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return `one` where a condition holds, else `other`: both `(k, *condition.shape)`."""
    if one.shape[0] != 1:
        return tf.where(condition, one, other)
    # Of equal shapes: where a select broadcasts, it takes several times as long.
    return tf.expand_dims(tf.where(condition, tf.squeeze(one, [0]), tf.squeeze(other, [0])), 0)


def after(x: Tensor, other: Tensor) -> Tensor:
    """Return `x`, which in a graph is not there before `other` is.

    What is computed from it alone then runs late, and its result is not held in memory early.
    """
    if tf.executing_eagerly():
        return x
    with tf.control_dependencies([other]):
        return tf.identity(x)


def shape(x: Tensor) -> Sizes:
    """Return the sizes of `x`: ints where known while tracing, scalar int32 tensors elsewhere."""
    x = tf.convert_to_tensor(x)
    return tuple(size_of(x, axis) for axis in range(len(x.shape)))


def merge_leading(x: Tensor) -> Tensor:
    """`(k, n, ...) -> (k * n, ...)`; free when k is 1."""
    k, n, *rest = shape(x)
    if isinstance(k, int) and k == 1:
        return tf.squeeze(x, 0)
    return reshape(x, (k * n, *rest))


def split_leading(x: Tensor, k: int) -> Tensor:
    """`(k * n, ...) -> (k, n, ...)` for a static `k`; free when k is 1."""
    if k == 1:
        return tf.expand_dims(x, 0)
    n, *rest = shape(x)
    return reshape(x, (k, n // k, *rest))


def constant(array: Any, dtype: str | None = None) -> Tensor:
    """Return `array` as a tensor, of type `dtype` if one is given."""
    if tf.is_tensor(array):
        return array if dtype is None else tf.cast(array, dtype)
    if tf.executing_eagerly() and is_snapshot(array) and dtype in (None, array.dtype):
        # `tf.constant` copies, lest somebody write to the array: nobody does.
        return EagerTensor(array, context.context().device_name, None)
    return tf.constant(array, dtype)


def snapshot(value: Any) -> np.ndarray:
    """Return what a variable, tensor or array holds now, which later assignments do not change.

    Of variables and tensors it is read-only, and on a CPU in their memory: while that is read by
    others, TensorFlow assigns other memory to a variable instead of writing to it. (Whoever handed
    memory of their own to a variable, by DLPack, can write to both.)
    """
    if isinstance(value, keras.Variable):
        value = value.value
    if not tf.is_tensor(value):
        return value if is_snapshot(value) else np.array(value)
    array = _memory_of(value)
    # After sparse updates a variable is copied whenever it is read.
    lent = not isinstance(value, tf.Variable) or np.may_share_memory(array, _memory_of(value))
    return array if lent else array.copy()


def _memory_of(value: Tensor) -> np.ndarray:
    """Return what a variable or tensor holds, read-only; a copy where NumPy has no buffers of it.

    There are none of bfloat16 or strings.
    """
    tensor = tf.convert_to_tensor(value)
    native = np.dtype(tensor.dtype.as_numpy_dtype).kind in "biufc"
    return np.asarray(memoryview(tensor)) if native else tensor.numpy()


def is_snapshot(array: Any) -> bool:
    """Whether an array lies in memory of a tensor, to which TensorFlow does not write."""
    while isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.base
    return isinstance(array, memoryview) and array.readonly


def in_memory_of(variable: Tensor, array: np.ndarray) -> bool:
    """Whether the value of a variable takes no memory, since it lies in that of a snapshot."""
    same = variable.dtype == array.dtype and is_snapshot(array)
    return same and np.may_share_memory(as_array(variable), array)


def to_numpy(tensor: Any) -> np.ndarray:
    """Return the value of an eager tensor, a variable or an array-like as an array of its own."""
    if isinstance(tensor, keras.Variable):
        tensor = tensor.value
    return tensor.numpy() if tf.is_tensor(tensor) else np.array(tensor)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor or variable of this backend."""
    return bool(tf.is_tensor(x))


def variable(array: Any, name: str, dtype: str | None = None) -> Tensor:
    """Create a variable, of type `dtype` if one is given, that no Keras layer tracks."""
    with tf.init_scope():
        return _plain_variable(constant(array, dtype), name)


def _plain_variable(value: Tensor, name: str) -> Tensor:
    # `tf.Variable` would be one for each device within a strategy's scope, which could not be used
    # outside of it; and a function whose trace makes one is traced a second time.
    return ResourceVariable(value, trainable=False, name=name)


def assign(variable: Tensor, array: Any) -> None:
    """Overwrite the value of `variable`; shape and dtype stay."""
    with _MAKING:
        variable.assign(constant(array, variable.dtype))
        if hasattr(variable, "turned"):
            variable.turned.assign(_turned(variable))
        if hasattr(variable, "copies"):
            variable.copies.clear()


def copy_on(variable: Tensor, device: str) -> Tensor:
    """Return the value of a variable on a device: copied once, until another is assigned."""
    with _MAKING:
        if not hasattr(variable, "copies"):
            variable.copies = {}
        if device not in variable.copies:
            with tf.device(device):
                variable.copies[device] = tf.identity(variable.read_value())
        return variable.copies[device]


def turned(kernel: Tensor) -> Tensor:
    """Return the kernel `(height, width, out, in)` of the adjoint, for a variable `(..., in, out)`.

    It is a variable of its own, made when a trace first needs it, that `assign` keeps up to date.
    """
    with _MAKING:
        if not hasattr(kernel, "turned"):
            with tf.init_scope():
                kernel.turned = _plain_variable(_turned(kernel), "turned")
    return kernel.turned


def _turned(kernel: Tensor) -> Tensor:
    return tf.reverse(tf.transpose(kernel, (0, 1, 3, 2)), (0, 1))


def as_array(variable: Tensor) -> np.ndarray:
    """Return the value of a variable, read-only; on a CPU it is the variable's own memory.

    What is assigned to the variable later does not change it.
    """
    return np.asarray(memoryview(variable.read_value()))


def nbytes(variable: Tensor) -> int:
    """Return a variable's memory, with what was turned of it and copies on devices."""
    size = int(math.prod(variable.shape)) * int(variable.dtype.size)
    return size * (1 + hasattr(variable, "turned") + len(getattr(variable, "copies", ())))


def values(variables: Any) -> Any:
    """Return a nested structure of variables as it is: they are read where they are used."""
    return variables


@contextmanager
def precise() -> Iterator[None]:
    """Within this, float64 is float64, as TensorFlow always takes it."""
    yield


@contextmanager
def full_products() -> Iterator[None]:
    """Within this, Keras multiplies in as many digits as the primitives do: as always."""
    yield


def carried(function: Callable) -> Callable:
    """Return a function that does in another thread what it would do in this one: any does."""
    return function


def lacks(dtype: str) -> str | None:
    """Say what to set so that `dtype` is computed in; None where it is, as always."""
    return None


def size_of(x: Tensor, axis: int) -> Size:
    """Return one entry of `shape`."""
    size = x.shape[axis]
    return tf.shape(x)[axis] if size is None else int(size)


def spatial_of(x: Tensor) -> Sizes:
    """Return the spatial sizes of `(batch, *spatial, channels)`."""
    return tuple(size_of(x, axis) for axis in range(1, len(x.shape) - 1))


def reshape(x: Tensor, sizes: Sizes) -> Tensor:
    """Reshape without a computed shape where one unknown size can be left to TensorFlow."""
    if sum(not isinstance(n, int) for n in sizes) == 1:
        sizes = tuple(n if isinstance(n, int) else -1 for n in sizes)
    return tf.reshape(x, sizes)


def with_static(x: Tensor, sizes: Sizes) -> Tensor:
    """Return `x`, whose shape TensorFlow could not tell, with what `sizes` knows of it."""
    x.set_shape([size if isinstance(size, int) else None for size in sizes])
    return x
