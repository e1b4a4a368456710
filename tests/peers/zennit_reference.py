"""Compute the zennit reference arrays that `test_zennit.py` compares with.

    pip install torch pillow click && pip install --no-deps zennit==0.5.1
    python tests/peers/zennit_reference.py

writes `zennit_vgg.npz` and `zennit_resnet.npz` beside this file. It uses zennit and torch only,
never lrpkeras. Weights and images are random float32 numbers; everything is computed from them
in float64. Arrays are stored as Keras lays them out: images
`(batch, height, width, channels)`, convolution kernels `(height, width, in, out)`, dense kernels
`(in, out)` with the rows of the first one reordered to a channels-last flatten.

Relevance starts as the winning logit. It is stored twice for every preset:

- `exact/PRESET`: the stabilizer only replaces a denominator of 0 by 1 (so that 0/0 = 0), and the
  epsilon rule has epsilon = 1e-6. Both libraries then state the same equations.
- `stabilized/PRESET`: zennit's default stabilizer, which adds 1e-6 to *every* denominator.

Both with `ExactMerge`: zennit's own merging of BN changes what the net computes.
"""

import importlib
import pathlib
import sys
import types
from collections import OrderedDict
from importlib.metadata import version

import numpy as np
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

HERE = pathlib.Path(__file__).parent
EPSILON = 1e-6
BATCH_NORM_EPSILON = 1e-3  # Keras' default; torch's own is 1e-5
LOW, HIGH = (-1.0, -1.25, -1.5), (1.0, 1.25, 1.5)  # per channel, exact in binary
IMAGES, SIZE, CLASSES = 3, 20, 5


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


class VggLike(nn.Sequential):
    """Two convolutions with bias, BN, ReLU and max pooling, then two dense layers."""

    def __init__(self):
        layers = OrderedDict()
        for k, (channels_in, channels_out) in enumerate([(3, 8), (8, 12)], start=1):
            layers[f"conv{k}"] = nn.Conv2d(channels_in, channels_out, 3, padding=1)
            layers[f"bn{k}"] = nn.BatchNorm2d(channels_out, eps=BATCH_NORM_EPSILON)
            layers[f"relu{k}"] = nn.ReLU()
            layers[f"pool{k}"] = nn.MaxPool2d(2)
        layers["flatten"] = nn.Flatten()
        layers["dense1"] = nn.Linear(12 * (SIZE // 4) ** 2, 16)
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
        self.bn1 = nn.BatchNorm2d(channels_out, eps=BATCH_NORM_EPSILON)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out, eps=BATCH_NORM_EPSILON)
        if stride != 1:
            self.conv0 = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.bn0 = nn.BatchNorm2d(channels_out, eps=BATCH_NORM_EPSILON)
        self.sum = zennit.layer.Sum()
        self.relu2 = nn.ReLU()

    def forward(self, x):
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = self.bn0(self.conv0(x)) if hasattr(self, "conv0") else x
        return self.relu2(self.sum(torch.stack([shortcut, residual], dim=-1)))


class ResNetLike(nn.Sequential):
    """A padded 5 x 5 stem, three residual blocks (the second one projects), mean, dense."""

    def __init__(self):
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 8, 5, padding=2),
            bn1=nn.BatchNorm2d(8, eps=BATCH_NORM_EPSILON),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2, padding=1),
            block1=BasicBlock(8, 8),
            block2=BasicBlock(8, 16, stride=2),
            block3=BasicBlock(16, 16),
            mean=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dense=nn.Linear(16, CLASSES),
        )
        super().__init__(layers)

    def canonizer(self):
        norms = [n for n, module in self.named_modules() if isinstance(module, nn.BatchNorm2d)]
        return NamedMerge([((name.replace("bn", "conv"),), name) for name in norms])


NETS = {"vgg": (VggLike, 7), "resnet": (ResNetLike, 11)}


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


