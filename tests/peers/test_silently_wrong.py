"""What other libraries get wrong in silence, rows 1 to 6: plausible maps that are not the rule's.

Named in each section: zennit 0.5.1 (1 to 3), iNNvestigate 2.1.2 (4 to 6). Rows 7 to 11 are in
`test_silently_wrong_models.py`. Expected values are by hand, or from a gradient tape: without
normalizations left over, LRP-0 is input x gradient.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64, randomized
from tiny_nets import chain, dense, norm, relevance, with_weights

import lrpkeras
from lrpkeras import presets, rules
from lrpkeras.canonize import canonize
from lrpkeras.errors import RuleError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.nodes import Affine, Fork, Sum

RANDOM = np.random.default_rng(5)
BN = layers.BatchNormalization


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


# Row 1: residual sums without a canonizer pass all relevance to every branch.


def test_a_residual_net_needs_no_canonizer_to_conserve_at_every_sum():
    def block(x, filters, stride=1):
        convolutions = {"padding": "same", "use_bias": False}
        y = layers.Conv2D(filters, 3, stride, activation="relu", **convolutions)(x)
        y = layers.Conv2D(filters, 3, **convolutions)(y)
        if stride > 1:
            x = layers.Conv2D(filters, 1, stride, **convolutions)(x)
        return layers.ReLU()(layers.Add()([x, y]))

    x = inputs = keras.Input((8, 8, 2), dtype="float64")
    for filters, stride in ((2, 1), (2, 1), (3, 2), (3, 1)):
        x = block(x, filters, stride)
    x = layers.GlobalAveragePooling2D()(x)
    model = randomized(keras.Model(inputs, layers.Dense(2, use_bias=False)(x)))
    graph = rewritten(model)
    forward = run(graph, presets.get("zero"), RANDOM.normal(size=(1, 8, 8, 2)))
    (arrived,) = forward.back(forward.output[None] * [1.0, 0.0])
    merges = [e for e in forward.entries if isinstance(graph[e.name], Sum | Fork)]
    assert len(merges) == 8
    for entry in merges:
        np.testing.assert_allclose(entry.outgoing, entry.incoming, rtol=1e-10)
    # Without biases LRP-0 loses nothing; doubled at four sums, it would be 16 times this.
    np.testing.assert_allclose(arrived.sum(), forward.output[0, 0], rtol=1e-10)


def test_sixteen_residual_sums_give_the_logit_not_65536_times_it():
    x = inputs = keras.Input((1,), dtype="float64")
    for _ in range(16):
        x = layers.Add()([x, dense([[0.5]])(x)])
    model = keras.Model(inputs, x)
    np.testing.assert_allclose(relevance(model, [2.0]), [2 * 1.5**16], rtol=1e-12)


# Row 2: normalizations are paired with linear layers by the order of definition.


def defined_backwards(x):
    """Normalization and convolutions are made in another order than they are called in."""
    last, first, after = layers.Conv2D(3, 3), layers.Conv2D(3, 3), BN()
    return last(layers.ReLU()(after(first(x))))


def preactivated(x):
    """Each normalization stands before the convolution that it belongs to."""
    x = layers.Conv2D(3, 3, padding="same")(x)
    y = layers.Conv2D(3, 3, padding="same")(layers.ReLU()(BN()(x)))
    y = layers.Conv2D(3, 3, padding="same")(layers.ReLU()(BN()(y)))
    return layers.Add()([x, y])


def activation_function_between(x):
    """Not defined as a layer, so that a list of layers shows the two side by side."""
    x = keras.ops.relu(layers.Conv2D(3, 3)(x))
    return layers.Conv2D(2, 3)(BN()(x))


def dense_block(x):
    for _ in range(2):
        y = layers.Conv2D(2, 3, padding="same", use_bias=False)(layers.ReLU()(BN()(x)))
        x = layers.Concatenate()([x, y])
    return layers.ReLU()(BN()(x))


def without_center(x):
    return layers.ReLU()(BN(center=False)(layers.Conv2D(3, 3)(x)))


def without_scale(x):
    return layers.Conv2D(3, 3)(BN(scale=False)(x))


def without_either(x):
    return layers.ReLU()(BN(center=False, scale=False)(layers.Conv2D(3, 3)(x)))


PAIRINGS = (
    defined_backwards,
    preactivated,
    activation_function_between,
    dense_block,
    without_center,
    without_scale,
    without_either,
)


@pytest.mark.parametrize("net", PAIRINGS, ids=lambda net: net.__name__)
def test_normalizations_are_paired_by_the_graph(net):
    inputs = keras.Input((7, 7, 2), dtype="float64")
    pooled = layers.GlobalAveragePooling2D()(net(inputs))
    model = randomized(keras.Model(inputs, layers.Dense(3)(pooled)))
    x = RANDOM.normal(size=(2, 7, 7, 2))
    graph = rewritten(model)
    assert not [node.name for node in graph if isinstance(node, Affine)]
    forward = run(graph, presets.get("zero"), x)
    watched = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        output = model(watched)
        first = output[:, 0]
    assert_close(forward.output, output.numpy())
    (got,) = forward.back(forward.output[None] * [1.0, 0.0, 0.0])
    assert_close(got[0], x * tape.gradient(first, watched).numpy())


@pytest.mark.parametrize(("x", "logit", "expected"), [(2.0, 9.5, 12.0), (-2.0, -2.5, 0.0)])
def test_a_normalization_behind_a_relu_is_not_that_of_the_layer_before_it(x, logit, expected):
    # 3 (relu(2 x) - 1) + 0.5; folded into the first layer it would be relu(3 (2 x - 1) + 0.5).
    model = chain((1,), dense([[2.0]]), keras.ops.relu, norm(3.0, 0.5, 1.0, 1.0), dense([[1.0]]))
    np.testing.assert_allclose(model(np.array([[x]])), [[logit]])
    np.testing.assert_allclose(relevance(model, [x]), [expected])


# Row 3: what has no rule keeps its gradient, and a normalization that is left over passes all.


def test_a_node_without_a_rule_is_refused_by_name():
    inputs = keras.Input((4, 4, 1))
    x = layers.Flatten()(layers.Conv2D(2, 3, name="seen")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="forgotten")(x))
    incomplete = lrpkeras.Preset({"conv": rules.ZPlus()})
    with pytest.raises(RuleError, match="no rule for 'forgotten'"):
        lrpkeras.Analyzer(model, incomplete)


def test_a_normalization_that_cannot_fold_takes_the_linear_rule_and_says_so():
    # x + (2 x + 3) at 1 is 1 + 5; of the 5 the shift keeps 3. Passed on whole, R would be 6.
    inputs = keras.Input((1,), dtype="float64")
    shifted = norm(2.0, 3.0, 0.0, 1.0, name="left")(inputs)
    outputs = dense([[1.0]])(layers.Add()([inputs, shifted]))
    analyzer = lrpkeras.Analyzer(keras.Model(inputs, outputs), "epsilon")
    # The 1e-6 of the epsilon rule, in two denominators.
    np.testing.assert_allclose(analyzer(np.ones((1, 1))).numpy(), [[3.0]], rtol=1e-5)
    (line,) = (row for row in analyzer.summary(str).splitlines() if row.startswith("left "))
    assert "Affine" in line
    assert "Epsilon()" in line
    assert "not folded" in line


# Row 4: batch normalization is linearized with the variance squared and without gamma's shift.


def test_a_normalizations_scale_has_the_variance_once_and_its_shift_has_gamma():
    # z = 3 (x - 1) / sqrt(4) + 0.5 = 1.5 x - 1: at 5 it is 6.5 = 7.5 - 1. With the variance twice,
    # x would have 3 / 16 * 5 of it; with no gamma in the shift, the bias would be 0.
    model = chain((1,), dense([[1.0]]), norm(3.0, 0.5, 1.0, 4.0))
    analyzer = lrpkeras.Analyzer(model, "zero")
    check = analyzer.check(np.array([[5.0]]))
    np.testing.assert_allclose([check.start, check.inputs, check.sinks["bias"]], [6.5, 7.5, -1.0])


def bottleneck(x, width, stride, *, project):
    y = layers.ReLU()(BN(momentum=0.0)(layers.Conv2D(width, 1, stride)(x)))
    y = layers.ReLU()(BN(momentum=0.0)(layers.Conv2D(width, 3, padding="same")(y)))
    y = BN(momentum=0.0)(layers.Conv2D(4 * width, 1)(y))
    if project:
        x = BN(momentum=0.0)(layers.Conv2D(4 * width, 1, stride)(x))
    return layers.ReLU()(layers.Add()([x, y]))


def test_relevance_of_fifty_layers_is_of_the_logits_order():
    x = inputs = keras.Input((12, 12, 3), dtype="float64")
    x = layers.ReLU()(BN(momentum=0.0)(layers.Conv2D(8, 3, padding="same")(x)))
    for width, blocks in ((2, 3), (4, 4), (6, 6), (8, 3)):
        for k in range(blocks):
            x = bottleneck(x, width, 2 if k == 0 and width < 8 else 1, project=k == 0)
    model = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    images = RANDOM.normal(size=(8, 12, 12, 3))
    model(images, training=True)  # the statistics of these images, of variances far from 1
    variances = np.concatenate([v.numpy() for v in model.variables if "variance" in v.name])
    assert variances.min() < 0.05
    forward = run(rewritten(model), presets.get("epsilon_plus_flat"), images[:2])
    (got,) = forward.back((forward.output * np.eye(5)[forward.output.argmax(1)])[None])
    share = np.abs(got[0]).sum((1, 2, 3)) / forward.output.max(1)
    # z+ divides by sums of one sign, so nothing is multiplied up; biases take most of it.
    assert (share > 1e-3).all()
    assert (share < 10).all()


# Row 5: the whole bias is in both denominators of alpha-beta.


@pytest.mark.parametrize("preset", ["alpha1_beta0", "z_plus"])
def test_a_negative_bias_is_not_in_the_positive_denominator(preset):
    # z = 1 - 0.05 - 0.9; 1 / 1 of it goes to the first input. With b in it: 1 / 0.1, so 0.5.
    model = chain((2,), dense([[1.0], [-1.0]], [-0.9]))
    np.testing.assert_allclose(relevance(model, [1.0, 0.05], preset), [0.05, 0.0], atol=1e-15)


def test_the_bias_is_split_by_sign_in_alpha2_beta1():
    # 2 * 1 / 1 * 0.05 and -0.05 / (0.05 + 0.9) * 0.05.
    model = chain((2,), dense([[1.0], [-1.0]], [-0.9]))
    got = relevance(model, [1.0, 0.05], "alpha2_beta1")
    np.testing.assert_allclose(got, [0.1, -0.05 / 19])


# Row 6: the rule for the first layer does nothing where padding or rescaling comes before it.

APPLICATIONS = {
    "ResNet50": {"conv1_conv"},  # behind conv1_pad
    "DenseNet121": {"conv1_conv"},  # behind zero_padding2d
    "EfficientNetB0": {"normalization", "stem_conv"},  # behind rescaling, stem_conv_pad
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_presets_for_the_first_layer_find_it_in_the_networks_of_the_field(name):
    keras.backend.clear_session()  # Keras counts layers without a name.
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=2)
    graph = with_facts(canonize(keras_reader.read(model)), None)
    for preset, rule in (
        (presets.get("epsilon_plus_flat"), rules.Flat),
        (presets.get("epsilon_alpha2_beta1_flat"), rules.Flat),
        (presets.get("epsilon_gamma_box", low=0.0, high=255.0), rules.Box),
    ):
        assigned = preset.assign(graph)
        assert {n for n, given in assigned.items() if isinstance(given, rule)} == APPLICATIONS[name]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("epsilon_plus", [0.5, 1.5]),
        ("epsilon_plus_flat", [1, 1]),
        ("epsilon_plus_box", [5 / 6, 7 / 6]),
    ],
)
def test_the_first_rule_acts_behind_rescaling_padding_and_nesting(preset, expected):
    # z = 0.5 (1 + 3) = 2. z+ shares it by x w, flat in halves, box by 0.5 (x - low), 2.5 and 3.5.
    inner = chain(
        (1, 1, 2),
        layers.ZeroPadding2D(1),
        with_weights(layers.Conv2D(1, 3, use_bias=False), np.ones((3, 3, 2, 1))),
    )
    model = chain((1, 1, 2), layers.Rescaling(0.5), inner, layers.Flatten())
    got = relevance(model, [[[1.0, 3.0]]], preset, input_range=(-4, 4))
    np.testing.assert_allclose(got.reshape(-1), expected)
