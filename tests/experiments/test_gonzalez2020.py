"""Gonzalez 2020: the network, what is measured of maps, and what makes a verdict."""

from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from experiments import gonzalez2020_photos, pattern
from experiments.gonzalez2020 import _left_out, in_cells, network, of_parts
from experiments.gonzalez2020_convolutions import _draw_channel, followed
from experiments.gonzalez2020_dense import _against, _contributions, _favour, opposite
from experiments.gonzalez2020_flag import _flag, only
from experiments.gonzalez2020_maps import (
    BELOW,
    CONVOLUTIONS,
    DENSE,
    HEADS,
    LAST,
    MATRIX,
    Digits,
    normalized,
    parts,
)
from experiments.outcome import Outcome, judged
from lrpkeras import presets
from lrpkeras.evaluate import Counterfactual, Measure
from lrpkeras.rules import Box, Epsilon, Flat

CONSTANT = np.ones((1, 8, 8))
CHESSBOARD = np.where(np.indices((8, 8)).sum(axis=0) % 2, 1.0, -1.0)[None]
FLAT_IS_SIMILAR = (
    "Flat in all convolutions is similar to other rules on MNIST, on photos very different"
)
NOISE = np.random.default_rng(0).normal(size=(1, 300, 300))


def test_the_network_is_that_of_section_4():
    shapes = {layer.name: layer.output.shape[1:] for layer in network().layers}
    assert shapes == {
        "conv_1": (26, 26, 32),
        "conv_2": (24, 24, 64),
        "max_pool_1": (12, 12, 64),  # "64 channels with a size of 12x12" [section 4.1]
        "flatten": (9216,),  # "the flatten vector of 9216 neurons"
        "dense_1": (512,),
        "output": (10,),
    }


def test_figures_6_and_7_have_eleven_columns():
    assert len(MATRIX) == 11
    for label, name in MATRIX.items():
        rules = [rule for _, rule in presets.named(name, (0.0, 1.0)).entries]
        assert isinstance(rules[0], Box) == label.endswith("bounded")
        assert isinstance(rules[0], Flat) == label.endswith("flat")
        assert any(isinstance(rule, Epsilon) for rule in rules) == ("ε" in label or "pre" in label)


@pytest.mark.parametrize("name", sorted({*CONVOLUTIONS.values(), *DENSE.values()}))
def test_presets_of_hypotheses_exist(name):
    assert presets.get(name).name == name


def test_heads_of_photos_are_the_rules_of_dense_layers():
    for label, name in DENSE.items():
        entries = dict(presets.get(name).entries)
        assert entries["dense"] == HEADS[label]


@pytest.mark.parametrize(
    ("maps", "variation", "neighbours"),
    [(CONSTANT, 0, 1), (CHESSBOARD, 2, -1), (NOISE, np.sqrt(2), 0)],
)
def test_noise_has_known_values(maps, variation, neighbours):
    # 90,000 normal numbers: means are off by a few thousandths.
    assert pattern.variation(maps).mean == pytest.approx(variation, abs=0.02)
    assert pattern.neighbours(maps).mean == pytest.approx(neighbours, abs=0.02)


@pytest.mark.parametrize("measure", [pattern.variation, pattern.neighbours])
def test_noise_goes_by_the_map_not_by_scale_or_background(measure):
    inner = np.pad(NOISE[:, :20, :20], ((0, 0), (1, 1), (1, 1)))
    wide = np.pad(inner, ((0, 0), (30, 30), (30, 30)))
    # Means are over all pairs of neighbours, of which there are (n - 1) / n per pixel.
    assert measure(wide).mean == pytest.approx(measure(inner).mean, rel=0.05)
    assert measure(7 * inner).mean == pytest.approx(measure(inner).mean)


def test_shares_and_contrast_have_known_values():
    maps = np.array([[[3.0, -1.0], [0.0, 0.0]]])
    assert pattern.negative_share(maps).values == pytest.approx([0.25])
    assert pattern.contrast(maps).values == pytest.approx([np.std([1, -1 / 3, 0, 0])])
    assert pattern.negative_share(0 * maps).values == [0]


def test_an_inverted_map_agrees_by_minus_1():
    assert pattern.agreement(NOISE, NOISE**3).mean == pytest.approx(1)
    assert pattern.agreement(NOISE, -NOISE).mean == pytest.approx(-1)


def test_enlarged_cells_are_where_their_pixels_are():
    cells = np.arange(12.0)[None, :, None] * np.ones((1, 1, 12))
    conv_1 = pattern.upscaled(cells, 24, 1, 26)[0, :, 0]
    # The middle of what cell i sees, pixels 2 i to 2 i + 3, is between 2 i + 1 and 2 i + 2.
    pairs = (conv_1[1:-1:2] + conv_1[2:-1:2]) / 2
    assert pairs[1:-1] == pytest.approx(np.arange(1, 11))
    moved = pattern.upscaled(cells, 24, 3, 24)[0, :, 0]
    assert moved[3:] == pytest.approx(conv_1[1:22])


