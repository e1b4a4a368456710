"""The small networks of `hui2019`: every one with batch normalization, none with a bias beside it.

Like those that Hui & Binder name, in PyTorch: momentum 0.1 (0.9 as Keras counts), epsilon 1e-5,
and strided convolutions padded by one on all sides, so that the middle of a strided 3 x 3 window is
what the 1 x 1 convolution of the shortcut beside it sees.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
from keras import KerasTensor, layers

Shape = tuple[int, int, int]
WIDTHS = (24, 48, 96)


def normalized(x: KerasTensor, name: str | None = None) -> KerasTensor:
    """Batch normalization, as PyTorch has it by default."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def conv(x: KerasTensor, filters: int, size: int = 3, stride: int = 1) -> KerasTensor:
    """A convolution, and its normalization."""
    if size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    x = layers.Conv2D(filters, size, stride, use_bias=False)(x)
    return normalized(x)


def classified(inputs: KerasTensor, x: KerasTensor, classes: int) -> keras.Model:
    """Mean over positions, and a softmax layer."""
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def resnet(shape: Shape, classes: int, shortcut: str = "stride") -> keras.Model:
    """Three stages of two residual blocks [He et al. 2016]; the first of each halves the image.

    Its shortcut is a 1 x 1 convolution with stride 2, which sees a quarter of the positions
    ("stride"), or one behind average pooling, which sees all ("pool"). What stages begin with is
    called `stage1_input` to `stage3_input`.
    """
    inputs = keras.Input(shape)
    x = layers.ReLU(name="stage1_input")(conv(inputs, 16))
    for stage, filters in enumerate(WIDTHS, start=1):
        x = layers.ReLU()(layers.Add()([_body(x, filters, 2), _shortcut(x, filters, shortcut)]))
        behind = f"stage{stage + 1}_input" if stage < len(WIDTHS) else None
        x = layers.ReLU(name=behind)(layers.Add()([_body(x, filters, 1), x]))
    return classified(inputs, x, classes)


def _body(x: KerasTensor, filters: int, stride: int) -> KerasTensor:
    return conv(layers.ReLU()(conv(x, filters, 3, stride)), filters)


def _shortcut(x: KerasTensor, filters: int, kind: str) -> KerasTensor:
    if kind == "pool":
        return conv(layers.AveragePooling2D(2)(x), filters, 1)
    return conv(x, filters, 1, 2)


def mobilenet_v2(shape: Shape, classes: int) -> keras.Model:
    """Three stages of two inverted residual blocks, ReLU6, expansion by 4."""
    inputs = keras.Input(shape)
    x = layers.ReLU(6.0)(conv(inputs, 16))
    for filters in WIDTHS:
        x = _inverted(x, filters, 2)
        x = layers.Add()([_inverted(x, filters, 1), x])
    return classified(inputs, layers.ReLU(6.0)(conv(x, 192, 1)), classes)


def _inverted(x: KerasTensor, filters: int, stride: int) -> KerasTensor:
    """Widen, filter each channel, narrow; nothing after the last normalization."""
    x = layers.ReLU(6.0)(conv(x, 4 * x.shape[-1], 1))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, stride, use_bias=False)(x)
    return conv(layers.ReLU(6.0)(normalized(x)), filters, 1)


def densenet(shape: Shape, classes: int, growth: int = 12, depth: int = 4) -> keras.Model:
    """Three dense blocks with average pooling between [Huang et al. 2016].

    Normalization comes in front of ReLU and convolution: folded, it becomes a gate, and under
    "threshold" a thresholded ReLU.
    """
    inputs = keras.Input(shape)
    x = layers.AveragePooling2D(2)(_before(inputs, 24, first=True))
    for block in range(3):
        for _ in range(depth):
            x = layers.Concatenate()([x, _before(x, growth)])
        if block < 2:
            x = layers.AveragePooling2D(2)(_before(x, x.shape[-1] // 2, 1))
    return classified(inputs, layers.ReLU()(normalized(x)), classes)


def _before(x: KerasTensor, filters: int, size: int = 3, first: bool = False) -> KerasTensor:
    if not first:
        x = layers.ReLU()(normalized(x))
    return layers.Conv2D(filters, size, padding="same", use_bias=False)(x)


NETWORKS: dict[str, Callable[[Shape, int], keras.Model]] = {
    "MobileNetV2-like": mobilenet_v2,
    "ResNet-like": resnet,
    "DenseNet-like": densenet,
}
POOLED = partial(resnet, shortcut="pool")
