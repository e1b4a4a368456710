"""What is held from the way forward to the way back: less than is computed, with the same maps."""

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import randomized

import lrpkeras
from lrpkeras import backend
from lrpkeras.rules.relevance import Relevance

RANDOM = np.random.default_rng(11)
PRESETS = (
    "zero",
    "epsilon",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "gamma",
    "relative",
    "gonzalez",
    "input_x_gradient",
    "guided_backprop",
    "deconvnet",
)


def network(relu, dtype="float64"):
    """Plain and residual ReLUs, one on both sides of a fork; a shortcut as it is, and projected."""
    conv = {"padding": "same", "dtype": dtype}
    image = keras.Input((8, 8, 3), dtype=dtype)
    x = stem = relu()(layers.Conv2D(6, 3, name="stem", **conv)(image))
    y = relu()(layers.Conv2D(6, 3, name="inner", **conv)(x))
    y = layers.Conv2D(6, 3, name="last", **conv)(y)
    x = relu()(layers.Add(name="plain", dtype=dtype)([x, y]))
    y = layers.Conv2D(4, 3, strides=2, name="second", **conv)(x)
    shortcut = layers.Conv2D(4, 1, strides=2, name="shortcut", **conv)(x)
    x = relu()(layers.Add(name="projected", dtype=dtype)([shortcut, y]))
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    also = layers.GlobalAveragePooling2D(dtype=dtype)(stem)
    x = layers.Concatenate(dtype=dtype)([x, also])
    return randomized(keras.Model(image, layers.Dense(3, dtype=dtype)(x)))


def plain(dtype="float64"):
    return layers.ReLU(dtype=dtype)


def other(dtype="float64"):
    """The same function, to which no shortcut of the plain ReLU's applies."""
    return layers.ReLU(max_value=1e9, dtype=dtype)


@pytest.mark.parametrize("preset", PRESETS)
def test_maps_and_relevance_by_layer_are_those_of_arrays_held_in_full(preset):
    x, names = RANDOM.normal(size=(2, 8, 8, 3)), ["stem", "inner", "last", "plain", "shortcut"]
    found = [
        lrpkeras.Analyzer(network(relu), preset).explain(x, layers=names, verbose=0)
        for relu in (plain, other)
    ]
    for one, full in zip(*([e.relevance, *e.layers.values()] for e in found), strict=True):
        np.testing.assert_allclose(one, full, atol=1e-9 * np.abs(full).max())


@pytest.mark.parametrize("outweighs", [1e3, 1e5])
@pytest.mark.parametrize("preset", ["zero", "epsilon", "epsilon_plus", "z_plus", "alpha2_beta1"])
def test_recalled_terms_are_as_good_as_held_ones_however_small_they_are(preset, outweighs):
    """A bias outweighs the branch: without what the sum rounds off, maps were 3 % away."""

    def model(dtype):
        image = keras.Input((4, 4, 3), dtype=dtype)
        shortcut = layers.Conv2D(6, 1, name="shortcut", dtype=dtype)(image)
        branch = layers.Conv2D(6, 3, padding="same", dtype=dtype)(image)
        x = layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([shortcut, branch]))
        made = randomized(keras.Model(image, layers.Dense(3, dtype=dtype)(layers.Flatten()(x))))
        made.get_layer("shortcut").bias.assign(np.full(6, outweighs))
        return made

    x = np.random.default_rng(5).normal(size=(2, 4, 4, 3)).astype("float32")
    single = lrpkeras.Analyzer(model("float32"), preset)
    assert len(single._program._recalled) == 1
    expected = np.asarray(lrpkeras.Analyzer(model("float64"), preset)(x.astype("float64"), 1))
    gap = np.abs(np.asarray(single(x, 1)) - expected).max()
    # Float32, and four steps of what is kept of the sum's rounding, 2.3e-10 of the shortcut each.
    assert gap <= (2e-6 + 1e-9 * outweighs) * np.abs(expected).max()


def test_what_only_a_relu_reads_is_rectified_and_the_last_term_of_a_sum_recalled():
    program = lrpkeras.Analyzer(network(lambda: plain("float32"), "float32"), "epsilon")._program
    rectified = {node.name for node in program.graph if node.facts.rectified}
    assert rectified == {"stem", "inner", "plain", "projected"}
    assert {name: whole for name, (whole, _) in program._recalled.items()} == {
        "last": "plain",
        "second": "projected",
    }


def test_nothing_is_recalled_in_float64_or_where_a_term_will_be_a_denominator():
    assert not lrpkeras.Analyzer(network(plain), "epsilon")._program._recalled
    single = network(lambda: plain("float32"), "float32")
    for name in ("last", "second"):
        kernel, shift = single.get_layer(name).get_weights()
        single.get_layer(name).set_weights([kernel * 1e-3, shift * 1e-3])
    analyzer = lrpkeras.Analyzer(single, "epsilon", rules={"Sum": lrpkeras.rules.Equal()})
    assert not analyzer._program._recalled


def test_nothing_is_rectified_where_relevance_reaches_what_is_zero():
    rules = {"Linear": lrpkeras.rules.Flat(), "AveragePool": lrpkeras.rules.Flat()}
    program = lrpkeras.Analyzer(network(plain), "epsilon", rules=rules)._program
    assert not any(node.facts.rectified for node in program.graph)
    assert not program._recalled


def doubled(array):
    return 2 * array


def less(array, one, other):
    return array - one * other


def test_steps_that_wait_are_taken_in_their_order_and_read_each_operand_once():
    array, one, other = (backend.constant(RANDOM.normal(size=(1, 2, 3))) for _ in range(3))
    relevance = Relevance(array).then(doubled).then(less, one, one).then(less, other, one)
    assert relevance.source is array
    assert len(relevance.operands) == 2
    expected = 2 * array - one * one - other * one
    np.testing.assert_allclose(relevance.array, expected, atol=1e-15)
    # What was computed once is not computed again.
    assert relevance.then(doubled).source is relevance.array
