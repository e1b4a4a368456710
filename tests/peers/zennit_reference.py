"""Compute the zennit reference arrays that `test_zennit.py` compares with.

    pip install torch pillow click && pip install --no-deps zennit==0.5.1
    python tests/peers/zennit_reference.py

writes `zennit_vgg.npz`, `zennit_resnet.npz` and `zennit_bottleneck.npz` beside this file. It uses
zennit and torch only, never lrpkeras. Weights and images are random float32 numbers; everything is
computed from them in float64. Arrays are stored as Keras lays them out: images
`(batch, height, width, channels)`, convolution kernels `(height, width, in, out)`, dense kernels
`(in, out)` with the rows of the first one reordered to a channels-last flatten.

Relevance starts as the winning logit; gradients, guided or not, start from 1 there. Kinds:

- `exact/PRESET`: the stabilizer only replaces a denominator of 0 by 1 (so that 0/0 = 0), and the
  epsilon rule has epsilon = 1e-6. Both libraries then state the same equations. Four presets are
  stored for all images and to the last bit; all others `rounded`, for some images.
- `stabilized/PRESET`: zennit's default stabilizer, which adds 1e-6 to *every* denominator; of the
  four presets only.
"""

import pathlib
from importlib.metadata import version

import numpy as np
import torch
from torch import nn
from zennit_nets import NETS, randomize, zennit
from zennit_presets import EPSILON, GRADIENTS, composites, more_composites, only_zero_by_one

HERE = pathlib.Path(__file__).parent
# For how many images the presets are stored that are not stored for all.
MORE_IMAGES = {"vgg": 1, "resnet": 1, "bottleneck": 2}


def winner(logits):
    """Keep the largest logit of every sample and zero the others."""
    return logits * winning(logits)


def winning(logits):
    """One at the largest logit of every sample, zero at the others."""
    return nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits)


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


def rounded(relevance):
    """Round each image to multiples of 2**-36, 1.5e-11, of its largest |R|: the rest is noise.

    A file of random digits does not get smaller when it is compressed.
    """
    axes = tuple(range(1, relevance.ndim))
    largest = np.abs(relevance).max(axes, keepdims=True)
    step = 2.0 ** (np.ceil(np.log2(largest)) - 36)
    return np.round(relevance / step) * step


def reference(name, seed=None):
    """Return every array of one net's file; another seed gives another net and other images."""
    recipe = NETS[name]
    generator = torch.Generator().manual_seed(recipe.seed if seed is None else seed)
    net = recipe.build()
    randomize(net, generator)
    shape = (recipe.images, 3, recipe.size, recipe.size)
    images = 2 * torch.rand(shape, generator=generator) - 1
    arrays = keras_weights(net)
    if name == "vgg":
        arrays["dense1/kernel"] = flatten_channels_last(arrays["dense1/kernel"], channels=12)
    net, x = net.double().eval(), images.double()
    arrays["images"] = images.permute(0, 2, 3, 1).numpy()
    arrays["logits"] = net(x).detach().numpy()
    return {**arrays, **four_presets(net, x, name), **more_presets(net, x[: MORE_IMAGES[name]])}


def four_presets(net, x, name):
    """The presets that are stored for all images; the third net has the exact ones alone."""
    kinds = {"exact": only_zero_by_one, "stabilized": EPSILON}
    if name == "bottleneck":
        del kinds["stabilized"]
    arrays = {}
    for kind, stabilizer in kinds.items():
        for preset, composite in composites(stabilizer, net.canonizer()).items():
            relevance = explain(net, composite, x).transpose(0, 2, 3, 1)
            if name == "bottleneck":
                relevance = rounded(relevance)
            arrays[f"{kind}/{preset}"] = relevance.astype("f8" if kind == "exact" else "f4")
    return arrays


def more_presets(net, x):
    """All other presets."""
    arrays = {}
    for preset, composite in more_composites(only_zero_by_one, net.canonizer()).items():
        start = winning if preset in GRADIENTS else winner
        relevance = explain(net, composite, x, start).transpose(0, 2, 3, 1)
        arrays[f"exact/{preset}"] = rounded(relevance)
    return arrays


def versions():
    """The array that tells which releases made a file."""
    return {"versions": np.array(f"zennit {version('zennit')}, torch {torch.__version__}")}


if __name__ == "__main__":
    for net_name in NETS:
        np.savez_compressed(HERE / f"zennit_{net_name}.npz", **reference(net_name), **versions())
