"""Where zennit and lrpkeras agree by definition, and where they do not, one net per convention.

Each case is a net of a few numbers. Both libraries' relevance is worked out by hand in the comment
above it; `zennit_conventions.npz` holds what zennit really gave (made by `zennit_conventions.py`).
zennit's numbers carry the 1e-6 that it adds to every denominator.
"""

import dataclasses
import importlib
import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras

HERE = pathlib.Path(__file__).parent
# The 1e-6 in the denominators (all at least 0.05 but in `small_denominator`) and in Epsilon.
TOLERANCE = 3e-5


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
    return with_weights(layer, [kernel] if bias is None else [kernel, np.array([bias])])


def dense(kernel):
    """A dense layer without bias from an `(in, out)` kernel."""
    kernel = np.array(kernel)
    layer = layers.Dense(kernel.shape[1], use_bias=False, dtype="float64")
    return with_weights(layer, [kernel])


def with_weights(layer, weights):
    """Return a function that calls `layer` and then sets its weights."""

    def call(x):
        y = layer(x)
        layer.set_weights(weights)
        return y

    return call


def batch_norm_then_dense(x):
    norm = layers.BatchNormalization(epsilon=0.0, dtype="float64")
    y = with_weights(norm, [np.array([v]) for v in (2.0, 3.0, 0.0, 1.0)])(x)
    return dense([[1.0]])(y)


def convolution_then_batch_norm(x):
    norm = layers.BatchNormalization(epsilon=3.0, dtype="float64")
    y = conv([[[1.0]]])(x)
    return with_weights(norm, [np.array([v]) for v in (2.0, 0.0, 0.0, 1.0)])(y)


def two_term_sum(x):
    terms = [dense([[1.0], [0.0]])(x), dense([[0.0], [1.0]])(x)]
    return layers.Add(dtype="float64")(terms)


def padded(x):
    return conv(ONES)(layers.ZeroPadding2D(1, dtype="float64")(x))


def twice(x):
    return conv([[[1.0]]])(conv([[[1.0]]])(x))


ONES = np.ones((3, 3, 1))
PIXEL = np.full((1, 1, 1), 0.5)
BOX = {"rules": {"first": lrpkeras.rules.Box(-1.0, 1.0)}}

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
}

DIFFER = {
    # z+ on x = w = 1, z = 1e-6: zennit divides by z + 1e-6; here only Epsilon has an epsilon.
    "small_denominator": Case(conv([[[1.0]]]), [[[1e-6]]], [0.5e-6], [1e-6]),
    # 1 + (-1) with R = 1: zennit gives 1 / (0 + 1e-6) and -1 / 1e-6; here |a| / (|a| + |b|).
    "cancelling_sum": Case(
        two_term_sum, [1.0, -1.0], [1e6, -1e6], [0.5, 0.5], options={"initial": "unit"}
    ),
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
}

CASES = {**AGREE, **DIFFER}


def relevance(case, target=None):
    """Explain the case's input here; float64."""
    x = np.array(case.x)
    inputs = keras.Input(x.shape, dtype="float64")
    outputs = layers.Flatten(dtype="float64")(case.build(inputs))
    analyzer = lrpkeras.Analyzer(keras.Model(inputs, outputs), case.preset, **case.options)
    explanation = analyzer.explain(x[None], target=target, verbose=0)
    return np.asarray(explanation.relevance).reshape(-1)


@pytest.mark.parametrize("name", CASES)
def test_zennit_follows_the_convention_that_is_written_here(name):
    with np.load(HERE / "zennit_conventions.npz") as stored:
        np.testing.assert_allclose(stored[name], CASES[name].zennit, rtol=TOLERANCE, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_lrpkeras_follows_the_convention_that_is_written_here(name):
    np.testing.assert_allclose(relevance(CASES[name]), CASES[name].ours, rtol=TOLERANCE)


@pytest.mark.parametrize("name", DIFFER)
def test_a_convention_listed_as_different_makes_a_difference(name):
    case = DIFFER[name]
    assert np.max(np.abs(np.subtract(case.zennit, case.ours))) > 0.4 * np.max(np.abs(case.ours))


def test_starting_from_all_outputs_as_zennit_does_is_a_target_of_ones():
    case = DIFFER["all_outputs"]
    got = relevance(case, target=np.ones((1, 2)))
    np.testing.assert_allclose(got, case.zennit, rtol=TOLERANCE)


def test_a_tied_maximum_gives_all_relevance_to_the_first_input_in_both():
    tie = Case(layers.MaxPooling2D(2, dtype="float64"), np.ones((2, 2, 1)), None, None)
    with np.load(HERE / "zennit_conventions.npz") as stored:
        np.testing.assert_array_equal(stored["tied_max_pool"], [1, 0, 0, 0])
    np.testing.assert_array_equal(relevance(tie), [1, 0, 0, 0])


def test_live_zennit_still_follows_these_conventions(monkeypatch):
    for package in ("torch", "zennit"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; zennit_reference.py tells how to get it")
    monkeypatch.syspath_prepend(HERE)
    got = importlib.import_module("zennit_conventions").conventions()
    for name, case in CASES.items():
        np.testing.assert_allclose(got[name], case.zennit, rtol=TOLERANCE, atol=1e-12, err_msg=name)
