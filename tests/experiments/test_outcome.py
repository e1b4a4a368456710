"""What experiments write: verdicts from intervals, and the command that makes them again."""

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
        ((np.float32(1) > 0, True), "reproduced"),
        ((np.float32(1) < 0, None), "not reproduced"),
    ],
)
def test_a_claim_is_judged_by_its_parts(parts, verdict):
    assert judged(*parts) == verdict


def test_the_command_says_what_the_numbers_depend_on():
    given = ["--data", "/a", "--quick", "--results=/b", "--seed", "3", "--cache", "/c"]
    assert _told(given) == ["--quick", "--seed", "3"]


def test_the_page_counts_every_claim(tmp_path):
    outcome = Outcome("hui2019", "Hui", {"images": "3"})
    for verdict in get_args(Verdict):
        outcome.claim("figure 1", "a | b", verdict, "1.0")
    outcome.table("Numbers", ["a"], [["1"]])
    outcome.save(tmp_path)
    found = page.results(tmp_path)
    assert len(found[0]["claims"]) == 4
    index, paper = page.pages(found).values()
    assert "| [Hui](experiments/hui2019.md) | 1 | 1 | 1 | 1 |" in index
    assert "a \\| b" in paper
    assert "### Numbers" in paper
    panel = page.counted(found).axes[0]
    assert [bar.get_width() for bar in panel.patches] == [1, 1, 1, 1]


def test_published_pages_say_what_the_results_say():
    found = page.results()
    assert found, "experiments/results is empty: run the experiments"
    for file, text in page.pages(found).items():
        assert file.read_text() == text, "run python -m experiments.page"


def test_published_pictures_are_there():
    for result in page.results():
        for file in result["figures"]:
            assert (page.RESULTS / file).is_file()
