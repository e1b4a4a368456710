"""Means, intervals and differences of results."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpkeras.errors import InputError
from lrpkeras.evaluate import Curve, Measure, bootstrap


@pytest.mark.parametrize(("confidence", "deviations"), [(0.95, 1.96), (0.8, 1.2816)])
def test_the_interval_of_a_normal_mean_is_that_of_the_textbook(confidence, deviations):
    values = np.random.default_rng(0).normal(5, 2, size=1000)
    low, high = Measure("x", values).interval(confidence)
    half = deviations * values.std() / np.sqrt(1000)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    """Of 400 samples of 50, 95 % do, within four standard errors (1.1 % each) and a small bias."""
    draws = np.random.default_rng(0).exponential(size=(50, 400))
    low, high = bootstrap(draws)
    assert 0.88 < np.mean((low < 1) & (high > 1)) < 0.99


def test_equal_values_have_an_interval_without_width():
    assert Measure("x", np.full(10, 3.0)).interval() == pytest.approx((3.0, 3.0))


def test_one_sample_has_no_interval():
    assert np.isnan(Measure("x", np.ones(1)).interval()).all()
    low, high = Curve("x", np.arange(3), np.ones((1, 3)), "steps").interval()
    assert np.isnan(low).all()
    assert low.shape == high.shape == (3,)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_is_a_share(confidence):
    with pytest.raises(InputError, match="confidence"):
        bootstrap(np.ones((3,)), confidence)


def test_differences_are_taken_sample_by_sample():
    """Two methods far apart in spread, and always 1 apart: the difference has no spread."""
    values = np.random.default_rng(0).normal(0, 100, size=30)
    away = Measure("one", values + 1).minus(Measure("other", values))
    assert away.name == "one - other"
    assert Measure("one", values).minus(Measure("one", values)).name == "difference in one"
    assert away.values == pytest.approx([1.0] * 30)
    assert away.interval() == pytest.approx((1.0, 1.0))
    with pytest.raises(InputError, match="one has 30 samples, other 2"):
        Measure("one", values).minus(Measure("other", values[:2]))


def test_the_area_of_a_curve_is_its_mean_height_by_trapezoids():
    curve = Curve("x", np.array([0.0, 1.0, 4.0]), np.array([[0.0, 2.0, 2.0], [1, 1, 1]]), "steps")
    assert curve.area.values == pytest.approx([7 / 4, 1])


def test_a_curve_of_one_position_is_as_high_as_that():
    """Hits are booleans, which have no half-way."""
    curve = Curve("accuracy", np.array([50.0]), np.array([[True], [False]]), "% kept")
    assert curve.area.values.tolist() == [1, 0]
    hits = Curve("accuracy", np.array([0.0, 1]), np.array([[True, False], [True, True]]), "% kept")
    assert hits.area.values.tolist() == [0.5, 1]
    assert "area 0.5 (" in repr(curve)


def test_a_result_reads_as_a_sentence():
    text = repr(Measure("mass", np.full(4, 0.5), chance=np.full(4, 0.25)))
    assert text == "mass: 0.5 (95 % interval 0.5 to 0.5, 4 samples, chance 0.25)"


def test_curves_are_drawn_onto_axes_of_the_caller():
    axes = Figure().subplots()
    curve = Curve("accuracy", np.arange(3.0), np.ones((2, 3)), "% kept")
    for label in ("epsilon", "z_plus"):
        assert curve.plot(axes, label).axes is axes
    assert [line.get_label() for line in axes.lines] == ["epsilon", "z_plus"]
    with pytest.raises(InputError, match="one matplotlib Axes"):
        curve.plot([axes])
