"""Our presets said in zennit's words: the same equations, given a stabilizer.

Where zennit's own composite differs by convention, the setting that makes it ours is written here,
and the convention in `convention_cases.py`.
"""

import torch
from zennit_nets import zennit

EPSILON = 1e-6
LOW, HIGH = (-1.0, -1.25, -1.5), (1.0, 1.25, 1.5)  # per channel, exact in binary
GAMMA = 0.25
# Not decompositions: they start from 1 at the winner instead of its logit.
GRADIENTS = ("gradient", "guided_backprop", "deconvnet")

Convolution, Linear, AvgPool = (
    zennit.types.Convolution,
    zennit.types.Linear,
    zennit.types.AvgPool,
)


def only_zero_by_one(z):
    """Replace denominators of exactly 0 by 1, whose numerators are 0 too."""
    return torch.where(z == 0, torch.ones_like(z), z)


def box(stabilizer):
    """zennit's ZBox with this file's bounds."""
    low, high = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (LOW, HIGH))
    return zennit.rules.ZBox(low, high, stabilizer=stabilizer)


def composites(stabilizer, canonizer):
    """The four presets: epsilon 1e-6 in the epsilon rule, the stabilizer in all others."""
    options = {"epsilon": EPSILON, "stabilizer": stabilizer, "canonizers": [canonizer]}
    return {
        "epsilon_plus": zennit.composites.EpsilonPlus(**options),
        "epsilon_plus_flat": zennit.composites.EpsilonPlusFlat(**options),
        "epsilon_alpha2_beta1_flat": zennit.composites.EpsilonAlpha2Beta1Flat(**options),
        # An entry in `first_map` goes before the composite's own, so Box replaces Flat.
        "box_epsilon_plus": zennit.composites.EpsilonPlusFlat(
            **options, first_map=[(Convolution, box(stabilizer))]
        ),
    }


def more_composites(stabilizer, canonizer):
    """All other presets that both libraries have."""
    return {
        **one_rule(stabilizer, canonizer),
        **first_apart(stabilizer, canonizer),
        **named(stabilizer, canonizer),
    }


def one_rule(stabilizer, canonizer):
    """One rule for all linear modules, zennit's own for sums, means and activations."""
    rules, options = zennit.rules, {"stabilizer": stabilizer}
    table = {
        # Epsilon's `epsilon` may be any stabilizer, too.
        "zero": rules.Epsilon(epsilon=stabilizer),
        "epsilon": rules.Epsilon(epsilon=EPSILON),
        "gamma": rules.Gamma(gamma=GAMMA, **options),
        "z_plus": rules.ZPlus(**options),
        "alpha1_beta0": rules.AlphaBeta(alpha=1, beta=0, **options),
        "alpha2_beta1": rules.AlphaBeta(alpha=2, beta=1, **options),
        # zennit squares the bias too, and adds it to the weights' sum of squares.
        "w_square": rules.WSquare(zero_params="bias", **options),
        "flat": rules.Flat(**options),
    }
    base = zennit.composites.layer_map_base(stabilizer)
    maps = {name: [*base, (Linear, rule)] for name, rule in table.items()}
    # Here `flat` spreads relevance evenly in means, too; in zennit that is up to the user.
    maps["flat"].insert(0, (AvgPool, table["flat"]))
    return {
        name: zennit.composites.LayerMapComposite(layer_map, canonizers=[canonizer])
        for name, layer_map in maps.items()
    }


def first_apart(stabilizer, canonizer):
    """Deep Taylor decomposition, whose biases are in no denominator."""
    no_bias = {"stabilizer": stabilizer, "zero_params": "bias"}
    firsts = {
        "deep_taylor": zennit.rules.WSquare(**no_bias),
        "deep_taylor_bounded": box(stabilizer),
    }
    base = zennit.composites.layer_map_base(stabilizer)
    return {
        name: zennit.composites.SpecialFirstLayerMapComposite(
            [*base, (Linear, zennit.rules.ZPlus(**no_bias))],
            [(Convolution, rule)],
            canonizers=[canonizer],
        )
        for name, rule in firsts.items()
    }


def named(stabilizer, canonizer):
    """What zennit has as a composite of its own."""
    made, merged = zennit.composites, {"canonizers": [canonizer]}
    options = {"epsilon": EPSILON, "stabilizer": stabilizer, **merged}
    bounds = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (LOW, HIGH))
    low, high = bounds
    return {
        "epsilon_gamma_box": made.EpsilonGammaBox(low, high, gamma=GAMMA, **options),
        "epsilon_alpha2_beta1": made.EpsilonAlpha2Beta1(**options),
        "epsilon_plus_without_bias": made.EpsilonPlus(zero_params="bias", **options),
        # By itself it counts positive biases.
        "excitation_backprop": made.ExcitationBackprop(
            stabilizer=stabilizer, zero_params="bias", **merged
        ),
        "gradient": made.LayerMapComposite([]),
        "guided_backprop": made.GuidedBackprop(**merged),
        "deconvnet": made.DeconvNet(**merged),
    }
