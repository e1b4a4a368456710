"""Random networks of every supported layer: exact, every ledger closes, nothing depends on company.

A failing example ends with a script that needs no file of the tests: it rebuilds the network and
fails in the same way.
"""

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import random_checks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_checks import EXTRAS, MODES, Case, check, made
from random_graphs import Net, Plan, build, curved, networks, script

from lrpkeras import rules
from lrpkeras.graph.nodes import KINDS
from lrpkeras.propagate import Program
from lrpkeras.rules import Rule

REPOSITORY = Path(__file__).resolve().parents[1]
# Examples of one go: after these, hypothesis mostly varies what it has.
ROUND = 10
# Parameters other than a rule's own defaults, or needed; `Box` has the inputs' bounds.
PARAMETERS: dict[type[Rule], tuple[Rule, ...]] = {
    rules.AlphaBeta: (
        rules.AlphaBeta(),
        rules.AlphaBeta(0.5, -0.5),
        rules.AlphaBeta(1.0, -1.0, conserve=False),
        rules.AlphaBeta(0.0, 1.0, conserve=False),
    ),
    rules.Box: (rules.Box(-3.0, 3.0),),
    rules.Epsilon: (rules.Epsilon(), rules.Epsilon(0.25)),
    rules.Gamma: (rules.Gamma(), rules.Gamma(2.0, positive_only=True)),
    rules.Power: tuple(rules.Power(p) for p in (1, 2, 3)),
    rules.Proportional: (rules.Proportional(), rules.Proportional(0.0), rules.Proportional(0.3)),
    rules.Taylor: (rules.Taylor(), rules.Taylor(0.5, "reference"), rules.Taylor(-1.0)),
}


def all_rules() -> list[Rule]:
    """An instance of every rule of the package, in every bias mode."""
    classes = [getattr(rules, name) for name in rules.__all__]
    found = []
    for each in classes:
        if isinstance(each, type) and issubclass(each, Rule) and each.kinds:
            for rule in PARAMETERS.get(each) or (each(),):
                modes = ("absorb", "ignore", "distribute") if hasattr(rule, "bias") else ()
                found += [dataclasses.replace(rule, bias=mode) for mode in modes] or [rule]
    return found


def source(rule: Rule) -> str:
    """The line that makes a rule."""
    fields = [field.name for field in dataclasses.fields(rule) if field.init]
    values = ", ".join(f"{name}={getattr(rule, name)!r}" for name in fields)
    return f"{type(rule).__name__}({values})"


RULES = {
    name: [source(rule) for rule in all_rules() if any(issubclass(kind, k) for k in rule.kinds)]
    for name, kind in KINDS.items()
}
TABLES = st.fixed_dictionaries(
    {
        name: st.lists(st.sampled_from(found), min_size=1, max_size=3)
        for name, found in RULES.items()
        if len(found) > 1
    }
)
CHECKS = st.fixed_dictionaries(
    {
        "table": TABLES,
        "batch_norm": st.sampled_from(["fold", "fold", *MODES]),
        "ratio": st.booleans(),
        "extra": st.sampled_from(list(EXTRAS)),
    }
)


def extra(plan: Plan, how: Plan) -> str:
    """The check that means something for a plan, if it can be the one that is wanted.

    With whole numbers, maxima tie and sums cancel: slopes are then a matter of convention, and
    what is zero in a batch may be 1e-17 in another. LRP-0 is input x gradient only where
    f(x) = f'(x) x; a thresholded ReLU, which is -t / s where closed, has no such function.
    """
    wanted, bent = how["extra"], curved([plan[part] for part in ("inputs", "steps", "tail")])
    if plan["whole"] and wanted in ("batch", "gradient", "zero", "readers"):
        return "layers"
    if wanted == "zero" and (bent or how["batch_norm"] == "threshold"):
        return "gradient"
    return wanted


def table(plan: Plan, how: Plan) -> dict[str, list[str]]:
    """The rules of a plan.

    With whole numbers, sums cancel to a last bit: divided by that, as `Zero` does, relevance is
    rounding alone, in every ledger.
    """
    if not plan["whole"]:
        return how["table"]
    return {
        kind: [rule.replace("Zero(", "Epsilon(epsilon=1e-06, ") for rule in found]
        for kind, found in how["table"].items()
    }


def checked(plan: Plan, how: Plan) -> tuple[Net, Program]:
    """Build and check; an error carries the script that shows it."""
    net, wanted = build(plan), extra(plan, how)
    settings = {key: how[key] for key in ("batch_norm", "ratio")}
    settings |= {"table": table(plan, how), "non_negative": plan["non_negative"]}
    try:
        program = check(Case(net.model, net.logits, net.inputs, **settings), wanted)
    except Exception as error:
        text = failing(plan, net, settings, wanted)
        error.add_note(f"\nThis script shows it:\n\n{text}")
        raise
    return net, program


def failing(plan: Plan, net: Net, settings: dict, wanted: str) -> str:
    """The script of a network and its checks."""
    named = "".join(f"    {name}={value!r},\n" for name, value in settings.items())
    return "\n".join(
        [
            script(plan, net.lines),
            inspect.getsource(random_checks).replace("from __future__ import annotations\n", ""),
            f"case = Case(\n    model,\n    logits,\n    inputs,\n{named})",
            f"check(case, {wanted!r})",
            "",
        ]
    )


SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@dataclasses.dataclass
class Seen:
    """How often layers, and rules at kinds of nodes, took part."""

    layers: Counter = dataclasses.field(default_factory=Counter)
    rules: Counter = dataclasses.field(default_factory=Counter)

    def note(self, net: Net, program: Program) -> None:
        self.layers.update(net.layers)
        for name, rule in program.rules.items():
            kinds = [kind for kind in rule.kinds if isinstance(program.graph[name], kind)]
            self.rules.update((type(rule), kind) for kind in kinds)


def run(count: int, seed: int) -> Seen:
    """Check so many examples, in rounds."""
    seen = Seen()

    def example(plan: Plan, how: Plan) -> None:
        seen.note(*checked(plan, how))

    for number in range(count // ROUND):
        drawing = settings(SETTINGS, max_examples=ROUND)(given(networks(), CHECKS)(example))
        hypothesis.seed(seed + number)(drawing)()
    return seen


# The layers that must take part in a thousand networks.
LAYERS = {
    "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D", "BatchNormalization",
    "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Cropping1D",
    "Cropping2D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dropout", "ELU", "Embedding",
    "Flatten", "Functional", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GroupNormalization", "LayerNormalization",
    "LeakyReLU",
    "LocalResponseNormalization", "MaxPooling1D", "MaxPooling2D", "Maximum", "Minimum", "Multiply",
    "PReLU", "Permute", "RMSNormalization", "ReLU", "Rescaling", "Reshape", "Resizing",
    "SeparableConv1D", "SeparableConv2D", "Subtract", "UpSampling1D", "UpSampling2D",
    "ZeroPadding1D", "ZeroPadding2D",
}  # fmt: skip


def test_random_networks_are_exact_and_their_ledgers_close():
    seen = run(60, 0)
    kinds = {kind for rule in all_rules() for kind in rule.kinds}
    assert {kind for _, kind in seen.rules} == kinds


@pytest.mark.slow
def test_a_thousand_random_networks_are_exact_and_their_ledgers_close():
    # The same networks at every run, unlike those of the quick test; any other number gives others.
    seen = run(1000, int(os.environ.get("LRPKERAS_SEED", "1000")))
    assert seen.layers.keys() >= LAYERS
    assert {rule for rule, _ in seen.rules} == {type(rule) for rule in all_rules()}


def test_every_rule_of_the_package_is_drawn():
    listed = [getattr(rules, name) for name in rules.__all__]
    classes = {each for each in listed if isinstance(each, type) and issubclass(each, Rule)} - {
        Rule
    }
    drawn = {type(made(text)) for found in RULES.values() for text in found}
    assert drawn == classes


PLAN = {
    "inputs": [[6, 5, 2], [6, 5, 2]],
    "steps": [
        {"do": "normed relu", "back": 1, "behind": False},
        {
            "do": "block",
            "back": 0,
            "how": "Add",
            "relu": True,
            "steps": [
                {
                    "do": "nested",
                    "back": 0,
                    "how": "Maximum",
                    "other": 1,
                    "steps": [{"do": "shared", "back": 0, "layer": "conv", "how": "Subtract",
                               "other": 0, "chained": True}],
                },
                {"do": "activation", "back": 0, "function": "prelu"},
            ],
        },
        {"do": "operator", "back": 0, "formula": "1.0 - {}"},
        {"do": "gate", "back": 0, "how": "channel", "other": 2},
    ],
    "head": "GlobalMaxPooling",
    "tail": [{"do": "dropout", "back": 0}],
    "end": "softmax",
    "whole": False,
    "non_negative": True,
    "seed": 5,
}  # fmt: skip
HOW = {
    "table": {"Linear": ["Epsilon(epsilon=0.25)", "ZPlus(bias='ignore')"], "Sum": ["Equal()"]},
    "batch_norm": "fold",
    "ratio": False,
    "extra": "layers",
}


@pytest.mark.slow
def test_a_failing_example_prints_a_script_that_rebuilds_it_and_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(random_checks, "FIDELITY", -1.0)
    with pytest.raises(AssertionError) as caught:
        checked(PLAN, HOW)
    text = caught.value.__notes__[0].split("shows it:")[1]
    show = "\nnp.savez(sys.argv[1], *inputs, called(logits, inputs), called(model, inputs))\n"
    path, saved = tmp_path / "example.py", tmp_path / "values.npz"
    path.write_text(text + "import sys" + show + "FIDELITY = -1.0\ncheck(case, 'layers')\n")
    ran = subprocess.run(
        [sys.executable, path, saved],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert "AssertionError: off by" in ran.stderr
    net, values = build(PLAN), list(np.load(saved).values())
    models = (random_checks.called(each, net.inputs) for each in (net.logits, net.model))
    for got, expected in zip(values, [*net.inputs, *models], strict=True):
        np.testing.assert_array_equal(got, expected)


def test_plans_are_plain_data_and_build_the_same_network_each_time():
    first, second = build(json.loads(json.dumps(PLAN))), build(PLAN)
    assert first.lines == second.lines
    for each, other in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(each, other)
