"""Defaults by evidence: what is better, what is worse, and what stands against a default."""

import numpy as np
import pytest

from experiments import defaults as run
from experiments.outcome import Outcome
from lrpkeras.evaluate import Measure

DEFAULT = (run.PRESET, run.MODE)


def measure(mean):
    """Numbers of forty samples, whose differences to one another's have no spread but a little."""
    return Measure("", mean + 0.01 * np.random.default_rng(int(10 * abs(mean))).normal(size=40))


def found(**means):
    """Three measures: each candidate's means, the default's all 0."""
    columns = zip(*means.values(), strict=True)
    return {
        f"measure {number}": {
            DEFAULT: measure(0.0),
            **{tuple(name.split("__")): measure(m) for name, m in zip(means, column, strict=True)},
        }
        for number, column in enumerate(columns)
    }


@pytest.mark.parametrize(
    ("means", "preset", "mode"),
    [
        ({"gamma__fold": (1, 1, -1)}, "not reproduced", "reproduced"),
        ({"gamma__fold": (1, -1, 0.0)}, "reproduced", "reproduced"),
        ({"gamma__abs": (1, 1, 1)}, "reproduced", "reproduced"),
        ({"epsilon_plus_flat__abs": (1, 1, -1)}, "reproduced", "not reproduced"),
    ],
)
def test_a_default_stands_unless_something_is_better_on_more_measures_than_worse(
    means, preset, mode, capsys
):
    outcome = Outcome("defaults", "", {})
    of = found(**means)
    run._judge(outcome, of, list(next(iter(of.values()))))
    assert [claim.verdict for claim in outcome.claims] == [preset, mode]


def test_better_and_worse_are_told_by_intervals():
    of = found(gamma__fold=(1, -1, 0.0))
    assert run.compared(of, ("gamma", "fold"), DEFAULT) == (["measure 0"], ["measure 1"])


def test_the_last_layer_gets_epsilon_where_dense_layers_would():
    case = run._shapes(run.options.parser("").parse_args(["--quick"]))
    for preset, rule in (("epsilon_gamma_box", "Epsilon"), ("z_plus", "ZPlus")):
        analyzer = run.analyzer(case, (preset, "fold"))
        assert type(analyzer.rules["head"]).__name__ == rule
