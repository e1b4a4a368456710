"""The work that explaining takes, counted in traced graphs, against counts made by hand.

What is expected comes from the shapes of the Keras layers alone: F = one forward pass.
"""

from math import prod

import keras
import numpy as np
import pytest
import tensorflow as tf

import lrpkeras
from benchmarks import multiply_adds
from benchmarks.work import without_tiles
from lrpkeras import rules

# The counter itself


def traced(function, *shapes):
    specs = [tf.TensorSpec(shape, "float32") for shape in shapes]
    return tf.function(function).get_concrete_function(*specs)


def taps_of_a_valid_convolution(size, window, stride):
    """Count pairs (output position, tap) along one axis, one by one."""
    starts = range(0, size - window + 1, stride)
    return sum(1 for _ in starts for _ in range(window))


def test_a_convolution_takes_every_tap_of_every_output_position():
    pairs = taps_of_a_valid_convolution(11, 3, 2) * taps_of_a_valid_convolution(9, 2, 2)
    function = traced(lambda x, w: tf.nn.conv2d(x, w, 2, "VALID"), (5, 11, 9, 6), (3, 2, 6, 7))
    assert multiply_adds.total(function) == 5 * pairs * 6 * 7


def test_a_grouped_convolution_takes_the_channels_of_its_group():
    function = traced(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), (1, 4, 4, 6), (1, 1, 3, 8))
    assert multiply_adds.total(function) == 16 * 3 * 8


def test_a_depthwise_convolution_takes_one_channel_per_output():
    pairs = taps_of_a_valid_convolution(8, 3, 1) ** 2
    function = traced(
        lambda x, w: tf.nn.depthwise_conv2d(x, w, [1, 1, 1, 1], "VALID"), (2, 8, 8, 5), (3, 3, 5, 2)
    )
    assert multiply_adds.total(function) == 2 * pairs * 5 * 2


def test_a_convolution_in_three_dimensions_takes_every_tap():
    pairs = taps_of_a_valid_convolution(7, 3, 2) ** 3
    function = traced(
        lambda x, w: tf.nn.conv3d(x, w, [1, 2, 2, 2, 1], "VALID"), (1, 7, 7, 7, 2), (3, 3, 3, 2, 4)
    )
    assert multiply_adds.total(function) == pairs * 2 * 4


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (keras.layers.Conv2D(4, 3, strides=2, padding="same"), (1, 9, 8, 3)),
        (keras.layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), (1, 9, 9, 3)),
        (keras.layers.Conv3D(4, 3, strides=2), (1, 7, 7, 7, 2)),
        (keras.layers.Dense(7), (3, 5)),
    ],
)
def test_a_gradient_to_the_input_or_to_the_kernel_counts_as_the_forward_pass(layer, shape):
    layer.build(shape)

    def gradient(source):
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(y, x if source == "input" else layer.kernel)

        return traced(run, shape)

    forward = multiply_adds.total(traced(layer, shape))
    assert forward > 0
    assert multiply_adds.total(gradient("input")) == 2 * forward
    assert multiply_adds.total(gradient("kernel")) == 2 * forward


@pytest.mark.parametrize(
    ("product", "a", "b", "expected"),
    [
        (tf.matmul, (2, 3), (3, 5), 2 * 3 * 5),
        (lambda a, b: tf.matmul(a, b, transpose_a=True), (3, 2), (3, 5), 2 * 3 * 5),
        (lambda a, b: tf.matmul(a, b, transpose_b=True), (2, 3), (5, 3), 2 * 3 * 5),
        (tf.matmul, (7, 2, 3), (7, 3, 5), 7 * 2 * 3 * 5),
        (lambda a, b: tf.matmul(a, b, adjoint_a=True), (7, 3, 2), (1, 3, 5), 7 * 2 * 3 * 5),
        (lambda a, b: tf.einsum("ij,jk->ik", a, b), (2, 3), (3, 5), 2 * 3 * 5),
        (lambda a, b: tf.einsum("...abc,cd->...abd", a, b), (6, 2, 4, 3), (3, 5), 6 * 8 * 15),
        (lambda a, b: tf.einsum("i,j->", a, b), (2,), (3,), 2 * 3),
    ],
)
def test_a_matrix_product_takes_every_combination_of_indices(product, a, b, expected):
    assert multiply_adds.total(traced(product, a, b)) == expected


