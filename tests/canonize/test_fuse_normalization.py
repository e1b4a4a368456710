"""A normalization that varies by position becomes part of the linear layer in front of it."""

import keras
import numpy as np
import pytest
from explained import assert_close, run
from keras import layers

from lrpkeras import ledger
from lrpkeras.canonize import (
    add_forks,
    canonize,
    fold_right,
    fuse_normalization,
    select_output,
)
from lrpkeras.errors import ModelError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.matrix import Matrix
from lrpkeras.graph.nodes import Affine, Linear
from lrpkeras.rules import AlphaBeta, Box, Epsilon, Flat, Gamma, Relative, WSquare, Zero, ZPlus

pytestmark = pytest.mark.usefixtures("float64")

RANDOM = np.random.default_rng(5)
LINEAR = {
    "conv1d": ((9, 3), lambda **k: layers.Conv1D(4, 3, strides=2, **k)),
    "conv2d": ((6, 5, 2), lambda **k: layers.Conv2D(3, 3, **k)),
    "conv2d-same": ((6, 5, 2), lambda **k: layers.Conv2D(3, 3, strides=2, padding="same", **k)),
    "conv2d-grouped": ((6, 5, 4), lambda **k: layers.Conv2D(6, 2, groups=2, **k)),
    "conv3d": ((3, 4, 3, 2), lambda **k: layers.Conv3D(2, 2, padding="same", **k)),
    "depthwise2d": ((5, 6, 3), lambda **k: layers.DepthwiseConv2D(2, depth_multiplier=2, **k)),
    "transposed2d": ((4, 3, 2), lambda **k: layers.Conv2DTranspose(3, 3, strides=2, **k)),
    "dense of positions": ((3, 5), lambda **k: layers.Dense(4, **k)),
}


def normalization(shape, *, varies_at=None):
    """Scale and shift by constants of both signs; `varies_at` says along which axes, or all."""
    axes = range(len(shape)) if varies_at is None else varies_at
    size = [n if axis in axes else 1 for axis, n in enumerate(shape)]
    scale, shift = RANDOM.normal(0, 1, (2, *size))
    return lambda x: x * scale - shift


def chain(shape, linear, varies_at=None):
    x = inputs = keras.Input(shape)
    x = linear(x)
    return keras.Model(inputs, normalization(x.shape[1:], varies_at=varies_at)(x))


def linear_nodes(graph):
    return [node for node in graph if isinstance(node, Linear | Affine)]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", LINEAR)
def test_the_two_become_one_matrix_and_the_output_stays(name, use_bias, rewritten):
    shape, make = LINEAR[name]
    graph = rewritten(chain(shape, make(use_bias=use_bias)), fuse_normalization)
    (node,) = linear_nodes(graph)
    assert isinstance(node.operation, Matrix)
    assert node.kernel.shape == (np.prod(shape), np.prod(node.shape[1:]))
    assert any("as one matrix" in note for note in node.notes)
    assert len(node.layers) == 3
    assert set(node.layers) <= set(graph.places)


@pytest.mark.parametrize("varies_at", [(0, 1), (1,), (0, 2)])
def test_it_may_vary_along_some_axes_only(varies_at, rewritten):
    model = chain((6, 5, 2), layers.Conv2D(3, 3), varies_at)
    (node,) = linear_nodes(rewritten(model, fuse_normalization))
    assert isinstance(node.operation, Matrix)


@pytest.mark.parametrize("varies_at", [(2,), ()])
def test_a_scale_of_the_channels_goes_into_the_kernel_as_it_is(varies_at, rewritten):
    model = chain((6, 5, 2), layers.Conv2D(3, 3), varies_at)
    (node,) = linear_nodes(rewritten(model, fuse_normalization))
    assert not isinstance(node.operation, Matrix)
    assert node.kernel.shape == (3, 3, 2, 3)
    assert node.bias.shape == (3,)


def test_a_shift_alone_becomes_a_map(rewritten):
    inputs = keras.Input((6, 5, 2))
    x = layers.Conv2D(3, 3)(inputs)
    x = keras.ops.subtract(x, RANDOM.normal(0, 1, (4, 3, 3)))
    (node,) = linear_nodes(rewritten(keras.Model(inputs, x), fuse_normalization))
    assert not isinstance(node.operation, Matrix)
    assert node.bias.shape == (4, 3, 3)


def test_unknown_sizes_do_where_no_position_counts(rewritten):
    inputs = keras.Input((None, None, 2))
    x = layers.Conv2D(3, 3)(inputs) * RANDOM.normal(0, 1, 3)
    graph = rewritten(keras.Model(inputs, x), fuse_normalization, sizes=(5, 6))
    assert len(linear_nodes(graph)) == 1