def test_top_and_rest_are_of_the_digit():
    ink = np.zeros((1, 10, 10), bool)
    ink[0, 2:6, 4] = True
    maps = np.zeros((1, 10, 10))
    maps[0, [2, 3, 4, 5], 4] = [1, 2, -3, -4]
    top, rest = parts(maps, ink, 0.5)
    assert (top.mean, rest.mean) == pytest.approx((0.3, -0.7))
    top, rest = parts(maps, ink, 0.25)
    assert (top.mean, rest.mean) == pytest.approx((0.1, -0.5))


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [([1, -1], "reproduced"), ([0, -1], "reproduced"), ([1, 1], "partly"), ([-1, 0], "not rep")],
)
def test_parts_are_judged_by_the_signs_that_are_said(signs, verdict):
    balances = Measure("top", np.array([0.3, 0.4])), Measure("rest", np.array([-0.3, -0.4]))
    assert of_parts(balances, signs)[0].startswith(verdict)


def _halves(top, rest):
    """A measure of either half, with a narrow interval."""
    wobble = np.array([-0.01, 0.0, 0.01])
    return Measure("top", top + wobble), Measure("rest", rest + 2 * wobble)


def test_halves_of_a_3_are_judged_as_figures_10_and_12_have_them():
    split = {"ε": _halves(0.3, -0.7), "α2β1": _halves(-0.3, 0.7), "α1β0": _halves(-0.6, -0.4)}
    five = {"ε": _halves(-0.2, 0.5), "α2β1": _halves(0.1, 0.5), "α1β0": _halves(0.3, 0.7)}
    right, wrong, none = (Outcome("x", "X", {}) for _ in range(3))
    _against(right, split)
    _favour(right, five)
    _against(wrong, {"ε": split["α2β1"], "α1β0": _halves(-0.4, -0.6)})
    _favour(wrong, {"ε": _halves(0.2, -0.5), "α2β1": split["ε"], "α1β0": split["ε"]})
    _against(none, {})
    _favour(none, {})
    assert {claim.verdict for claim in right.claims} == {"reproduced"}
    assert [claim.verdict for claim in wrong.claims] == [*["not reproduced"] * 3, "partly"]
    assert {claim.verdict for claim in none.claims} == {"not tested"}


def test_a_cell_of_the_pool_has_four_pixels():
    rows = np.arange(28.0)[None, :, None] * np.ones((1, 1, 28))
    assert in_cells(rows).shape == (1, 12, 12)
    assert in_cells(rows)[0, :, 0] == pytest.approx(2 * np.arange(12) + 2.5)


def test_verdicts_need_all_parts():
    assert judged(True, True) == "reproduced"
    assert judged(True, None) == judged(False, True) == "partly"
    assert judged(False, None) == "not reproduced"


def test_opposite_signs_are_counted_where_neither_is_zero():
    one, other = np.array([[1, -1, 0, 2, 3]]), np.array([[-1, -1, 5, 0, -2]])
    assert opposite(one, other).values == pytest.approx([2 / 3])


def test_relevance_follows_activation_in_active_channels():
    activation = np.abs(np.random.default_rng(1).normal(size=(1, 5, 5, 2)))
    activation[..., 1] = 0
    assert followed(-2 * activation, activation).values == pytest.approx([1])


def test_maps_are_scaled_each_by_itself():
    maps = np.array([2.0, -4.0, 0.0]).reshape(3, 1, 1, 1)
    assert normalized(maps).ravel().tolist() == [1, -1, 0]


def test_some_samples_of_a_counterfactual():
    numbers = np.arange(3.0)
    found = Counterfactual(5, "logit", numbers, numbers + 1, numbers, np.zeros((3, 2)), numbers)
    some = only(found, numbers > 0)
    assert some.change.values.tolist() == [1, 1]
    assert (some.size, some.corners.shape) == (5, (2, 2))


def _counterfactual(after, relevance):
    count = len(relevance)
    corners, before = np.zeros((count, 2), int), np.full(count, 0.5)
    return Counterfactual(44, "probability", before, after, before - 0.1, corners, relevance)


