"""Nets of a few numbers, one per convention, with both libraries' relevance worked out by hand.

Read by `test_zennit_conventions.py`; zennit's side is `zennit_conventions.py`. zennit's numbers
carry the 1e-6 that it adds to every denominator.
"""

import dataclasses

import numpy as np
from keras import layers
from tiny_nets import dense, norm, with_weights

import lrpkeras


@dataclasses.dataclass(frozen=True)
class Case:
    """A net, its one input, and both relevances, flattened."""

    build: object
    x: object
    zennit: object
    ours: object
    preset: str = "epsilon_plus"
    options: dict = dataclasses.field(default_factory=dict)
    target: object = None


def conv(kernel, bias=None, padding="valid"):
    """A convolution with one output channel from a `(height, width, in)` kernel."""
    kernel = np.array(kernel)[..., None]
    layer = layers.Conv2D(
        1, kernel.shape[:2], padding=padding, use_bias=bias is not None, dtype="float64"
    )
    return with_weights(layer, *([kernel] if bias is None else [kernel, [bias]]))


def batch_norm_then_dense(x):
    return dense([[1.0]])(norm(2.0, 3.0, 0.0, 1.0)(x))


def negative_norm_then_relu(x):
    return dense([[1.0]])(relu(norm(-1.0, 0.0, 0.0, 1.0)(x)))


def convolution_then_batch_norm(x):
    return norm(2.0, 0.0, 0.0, 1.0, epsilon=3.0)(conv([[[1.0]]])(x))


def two_term_sum(x):
    terms = [dense([[1.0], [0.0]])(x), dense([[0.0], [1.0]])(x)]
    return layers.Add(dtype="float64")(terms)


def padded(x):
    return conv(ONES)(layers.ZeroPadding2D(1, dtype="float64")(x))


def twice(x):
    return conv([[[1.0]]])(conv([[[1.0]]])(x))


def padded_pool(x):
    return layers.MaxPooling2D(3, dtype="float64")(layers.ZeroPadding2D(1, dtype="float64")(x))


def through(activation, before, behind):
    """Two dense layers around an activation."""
    return lambda x: dense([[behind]])(activation(dense(before)(x)))


def relu(x):
    return layers.ReLU(dtype="float64")(x)


def leaky_relu(x):
    return layers.LeakyReLU(negative_slope=0.5, dtype="float64")(x)


ONES = np.ones((3, 3, 1))
PIXEL = np.full((1, 1, 1), 0.5)
BOX = {"rules": {"first": lrpkeras.rules.Box(-1.0, 1.0)}}
UNIT = {"initial": "unit"}
SIGNED = [[[3.0], [-1.0]], [[1.0], [1.0]]]
ZERO = np.zeros((1, 1, 1))

