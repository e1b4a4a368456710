import json
import types

import numpy as np
import pytest

from benchmarks import run


def test_the_quick_benchmark_runs_prints_every_candidate_and_writes_them_as_json(tmp_path, capsys):
    assert run.main(["--quick", "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    expected = [
        (model, what) for model in run.TINY for what in ("forward", "tape gradient", *run.PRESETS)
    ]
    assert [(result["model"], result["what"]) for result in results] == expected
    rows = [
        line for line in printed.splitlines() if line.split()[:1] in [[name] for name in run.TINY]
    ]
    assert len(rows) == len(expected)
    for result, row in zip(results, rows, strict=True):
        assert f" {result['what']} " in row
    by_what = {(result["model"], result["what"]): result for result in results}
    for model in run.TINY:
        # One adjoint for every product of the forward pass.
        for what in ("tape gradient", "gradient", "epsilon"):
            assert by_what[model, what]["forwards"] == 2
            assert by_what[model, what]["products"] == 2 * by_what[model, "forward"]["products"]
        assert by_what[model, "tape gradient"]["ratio"] == 1
    assert all(0 < result["low"] <= result["median"] <= result["high"] for result in results)


def test_ratios_are_taken_round_by_round_and_the_median_reported(monkeypatch):
    monkeypatch.setattr(run.multiply_adds, "operations", lambda graph: [None] * graph)
    monkeypatch.setattr(run.multiply_adds, "total", lambda graph: 100 * graph)
    candidates = [
        run.Candidate(what, lambda: np.zeros(1), graph, 0.5)
        for what, graph in (("forward", 1), (run.BASELINE, 2), ("z_plus", 3))
    ]
    # The third round is ten times slower for all: the ratios do not see it.
    seconds = np.array([[1, 2, 3], [1, 2, 5], [10, 20, 40]], float)
    forward, tape, preset = run._results("net", 4, candidates, seconds)
    assert (forward.median, tape.median, preset.median) == (1, 2, 5)
    assert (forward.ratio, tape.ratio, preset.ratio) == (0.5, 1, 2)
    assert (preset.ratio_low, preset.ratio_high) == (1.75, 2.25)
    assert (preset.multiply_adds, preset.products, preset.forwards) == (300, 3, 3)
    assert (preset.model, preset.batch, preset.first_call) == ("net", 4, 0.5)


def test_candidates_take_turns(monkeypatch):
    order = []

    def candidate(what):
        return run.Candidate(what, lambda: order.append(what), types.SimpleNamespace(), 0.0)

    monkeypatch.setattr(run, "_function", lambda what, function, images: candidate(what))
    monkeypatch.setattr(run, "_preset", lambda model, name, images: candidate(name))
    monkeypatch.setattr(run, "_results", lambda name, batch, candidates, seconds: seconds.shape)
    shape = run.measure(run.TINY["tiny"](), "tiny", 2, ["zero", "flat"], repeats=3)
    assert shape == (3, 4)
    assert order == ["forward", "tape gradient", "zero", "flat"] * 3


@pytest.mark.parametrize(
    "arguments",
    [["--models", "VGG"], ["--presets", "epsilom"], ["--repeats", "0"], ["--batch", "x"]],
)
def test_arguments_that_are_not_understood_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err
