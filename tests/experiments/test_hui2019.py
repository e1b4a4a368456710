"""The pieces of experiments/hui2019.py that have a known answer."""

import keras
import numpy as np
import pytest
from keras import layers

from experiments import hui2019, hui2019_artifacts, hui2019_networks, hui2019_rules
from experiments.data import Set
from experiments.hui2019_early import beginning
from experiments.outcome import Outcome
from lrpkeras.canonize import canonize
from lrpkeras.evaluate import Measure
from lrpkeras.graph import keras_reader
from lrpkeras.graph.nodes import Gate, Threshold

SHAPE = (32, 32, 3)


def measure(mean: float) -> Measure:
    """Twenty samples that are sure of their mean."""
    return Measure("some", mean + 0.01 * np.cos(np.arange(20)))


@pytest.mark.parametrize(
    ("means", "expected"),
    [((1, 2), "reproduced"), ((1, -1), "partly"), ((-1, 0), "not reproduced")],
)
def test_a_verdict_follows_from_intervals(means, expected):
    assert hui2019_rules.verdict(map(measure, means)) == expected


@pytest.mark.parametrize(("gap", "poor"), [(0.3, True), (0.7, False)])
def test_a_rule_is_poor_below_half_of_the_best(gap, poor):
    gaps = {("some", mode): measure(1.0) for mode in hui2019.MODES}
    gaps["some", "epsilon"] = measure(gap)
    assert hui2019.is_poor(gaps, "some", "epsilon") == poor


def test_no_rule_is_poor_where_none_is_above_chance():
    gaps = {("some", mode): measure(-1.0) for mode in hui2019.MODES}
    gaps["some", "epsilon"] = measure(-2.0)
    assert not hui2019.is_poor(gaps, "some", "epsilon")


def test_an_advantage_needs_all_rules_that_it_is_over():
    found = {
        name: hui2019.Compared(
            {(p, mode): measure(worth[mode]) for p in hui2019.PRESETS for mode in hui2019.MODES}
        )
        for name, worth in {
            "better": {"fold": 3, "threshold": 3, "identity": 1, "epsilon": 0, "abs": 2},
            "between": {"fold": 3, "threshold": 3, "identity": 3, "epsilon": 0, "abs": 2},
        }.items()
    }
    outcome = Outcome("hui2019", "", {})
    hui2019.advantages(outcome, found)
    assert [claim.verdict for claim in outcome.claims] == ["reproduced", "partly", "partly"]


@pytest.mark.parametrize("name", hui2019_networks.NETWORKS)
def test_networks_take_any_images_and_every_convolution_is_without_a_bias(name):
    model = hui2019_networks.NETWORKS[name](SHAPE, 10)
    assert model.output_shape == (None, 10)
    convolutions = [
        layer for layer in model.layers if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)
    ]
    assert len(convolutions) > 10
    assert not any(layer.use_bias for layer in convolutions)


def test_shortcuts_with_stride_and_with_pooling_differ_in_nothing_else():
    keras.utils.set_random_seed(1)
    strided = hui2019_networks.resnet(SHAPE, 10)
    keras.utils.set_random_seed(1)
    pooled = hui2019_networks.POOLED(SHAPE, 10)
    for one, other in zip(strided.get_weights(), pooled.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    def of(model, kind, size):
        found = [layer for layer in model.layers if isinstance(layer, kind)]
        return [one for one in found if getattr(one, "kernel_size", size) == size]

    assert [one.strides for one in of(strided, layers.Conv2D, (1, 1))] == 3 * [(2, 2)]
    assert [one.strides for one in of(pooled, layers.Conv2D, (1, 1))] == 3 * [(1, 1)]
    assert len(of(pooled, layers.AveragePooling2D, None)) == 3


def test_thresholds_differ_from_folding_in_the_network_like_densenet_alone():
    for name, build in hui2019_networks.NETWORKS.items():
        read = keras_reader.read(build(SHAPE, 10))
        graphs = [canonize(read, thresholds=thresholds) for thresholds in (False, True)]
        differs = any(isinstance(node, Gate) for node in graphs[0])
        assert differs == any(isinstance(node, Threshold) for node in graphs[1])
        assert differs == (name == "DenseNet-like")


def test_unusual_channels_are_found_once():
    inputs = keras.Input((4, 4, 4))
    model = keras.Model(inputs, layers.BatchNormalization(name="one")(inputs))
    gamma, variance = [1.0, -1.0, -1.0, 1.0], [1.0, 1.0, 0.0, 1e-9]
    model.get_layer("one").set_weights(np.array([gamma, 4 * [0.0], 4 * [0.0], variance]))
    found = hui2019_artifacts.unusual(model)
    assert found["constant"]["one"].tolist() == [False, False, True, True]
    assert found["negative gamma"]["one"].tolist() == [False, True, False, False]


def test_shares_are_of_each_layer_and_chance_counts_channels():
    sums = {"a": np.array([[1.0, 3.0]]), "b": np.array([[0.0, 0.0, 5.0, 5.0]])}
    masks = {"a": np.array([True, False]), "b": np.array([False, False, True, False])}
    found = hui2019_artifacts.share(sums, masks)
    assert found.mean == (1 / 4 + 1 / 2) / 2
    assert found.chance == (1 / 2 + 1 / 4) / 2


def test_relevance_at_even_positions_is_three_quarters_too_much():
    relevance = np.zeros((2, 8, 8, 3))
    relevance[0, ::2, ::2] = -1.0
    relevance[1] = 1.0
    assert hui2019_artifacts.over_quarter(relevance).values.tolist() == [0.75, 0.0]


@pytest.mark.parametrize(("stride", "expected"), [(2, -0.1), (4, 0.0), (8, 0.0)])
def test_a_grid_has_a_contrast_of_one_and_noise_of_zero(stride, expected):
    noise = np.random.default_rng(0).normal(size=(200, 64, 64, 1))
    grid = np.zeros((1, 64, 64, 1))
    grid[:, ::stride, ::stride] = 1.0
    # Contrasts of single maps vary by 0.4 at most, and their mean over 200 by 0.03: twice that.
    assert abs(hui2019_artifacts.grid_contrast(noise, stride).mean - expected) < 0.06
    assert hui2019_artifacts.grid_contrast(grid, stride).mean > 0.99


def test_the_beginning_of_training_is_the_same_for_the_same_seed():
    images = np.random.default_rng(0).integers(0, 256, (256, 8, 8, 3)).astype("uint8")
    train = Set(images, np.arange(256) % 2)
    test = hui2019_rules.scaled(images[:8]), train.labels[:8]

    def build(shape, classes):
        inputs = keras.Input(shape)
        return hui2019_networks.classified(inputs, layers.Conv2D(2, 3)(inputs), classes)

    first, again, other = (beginning(build, train, test, seed, 2, 1) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 2
