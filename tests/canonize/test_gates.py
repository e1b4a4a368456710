"""A normalization in front of a ReLU becomes a gate, its scale part of the layers behind."""

import keras
import numpy as np
import pytest
from keras import layers

from lrpkeras import Analyzer
from lrpkeras.canonize import canonize, drop_inert, fold_right
from lrpkeras.graph.nodes import Gate, Linear

pytestmark = pytest.mark.usefixtures("float64")

BN = layers.BatchNormalization


def chain(shape, *stack):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


def gates(graph):
    return [node for node in graph if isinstance(node, Gate)]


ENDS = {
    "conv": ((6, 6, 3), [lambda: layers.Conv2D(2, 3)]),
    "conv-same": ((6, 6, 3), [lambda: layers.Conv2D(2, 3, padding="same")]),
    "conv-padded": ((6, 6, 3), [lambda: layers.ZeroPadding2D(1), lambda: layers.Conv2D(2, 3)]),
    "conv-no-bias": ((6, 6, 3), [lambda: layers.Conv2D(2, 3, use_bias=False)]),
    "conv-grouped": ((6, 6, 4), [lambda: layers.Conv2D(6, 3, groups=2)]),
    "conv1d": ((8, 3), [lambda: layers.Conv1D(2, 3)]),
    "conv3d": ((4, 5, 4, 2), [lambda: layers.Conv3D(2, 2, padding="same")]),
    "depthwise": ((6, 6, 3), [lambda: layers.DepthwiseConv2D(3, depth_multiplier=2)]),
    "separable": ((6, 6, 3), [lambda: layers.SeparableConv2D(4, 3, padding="same")]),
    "transposed": ((4, 4, 3), [lambda: layers.Conv2DTranspose(2, 3, strides=2)]),
    "dense": ((5,), [lambda: layers.Dense(3)]),
    "einsum": ((4, 5), [lambda: layers.EinsumDense("abc,cde->abde", (4, 2, 3))]),
    "flatten": ((4, 4, 3), [layers.Flatten, lambda: layers.Dense(2)]),
    "global-average": ((4, 4, 3), [layers.GlobalAveragePooling2D, lambda: layers.Dense(2)]),
    "average": ((6, 6, 3), [lambda: layers.AveragePooling2D(2), lambda: layers.Conv2D(2, 2)]),
    "dropout": ((5,), [lambda: layers.Dropout(0.5), lambda: layers.Dense(3)]),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_scale_goes_through_the_relu_into_every_linear_layer(name, rewritten, norms):
    shape, makers = ENDS[name]
    model = chain(shape, BN(name="norm"), layers.ReLU(), *(make() for make in makers))
    graph = rewritten(model, drop_inert, fold_right)
    assert not norms(graph)
    (gate,) = gates(graph)
    assert gate.notes == ("gate of norm",)
    assert "norm" in gate.layers


RELUS = {
    "layer": lambda: layers.ReLU(),
    "activation": lambda: layers.Activation("relu"),
    "operation": lambda: keras.ops.relu,
}


@pytest.mark.parametrize("name", RELUS)
def test_any_spelling_of_relu_is_a_gate(name, rewritten, norms):
    model = chain((6, 6, 3), BN(), RELUS[name](), layers.Conv2D(2, 3))
    assert not norms(rewritten(model, fold_right))


@pytest.mark.parametrize("activation", ["relu6", "leaky_relu", "gelu", "sigmoid"])
def test_other_functions_are_no_gates(activation, rewritten, norms):
    model = chain((6, 6, 3), BN(), layers.Activation(activation), layers.Conv2D(2, 3))
    assert len(norms(rewritten(model, fold_right))) == 1


def test_every_sign_of_gamma_and_beta_is_exact(rewritten, norms, randomize):
    norm = BN()
    gammas, betas = np.meshgrid([-2.0, 0.0, 1e-30, 3.0], [-1.0, 0.0, 1.0])

    def fill(model):
        randomize(model)
        norm.gamma.assign(gammas.ravel())
        norm.beta.assign(betas.ravel())

    model = chain((6, 6, 12), norm, layers.ReLU(), layers.Conv2D(2, 3, padding="same"))
    assert not norms(rewritten(model, fold_right, fill=fill))


def test_a_variance_near_zero_is_exact(rewritten, norms, randomize):
    norm = BN()

    def fill(model):
        randomize(model)
        norm.moving_variance.assign([0.0, 1e-36, 1.0])

    model = chain((6, 6, 3), norm, layers.ReLU(), layers.Conv2D(2, 3, padding="same"))
    assert not norms(rewritten(model, fold_right, fill=fill))


def test_gamma_of_zero_leaves_relevance_finite_and_the_ledger_closed(randomize):
    norm = BN()
    stack = norm, layers.ReLU(), layers.Conv2D(2, 3, padding="same"), layers.Flatten()
    model = randomize(chain((6, 6, 3), *stack, layers.Dense(4)))
    norm.gamma.assign([0.0, -1.0, 2.0])
    for preset in ("epsilon", "z_plus", "epsilon_plus_flat", "zero"):
        check = Analyzer(model, preset).check(np.random.default_rng(0).normal(size=(2, 6, 6, 3)))
        assert check.closes
        assert np.isfinite(check.inputs)


def test_two_convolutions_behind_one_relu_share_its_gate(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = layers.ReLU()(BN()(inputs))
    outputs = [layers.Conv2D(2, 3, padding="same")(x), layers.Conv2D(2, 1, strides=2)(x)]
    graph = rewritten(keras.Model(inputs, outputs), fold_right)
    assert not norms(graph)
    assert len(gates(graph)) == 1


def test_one_consumer_of_the_relu_in_the_way_keeps_the_norm(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = layers.ReLU()(BN()(inputs))
    outputs = [layers.Conv2D(2, 3)(x), layers.MaxPooling2D(name="pool")(x)]
    graph = rewritten(keras.Model(inputs, outputs), fold_right)
    (norm,) = norms(graph)
    assert norm.notes == ("not folded: pool (MaxPool) reads it",)
    assert not gates(graph)


def test_a_norm_read_with_and_without_relu_folds_both_ways(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = BN()(inputs)
    outputs = [layers.Conv2D(2, 3)(layers.ReLU()(x)), layers.Conv2D(2, 3, padding="same")(x)]
    graph = rewritten(keras.Model(inputs, outputs), fold_right)
    assert not norms(graph)
    assert len(gates(graph)) == 1


def test_two_relus_of_one_norm_are_two_gates(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = BN()(inputs)
    outputs = [layers.Conv2D(2, 3)(layers.ReLU()(x)), layers.Conv2D(2, 3)(layers.ReLU()(x))]
    graph = rewritten(keras.Model(inputs, outputs), fold_right)
    assert not norms(graph)
    assert len(gates(graph)) == 2


def test_a_norm_reaches_a_convolution_through_the_place_of_a_later_norm(rewritten, norms):
    model = chain((6, 6, 3), BN(), layers.ReLU(), BN(), layers.Conv2D(2, 3, padding="same"))
    graph = rewritten(model, fold_right)
    assert not norms(graph)
    assert len(gates(graph)) == 1


def test_a_gate_in_the_way_keeps_the_norm_before_it(rewritten, norms):
    inputs = keras.Input((6, 6, 3))
    x = BN(name="first")(inputs)
    gated = layers.Conv2D(2, 3)(layers.ReLU()(BN()(x)))
    graph = rewritten(keras.Model(inputs, [gated, layers.Conv2D(2, 3)(x)]), fold_right)
    assert [norm.name for norm in norms(graph)] == ["first"]
    assert len(gates(graph)) == 1


@pytest.mark.parametrize("sizes", [(4, 5), (7, 6)])
def test_unknown_sizes_with_same_padding_fold(sizes, rewritten, norms):
    stack = BN(), layers.ReLU(), layers.Conv2D(2, 3, strides=2, padding="same")
    model = chain((None, None, 3), *stack, layers.GlobalAveragePooling2D(), layers.Dense(2))
    assert not norms(rewritten(model, fold_right, sizes=sizes))


def test_channels_first_gates_fold(rewritten, norms):
    conv = layers.Conv2D(2, 3, padding="same", data_format="channels_first")
    model = chain((3, 6, 6), BN(axis=1), layers.ReLU(), conv)
    assert not norms(rewritten(model, fold_right, runs=False))


def preactivated_block(x, width):
    """One residual block as in ResNetV2: norm and ReLU, then the branches."""
    ready = layers.ReLU()(BN()(x))
    shortcut = layers.Conv2D(width, 1)(ready)
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(ready)
    x = layers.Conv2D(width, 3, padding="same")(layers.ReLU()(BN()(x)))
    return layers.Add()([shortcut, x])


def dense_block(x, growth):
    """One layer of DenseNet: its output beside its input."""
    y = layers.Conv2D(growth, 3, padding="same", use_bias=False)(layers.ReLU()(BN()(x)))
    return layers.Concatenate()([x, y])


@pytest.mark.parametrize("block", [preactivated_block, dense_block])
def test_networks_that_normalize_first_fold_whole(block, rewritten, norms):
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(3):
        x = block(x, 4)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(BN()(x)))
    graph = rewritten(keras.Model(inputs, layers.Dense(5)(x)), canonize)
    assert not norms(graph)
    assert gates(graph)


def test_a_gate_is_linear_in_its_input_with_the_scaled_kernel(rewritten, randomize):
    # relu(s x + t) = s (m x) + t m: what a rule sees is the kernel W s and the input m x.
    model = chain((5,), BN(name="norm"), layers.ReLU(), layers.Dense(3, name="dense"))
    graph = rewritten(model, fold_right)
    dense = graph["dense"]
    assert isinstance(dense, Linear)
    gamma, _, _, variance = model.get_layer("norm").get_weights()
    scale = gamma / np.sqrt(variance + model.get_layer("norm").epsilon)
    kernel, _ = model.get_layer("dense").get_weights()
    np.testing.assert_allclose(dense.kernel, scale[:, None] * kernel, rtol=1e-14)
    np.testing.assert_array_equal(dense.base_kernel, kernel)


def test_what_stood_before_the_gate_can_still_be_read(randomize):
    stack = BN(name="norm"), layers.Dropout(0.5, name="drop"), layers.ReLU(name="relu")
    model = randomize(chain((5,), *stack, layers.Dense(3)))
    x = np.random.default_rng(0).normal(size=(2, 5))
    found = Analyzer(model, "epsilon").explain(x, layers=["norm", "drop", "relu"]).layers
    np.testing.assert_array_equal(found["norm"], found["relu"])
    np.testing.assert_array_equal(found["drop"], found["relu"])