AGREE = {
    # x = w = b = 1, z = 2. The positive bias is in the z+ denominator: 1 / (1 + 1) * 2.
    "positive_bias": Case(conv([[[1.0]]], bias=1.0), [[[1.0]]], [1.0], [1.0]),
    # w = (1, -1), b = -0.9, x = (1, 0.05), z = 0.05. A negative bias is not in it: 1 / 1 * 0.05.
    "negative_bias": Case(
        conv([[[1.0, -1.0]]], bias=-0.9), [[[1.0, 0.05]]], [0.05, 0.0], [0.05, 0.0]
    ),
    # w = (1, -1), x = (1, -3), z = 4. The positive part is that of the product: (1, 3) / 4 * 4.
    "negative_input": Case(conv([[[1.0, -1.0]]]), [[[1.0, -3.0]]], [1.0, 3.0], [1.0, 3.0]),
    # Without negative terms, alpha 2 beta 1 is 2 * R - 0/0 with 0/0 = 0: relevance doubles.
    "no_negative_part": Case(twice, [[[1.0]]], [2.0], [2.0], "epsilon_alpha2_beta1_flat"),
    # 3 x 3 taps over one pixel of 0.5, the rest is the convolution's own padding: one real input.
    "flat_own_padding": Case(
        conv(ONES, padding="same"), PIXEL, [0.5], [0.5], preset="epsilon_plus_flat"
    ),
    # Padding has no low and high either: (x - low) / (x - low) * 0.5.
    "box_own_padding": Case(conv(ONES, padding="same"), PIXEL, [0.5], [0.5], options=BOX),
    # z = 1 - 2 < 0: messages with the output's sign weigh more, (1, -2 - 0.5) / -1.5 * -1.
    "gamma_negative_output": Case(
        dense([[1.0], [-2.0]]), [1.0, 1.0], [1 / 1.5, -2.5 / 1.5], [1 / 1.5, -2.5 / 1.5], "gamma"
    ),
    # w = (1, -1), x = (1, -3): both products are positive, (1 + 0.25, 3 + 0.75) / 5 * 4.
    "gamma_signed_input": Case(
        dense([[1.0], [-1.0]]), [1.0, -3.0], [1.0, 3.0], [1.0, 3.0], "gamma"
    ),
    # z = 2 - 1 - 3: the bias, too, weighs more where it has the output's sign, -3 - 0.75.
    "gamma_bias": Case(
        dense([[2.0], [-1.0]], bias=-3.0), [1.0, 1.0], [4 / 3, -2.5 / 3], [4 / 3, -2.5 / 3], "gamma"
    ),
    # The bias is split by sign: 2 * 1 / 1 for the first, -0.05 / (-0.05 - 0.9) for the second.
    "alpha_beta_bias": Case(
        dense([[1.0], [-1.0]], bias=-0.9),
        [1.0, 0.05],
        [0.1, -0.05 / 19],
        [0.1, -0.05 / 19],
        "alpha2_beta1",
    ),
    # The sign of 0 is +1: 1 / (0 + 1e-6) and -1 / (0 + 1e-6).
    "epsilon_zero_output": Case(
        dense([[1.0], [-1.0]]), [1.0, 1.0], [1e6, -1e6], [1e6, -1e6], "epsilon", UNIT
    ),
    # (1, 9) / 10 * 2, whatever the input.
    "w_square": Case(dense([[1.0], [-3.0]]), [2.0, 0.0], [0.2, 1.8], [0.2, 1.8], "w_square"),
    # With zennit's `zero_params="bias"`.
    "w_square_zeroed_bias": Case(dense([[1.0]], bias=1.0), [1.0], [2.0], [2.0], "w_square"),
    # A convolution's own padding has no weight.
    "w_square_own_padding": Case(conv(ONES, padding="same"), PIXEL, [0.5], [0.5], "w_square"),
    # z = 3 - 2 + 2 + 4 + 1: four inputs share it, the bias is none.
    "flat_bias": Case(
        conv([[[1.0], [2.0]], [[2.0], [4.0]]], bias=1.0),
        SIGNED,
        [2.0] * 4,
        [2.0] * 4,
        "epsilon_plus_flat",
    ),
    # x w - low w+ - high w- = (0.5 + 1, -0.5 + 1): the bias cancels in numbers and shares, z = 1.
    "box_bias": Case(
        conv([[[1.0, -1.0]]], bias=1.0), [[[0.5, 0.5]]], [0.75, 0.25], [0.75, 0.25], options=BOX
    ),
    # zennit's Norm: x / sum x, negative entries too.
    "signed_mean": Case(
        layers.AveragePooling2D(2, dtype="float64"),
        SIGNED,
        [0.75, -0.25, 0.25, 0.25],
        [0.75, -0.25, 0.25, 0.25],
        options=UNIT,
    ),
    # Nothing is chosen from a pooling's own padding, not even where the maximum is 0 ...
    "pool_own_padding": Case(
        layers.MaxPooling2D(3, 1, padding="same", dtype="float64"), ZERO, [1.0], [1.0], "gradient"
    ),
    # ... but zeros of a layer of its own are values like others: the first of them wins.
    "pool_padding_layer": Case(padded_pool, ZERO, [0.0], [0.0], "gradient"),
    # With zennit's `zero_params="bias"`: all goes to the input.
    "excitation_zeroed_bias": Case(
        dense([[1.0]], bias=1.0), [1.0], [2.0], [2.0], "excitation_backprop"
    ),
    # The gradient at an open ReLU is -1.
    "guided_negative": Case(through(relu, [[1.0]], -1.0), [1.0], [0.0], [0.0], "guided_backprop"),
    "deconv_negative": Case(through(relu, [[1.0]], -1.0), [1.0], [0.0], [0.0], "deconvnet"),
    # A deconvolutional network does not ask whether the ReLU was open.
    "deconv_closed": Case(through(relu, [[1.0]], 1.0), [-1.0], [1.0], [1.0], "deconvnet"),
    # relu(-x): the gradient at the ReLU is 1 and passes, -1 comes from the BN behind it on the way.
    "guided_negative_norm": Case(
        negative_norm_then_relu, [-2.0], [-1.0], [-1.0], "guided_backprop"
    ),
    "deconv_negative_norm": Case(negative_norm_then_relu, [-2.0], [-1.0], [-1.0], "deconvnet"),
}

