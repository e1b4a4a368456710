"""Pieces of the experiments of Nyiri & Gibaru 2024 whose answer is known."""

import argparse
import json

import keras
import numpy as np
import pytest

import lrpkeras
from experiments import (
    modified_mnist,
    nyiri2024,
    nyiri2024_digits,
    nyiri2024_networks,
    nyiri2024_overflow,
    nyiri2024_photos,
    nyiri2024_shapes,
)
from experiments import nyiri2024_methods as methods
from experiments.data import Set
from experiments.outcome import Outcome
from lrpkeras.evaluate import Curve, Measure
from lrpkeras.rules import AlphaBeta, Gamma


def kinds(model):
    return [type(layer).__name__ for layer in model.layers[1:]]


def test_the_dense_network_has_the_three_layers_of_section_1_3():
    model = modified_mnist.dense()
    assert kinds(model) == ["Flatten", "Dense", "Dense", "Dense"]
    assert [layer.units for layer in model.layers[2:]] == [256, 128, 10]
    assert model.input_shape == (None, 50, 50, 1)


def test_the_convolutional_network_has_the_layers_of_section_3():
    model = modified_mnist.convolutional()
    assert kinds(model) == ["Conv2D", "Conv2D", "Flatten", "Dense", "Dense"]
    assert [layer.filters for layer in model.layers[1:3]] == [32, 32]
    assert model.layers[4].units == 128


def test_the_residual_network_has_two_blocks_and_normalizes():
    names = kinds(modified_mnist.residual())
    assert names.count("Add") == 2
    assert names.count("BatchNormalization") == names.count("Conv2D")


def test_digits_are_moved_whole_and_covered_by_their_masks():
    ink = np.zeros((6, 28, 28, 1), np.uint8)
    ink[:, 0, 0] = ink[:, -1, -1] = 255  # corners stay inside only if all of the digit does
    digits = modified_mnist.modified(Set(ink, np.arange(6)), seed=0)
    assert digits.images.shape == (6, 50, 50, 1)
    assert (digits.masks.sum(axis=(1, 2)) == 2).all()
    assert (digits.images[digits.masks] == 255).all()


def test_backgrounds_are_grey_and_neither_uniform_nor_alike():
    blank = Set(np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, int))
    images = modified_mnist.modified(blank, seed=0).images
    assert images.max() <= 128
    assert (images.std(axis=(1, 2, 3)) > 5).all()
    assert (images[0] != images[1]).any()


def test_the_same_seed_gives_the_same_digits():
    one = Set(np.full((3, 28, 28, 1), 9, np.uint8), np.arange(3))
    first, again, other = (modified_mnist.modified(one, seed) for seed in (1, 1, 2))
    assert (first.images == again.images).all()
    assert (first.images != other.images).any()


def test_methods_are_those_of_section_3():
    rules = {name: preset.entries[0][1] for name, preset in methods.METHODS.items()}
    assert rules["γ = 0.25"] == Gamma(0.25, positive_only=True)
    assert rules["α.5 β-.5"] == AlphaBeta(0.5, -0.5)
    assert rules["α2 β1"] == AlphaBeta(2.0, 1.0)
    assert rules["ε = 0.01"].epsilon == 0.01


def test_all_methods_but_r_lrp_come_with_biases_and_without():
    found = methods.variants(argparse.Namespace(quick=False))
    assert len(found) == 13
    assert (methods.R_LRP, "kept") not in found


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([True, True, True], "reproduced"),
        ([True, True, None], "partly"),
        ([True, False], "not reproduced"),
        ([None, False, True], "not reproduced"),
    ],
)
def test_a_claim_about_all_methods_needs_all_of_them(known, expected):
    assert methods.verdict(known) == expected


def test_small_percentages_are_those_up_to_25():
    at = np.array([1, 25, 40, 99])
    curve = Curve("accuracy", at, np.array([[True, False, True, True]]), "%")
    assert methods.small(curve).values == 0.5


def test_where_a_curve_was_not_taken_its_table_is_empty():
    outcome = Outcome("nyiri2024", "", {})
    few = Curve("accuracy", np.array([1, 25]), np.ones((2, 2)), "%")
    methods.table(outcome, "kept", {("LRP-0", "kept"): few}, (1, 25, 99))
    assert outcome.tables[0].rows == [["LRP-0", "kept", *["1.00 [1.00, 1.00]"] * 2, ""]]


def test_forms_beside_the_papers_are_measured_at_small_percentages():
    assert methods.shares("left out") == {}
    assert methods.shares("kept")["percentages"] == (1, 5, 10, 15, 20, 25)
    literal = nyiri2024_photos._shares("inputs, literal 0", ("LRP-0", "left out"))
    assert literal == methods.shares("kept")
    assert nyiri2024_photos._shares("inputs", ("LRP-0", "left out")) == {}


