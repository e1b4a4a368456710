"""Record zennit's relevance on nets of a few numbers, where a reader can do the algebra by hand.

    python tests/peers/zennit_conventions.py

writes `zennit_conventions.npz`: one flat array of input relevances per case, from zennit as it
ships (1e-6 added to every denominator), in float64. `convention_cases.py` states the
algebra of both libraries for each case.
"""

import numpy as np
import torch
from torch import nn
from zennit_nets import zennit
from zennit_presets import EPSILON, GAMMA, Linear, composites, only_zero_by_one
from zennit_reference import HERE, explain, versions


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


def negative_norm_then_relu():
    """-x as a BN in front of a ReLU and a dense layer of weight 1."""
    norm = nn.BatchNorm1d(1, eps=0.0)
    norm.weight.data = torch.tensor([-1.0])
    return nn.Sequential(norm, nn.ReLU(), linear([[1.0]]))


def conventions():
    """Return zennit's relevance for nets of a few numbers, on which the algebra is done by hand."""
    presets = {**four_presets(), **one_rule_presets()}
    cases = {**first_cases(), **more_cases()}
    arrays = {}
    for name, (net, preset, x) in cases.items():
        start = torch.ones_like if name in FROM_ONE else None
        x = torch.tensor(x, dtype=torch.float64)
        arrays[name] = explain(net.double().eval(), presets[preset], x, start)[0].reshape(-1)
    return arrays


# Relevance of every output is 1 there, elsewhere the output itself.
FROM_ONE = (
    "cancelling_sum",
    "cancelling_mean",
    "signed_mean",
    "gamma_zero_output",
    "epsilon_zero_output",
    "guided_negative",
    "deconv_closed",
    "deconv_negative",
    "guided_leaky_relu",
    "guided_negative_norm",
    "deconv_negative_norm",
    "pool_own_padding",
    "pool_padding_layer",
)


def four_presets():
    """The presets that `zennit_presets.py` takes from zennit, and Box in front of one of them."""
    merge = zennit.canonizers.SequentialMergeBatchNorm()
    box = zennit.composites.EpsilonPlusFlat(
        first_map=[(zennit.types.Convolution, zennit.rules.ZBox(-1.0, 1.0))], canonizers=[merge]
    )
    return {**composites(EPSILON, merge), "box": box}


def one_rule_presets():
    """zennit's rules one by one, as they are by default, and its composites of gradients."""
    rules, made = zennit.rules, zennit.composites
    table = {
        "epsilon": rules.Epsilon(),
        "gamma": rules.Gamma(GAMMA),
        "gamma_exact": rules.Gamma(GAMMA, stabilizer=only_zero_by_one),
        "gamma_without_bias": rules.Gamma(GAMMA, zero_params="bias"),
        "alpha2_beta1": rules.AlphaBeta(2, 1),
        "w_square": rules.WSquare(),
        "w_square_without_bias": rules.WSquare(zero_params="bias"),
    }
    base = made.layer_map_base()
    return {
        **{name: made.LayerMapComposite([*base, (Linear, rule)]) for name, rule in table.items()},
        "excitation": made.ExcitationBackprop(),
        "excitation_without_bias": made.ExcitationBackprop(zero_params="bias"),
        "guided": made.GuidedBackprop(),
        "deconv": made.DeconvNet(),
        "gradient": made.LayerMapComposite([]),
    }


def first_cases():
    """Net, preset and input of what the four presets show."""
    pixel, ones = [[[[0.5]]]], [[[1.0] * 3] * 3]
    padded = nn.Sequential(nn.ZeroPad2d(1), convolution(ones))
    alpha_beta, flat, plus = "epsilon_alpha2_beta1_flat", "epsilon_plus_flat", "epsilon_plus"
    later = nn.Sequential(convolution([[[1.0]]]), convolution([[[1.0]]]))
    return {
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


def more_cases():
    """Net, preset and input of what the other rules and composites show."""
    pixel, corner = [[[[0.5]]]], [[[1.0, 2.0], [2.0, 4.0]]]
    sign, one, ones = linear([[1.0, -1.0]]), linear([[1.0]], [1.0]), [[[1.0] * 3] * 3]
    leaky = nn.LeakyReLU(0.5)
    signed = [[[[3.0, -1.0], [1.0, 1.0]]]]
    return {
        "gamma_negative_output": (linear([[1.0, -2.0]]), "gamma", [[1.0, 1.0]]),
        "gamma_signed_input": (linear([[1.0, -1.0]]), "gamma", [[1.0, -3.0]]),
        "gamma_bias": (linear([[2.0, -1.0]], [-3.0]), "gamma", [[1.0, 1.0]]),
        "gamma_zero_output": (sign, "gamma_exact", [[1.0, 1.0]]),
        "gamma_ignored_bias": (linear([[2.0, -1.0]], [-3.0]), "gamma_without_bias", [[1.0, 1.0]]),
        "alpha_beta_bias": (linear([[1.0, -1.0]], [-0.9]), "alpha2_beta1", [[1.0, 0.05]]),
        "epsilon_zero_output": (sign, "epsilon", [[1.0, 1.0]]),
        "w_square": (linear([[1.0, -3.0]]), "w_square", [[2.0, 0.0]]),
        "w_square_bias": (one, "w_square", [[1.0]]),
        "w_square_zeroed_bias": (one, "w_square_without_bias", [[1.0]]),
        "w_square_own_padding": (convolution(ones, padding=1), "w_square", pixel),
        "w_square_padding_layer": (
            nn.Sequential(nn.ZeroPad2d(1), convolution(ones)),
            "w_square",
            pixel,
        ),
        "flat_bias": (convolution(corner, bias=1.0), "epsilon_plus_flat", signed),
        "box_bias": (convolution([[[1.0]], [[-1.0]]], bias=1.0), "box", [[[[0.5]], [[0.5]]]]),
        "signed_mean": (nn.AvgPool2d(2), "epsilon_plus", signed),
        "cancelling_mean": (nn.AvgPool2d((1, 2)), "epsilon_plus", [[[[1.0, -1.0]]]]),
        "pool_own_padding": (nn.MaxPool2d(3, padding=1), "gradient", [[[[0.0]]]]),
        "pool_padding_layer": (
            nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3)),
            "gradient",
            [[[[0.0]]]],
        ),
        "excitation_bias": (one, "excitation", [[1.0]]),
        "excitation_zeroed_bias": (one, "excitation_without_bias", [[1.0]]),
        "excitation_leaky_relu": (
            nn.Sequential(linear([[1.0, -2.0]]), leaky, linear([[-1.0]])),
            "excitation",
            [[1.0, 1.0]],
        ),
        "guided_negative": (through(nn.ReLU(), 1.0, -1.0), "guided", [[1.0]]),
        "deconv_negative": (through(nn.ReLU(), 1.0, -1.0), "deconv", [[1.0]]),
        "deconv_closed": (through(nn.ReLU(), 1.0, 1.0), "deconv", [[-1.0]]),
        "guided_leaky_relu": (through(leaky, 1.0, -1.0), "guided", [[1.0]]),
        "guided_negative_norm": (negative_norm_then_relu(), "guided", [[-2.0]]),
        "deconv_negative_norm": (negative_norm_then_relu(), "deconv", [[-2.0]]),
    }


def through(activation, before, behind):
    """Two dense layers of one weight each around an activation."""
    return nn.Sequential(linear([[before]]), activation, linear([[behind]]))


if __name__ == "__main__":
    np.savez(HERE / "zennit_conventions.npz", **conventions(), **versions())