def test_moving_one_array_by_einsum_is_free():
    function = traced(lambda x: tf.einsum("ijk->kij", x), (2, 3, 4))
    assert multiply_adds.total(function) == 0


def test_a_function_inside_counts_as_often_as_it_is_called():
    inner = tf.function(lambda x, w: x @ w)
    function = traced(lambda x, w: inner(inner(x, w), w), (2, 3), (3, 3))
    assert multiply_adds.total(function) == 2 * 2 * 3 * 3


def test_what_no_output_depends_on_is_not_counted():
    def run(x, w):
        _ = (x @ w) @ w
        return x @ w + 1

    assert multiply_adds.total(traced(run, (2, 3), (3, 3))) == 2 * 3 * 3


def test_operations_are_listed_with_their_types():
    function = traced(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME") @ w[0], (1, 2, 2, 3), (1, 1, 3, 3))
    found = {op.type: op.multiply_adds for op in multiply_adds.operations(function)}
    assert found == {"Conv2D": 36, "BatchMatMulV2": 36}
    assert multiply_adds.total(function, "Conv2D") == 36


def test_a_shape_that_is_not_static_is_refused():
    function = traced(lambda x, w: x @ w, (None, 3), (3, 5))
    with pytest.raises(multiply_adds.UncountableError, match=r"not static.*batch_size=1"):
        multiply_adds.total(function)


def test_a_product_in_a_loop_is_refused():
    def loop(x, w):
        return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y @ w), (0, x))[1]

    with pytest.raises(multiply_adds.UncountableError, match="once or many times"):
        multiply_adds.total(traced(loop, (2, 3), (3, 3)))


def test_a_product_that_is_not_known_is_refused():
    def sparse(x):
        return tf.sparse.sparse_dense_matmul(tf.sparse.eye(3), x)

    with pytest.raises(multiply_adds.UncountableError, match="no way is known to count"):
        multiply_adds.total(traced(sparse, (3, 3)))


# Published counts: Howard et al. 2017, table 8 (569 M); Sandler et al. 2018, table 4 (300 M);
# He et al. 2016, table 1 (3.8 G, convolutions; Keras' exact network with its head has 3.86 G);
# VGG16: 15.35 G of convolutions and 0.12 G of dense layers, summed from Simonyan & Zisserman 2015,
# table 1, column D.
@pytest.mark.parametrize(
    ("name", "published", "digit"),
    [
        ("MobileNet", 569e6, 1e6),
        ("MobileNetV2", 300e6, 1e7),
        pytest.param("ResNet50", 3.86e9, 1e7, marks=pytest.mark.slow),
        pytest.param("VGG16", 15.47e9, 1e7, marks=pytest.mark.slow),
    ],
)
def test_a_forward_pass_takes_what_the_paper_says(name, published, digit):
    model = getattr(keras.applications, name)(weights=None)
    function = traced(lambda x: model(x, training=False), (1, 224, 224, 3))
    assert multiply_adds.total(function) == pytest.approx(published, abs=digit / 2 + 1)


# What explaining takes: the design's table. For each group of layers (first, other convolutions,
# dense), how many times F its forward and its backward part take. All inputs but the first layer's
# come out of ReLUs, so they are known to be non-negative; the first layer's are signed unless
# input_range says otherwise. There AlphaBeta(2, 1) computes each of its two sums without
# cancellation, from x+ w+ and x- w- (x+ w- and x- w+), which takes 4F + 4F: half the sum of all
# messages and of all magnitudes would take 2F + 2F, and lose every digit of a tiny negative part.
TABLE = {
    ("epsilon", None): ((1, 1), (1, 1), (1, 1)),
    ("zero", None): ((1, 1), (1, 1), (1, 1)),
    ("gradient", None): ((1, 1), (1, 1), (1, 1)),
    ("z_plus", None): ((2, 2), (2, 1), (2, 1)),
    ("z_plus", (0, 1)): ((2, 1), (2, 1), (2, 1)),
    ("alpha2_beta1", None): ((4, 4), (2, 2), (2, 2)),
    ("alpha2_beta1", (0, 1)): ((2, 2), (2, 2), (2, 2)),
    ("epsilon_plus_box", (-1, 1)): ((3, 2), (2, 1), (1, 1)),
    ("epsilon_plus_flat", None): ((1, 0), (2, 1), (1, 1)),
    ("epsilon_alpha2_beta1_flat", None): ((1, 0), (2, 2), (1, 1)),
}


