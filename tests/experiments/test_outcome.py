"""What experiments write: verdicts from intervals, and the command that makes them again."""

import json
from typing import get_args

import numpy as np
import pytest

from experiments import page
from experiments.outcome import Outcome, Verdict, _told, above, judged
from lrpkeras.evaluate import Measure


@pytest.mark.parametrize(("mean", "known"), [(1.0, True), (-1.0, False), (0.0, None)])
def test_a_mean_is_above_zero_if_its_interval_is(mean, known):
    noise = np.random.default_rng(0).normal(size=100)
    assert above(Measure("", mean + noise - noise.mean())) is known


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ((True, True), "reproduced"),
        ((True, None), "partly"),
        ((False, None), "not reproduced"),
    ],
)
def test_a_claim_is_judged_by_its_parts(parts, verdict):
    assert judged(*parts) == verdict


def test_the_command_says_what_the_numbers_depend_on():
    given = ["--data", "/a", "--quick", "--results=/b", "--seed", "3", "--cache", "/c"]
    assert _told(given) == ["--quick", "--seed", "3"]


def test_the_page_counts_every_claim(tmp_path, monkeypatch, capsys):
    outcome = Outcome("hui2019", "Hui", {"images": "3"})
    for verdict in get_args(Verdict):
        outcome.claim("figure 1", "a | b", verdict, "1.0")
    outcome.table("Numbers", ["a"], [["1"]])
    outcome.save(tmp_path)
    assert len(json.loads((tmp_path / "hui2019.json").read_text())["claims"]) == 4
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.main()
    text = (tmp_path / "page.md").read_text()
    assert "| Hui | 1 | 1 | 1 | 1 |" in text
    assert "a \\| b" in text
    assert "### Numbers" in text
