"""Activation functions: derivatives against differences, and what is claimed of their signs."""

import keras
import numpy as np
import pytest
from keras import ops

from lrpkeras.graph import functions
from lrpkeras.graph.functions import SIMPLE

FUNCTIONS = {
    **SIMPLE,
    "relu": functions.relu(),
    "relu6": functions.relu(max_value=6.0),
    "relu-slope": functions.relu(negative_slope=0.2),
    "relu-threshold": functions.relu(threshold=0.5),
    "relu-all": functions.relu(0.3, 2.0, 0.5),
    "elu": functions.elu(0.7),
    "selu": functions.elu(1.6732632423543772, 1.0507009873554805),
    "celu": functions.celu(0.6),
    "gelu": functions.gelu(),
    "gelu-tanh": functions.gelu(approximate=True),
    "soft_shrink": functions.soft_shrink(0.4),
    "hard_shrink": functions.hard_shrink(0.4),
    "threshold": functions.thresholded(0.3, 0.1),
    "threshold-closes": functions.thresholded(0.3, 0.0),
    "squareplus": functions.squareplus(3.0),
    "absolute": functions.absolute(),
    "square": functions.square(),
}
# Off every kink and jump of the functions above, which are at multiples of 0.1.
POINTS = np.arange(-8, 8, 0.1) + 0.037


def values(function, x):
    return np.asarray(function.apply(ops.convert_to_tensor(x)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_derivative_is_the_slope(name):
    """Central differences, step h: off by h^2 / 6 times the third derivative, and rounding / h.

    Beside that, TensorFlow's gelu holds the root of 2 in float32, which moves its slope by 6e-9.
    """
    function, h = FUNCTIONS[name], 1e-5
    slope = (values(function, POINTS + h) - values(function, POINTS - h)) / (2 * h)
    written = np.asarray(function.derivative(ops.convert_to_tensor(POINTS)))
    np.testing.assert_allclose(written, slope, rtol=2e-8, atol=1e-8)


def test_the_derivative_of_prelu_is_one_or_its_slope():
    x = ops.convert_to_tensor([[-1.0, 2.0], [3.0, -4.0]])
    slope = ops.convert_to_tensor([0.1, 0.2])
    prelu = functions.prelu()
    np.testing.assert_allclose(prelu.apply(x, slope), [[-0.1, 2.0], [3.0, -0.8]], rtol=1e-6)
    np.testing.assert_allclose(prelu.derivative(x, slope), [[0.1, 1], [1, 0.2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "value", "slope"),
    [
        (functions.absolute(), [2.5, 0, 3], [-1, 0, 1]),
        (functions.square(), [6.25, 0, 9], [-5, 0, 6]),
    ],
)
def test_distances_and_their_slopes_at_points_worked_out_by_hand(function, value, slope):
    x = ops.convert_to_tensor([-2.5, 0.0, 3.0])
    np.testing.assert_array_equal(function.apply(x), value)
    np.testing.assert_array_equal(function.derivative(x), slope)
    assert function.homogeneous == (function.name == "absolute")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_claimed_of_signs_holds(name):
    function = FUNCTIONS[name]
    x = np.concatenate([POINTS, [0.0, -50.0, 50.0]])
    y = values(function, x)
    assert (y >= 0).all() or not function.non_negative
    assert (y[x <= 0] == 0).all() or not function.closes
    assert (y[x >= 0] >= 0).all() or not function.keeps_sign
    if function.gate:
        order = np.argsort(x)
        assert (y >= 0).all()
        assert (y <= 1).all()
        assert (np.diff(y[order]) >= 0).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_sign_that_holds_goes_unclaimed(name):
    """A missed claim costs work: a rule would treat its input as signed."""
    function = FUNCTIONS[name]
    y = values(function, POINTS)
    assert function.non_negative == bool((y >= 0).all())
    assert function.non_negative or function.keeps_sign or (y[POINTS >= 0] < 0).any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_homogeneous_functions_are_their_slope_times_x(name):
    function = FUNCTIONS[name]
    product = np.asarray(function.derivative(ops.convert_to_tensor(POINTS))) * POINTS
    if function.homogeneous:
        np.testing.assert_allclose(values(function, POINTS), product, rtol=1e-14)


@pytest.mark.parametrize("make", [functions.softmax, functions.log_softmax])
def test_softmax_has_no_derivative_of_one_entry(make):
    with pytest.raises(NotImplementedError, match="elementwise"):
        make().derivative(ops.ones((2, 3)))


def test_softmax_is_along_the_last_axis():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_allclose(
        values(functions.softmax(), x), np.asarray(keras.ops.softmax(x, axis=-1)), rtol=1e-12
    )
    with pytest.raises(ValueError, match="mixes positions"):
        functions.softmax(axis=1)
