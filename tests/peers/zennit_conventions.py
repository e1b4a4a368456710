"""Record zennit's relevance on nets of a few numbers, where a reader can do the algebra by hand.

    python tests/peers/zennit_conventions.py

writes `zennit_conventions.npz`: one flat array of input relevances per case, from zennit as it
ships (1e-6 added to every denominator), in float64. `test_zennit_conventions.py` states the
algebra of both libraries for each case.
"""

import numpy as np
import torch
from torch import nn
from zennit_reference import EPSILON, HERE, composites, explain, versions, zennit


def linear(weight, bias=None):
    """A dense layer with the given `(out, in)` weight and bias."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    layer.weight.data = torch.tensor(weight)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


def convolution(kernel, bias=None, padding=0):
    """A one-channel-out convolution with the given `(in, height, width)` kernel."""
    kernel = torch.tensor(kernel)
    layer = nn.Conv2d(len(kernel), 1, kernel.shape[1:], padding=padding, bias=bias is not None)
    layer.weight.data = kernel[None]
    if bias is not None:
        layer.bias.data = torch.tensor([bias])
    return layer


class TwoTermSum(nn.Module):
    """x[0] + x[1], each through its own dense layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = linear([[1.0, 0.0]]), linear([[0.0, 1.0]])
        self.sum = zennit.layer.Sum()

    def forward(self, x):
        return self.sum(torch.stack([self.first(x), self.second(x)], dim=-1))


def batch_norm_then_dense():
    """2 x + 3 as a BN in front of a dense layer of weight 1, where zennit does not merge it."""
    norm = nn.BatchNorm1d(1, eps=0.0)
    norm.weight.data, norm.bias.data = torch.tensor([2.0]), torch.tensor([3.0])
    return nn.Sequential(norm, linear([[1.0]]))


def convolution_then_batch_norm():
    """1 x, then 2 x / sqrt(1 + 3): the identity."""
    norm = nn.BatchNorm2d(1, eps=3.0)
    norm.weight.data = torch.tensor([2.0])
    return nn.Sequential(convolution([[[1.0]]]), norm)


def conventions():
    """Return zennit's relevance for nets of a few numbers, on which the algebra is done by hand."""
    merge = zennit.canonizers.SequentialMergeBatchNorm()
    presets = composites(EPSILON, merge)
    box = zennit.composites.EpsilonPlusFlat(
        first_map=[(zennit.types.Convolution, zennit.rules.ZBox(-1.0, 1.0))], canonizers=[merge]
    )
    presets["box"] = box
    pixel, ones = [[[[0.5]]]], [[[1.0] * 3] * 3]
    padded = nn.Sequential(nn.ZeroPad2d(1), convolution(ones))
    alpha_beta, flat, plus = "epsilon_alpha2_beta1_flat", "epsilon_plus_flat", "epsilon_plus"
    later = nn.Sequential(convolution([[[1.0]]]), convolution([[[1.0]]]))
    cases = {
        "positive_bias": (convolution([[[1.0]]], bias=1.0), plus, [[[[1.0]]]]),
        "negative_bias": (convolution([[[1.0]], [[-1.0]]], bias=-0.9), plus, [[[[1.0]], [[0.05]]]]),
        "negative_input": (convolution([[[1.0]], [[-1.0]]]), plus, [[[[1.0]], [[-3.0]]]]),
        "no_negative_part": (later, alpha_beta, [[[[1.0]]]]),
        "small_denominator": (convolution([[[1.0]]]), plus, [[[[1e-6]]]]),
        "cancelling_sum": (TwoTermSum(), plus, [[1.0, -1.0]]),
        "tied_max_pool": (nn.MaxPool2d(2), plus, [[[[1.0, 1.0], [1.0, 1.0]]]]),
        "flat_own_padding": (convolution(ones, padding=1), flat, pixel),
        "flat_padding_layer": (padded, flat, pixel),
        "box_own_padding": (convolution(ones, padding=1), "box", pixel),
        "box_padding_layer": (padded, "box", pixel),
        "batch_norm_first": (batch_norm_then_dense(), plus, [[1.0]]),
        "batch_norm_epsilon": (convolution_then_batch_norm(), plus, [[[[1.0]]]]),
        "all_outputs": (linear([[1.0, 2.0], [3.0, -1.0]]), plus, [[1.0, 1.0]]),
    }
    arrays = {}
    for name, (net, preset, x) in cases.items():
        start = torch.ones_like if name == "cancelling_sum" else None
        x = torch.tensor(x, dtype=torch.float64)
        arrays[name] = explain(net.double().eval(), presets[preset], x, start)[0].reshape(-1)
    return arrays


if __name__ == "__main__":
    np.savez(HERE / "zennit_conventions.npz", **conventions(), **versions())