def test_the_flag_is_judged_where_a_square_is_negative():
    relevance = np.array([-1.0, -2.0, -1.0, 3.0])
    # Where nothing speaks against the class, the probability falls: that does not count.
    right = _counterfactual(np.array([0.6, 0.7, 0.6, 0.0]), relevance)
    wrong = _counterfactual(np.array([0.4, 0.3, 0.4, 0.0]), relevance)
    outcome = Outcome("x", "X", {})
    _flag(outcome, "", {"ε": right, "α2β1": wrong, "α1β0": wrong})
    _flag(outcome, "", {"ε": wrong, "α2β1": right, "α1β0": right})
    none = _counterfactual(np.zeros(4), np.abs(relevance))
    _flag(outcome, "", dict.fromkeys(DENSE, none))
    verdicts = [claim.verdict for claim in outcome.claims]
    assert verdicts[:2] == ["reproduced"] * 2
    assert verdicts[2:4] == ["not reproduced"] * 2
    assert verdicts[4:] == ["not tested"] * 2


def _noisy_photos(count):
    """Photos of which all maps are noise."""
    random = np.random.default_rng(0)

    def explained(preset, head="ε", target=None):
        hidden = {name: random.normal(size=(count, 7, 7)) for name in (LAST, *BELOW)}
        return random.normal(size=(count, 224, 224)), hidden

    return SimpleNamespace(
        images=random.integers(0, 256, (count, 224, 224, 3)).astype("uint8"),
        winner=np.zeros(count, int),
        second=np.ones(count, int),
        names=["a", "b"],
        explained=explained,
        without=lambda *_: _counterfactual(random.random(count), random.normal(size=count)),
        gap=lambda *_: Measure("gap", random.normal(size=count)),
    )


@pytest.mark.slow
def test_all_of_section_5_is_judged_and_written(monkeypatch, tmp_path):
    monkeypatch.setattr(gonzalez2020_photos.Photos, "of", lambda _: _noisy_photos(6))
    outcome = Outcome("gonzalez2020", "X", {})
    alike = Measure("agreement", np.array([0.8, 0.9]))
    gonzalez2020_photos.run(Namespace(results=tmp_path), outcome, alike)
    _left_out(outcome)
    outcome.save(tmp_path)
    names = [file.name for file in sorted(tmp_path.iterdir())]
    kinds = ("figure27.png", "flag.png", "why_not.png")
    assert names == ["gonzalez2020.json", *(f"gonzalez2020_{kind}" for kind in kinds)]
    found = {claim.says: claim.verdict for claim in outcome.claims}
    assert found["On photos, α0β1 inverts the pattern in odd layers"] != "reproduced"  # of noise
    assert found[FLAT_IS_SIMILAR] == "reproduced"  # noise is not similar to noise
    assert found["LRP is faster than LIME or SHAP"] == "not tested"


@pytest.fixture(scope="module")
def digits():
    """Digits of a small network without biases."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(2, name="max_pool_1"),
            layers.Flatten(),
            layers.Dense(20, activation="relu", name="dense_1"),
            layers.Dense(5, activation="softmax", name="output"),
        ]
    )
    x = np.random.default_rng(0).random((40, 8, 8, 1), "float32")
    labels = np.where(np.arange(40) % 2, model.predict(x, verbose=0).argmax(axis=1), -1)
    return Digits.of(model, x, labels, 40, 0)


def test_digits_are_asked_for_what_wins_and_for_a_class_with_a_negative_logit(digits):
    logits = np.asarray(digits.judge.logits(digits.x))
    asked = {
        name: np.take_along_axis(logits, target[:, None], axis=1)
        for name, target in digits.targets.items()
    }
    assert len(digits.x) == 20  # those of which the label is right
    assert (asked["negative"] < 0).all()
    assert asked["winner"][:, 0].tolist() == logits.max(axis=1).tolist()


@pytest.mark.parametrize("label", ["α2β1", "α1β0"])
def test_negative_logits_invert_rules_that_split_signs(digits, label):
    """[Section 4.1]: relevance of hidden neurons is x w by ε, with another sign by these."""
    dense = {one: digits.maps(DENSE[one], "negative").dense for one in ("ε", label)}
    unit = digits.maps(DENSE[label], "negative", "unit").dense
    assert opposite(dense["ε"], dense[label]).values.min() == 1
    assert opposite(dense["ε"], unit).values.max() == 0


def test_relevance_of_neurons_by_epsilon_is_what_they_contribute(digits):
    """[Section 4.1]; without a bias, up to epsilon, 1e-7."""
    outcome = Outcome("x", "X", {})
    _contributions(outcome, digits)
    assert [claim.verdict for claim in outcome.claims] == ["reproduced"]


def test_a_channel_is_drawn(digits, tmp_path):
    """[Figure 17.] A 3 and a 9 are drawn; the small network's images are neither."""
    some = replace(digits, labels=np.where(np.arange(len(digits.x)) % 2, 3, 9))
    outcome = Outcome("gonzalez2020", "X", {})
    _draw_channel(Namespace(results=tmp_path), outcome, some)
    assert [file.name for file in tmp_path.iterdir()] == ["gonzalez2020_channel.png"]
    assert "the most active channel of conv_1" in next(iter(outcome.figures.values()))