def work_by_group(model):
    """Multiply-adds of one sample: first convolution, other convolutions, dense layers."""
    convolutions = [
        prod(layer.output.shape[1:]) * prod(layer.kernel.shape[:-1])
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    dense = [prod(layer.kernel.shape) for layer in model.layers if type(layer).__name__ == "Dense"]
    return convolutions[0], sum(convolutions[1:]), sum(dense)


def assert_work_is_as_the_table_says(model, preset, input_range):
    table = TABLE[preset, input_range]
    work = work_by_group(model)
    forward = [times * w for (times, _), w in zip(table, work, strict=True)]
    backward = [times * w for (_, times), w in zip(table, work, strict=True)]
    analyzer = lrpkeras.Analyzer(model, preset, input_range=input_range, verify=False)
    with without_tiles():  # which take fewer, where oneDNN convolves
        function = analyzer.concrete_function(batch_size=1)
    assert multiply_adds.total(function, "MatMul") == forward[2] + backward[2]
    # An adjoint may be a convolution itself.
    kinds = ("Conv2D", "Conv2DBackpropInput")
    convolutions = sum(multiply_adds.total(function, kind) for kind in kinds)
    box = convolutions - sum(forward[:2]) - sum(backward[:2])
    if preset.endswith("flat"):
        # A box filter on one channel instead of an adjoint convolution.
        assert 0 < box < 0.05 * work[0]
    else:
        assert box == 0
    assert multiply_adds.total(function) == sum(forward) + sum(backward) + box


def test_z_plus_without_a_relu_behind_it_computes_both_signs_apart():
    # Signed input, and relevance where z < 0: half sums would lose the digits of a small part.
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(4, 3, name="first")(x)
    y = keras.layers.Conv2D(5, 3, name="second")(y)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(y)))
    first, second = 4 * 4 * 4 * 27, 2 * 2 * 5 * 36
    function = lrpkeras.Analyzer(model, "epsilon_plus").concrete_function(batch_size=1)
    assert multiply_adds.total(function, "Conv2D") == 3 * (first + second)
    assert multiply_adds.total(function, "Conv2DBackpropInput") == 2 * (first + second)


@pytest.fixture(scope="module")
def vgg16():
    return keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=10)


@pytest.fixture(scope="module")
def resnet50():
    return keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)


@pytest.mark.parametrize(("preset", "input_range"), TABLE)
def test_explaining_vgg16_takes_what_the_table_says(vgg16, preset, input_range):
    assert_work_is_as_the_table_says(vgg16, preset, input_range)


@pytest.mark.parametrize(
    ("preset", "input_range"),
    [
        case if case[0] == "epsilon_plus_flat" else pytest.param(*case, marks=pytest.mark.slow)
        for case in TABLE
    ],
)
def test_explaining_resnet50_takes_what_the_table_says(resnet50, preset, input_range):
    assert_work_is_as_the_table_says(resnet50, preset, input_range)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat"])
def test_explaining_a_full_size_photo_takes_what_the_table_says(name, preset):
    keras.backend.clear_session()
    model = getattr(keras.applications, name)(weights=None)
    assert_work_is_as_the_table_says(model, preset, None)


# Tracing


class Counting(rules.Epsilon):
    """`Epsilon` that counts how often it is traced: Python runs only then."""

    traced = 0

    def linearize(self, *arguments):
        type(self).traced += 1
        return super().linearize(*arguments)


def test_a_second_call_retraces_nothing_whatever_the_batch_size_and_the_class():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    analyzer = lrpkeras.Analyzer(model, "epsilon", rules={"dense": Counting()})
    Counting.traced = 0
    for batch in (1, 2, 5):
        analyzer(np.ones((batch, 4), "float32"))
    assert Counting.traced == 1
    for target in (0, 2, [1, 0]):
        analyzer(np.ones((2, 4), "float32"), target)
    assert Counting.traced == 2, "one trace for the winner, one for a class that is given"
    analyzer.explain(np.ones((7, 4), "float32"), batch_size=3, verbose=0)
    analyzer.refresh()
    analyzer(np.ones((2, 4), "float32"), 1)
    assert Counting.traced == 2
