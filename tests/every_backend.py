"""Explain a table of networks on the backend that Keras runs on, and write down what comes out.

    KERAS_BACKEND=jax python tests/every_backend.py out.npz small float32

Weights and inputs come from NumPy's generator, so that every backend has the same ones.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import keras
import numpy as np
from keras import layers, ops

import lrpkeras
from lrpkeras import presets

RANGE = (-3.0, 3.0)
COUNT, CLASSES = 3, 4
Network = Callable[[], tuple]
Arrays = Mapping[str, np.ndarray]
# Of the largest entry: what float32 leaves where two libraries add in different orders.
SINGLE = 1e-5


def residual() -> tuple:
    """Convolutions with normalizations in front and behind, a residual block, max pooling."""
    inputs = keras.Input((12, 11, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.ReLU()(layers.BatchNormalization()(x)))
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(6, 3, padding="same", activation="relu")(y)
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(6, 1)(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    return inputs, layers.Dense(CLASSES, activation="softmax")(x)


def mobile() -> tuple:
    """Depthwise and separable convolutions, asymmetric padding, a gate, SiLU."""
    inputs = keras.Input((11, 10, 3))
    x = layers.ZeroPadding2D(((0, 1), (1, 2)))(inputs)
    x = layers.Conv2D(6, 3, strides=2)(x)
    x = layers.Activation("silu")(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x)
    x = layers.ReLU(6.0)(x)
    gate = layers.Dense(12, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.SeparableConv2D(6, 2, padding="same")(layers.Multiply()([x, gate]))
    return inputs, layers.Dense(CLASSES)(layers.Flatten()(x))


def grouped() -> tuple:
    """Groups, dilation, strides over uneven sizes, average pooling that pads."""
    inputs = keras.Input((13, 12, 4))
    x = layers.Conv2D(8, 3, groups=2, strides=(2, 1), activation="relu")(inputs)
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(3, 2, padding="same")(x)
    x = layers.DepthwiseConv2D(2, dilation_rate=2, padding="same")(x)
    x = layers.Conv2D(6, 3, groups=2, dilation_rate=(1, 2), padding="same", activation="elu")(x)
    return inputs, layers.Dense(CLASSES)(layers.GlobalMaxPooling2D()(x))


def u_net() -> tuple:
    """Transposed convolutions and resizing beside a skip connection; an output with positions."""
    inputs = keras.Input((8, 10, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    deep = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.MaxPooling2D()(x))
    ups = [
        layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu")(deep),
        layers.UpSampling2D()(deep),
        layers.UpSampling2D(interpolation="bilinear")(deep),
    ]
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Concatenate()([x, *ups]))
    return inputs, layers.Conv2D(CLASSES, 1)(x)


def series() -> tuple:
    """One dimension: causal and transposed convolutions, pooling."""
    inputs = keras.Input((14, 3))
    x = layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu")(inputs)
    x = layers.MaxPooling1D(3, 2, padding="same")(x)
    x = layers.Conv1DTranspose(4, 3, strides=2)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.SeparableConv1D(4, 3)(layers.AveragePooling1D(2)(x))
    return inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x))


def volume() -> tuple:
    """Three dimensions, with groups and dilation."""
    inputs = keras.Input((6, 7, 6, 2))
    x = layers.Conv3D(4, 2, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling3D(2, padding="same")(x)
    x = layers.Conv3D(4, 2, dilation_rate=2, groups=2, padding="same", activation="relu")(x)
    x = layers.Conv3DTranspose(3, 2, strides=2)(layers.AveragePooling3D(2, padding="same")(x))
    return inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling3D()(x))


def two_inputs() -> tuple:
    """Two inputs through one tower, operators, maximum and concatenation."""
    left, right = keras.Input((7, 6, 2)), keras.Input((7, 6, 2))
    tower = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2)])
    a, b = tower(left), tower(right)
    x = layers.Concatenate()([layers.Maximum()([a, b]), a * 0.5 - b])
    x = ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, 8, 4))
    return [left, right], layers.Dense(CLASSES)(layers.Flatten()(layers.Dense(3, "relu")(x)))


def words() -> tuple:
    """An embedding, masked where words are missing."""
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(9, 5, mask_zero=True)(inputs)
    x = layers.Dense(4, "tanh")(layers.GlobalAveragePooling1D()(x))
    return inputs, layers.Dense(CLASSES)(x)


def normalized() -> tuple:
    """Normalizations by the sample itself, and functions that are no ReLU."""
    inputs = keras.Input((6, 6, 3))
    x = layers.LayerNormalization()(layers.Conv2D(4, 3)(inputs))
    x = layers.GroupNormalization(2)(layers.Conv2D(4, 1)(layers.Activation("gelu")(x)))
    x = lrpkeras.layers.LocalResponseNormalization()(layers.LeakyReLU()(x))
    x = layers.UnitNormalization()(layers.Dense(4, "softplus")(layers.Flatten()(x)))
    return inputs, layers.Dense(CLASSES)(x)


SMALL = (residual, mobile, grouped, u_net, series, volume, two_inputs, words, normalized)
# One of each family of rules. All presets are for one network.
FEW = (
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
    "w_square",
    "relative",
    "excitation_backprop",
)
ONE = ("epsilon_plus_flat", "epsilon_alpha2_beta1_flat")
ALL_PRESETS = residual
# Of keras.applications, each with a preset, at a size that all of them take.
ARCHITECTURES = {"ResNet50": "epsilon_plus_flat", "EfficientNetB0": "epsilon_gamma_box"}
if os.environ.get("LRPKERAS_ALL"):
    ARCHITECTURES |= {"VGG16": "epsilon_gamma_box", "MobileNetV2": "epsilon_alpha2_beta1_flat"}
SIZE = 48


def random(model: keras.Model) -> keras.Model:
    """Give every weight a random value, of a size that keeps activations of a common size."""
    generator = np.random.default_rng(1)
    for layer in model._flatten_layers(include_self=False):
        for variable in layer.weights if not layer._layers else ():
            fan = max(1, int(np.prod(variable.shape[:-1])))
            value = generator.normal(0, (2 / fan) ** 0.5, variable.shape)
            if variable.path.endswith(("gamma", "variance", "scale")):
                value = generator.uniform(0.5, 1.5, variable.shape)
            elif len(variable.shape) == 1:
                value = generator.normal(0, 0.1, variable.shape)
            variable.assign(value.astype(variable.dtype))
    return model


def inputs_of(model: keras.Model) -> list[np.ndarray]:
    generator = np.random.default_rng(2)
    return [
        generator.integers(9, size=(COUNT, *x.shape[1:]))
        if "int" in x.dtype
        else np.clip(generator.normal(size=(COUNT, *x.shape[1:])), *RANGE).astype(x.dtype)
        for x in model.inputs
    ]


def explanations(
    model: keras.Model, names: tuple[str, ...], jit_compile: bool | Literal["auto"] = "auto"
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield relevance by preset, input and kind of call; refusals too, by their text."""
    arrays = inputs_of(model)
    x = arrays if len(arrays) > 1 else arrays[0]
    for name in names:
        try:
            settings = {"jit_compile": jit_compile, "verify": name == names[0]}
            analyzer = lrpkeras.Analyzer(model, name, **settings)
        except lrpkeras.LrpError as error:
            if "input_range" not in str(error):
                yield f"{name}/refused", np.array(type(error).__name__)
                continue
            analyzer = lrpkeras.Analyzer(model, name, input_range=RANGE, **settings)
        result = analyzer.explain(x, 1, batch_size=2, verbose=0)
        given = result.relevance if len(arrays) > 1 else [result.relevance]
        for number, relevance in enumerate(given):
            yield f"{name}/{number}", relevance
        yield f"{name}/output", result.output