DIFFER = {
    # z+ on x = w = 1, z = 1e-6: zennit divides by z + 1e-6; here only Epsilon has an epsilon.
    "small_denominator": Case(conv([[[1.0]]]), [[[1e-6]]], [0.5e-6], [1e-6]),
    # 1 + (-1) with R = 1: zennit gives 1 / (0 + 1e-6) and -1 / 1e-6; here |a| / (|a| + |b|).
    "cancelling_sum": Case(two_term_sum, [1.0, -1.0], [1e6, -1e6], [0.5, 0.5], options=UNIT),
    # Padding as a layer of its own: zennit shares among 9 taps and loses 8; here it is absorbed.
    "flat_padding_layer": Case(padded, PIXEL, [0.5 / 9], [0.5], preset="epsilon_plus_flat"),
    # The same for Box: (0.5 + 1) / (0.5 + 9) * 0.5, since zennit gives the zeros a low of -1 too.
    "box_padding_layer": Case(padded, PIXEL, [0.5 * 1.5 / 9.5], [0.5], options=BOX),
    # 2 x + 3 at x = 1 in front of a dense layer: zennit passes all 5 through a BN that it did not
    # merge; folded, 3 of the 5 belong to the bias.
    "batch_norm_first": Case(batch_norm_then_dense, [1.0], [5.0], [2.0]),
    # A BN after a convolution, 2 x / sqrt(1 + 3) = x, x = 1: zennit merges it, and leaves a BN that
    # still divides by sqrt(1 + 3). Its net computes 0.5, so its relevance is half of the true one.
    "batch_norm_epsilon": Case(convolution_then_batch_norm, [[[1.0]]], [0.5], [1.0]),
    # Logits (3, 2) for x = (1, 1): zennit starts from all of them, here from the winner's alone.
    "all_outputs": Case(dense([[1.0, 3.0], [2.0, -1.0]]), [1.0, 1.0], [4.0, 1.0], [1.0, 2.0]),
    # z = 1 - 1 = 0 with R = 1: zennit lets it go; here 0 counts as positive, and the denominator is
    # 0.25 * 1.
    "gamma_zero_output": Case(
        dense([[1.0], [-1.0]]), [1.0, 1.0], [0.0, 0.0], [1.25 / 0.25, -1 / 0.25], "gamma", UNIT
    ),
    # z = 2 - 1 - 3 without its bias: zennit chooses the branch by z, here it is by z - b = 1, so
    # that the branch's denominator has its sign.
    "gamma_ignored_bias": Case(
        dense([[2.0], [-1.0]], bias=-3.0),
        [1.0, 1.0],
        [2 / 0.75 * -2, -1.25 / 0.75 * -2],
        [2.5 / 1.5 * -2, -1 / 1.5 * -2],
        "gamma",
        {"bias": "ignore"},
    ),
    # zennit counts the bias as one more weight: 1 / (1 + 1) * 2.
    "w_square_bias": Case(dense([[1.0]], bias=1.0), [1.0], [1.0], [2.0], "w_square"),
    "w_square_padding_layer": Case(padded, PIXEL, [0.5 / 9], [0.5], "w_square"),
    # 1 + -1 in a window with R = 1: zennit gives 0.5 / 1e-6; here |a| / (|a| + |b|).
    "cancelling_mean": Case(
        layers.AveragePooling2D((1, 2), dtype="float64"),
        [[[1.0], [-1.0]]],
        [0.5e6, -0.5e6],
        [0.5, 0.5],
        options=UNIT,
    ),
    # By itself, zennit's excitation backprop counts positive biases; the paper has none.
    "excitation_bias": Case(dense([[1.0]], bias=1.0), [1.0], [1.0], [2.0], "excitation_backprop"),
    # z = 1 - 2, then -0.5, then 0.5: all goes to the first input. zennit's excitation backprop has
    # no rule for activations, so that the slope of 0.5 comes in.
    "excitation_leaky_relu": Case(
        through(leaky_relu, [[1.0], [-2.0]], -1.0),
        [1.0, 1.0],
        [0.25, 0.0],
        [0.5, 0.0],
        "excitation_backprop",
    ),
    # The gradient is -1: zennit guides at ReLUs alone, here at every activation.
    "guided_leaky_relu": Case(
        through(leaky_relu, [[1.0]], -1.0), [1.0], [-1.0], [0.0], "guided_backprop"
    ),
}

CASES = {**AGREE, **DIFFER}