def test_unknown_sizes_are_refused_where_positions_count():
    inputs = keras.Input((None, 5, 2))
    x = layers.Conv2D(3, 3, name="conv")(inputs) * RANDOM.normal(0, 1, (3, 1))
    graph = keras_reader.read(keras.Model(inputs, x))
    with pytest.raises(ModelError, match="fixed input size"):
        fuse_normalization(graph)


def test_a_matrix_past_the_limit_is_refused_with_its_size():
    graph = keras_reader.read(chain((6, 5, 2), layers.Conv2D(3, 3, name="conv")))
    # 60 inputs by 36 outputs; the identity of the inputs is larger.
    fuse_normalization(graph, limit=60 * 60)
    with pytest.raises(ModelError, match=r"'conv'.*3,600 entries.*3,599.*limit="):
        fuse_normalization(graph, limit=60 * 60 - 1)


def test_a_layer_that_something_else_reads_is_left(rewritten):
    inputs = keras.Input((5, 4, 2))
    x = layers.Conv2D(3, 2, name="conv")(inputs)
    model = keras.Model(inputs, [x * RANDOM.normal(0, 1, (4, 3, 3)), layers.ReLU()(x)])
    graph = rewritten(model, fuse_normalization)
    assert len(linear_nodes(graph)) == 2


def test_one_matrix_takes_any_number_of_scales(rewritten):
    inputs = keras.Input((5, 4, 2))
    x = layers.Conv2D(3, 2)(inputs) * RANDOM.normal(0, 1, (4, 3, 3))
    graph = rewritten(keras.Model(inputs, x * RANDOM.normal(0, 1, (4, 1, 1))), fuse_normalization)
    (node,) = linear_nodes(graph)
    assert not isinstance(node.operation.inner, Matrix)


def two_blocks():
    x = inputs = keras.Input((5, 4, 2))
    for number in (1, 2):
        x = layers.Conv2D(3, 2, activation=None, name=f"conv{number}")(x)
        x = layers.Rescaling(RANDOM.normal(0, 1, x.shape[1:]), name=f"norm{number}")(x)
    return keras.Model(inputs, x)


def test_named_layers_alone_are_fused(rewritten):
    graph = rewritten(two_blocks(), lambda graph: fuse_normalization(graph, ["norm2"]))
    assert {node.name for node in linear_nodes(graph)} == {"conv1", "norm1", "conv2"}
    assert graph.places["norm2"] == "conv2"
    assert graph.folded == {"conv2"}


@pytest.mark.parametrize(
    ("name", "words"), [("norm3", "no layer 'norm3'.*norm"), ("conv1", "cannot be fused")]
)
def test_names_that_cannot_be_fused_are_refused(name, words):
    with pytest.raises(ModelError, match=words):
        fuse_normalization(keras_reader.read(two_blocks()), [name])


def test_batch_normalizations_around_still_fold(rewritten, norms):
    x = inputs = keras.Input((6, 5, 2))
    x = layers.Conv2D(3, 2, padding="same")(layers.BatchNormalization()(x))
    x = layers.Rescaling(RANDOM.normal(0, 1, x.shape[1:]))(x)
    model = keras.Model(inputs, layers.BatchNormalization()(x))
    graph = rewritten(model, fuse_normalization, fold_right)
    assert not norms(graph)
    (node,) = linear_nodes(graph)
    assert isinstance(node.operation, Matrix)


def explained(graph, rule, x):
    return run(with_facts(add_forks(graph.sorted()), (-3, 3)), rule, x, vanishes=False)


def scaled_convolution(scale):
    inputs = keras.Input((5, 4, 2))
    x = layers.Conv2D(3, 2, padding="same", strides=2, name="conv")(inputs)
    return keras.Model(inputs, layers.Rescaling(np.broadcast_to(scale, x.shape[1:]))(x))


ANY_SIGN = [
    Zero(),
    Epsilon(epsilon=0.1),
    Epsilon(epsilon=0.1, bias="distribute"),
    Flat(),
    WSquare(),
]
SPLITTING = [ZPlus(), AlphaBeta(2.0, 1.0), Gamma(0.5), Box(-3.0, 3.0), Relative()]


