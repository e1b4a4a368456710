"""VGG16, ResNet50 and MobileNetV2 in torch, as `keras.applications` builds them.

Parameters, multiply-adds and shapes are Keras' own (checked by `client.py`); weights are torch's
random ones. Sums are modules, and no module is used twice: zennit and captum know modules alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Add = Callable[[], nn.Module]  # makes a module that adds two tensors
CLASSES = 1000


class Plus(nn.Module):
    """Adds two tensors."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        return a + b


class Flatten(nn.Sequential):
    """A sequence of modules behind a flatten, which is no module: captum has no rule for it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the modules make of the flat tensor."""
        return super().forward(torch.flatten(x, 1))


def vgg16(add: Add = Plus, size: int = 224) -> nn.Module:
    """Return VGG16, for images of one size, without softmax."""
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(channels * (size // 32) ** 2, 4096), nn.ReLU(), nn.Linear(4096, 4096)]
    return nn.Sequential(*layers, Flatten(*dense, nn.ReLU(), nn.Linear(4096, CLASSES)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 to four times the width, beside a shortcut; the first one strides."""

    def __init__(self, channels: int, width: int, stride: int, project: bool, add: Add) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *convolution(channels, width, 1, stride),
            nn.ReLU(),
            *convolution(width, width, 3),
            nn.ReLU(),
            *convolution(width, 4 * width, 1),
        )
        # No empty module where nothing is projected: captum has no rule for one.
        projection = nn.Sequential(*convolution(channels, 4 * width, 1, stride))
        self.shortcut = projection if project else None
        self.add, self.relu = add(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.relu(self.add(shortcut, self.residual(x)))


def convolution(
    channels: int, width: int, window: int, stride: int = 1, groups: int = 1, bias: bool = True
) -> tuple[nn.Module, nn.Module]:
    """Return a convolution and its batch normalization."""
    padding = (window - 1) // 2
    conv = nn.Conv2d(channels, width, window, stride, padding, groups=groups, bias=bias)
    return conv, nn.BatchNorm2d(width, eps=1.001e-5)


def resnet50(add: Add = Plus, size: int = 224) -> nn.Module:
    """Return ResNet50 as He et al. 2016 and Keras have it, without softmax."""
    layers = [*convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(depth):
            first = number == 0
            layers.append(Bottleneck(channels, width, stride if first else 1, first, add))
            channels = 4 * width
    mean = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, mean, Flatten(nn.Linear(channels, CLASSES)))


class Inverted(nn.Module):
    """1 x 1 to six times the channels, 3 x 3 depthwise, 1 x 1; a shortcut where shapes allow."""

    def __init__(self, channels: int, width: int, stride: int, factor: int, add: Add) -> None:
        super().__init__()
        inner = channels * factor
        expand = (*convolution(channels, inner, 1, bias=False), nn.ReLU6()) if factor > 1 else ()
        self.residual = nn.Sequential(
            *expand,
            *convolution(inner, inner, 3, stride, groups=inner, bias=False),
            nn.ReLU6(),
            *convolution(inner, width, 1, bias=False),
        )
        self.add = add() if stride == 1 and channels == width else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        y = self.residual(x)
        return y if self.add is None else self.add(x, y)


def mobilenet_v2(add: Add = Plus, size: int = 224) -> nn.Module:
    """Return MobileNetV2, without softmax."""
    layers: list[nn.Module] = [*convolution(3, 32, 3, 2, bias=False), nn.ReLU6()]
    channels = 32
    for factor, width, depth, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
        (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for number in range(depth):
            layers.append(Inverted(channels, width, 1 if number else stride, factor, add))
            channels = width
    layers += [*convolution(channels, 1280, 1, bias=False), nn.ReLU6(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, Flatten(nn.Linear(1280, CLASSES)))


class Tiny(nn.Module):
    """The same small residual network as `networks.TINY`, to see that all of this runs."""

    def __init__(self, add: Add = Plus, size: int = 16) -> None:
        super().__init__()
        stem, norm = convolution(3, 8, 3)
        stem.padding = (0, 0)
        self.stem = nn.Sequential(stem, norm, nn.ReLU())
        self.residual = nn.Sequential(*convolution(8, 8, 3))
        self.add = add()
        self.top = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), Flatten(nn.Linear(8, 12)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.stem(x)
        return self.top(self.add(x, self.residual(x)))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "VGG16": vgg16,
    "ResNet50": resnet50,
    "MobileNetV2": mobilenet_v2,
    "tiny-resnet": Tiny,
}


def parameters(network: nn.Module) -> int:
    """Return the number of weights and statistics, as Keras counts them."""
    state = network.state_dict().items()
    return sum(value.numel() for name, value in state if not name.endswith("batches_tracked"))


def multiply_adds(network: nn.Module, images: torch.Tensor) -> int:
    """Return those of convolutions and dense layers in one forward pass."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        counts.append(output.numel() * module.weight[0].numel())

    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(count) for module in weighted]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return sum(counts)