@pytest.mark.parametrize(
    ("alike", "others", "expected"),
    [(0.9, 0.5, "reproduced"), (0.5, 0.9, "not reproduced"), (0.9, None, "partly")],
)
def test_networks_that_are_alike_agree_and_share_more(alike, others, expected):
    """`others` None: they agree as often, and share less."""
    one, two = nyiri2024_networks.ALIKE
    pairs = [(one, two), (one, nyiri2024_networks.OTHER), (two, nyiri2024_networks.OTHER)]
    lots = np.random.default_rng(0).random((200, 2))

    def which(pair, share):
        return lots[:, 0] < (alike if pair == pairs[0] or share is None else share)

    same = {pair: which(pair, others) for pair in pairs}
    curves = {
        pair: Curve("accuracy", np.array([1]), which(key, others or 0.1)[:, None], "%")
        for key in pairs
        for pair in (key, key[::-1])
    }
    outcome = Outcome("nyiri2024", "", {})
    nyiri2024_networks._agreement(outcome, curves, same)
    assert outcome.claims[0].verdict == expected


def test_gains_are_ours_less_theirs_or_the_other_way_round():
    found = {"LRP-0": Measure("", np.array([1.0])), methods.R_LRP: Measure("", np.array([3.0]))}
    assert methods.gains(found)["LRP-0"].values == 2
    assert methods.gains(found, -1)["LRP-0"].values == -2


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [(0.92, "reproduced"), (0.87, "partly"), (0.97, "not reproduced")],
)
def test_accuracies_are_near_the_papers_or_not(accuracy, expected):
    assert nyiri2024_digits.near(accuracy, 0.91) == expected


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        ([np.inf, np.inf, 1.0], "reproduced"),
        ([np.inf, 1.0, 1.0], "partly"),
        ([1e6, 1e4, 1.0], "partly"),
        ([1.0, 1.0, 1.0], "not reproduced"),
        ([np.inf, np.inf, np.inf], "not reproduced"),
    ],
)
def test_overflow_is_up_to_one_and_not_above(largest, expected):
    assert nyiri2024_overflow.overflows((0.1, 1.0, 10.0), largest) == expected


@pytest.mark.parametrize(
    ("over_chance", "below", "expected"),
    [
        (None, [True], "reproduced"),
        (True, [True, True], "partly"),
        (True, [True, None], "not reproduced"),
    ],
)
def test_maps_are_bad_that_say_nothing(over_chance, below, expected):
    assert nyiri2024_shapes.bad(over_chance, below) == expected


def test_gamma_and_alpha_beta_conserve_and_epsilon_does_not():
    """z = 0.02: all arrives, but by epsilon 0.02 / 0.03 and 0.02 / 0.021."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[3.0], [-1.0]])
    outcome = Outcome("nyiri2024", "", {})
    x = 0.01 * np.ones((4, 2), "float32")
    nyiri2024_digits._conserved_by_others(outcome, model, x)
    assert outcome.claims[0].verdict == "reproduced"


def test_equation_4_divides_by_the_sum_and_epsilon_whatever_the_sign():
    """A sum of -1 and epsilon 0.5: the paper's form divides by -0.5, lrpkeras' by -1.5."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[1.0], [-2.0]])
    x = np.ones((1, 2), "float32")
    for rule, divisor in (
        (nyiri2024_overflow.PlainEpsilon, -0.5),
        (nyiri2024_overflow.Epsilon, -1.5),
    ):
        largest = nyiri2024_overflow._largest(
            model, x, np.array([[-1.0]]), rule, "ignore", "fold", 0.5
        )
        assert largest == pytest.approx(2 / -divisor, rel=1e-6)


def test_nothing_is_told_apart_where_nobody_is_right():
    low, high = Measure("", np.zeros(9)), Measure("", np.ones(9))
    assert methods.is_floor([low, low])
    assert not methods.is_floor([low, high])


def test_maps_that_are_not_finite_say_nothing():
    class Overflows:
        def explain(self, x, verbose):
            if (x > 1).any():
                raise lrpkeras.errors.LrpError("not finite")
            return argparse.Namespace(relevance=3 * x)

    x = np.array([[1.0, 0.5], [2.0, 1.0]])
    assert (methods.maps_of(Overflows(), x) == [[1.0, 0.5], [0.0, 0.0]]).all()


def test_every_form_of_epsilon_is_measured_and_claimed(tmp_path):
    """Without biases and normalization, and with positive sums, all forms are the same."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.layers[0].kernel.assign(np.ones((3, 2)))
    forms = list(nyiri2024_overflow.FORMS)
    epsilons = (0.5, 10.0)
    found = nyiri2024_overflow._measured(model, np.ones((2, 3), "float32"), epsilons, forms)
    for numbers in found.values():
        assert numbers == pytest.approx([1 / 3.5, 1 / 13], rel=1e-5)
    outcome = Outcome("nyiri2024", "", {})
    nyiri2024_overflow._table(outcome, {"net": found}, epsilons)
    nyiri2024_overflow._claim(outcome, "net", found, epsilons)
    nyiri2024._untested(outcome)
    outcome.save(tmp_path)
    claims = json.loads((tmp_path / "nyiri2024.json").read_text())["claims"]
    assert [claim["verdict"] for claim in claims[:2]] == ["not reproduced", "not tested"]