@pytest.mark.parametrize("rule", [*ANY_SIGN, *SPLITTING], ids=lambda rule: rule.name)
def test_as_a_matrix_every_rule_gives_what_the_convolution_gives(rule, randomize):
    """With a scale of ones, the fused layer is the convolution, only written out."""
    graph = keras_reader.read(randomize(scaled_convolution(1.0)))
    plain = select_output(graph, "conv")
    matrix = fuse_normalization(graph)
    assert any(isinstance(getattr(n, "operation", None), Matrix) for n in matrix)
    x = np.random.default_rng(1).normal(0, 1, (2, 5, 4, 2))
    start = np.random.default_rng(2).normal(0, 1, (2, 2, 3, 2, 3))
    expected, got = explained(plain, rule, x), explained(matrix, rule, x)
    assert_close(got.output, expected.output)
    assert_close(got.back(start)[0], expected.back(start)[0])
    assert got.imbalance <= ledger.TOLERANCE["float64"]


def test_rules_that_split_by_sign_see_the_fused_weights(randomize):
    """z+ by its formula, on the weights `w_ij s_j` written out by hand."""
    scale = np.random.default_rng(3).normal(0, 1, (3, 2, 3))
    assert (scale[..., 0] > 0).any()
    assert (scale[..., 0] < 0).any()
    model = randomize(scaled_convolution(scale))
    graph = keras_reader.read(model)
    conv = next(node for node in graph if isinstance(node, Linear))
    weights = conv.as_matrix((5, 4, 2)) * scale.reshape(-1)
    bias = (np.zeros((3, 2, 3)) + conv.bias) * scale
    x = np.random.default_rng(1).normal(0, 1, (1, 5, 4, 2))
    start = np.random.default_rng(2).normal(0, 1, (1, 1, 3, 2, 3))
    messages = np.maximum(x.reshape(-1, 1) * weights, 0)
    shares = messages / (messages.sum(axis=0) + np.maximum(bias.reshape(-1), 0))
    expected = (shares @ start.reshape(-1)).reshape(1, 1, 5, 4, 2)
    assert_close(explained(fuse_normalization(graph), ZPlus(), x).back(start)[0], expected)
    unfused = explained(graph, ZPlus(), x).back(start)[0]
    assert np.abs(unfused - expected).max() > 0.1 * np.abs(expected).max()


def test_the_worked_example_of_section_4():
    """Guillemot et al. 2020: a 5 x 5 image, a 2 x 2 kernel, no padding, no stride."""
    model = keras.Sequential([keras.Input((5, 5, 1)), layers.Conv2D(1, 2, use_bias=False)])
    a1, a2, a3, a4 = 2.0, 3.0, 5.0, 7.0
    model.layers[0].kernel.assign(np.reshape([a1, a2, a3, a4], (2, 2, 1, 1)))
    node = next(node for node in keras_reader.read(model) if isinstance(node, Linear))
    # The paper has a row for each output; the rows that it prints, as far as it prints them.
    w = node.as_matrix((5, 5, 1)).T
    assert w.shape == (16, 25)
    assert w[0].tolist() == [a1, a2, 0, 0, 0, a3, a4] + [0] * 18
    assert w[1].tolist() == [0, a1, a2, 0, 0, 0, a3, a4] + [0] * 17
    assert w[2].tolist() == [0, 0, a1, a2, 0, 0, 0, a3, a4] + [0] * 16
    assert w[3].tolist() == [0, 0, 0, a1, a2, 0, 0, 0, a3, a4] + [0] * 15
    assert w[4].tolist() == [0, 0, 0, 0, 0, a1, a2, 0, 0, 0, a3, a4] + [0] * 13
    assert w[15].tolist() == [0] * 18 + [a1, a2, 0, 0, 0, a3, a4]
    image = np.arange(1.0, 26)
    assert (w @ image).tolist() == model(image.reshape(1, 5, 5, 1)).numpy().reshape(-1).tolist()


def test_each_pair_of_channels_has_its_own_part_of_the_matrix(randomize):
    """Section 4: W consists of a w_ij for each pair of channels, that kernel's matrix."""
    model = randomize(
        keras.Sequential([keras.Input((5, 5, 2)), layers.Conv2D(3, 2, use_bias=False)])
    )
    node = next(node for node in keras_reader.read(model) if isinstance(node, Linear))
    whole = node.as_matrix((5, 5, 2)).reshape(25, 2, 16, 3)
    for i in range(2):
        for j in range(3):
            convolution = layers.Conv2D(1, 2, use_bias=False)
            single = keras.Sequential([keras.Input((5, 5, 1)), convolution])
            convolution.kernel.assign(node.kernel[:, :, i : i + 1, j : j + 1])
            part = next(n for n in keras_reader.read(single) if isinstance(n, Linear))
            np.testing.assert_array_equal(whole[:, i, :, j], part.as_matrix((5, 5, 1)))


def test_the_rest_of_canonization_takes_it(rewritten):
    graph = rewritten(two_blocks(), fuse_normalization, canonize)
    assert len(linear_nodes(graph)) == 2
