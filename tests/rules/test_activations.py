"""Rules of activations by their formulas, on numbers small enough to work out by hand."""

import keras
import numpy as np
import pytest
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64

from lrpkeras import ledger
from lrpkeras.errors import RuleError
from lrpkeras.rules import Deconv, Guided, Pass, Taylor

X = np.array([[-2.0, -0.5, 0.0, 0.3, 1.0, 4.0]])
R = np.array([[[3.0, -1.0, 2.0, -2.0, 5.0, -4.0]]])


def after(activation, rule, x=X, relevance=R, form="R"):
    """Send relevance back through one activation."""
    with float64():
        inputs = keras.Input(x.shape[1:], dtype="float64")
        layer = activation if isinstance(activation, keras.Layer) else layers.Activation(activation)
        model = keras.Model(inputs, layer(inputs))
    made = run(rewritten(model), {"Activation": rule}, x, vanishes=False)
    (got,) = made.back(relevance, form)
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    return got, made


def test_guided_backpropagation_keeps_what_is_positive_in_relevance_and_in_the_input():
    got, _ = after("relu", Guided())
    assert got.tolist() == [[[0, 0, 0, 0, 5, 0]]]


def test_guided_backpropagation_takes_the_slope_of_a_smooth_function():
    got, _ = after("softplus", Guided())
    assert_close(got, np.maximum(R, 0) / (1 + np.exp(-X)), 1e-14)


@pytest.mark.parametrize("activation", ["relu", "softplus", "tanh"])
def test_a_deconvolution_looks_at_the_relevance_alone(activation):
    got, _ = after(activation, Deconv())
    assert got.tolist() == [[[3, 0, 2, 0, 5, 0]]]


@pytest.mark.parametrize("rule", [Guided(), Deconv()])
def test_each_target_is_rectified_for_itself(rule):
    both, _ = after("relu", rule, relevance=np.concatenate([R, -R]))
    for k, sign in enumerate((1, -1)):
        alone, _ = after("relu", rule, relevance=sign * R)
        assert both[k].tolist() == alone[0].tolist()


@pytest.mark.parametrize("reference", [0.0, 0.7, -1.0])
@pytest.mark.parametrize("slope", ["input", "reference"])
@pytest.mark.parametrize("form", ["R", "ratio"])
def test_taylor_shares_what_the_expansion_holds_of_tanh(reference, slope, form):
    rule = Taylor(reference, slope, epsilon=1e-3)
    got, made = after("tanh", rule, form=form)
    at = X if slope == "input" else reference
    value = np.tanh(X)
    expansion = np.tanh(reference) + (1 - np.tanh(at) ** 2) * (X - reference)
    start = R * value if form == "ratio" else R
    assert_close(got, start * expansion / (value + np.where(value < 0, -1e-3, 1e-3)), 1e-13)
    assert set(made.sinks) <= {"Taylor remainder", "epsilon"}


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_taylor_at_zero_is_pass_where_the_function_is_its_slope_times_x(slope):
    start = R * (X != 0)
    taylor, _ = after(layers.LeakyReLU(slope), Taylor(epsilon=1e-12), relevance=start)
    passed, _ = after(layers.LeakyReLU(slope), Pass(), relevance=start)
    alive = X > 0 if slope == 0 else X != 0
    assert_close(taylor, passed * alive, 1e-11)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"reference": np.nan}, "reference must be a finite number"),
        ({"epsilon": 0.0}, "greater than 0"),
        ({"slope": "left"}, "'input' or 'reference'"),
    ],
)
def test_parameters_of_taylor_that_mean_nothing_are_refused(parameters, match):
    with pytest.raises(RuleError, match=match):
        Taylor(**parameters)
