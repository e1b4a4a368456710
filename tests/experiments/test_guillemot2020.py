"""The pieces of experiments/guillemot2020.py that have a known answer."""

import numpy as np
import pytest

import lrpkeras
from experiments import guillemot2020_digits as digits
from experiments import guillemot2020_images as images
from experiments import guillemot2020_maps as maps
from experiments.guillemot2020_networks import CIFAR, NETWORKS
from experiments.outcome import Outcome
from lrpkeras.evaluate import Measure


def measure(mean, width=0.01):
    """Twenty samples around a mean."""
    return Measure("some", mean + width * np.cos(np.arange(20)))


def outcome():
    return Outcome("guillemot2020", "", {})


def count(model, name):
    return sum(type(layer).__name__ == name for layer in model.layers)


@pytest.mark.parametrize(
    ("name", "convolutions", "normalizations"),
    [
        ("Fc1", 0, 0),
        ("Fc2", 0, 2),
        ("Fc3", 0, 2),
        ("Conv1", 4, 0),
        ("Conv2 before", 4, 4),
        ("Conv2 after", 4, 4),
    ],
)
def test_networks_have_the_layers_of_table_1(name, convolutions, normalizations):
    model = NETWORKS[name]()
    assert count(model, "Conv2D") == convolutions
    assert count(model, "BatchNormalization") == normalizations


def test_the_network_of_figure_6_has_seven_convolutions_and_four_pools():
    model = CIFAR()
    assert count(model, "Conv2D") == count(model, "BatchNormalization") == 7
    assert (count(model, "MaxPooling2D"), count(model, "Dense")) == (4, 1)


def test_their_rules_are_box_first_and_z_plus_behind():
    rules = maps.analyzer(NETWORKS["Conv2 after"](), "folded").summary()
    assert rules.count("Box") == 1
    assert rules.count("ZPlus") == 4  # three convolutions and the head


def dense(own, other=0.9):
    """Measures of Fc1 and, alike, of Fc2 and Fc3; both less those of the mean map."""
    keys = [(name, mode) for name in digits.DENSE for mode in maps.MODES]
    plain = ("Fc1", "folded")
    whole = {plain: measure(1.0), **{key: measure(other) for key in keys}}
    return whole, {plain: measure(0.5), **{key: measure(own) for key in keys}}


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [(0.0, 0.9, "reproduced"), (0.2, 0.9, "partly"), (0.2, 1.1, "not reproduced")],
)
def test_maps_are_unusable_that_are_no_better_than_their_mean(own, other, expected):
    found = outcome()
    digits.dense_with_normalization(found, dense(own, other), dense(own, other))
    assert found.claims[0].verdict == expected


def test_convolutions_are_compared_with_dense_layers_of_the_same_normalization():
    keys = [(name, mode) for name in NETWORKS for mode in maps.MODES]
    masses = {key: measure(0.8 if key[0].startswith("Conv") else 0.5) for key in keys}
    found = outcome()
    digits.convolutional_or_dense(found, masses)
    digits.convolutional_or_dense(found, {key: measure(0.5) for key in keys})
    assert [claim.verdict for claim in found.claims] == ["reproduced", "not reproduced"]


@pytest.mark.parametrize(
    ("difference", "small"),
    [(measure(0.03), True), (measure(0.06), False), (measure(0.0, width=1.0), False)],
)
def test_a_difference_is_small_where_its_interval_is(difference, small):
    assert digits.is_small(difference) == small


def test_a_ring_has_a_loop_and_a_bar_has_none():
    ink = np.zeros((2, 7, 7), bool)
    ink[0, 1:6, 1:6], ink[0, 2:5, 2:5] = True, False
    ink[1, :, 3] = True
    assert digits.loops(ink).sum(axis=(1, 2)).tolist() == [9, 0]


@pytest.mark.parametrize(
    ("gains", "expected"),
    [((0, 1, 2), "reproduced"), ((0, 2, 1), "partly"), ((0, 0, 0), "not reproduced")],
)
def test_gains_rise_with_complexity_where_intervals_lie_apart(gains, expected):
    found = outcome()
    images.by_data(found, {f"{i}": measure(gain) for i, gain in enumerate(gains)})
    assert found.claims[0].verdict == expected


def test_painting_over_leaves_the_object_and_one_colour():
    drawn, _, masks = lrpkeras.datasets.shapes(3, seed=0)
    painted = images.painted(drawn, masks)
    np.testing.assert_array_equal(painted[masks], drawn[masks])
    for one, before, mask in zip(painted, drawn, masks, strict=True):
        assert len(np.unique(one[~mask], axis=0)) == 1
        np.testing.assert_allclose(one[~mask][0], before[~mask].mean(axis=0), rtol=1e-5)


def test_folding_gains_where_it_gains_with_texture_more_than_without():
    gains = {("textured", "folded"): 3, ("textured", "bypassed"): 1}
    gains |= {("uniform", "folded"): 3, ("uniform", "bypassed"): 2}
    measures = {key: measure(gain) for key, gain in gains.items()}
    found = outcome()
    images.shapes_claims(found, measures, measures)
    images.shapes_claims(found, dict.fromkeys(measures, measure(1)), measures)
    verdicts = [claim.verdict for claim in found.claims]
    assert verdicts == ["reproduced", "reproduced", "partly", "partly"]


def test_a_chessboard_is_more_complex_than_a_plane():
    board = 255 * (np.indices((8, 8)).sum(axis=0) % 2)[..., None]
    assert images.complexity(board) == 255
    assert images.complexity(np.full((8, 8, 3), 7)) == 0