def one(dtype: str) -> Iterator[tuple[str, np.ndarray]]:
    keras.config.set_floatx(dtype)
    return explanations(random(keras.Model(*residual())), ONE)


def small(dtype: str) -> Iterator[tuple[str, np.ndarray]]:
    keras.config.set_floatx(dtype)
    for network in SMALL:
        keras.backend.clear_session()
        model = random(keras.Model(*network()))
        names = tuple(presets.names()) if network is ALL_PRESETS else FEW
        for name, array in explanations(model, names):
            yield f"{network.__name__}/{name}", array


def application(name: str) -> keras.Model:
    make = getattr(keras.applications, name)
    return random(make(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES))


def applications(dtype: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, preset in ARCHITECTURES.items():
        for part, array in explanations(application(name), (preset,)):
            yield f"{name}/{part}", array


def far_apart(got: Arrays, expected: Arrays, tolerance: float = SINGLE) -> dict[str, float]:
    """Return by how much of the largest entry arrays differ, those that differ by too much."""
    assert set(got) == set(expected)
    far = {}
    for name, array in expected.items():
        assert got[name].shape == array.shape
        if array.dtype.kind != "f":
            assert got[name] == array
            continue
        scale, difference = np.abs(array).max(), np.abs(got[name] - array).max()
        if not difference <= tolerance * scale:
            far[name] = float(difference / scale)
    return far


def main(path: str, table: str, dtype: str = "float32") -> None:
    made = {"one": one, "small": small, "applications": applications}[table](dtype)
    np.savez(path, **dict(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
