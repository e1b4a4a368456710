"""What a check says of itself: it closes in finite numbers, or does not."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from explained import rewritten, run
from linear_layers import float64

import lrpkeras
from lrpkeras import ledger, rules
from lrpkeras.errors import InputError, ModelError

X = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")


def dense():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, activation="relu", name="hidden"),
            keras.layers.Dense(2),
        ]
    )


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_check_of_broken_numbers_does_not_close(broken):
    model = dense()
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    assert analyzer.check(X).closes
    program = analyzer._program
    (kernel, *_) = (v for v in program.prepared["hidden"].values() if len(v.shape) == 2)
    kernel.assign(np.full((4, 3), broken, "float32"))
    check = analyzer.check(X)
    assert not check.closes
    assert "DOES NOT CLOSE" in str(check)


def test_an_account_that_misses_a_part_does_not_close():
    check = lrpkeras.Analyzer(dense(), "epsilon").check(X)
    (first, *rest) = check.entries
    assert not replace(check, entries=(replace(first, imbalance=0.5), *rest)).closes


@pytest.mark.parametrize("when", ["built", "refreshed"])
def test_weights_that_are_not_finite_are_refused_by_name(when):
    model = dense()
    analyzer = lrpkeras.Analyzer(model)
    kernel = np.ones((4, 3), "float32")
    kernel[0, 0] = np.nan
    model.layers[0].kernel.assign(kernel)
    with pytest.raises(ModelError, match=f"'{model.layers[0].name}'.*diverged"):
        analyzer.refresh() if when == "refreshed" else lrpkeras.Analyzer(model)


def test_branches_that_cancel_where_they_part_leave_an_account_that_closes():
    """Of 1 and -1 + 1e-9 rounding leaves seven digits: it is relative to what was added up."""
    with float64():
        x = keras.Input((4,), dtype="float64")
        branch = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity", name="same")
        model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Subtract()([branch(x), x])))
    table = {"same": rules.Epsilon(1e-9), "Sum": rules.Relative(), "Linear": rules.Flat()}
    made = run(rewritten(model), table, np.random.default_rng(1).uniform(1, 2, (2, 4)))
    arrived = made.back(np.array([[[1.0, 0.0]] * 2, [[0.0, 0.7]] * 2]))[0]
    assert 0 < np.abs(arrived).max() < 1e-6
    assert made.imbalance <= ledger.TOLERANCE["float64"]


def test_accounts_say_where_relevance_went_and_what_arrives_is_what_was_sent():
    x = keras.Input((4,), name="x")
    branch = keras.layers.Dense(4, activation="relu", name="branch")(x)
    model = keras.Model(
        x, keras.layers.Dense(2, name="out")(keras.layers.Add(name="add")([x, branch]))
    )
    check = lrpkeras.Analyzer(model, "epsilon").check(X)
    entries = {entry.name: entry for entry in check.entries}
    assert entries["add"].inputs == ("x:fork", "branch:relu")
    arrived = {"out": check.start}
    for entry in check.entries:
        assert sum(entry.sent) == pytest.approx(entry.outgoing, rel=1e-6)
        for name, value in zip(entry.inputs, entry.sent, strict=True):
            arrived[name] = arrived.get(name, 0.0) + value
    # float32 sums on either side, of terms of both signs
    assert arrived.pop("x") == pytest.approx(check.inputs, rel=1e-5)
    assert arrived == {e.name: pytest.approx(e.incoming, rel=1e-5) for e in check.entries}


def test_checks_of_batches_add_up_to_the_check_of_all():
    analyzer = lrpkeras.Analyzer(dense(), "epsilon")
    whole, parts = analyzer.check(X), [analyzer.check(X[:1]), analyzer.check(X[1:])]
    joined = ledger.joined(parts)
    assert joined.start == pytest.approx(whole.start)
    assert joined.inputs == pytest.approx(whole.inputs)
    assert joined.closes
    assert joined.imbalance == max(part.imbalance for part in parts)
    for got, expected in zip(joined.entries, whole.entries, strict=True):
        assert (got.name, got.rule, got.inputs) == (expected.name, expected.rule, expected.inputs)
        assert got.incoming == pytest.approx(expected.incoming)
        assert got.sent == pytest.approx(expected.sent)
        assert got.sinks == pytest.approx(expected.sinks)
    other = lrpkeras.Analyzer(dense(), "z_plus").check(X)
    for wrong in ([], [whole, other]):
        with pytest.raises(InputError, match="of one analyzer"):
            ledger.joined(wrong)
