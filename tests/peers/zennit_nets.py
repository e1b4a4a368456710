"""The nets in torch that `zennit_reference.py` explains, with random weights.

Each has a twin in `keras_twins.py`. `canonizer` pairs every BN with the linear module in front of
it; with `ExactMerge`, since zennit's own merging of BN changes what the net computes.
"""

import importlib
import sys
import types
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn


def import_zennit():
    """Import zennit, with placeholders for the two torchvision classes that it names on import.

    Its canonizers for torchvision's ResNets look for them; no net here is one of those, and
    torchvision has no build that fits every build of torch.
    """
    try:
        importlib.import_module("torchvision.models.resnet")
    except (ImportError, RuntimeError):
        names = ("torchvision", "torchvision.models", "torchvision.models.resnet")
        sys.modules.update({name: types.ModuleType(name) for name in names})
        resnet = sys.modules["torchvision.models.resnet"]
        resnet.Bottleneck, resnet.BasicBlock = type("Bottleneck", (), {}), type("Block", (), {})
    return importlib.import_module("zennit")


zennit = import_zennit()

BATCH_NORM_EPSILON = 1e-3  # Keras' default; torch's own is 1e-5
CLASSES = 5
VGG_SIZE = 20


class ExactMerge:
    """Make a BN that zennit has merged the identity, which by itself it is not.

    zennit sets mean 0, variance 1, gamma 1, beta 0 and leaves BN's epsilon alone, so every merged
    BN still divides by sqrt(1 + epsilon): 0.05 % a layer with Keras' 1e-3.
    """

    def register(self, linears, batch_norm):
        super().register(linears, batch_norm)
        self.epsilon, batch_norm.eps = batch_norm.eps, 0.0

    def remove(self):
        super().remove()
        self.batch_norm.eps = self.epsilon


class SequentialMerge(ExactMerge, zennit.canonizers.SequentialMergeBatchNorm):
    """Merge every BN into the linear module defined just before it."""


class NamedMerge(ExactMerge, zennit.canonizers.NamedMergeBatchNorm):
    """Merge every BN into the linear modules that it is paired with by name."""


def batch_norm(channels):
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


class VggLike(nn.Sequential):
    """Two convolutions with bias, BN, ReLU and max pooling, then two dense layers."""

    def __init__(self):
        layers = OrderedDict()
        for k, (channels_in, channels_out) in enumerate([(3, 8), (8, 12)], start=1):
            layers[f"conv{k}"] = nn.Conv2d(channels_in, channels_out, 3, padding=1)
            layers[f"bn{k}"] = batch_norm(channels_out)
            layers[f"relu{k}"] = nn.ReLU()
            layers[f"pool{k}"] = nn.MaxPool2d(2)
        layers["flatten"] = nn.Flatten()
        layers["dense1"] = nn.Linear(12 * (VGG_SIZE // 4) ** 2, 16)
        layers["relu3"] = nn.ReLU()
        layers["dense2"] = nn.Linear(16, CLASSES)
        super().__init__(layers)

    def canonizer(self):
        return SequentialMerge()


class BasicBlock(nn.Module):
    """conv-BN-ReLU-conv-BN beside a shortcut (identity, or conv-BN), summed, ReLU."""

    def __init__(self, channels_in, channels_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = batch_norm(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = batch_norm(channels_out)
        if stride != 1:
            self.conv0 = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.bn0 = batch_norm(channels_out)
        self.sum = zennit.layer.Sum()
        self.relu2 = nn.ReLU()

    def forward(self, x):
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = self.bn0(self.conv0(x)) if hasattr(self, "conv0") else x
        return self.relu2(self.sum(torch.stack([shortcut, residual], dim=-1)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 to four times the width, each with bias and BN, beside a shortcut.

    The stride is that of the first convolution, as in Keras' ResNet50.
    """

    def __init__(self, channels_in, width, stride=1, *, project=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1, stride)
        self.bn1 = batch_norm(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = batch_norm(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        self.bn3 = batch_norm(4 * width)
        if project:
            self.conv0 = nn.Conv2d(channels_in, 4 * width, 1, stride)
            self.bn0 = batch_norm(4 * width)
        self.sum = zennit.layer.Sum()
        self.relu3 = nn.ReLU()

    def forward(self, x):
        residual = self.relu1(self.bn1(self.conv1(x)))
        residual = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(residual)))))
        shortcut = self.bn0(self.conv0(x)) if hasattr(self, "conv0") else x
        return self.relu3(self.sum(torch.stack([shortcut, residual], dim=-1)))


class Residual(nn.Sequential):
    """Pairs every BN with the convolution of its number."""

    def canonizer(self):
        norms = [n for n, module in self.named_modules() if isinstance(module, nn.BatchNorm2d)]
        return NamedMerge([((name.replace("bn", "conv"),), name) for name in norms])


class ResNetLike(Residual):
    """As ResNet18: a padded 5 x 5 stem, three basic blocks (the second projects), mean, dense.

    Zero padding in front of the pooling is a layer of its own, as in Keras' ResNets: where all of a
    window is zero it wins the tie, which rules see that give relevance to zeros.
    """

    def __init__(self):
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 8, 5, padding=2),
            bn1=batch_norm(8),
            relu1=nn.ReLU(),
            pad1=nn.ZeroPad2d(1),
            pool1=nn.MaxPool2d(3, 2),
            block1=BasicBlock(8, 8),
            block2=BasicBlock(8, 16, stride=2),
            block3=BasicBlock(16, 16),
            mean=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dense=nn.Linear(16, CLASSES),
        )
        super().__init__(layers)


class BottleneckLike(Residual):
    """As ResNet50: a strided stem, four bottlenecks (the first and third project), mean, dense."""

    def __init__(self):
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 8, 5, 2, padding=2),
            bn1=batch_norm(8),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2, padding=1),
            block1=Bottleneck(8, 4, project=True),
            block2=Bottleneck(16, 4),
            block3=Bottleneck(16, 6, stride=2, project=True),
            block4=Bottleneck(24, 6),
            mean=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dense=nn.Linear(24, CLASSES),
        )
        super().__init__(layers)


@dataclass(frozen=True)
class Net:
    """What makes one net's file: the net, the seed of its weights and images, and their number."""

    build: type
    seed: int
    images: int
    size: int


NETS = {
    "vgg": Net(VggLike, 7, 3, VGG_SIZE),
    "resnet": Net(ResNetLike, 11, 3, 20),
    "bottleneck": Net(BottleneckLike, 13, 2, 18),
}


def randomize(net, generator):
    """Weights of He's scale; BN statistics as after training, a third of the gammas negative."""

    def normal(shape, scale):
        return scale * torch.randn(shape, generator=generator)

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.data = normal(module.weight.shape, (2 / fan_in) ** 0.5)
            if module.bias is not None:
                module.bias.data = normal(module.bias.shape, 0.2)
        elif isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            sign = torch.where(torch.arange(n) % 3 == 1, -1.0, 1.0)
            module.weight.data = sign * (0.5 + torch.rand(n, generator=generator))
            module.bias.data = normal((n,), 0.3)
            module.running_mean = normal((n,), 0.3)
            module.running_var = 0.5 + torch.rand(n, generator=generator)