def composites(stabilizer, canonizer):
    """The four presets: epsilon 1e-6 in the epsilon rule, the stabilizer in all others."""
    options = {"epsilon": EPSILON, "stabilizer": stabilizer, "canonizers": [canonizer]}
    low, high = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (LOW, HIGH))
    box = zennit.rules.ZBox(low, high, stabilizer=stabilizer)
    return {
        "epsilon_plus": zennit.composites.EpsilonPlus(**options),
        "epsilon_plus_flat": zennit.composites.EpsilonPlusFlat(**options),
        "epsilon_alpha2_beta1_flat": zennit.composites.EpsilonAlpha2Beta1Flat(**options),
        # An entry in `first_map` goes before the composite's own, so Box replaces Flat.
        "box_epsilon_plus": zennit.composites.EpsilonPlusFlat(
            **options, first_map=[(zennit.types.Convolution, box)]
        ),
    }


def only_zero_by_one(z):
    """Replace denominators of exactly 0 by 1, whose numerators are 0 too."""
    return torch.where(z == 0, torch.ones_like(z), z)


def winner(logits):
    """Keep the largest logit of every sample and zero the others."""
    return logits * nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1])


def explain(net, composite, images, start=winner):
    """Return the relevance of `images`, both `(batch, channels, height, width)`, as an array."""
    with zennit.attribution.Gradient(model=net, composite=composite) as attributor:
        _, relevance = attributor(images.clone().requires_grad_(), start)
    return relevance.detach().numpy()


def keras_weights(net):
    """Map `layer/weight` to float32 arrays in Keras' layout; torch's dots become underscores."""
    arrays = {}
    for path, module in net.named_modules():
        name = path.replace(".", "_")
        if isinstance(module, nn.Conv2d):
            arrays[f"{name}/kernel"] = module.weight.permute(2, 3, 1, 0)
        elif isinstance(module, nn.Linear):
            arrays[f"{name}/kernel"] = module.weight.T
        elif isinstance(module, nn.BatchNorm2d):
            arrays[f"{name}/gamma"], arrays[f"{name}/beta"] = module.weight, module.bias
            arrays[f"{name}/moving_mean"] = module.running_mean
            arrays[f"{name}/moving_variance"] = module.running_var
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            arrays[f"{name}/bias"] = module.bias
    return {key: value.detach().numpy().astype("float32") for key, value in arrays.items()}


def flatten_channels_last(kernel, channels):
    """Reorder a dense kernel's rows from (channel, y, x) to (y, x, channel)."""
    side = round((len(kernel) / channels) ** 0.5)
    rows = np.arange(len(kernel)).reshape(channels, side, side)
    return kernel[rows.transpose(1, 2, 0).reshape(-1)]


def reference(name, seed=None):
    """Return every array of one net's file; another seed gives another net and other images."""
    build, default_seed = NETS[name]
    generator = torch.Generator().manual_seed(default_seed if seed is None else seed)
    net = build()
    randomize(net, generator)
    images = 2 * torch.rand((IMAGES, 3, SIZE, SIZE), generator=generator) - 1
    arrays = keras_weights(net)
    if name == "vgg":
        arrays["dense1/kernel"] = flatten_channels_last(arrays["dense1/kernel"], channels=12)
    net, x = net.double().eval(), images.double()
    arrays["images"] = images.permute(0, 2, 3, 1).numpy()
    arrays["logits"] = net(x).detach().numpy()
    for kind, stabilizer in (("exact", only_zero_by_one), ("stabilized", EPSILON)):
        for preset, composite in composites(stabilizer, net.canonizer()).items():
            relevance = explain(net, composite, x).transpose(0, 2, 3, 1)
            arrays[f"{kind}/{preset}"] = relevance.astype("f8" if kind == "exact" else "f4")
    return arrays


def versions():
    """The array that tells which releases made a file."""
    return {"versions": np.array(f"zennit {version('zennit')}, torch {torch.__version__}")}


if __name__ == "__main__":
    for net_name in NETS:
        np.savez_compressed(HERE / f"zennit_{net_name}.npz", **reference(net_name), **versions())
