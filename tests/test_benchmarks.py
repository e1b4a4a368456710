import dataclasses
import sys
from pathlib import Path

import keras
import pytest

import lrpkeras
from benchmarks import (
    cards,
    fresh,
    gpu,
    machine,
    measures,
    networks,
    on_card,
    pages,
    report,
    results,
    run,
    spread,
    targets,
    times,
    training,
    turns,
    ways,
    work,
)
from benchmarks.peers import client
from lrpkeras import evaluate

ROOT = Path(__file__).parents[1]
QUICK = ["--quick", "--torch-python", "absent", "--innvestigate-python", "absent"]


# The whole, tiny


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What the quick benchmark printed, and the folder with what it wrote."""
    folder = tmp_path_factory.mktemp("benchmark")
    assert run.main([*QUICK, "--json", str(folder / "results.json")]) == 0
    return folder


@pytest.mark.slow
def test_the_quick_benchmark_times_every_preset_of_every_network(quick):
    cells = results.load(quick / "results.json").of("times")
    assert list(cells) == [("tiny-resnet", "2")]
    narrow = {ways.BFLOAT16} if machine.has_bfloat16() else set()
    for cell in cells.values():
        assert set(cell["seconds"]) == {ways.FORWARD, ways.GRADIENT, *ways.PRESETS} | narrow
        assert all(len(row) == 3 and min(row) > 0 for row in cell["seconds"].values())
        assert set(cell["first_call"]) == set(cell["seconds"])


@pytest.mark.slow
def test_multiply_adds_in_the_traced_graph_are_those_of_the_designs_table(quick):
    cell = results.load(quick / "results.json").get("work", "tiny-resnet")
    assert set(cell["counted"]) == set(ways.PRESETS)
    assert cell["counted"] == cell["expected"]
    assert cell["counted"]["epsilon"] == 2 * cell["forward"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2", "EfficientNetB0"])
def test_multiply_adds_of_full_networks_are_those_of_the_designs_table(name):
    keras.backend.clear_session()
    cell = work.measure(networks.build(name), list(ways.PRESETS))
    assert cell["counted"] == cell["expected"]


@pytest.mark.slow
def test_ten_classes_at_once_are_what_ten_calls_give(quick):
    for cell in results.load(quick / "results.json").of("classes").values():
        # The same arithmetic in another order, in float32.
        assert cell["difference"] < 1e-4


@pytest.mark.slow
def test_fresh_processes_tell_seconds_and_memory(quick):
    cells = results.load(quick / "results.json").of("fresh")
    assert list(cells) == [("tiny-resnet", "epsilon_plus_flat")]
    for cell in cells.values():
        assert cell["build"] > 0
        assert cell["first_call"] > 0
        if sys.platform == "linux":
            assert 100 * 2**20 < cell["loaded"] <= cell["building"]
            assert cell["built"] <= cell["explaining"]


@pytest.mark.slow
def test_growth_is_measured_over_batches_and_over_pixels(quick):
    cells = results.load(quick / "results.json").of("growth")
    assert set(cells) == {("tiny-resnet", "batch"), ("tiny-resnet", "pixels")}
    for cell in cells.values():
        assert set(cell["seconds"]) == {ways.GRADIENT, "epsilon_plus_flat"}


@pytest.mark.slow
def test_the_results_page_names_the_machine_what_is_absent_and_what_is_not_measured(quick):
    page = (quick / "RESULTS.md").read_text()
    assert "keras 3" in page
    assert "cores" in page
    assert "`make bench-peers` makes it" in page
    assert "not measured" in page
    assert "no GPU was at hand" in page
    assert (quick / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_measuring_a_part_again_keeps_the_others(quick, tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text((quick / "results.json").read_text())
    before = results.load(path)
    assert run.main(["classes", *QUICK, "--json", str(path)]) == 0
    after = results.load(path)
    assert set(after.cells) == set(before.cells)
    assert after.get("classes", "tiny-resnet") != before.get("classes", "tiny-resnet")
    assert after.get("times", "tiny-resnet", 2) == before.get("times", "tiny-resnet", 2)
    assert len(after.runs) == 2


def test_anew_forgets_the_parts_that_are_run_and_keeps_those_that_are_not(tmp_path):
    found = results.load(tmp_path / "results.json")
    found.begin(machine.run("benchmarks.run", []))
    found.put("slow", "ResNet50", "a peer", seconds=184.0)
    found.put("work", "VGG16", forward=1, counted={}, expected={})
    assert run.main(["work", *QUICK, "--anew", "--json", str(tmp_path / "results.json")]) == 0
    cells = results.load(tmp_path / "results.json").cells
    assert list(cells) == ["slow/ResNet50/a peer", "work/tiny-resnet"]
    assert "takes 184 s for ResNet50" in (tmp_path / "RESULTS.md").read_text()


@pytest.mark.parametrize(
    "arguments",
    [["--models", "VGG"], ["--presets", "epsilom"], ["--rounds", "0", "1"], ["--batch", "x"]],
)
def test_arguments_that_are_not_understood_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_part_that_is_unknown_is_named():
    with pytest.raises(SystemExit, match=r"Unknown: time\. Parts: work, times"):
        run.main(["time", "--quick"])


# Rounds and ratios


def test_ways_take_turns():
    order = []
    runs = {name: lambda name=name: order.append(name) or 0.5 for name in "abc"}
    seconds = turns.take_turns(runs, budget=0, least=3, most=9)
    assert order == list("abc") * 3
    assert seconds == {name: [0.5] * 3 for name in "abc"}


def test_rounds_go_on_until_the_budget_is_spent(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(turns.time, "perf_counter", lambda: float(next(clock)))
    # A round takes one second of this clock: the fifth ends at the budget.
    assert len(turns.take_turns({"a": lambda: 0.0}, budget=5, least=1, most=9)["a"]) == 5


def test_ratios_are_taken_round_by_round():
    # The third round is ten times slower for all: the ratios do not see it.
    forward, tape, preset = [1, 1, 10], [2, 2, 20], [3, 5, 40]
    assert spread.ratio(forward, tape) == spread.Spread(0.5, 0.5, 0.5)
    assert spread.ratio(preset, tape) == spread.Spread(2.0, 1.75, 2.25)
    assert spread.spread(preset) == spread.Spread(5.0, 4.0, 22.5)


# What is made of the numbers


def by_hand():
    """Results of two networks; the tape takes 2 seconds."""
    found = results.Results()
    found.begin(machine.run("benchmarks.run", ["--json", "/somewhere/else/results.json"]))
    seconds = {
        ways.FORWARD: [1, 1, 1],
        ways.GRADIENT: [2, 2, 2],
        "epsilon": [2.2, 2.2, 2.2],
        "epsilon_plus_flat": [3, 3, 3],
        client.ZENNIT[0]: [9, 9, 9],
    }
    calls = dict.fromkeys(seconds, 0.5)
    absent = {ways.BFLOAT16: "no such instructions"}
    for name in targets.MODELS:
        found.put("times", name, 4, seconds=seconds, first_call=calls, absent=absent)
    counted = {"epsilon": 200, "epsilon_plus_flat": 290}
    found.note(environment={"TF_ENABLE_ONEDNN_OPTS": "1"})
    found.put("work", "VGG16", forward=100, counted=counted, expected=counted)
    found.put("work", "ResNet50", forward=100, counted=counted, expected={**counted, "epsilon": 1})
    times = {"build": 5.0, "first_call": 6.0}
    for what, peak in ((ways.GRADIENT, 300), ("epsilon_plus_flat", 350)):
        sizes = {"loaded": 100, "built": 150, "building": 160, "explaining": peak}
        memory = {key: size * 2**20 for key, size in sizes.items()}
        found.put("fresh", "ResNet50", what, batch=16, **times, **memory)
    ten = {"ten at once": [2, 2, 2], "ten calls": [5, 5, 4]}
    found.put("classes", "VGG16", batch=4, difference=0.0, seconds=ten)
    both = {"compiled by XLA": [4, 4, 4], "not compiled": [2, 2, 2]}
    first = {"compiled by XLA": 30.0, "not compiled": 3.0}
    found.put("compiled", "VGG16", batch=4, first_call=first, seconds=both)
    return found


def test_targets_are_judged_by_median_ratios():
    rows = {what: cells for what, *cells in targets.rows(by_hand())}
    assert rows["epsilon"] == ["≤ 1.10", "1.10, pass", "≤ 1.05", "1.10, **miss**"]
    assert rows["epsilon_plus_flat"] == ["≤ 1.40", "1.50, **miss**", "≤ 1.50", "1.50, pass"]
    zennit = rows["zennit's time / ours, epsilon_plus_flat"]
    assert zennit == ["≥ 3.00", "3.00, pass", "≥ 3.50", "3.00, **miss**"]
    first = rows["build + first call, epsilon_plus_flat"]
    assert first == ["", "", "≤ 12.00 s", "11.00 s, pass"]
    ten = rows["ten classes at once / ten calls, epsilon_plus_flat"]
    assert ten == ["≤ 0.45", "0.40, pass", "≤ 0.45", "not measured"]
    # 350 of explaining against 300 of the gradient.
    memory = rows["peak memory, epsilon_plus_flat, batch 16"]
    assert memory == ["≤ 1.25", "not measured", "≤ 1.25", "1.17, pass"]
    assert rows["epsilon_gamma_box"] == ["≤ 1.60", "not measured", "≤ 1.90", "not measured"]


def test_the_results_page_shows_every_part(tmp_path):
    report.write(by_hand(), tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| epsilon_plus_flat | 3000 | 1.50 (1.50 to 1.50) |" in page
    assert "| VGG16 | 0.000 | 2.000 | 2.900 | yes |" in page
    assert "| ResNet50 | 0.000 | 2.000 | 2.900 | **no** |" in page
    # 100 of which, of either, were there before.
    assert "| ResNet50, epsilon_plus_flat | 100 | 50 | 60 | 250 | 1.17 | 1.25 |" in page
    assert "| VGG16, batch 4 | 4000 | 2000 | 2.00 (2.00 to 2.00) | 30.0 | 3.0 |" in page
    assert "| VGG16, batch 4 | 2000 | 5000 | 0.40 (0.40 to 0.45) |" in page
    assert "epsilon_plus_flat bfloat16: no such instructions" in page
    assert "`TF_ENABLE_ONEDNN_OPTS=1 python -m benchmarks.run --json .../results.json`" in page
    assert "/somewhere" not in page


def test_the_readmes_table_has_ratios_and_multiply_adds():
    lines = report.readme(by_hand()).splitlines()
    assert "| `epsilon_plus_flat` | 1.50 | 1.50 | 2.90, 2.90 |" in lines
    assert "| zennit EpsilonPlusFlat | 4.50 | 4.50 |  |" in lines


# Peers


WORKER = """
import sys
from benchmarks.peers import worker

class Library:
    def about(self):
        print("chatter that is no answer")
        return {"library": "1.0"}

    def prepare(self, network, what, size, **options):
        if what == "broken":
            raise ValueError("no such rule")
        return worker.Prepared(lambda batch: [0] * batch, sum, parameters=size, multiply_adds=7)

worker.serve(Library())
"""


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """A worker of this environment, which explains nothing."""
    (tmp_path / "worker_of_a_test.py").write_text(WORKER)
    monkeypatch.setattr(client, "PATHS", [str(ROOT), str(tmp_path)])
    known = client.Peer("fake", "worker_of_a_test", ("fake sum",), ("net",))
    monkeypatch.setitem(client.PEERS, "fake", known)
    with client.asking({"fake": Path(sys.executable)}) as (workers, absent):
        assert absent == {}
        yield workers["fake"]


def test_a_worker_is_asked_in_turn(peer):
    assert peer.about == {"library": "1.0"}
    assert peer.prepare("net", "fake sum", 8, parameters=8, work=7) > 0
    assert peer.run("net", "fake sum", 3)() > 0
    with pytest.raises(client.PeerError, match="KeyError"):
        peer.run("net", "something else", 3)()
    with pytest.raises(client.PeerError, match="ValueError: no such rule"):
        peer.prepare("net", "broken", 8, parameters=8, work=7)


def test_a_peer_that_is_killed_is_left_out_and_started_anew(peer):
    net = {"parameters": 8, "work": 7}
    peer.prepare("net", "fake sum", 8, **net)
    peer._process.kill()
    peer._process.wait()
    runs = {"ours": lambda: 0.5, "fake sum": peer.run("net", "fake sum", 3)}
    cell, failed = times.measure(runs, 0, (2, 2))
    assert cell == {"seconds": {"ours": [0.5, 0.5]}}
    assert failed == {"fake sum": "worker_of_a_test ended"}
    peer.forget()
    assert peer.prepare("net", "fake sum", 8, **net) > 0
    assert peer.run("net", "fake sum", 3)() > 0


def test_a_peers_network_that_is_not_ours_is_refused(peer):
    with pytest.raises(client.PeerError, match="takes 7 multiply-adds, the Keras model 8 and 9"):
        peer.prepare("net", "fake sum", 8, parameters=8, work=9)


def test_a_peer_that_cannot_start_is_left_out_with_a_reason(tmp_path):
    pythons = {"torch": tmp_path / "none", "innvestigate": Path(sys.executable)}
    with client.asking(pythons) as (workers, absent):
        assert workers == {}
    assert "make bench-peers" in absent["torch"]
    assert "ended" in absent["innvestigate"]


def test_a_worker_forgets_all_but_what_it_shall_keep(peer):
    for what in ("fake sum", "other sum"):
        peer.prepare("net", what, 8, parameters=8, work=7)
    peer.forget(keep=["fake sum"])
    assert peer.run("net", "fake sum", 3)() > 0
    with pytest.raises(client.PeerError, match="KeyError"):
        peer.run("net", "other sum", 3)()


# On a GPU


def test_the_gpu_script_runs_on_a_cpu_and_fills_its_section(tmp_path, monkeypatch):
    tries = []

    def here(setting, what):
        """Try in this process: a CPU's memory does not end with a small batch."""
        tries.append((setting.batch, what))
        on_card.main(*map(str, dataclasses.astuple(setting)), what)
        return True

    monkeypatch.setattr(on_card, "_runs", here)
    arguments = ["--device", "cpu", "--quick", "--peak", "0.5", "--torch-python", "absent"]
    ways_and_types = ["--ways", ways.GRADIENT, "epsilon_plus_flat", "--precisions", "tf32"]
    path = tmp_path / "results.json"
    assert gpu.main([*arguments, *ways_and_types, "--json", str(path)]) == 0
    cells = results.load(path).of("gpu")
    assert list(cells) == [
        ("tiny-resnet", "tf32", what) for what in (ways.GRADIENT, "epsilon_plus_flat")
    ]
    for cell in cells.values():
        assert len(cell["seconds"]) == 2
        assert cell["multiply_adds"] > 0
        assert cell["largest"] == 2, "the search ends there"
    assert tries == [(2, ways.GRADIENT), (2, "epsilon_plus_flat")]
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| tiny-resnet, tf32, epsilon_plus_flat |" in page
    assert "no GPU was at hand" not in page


def test_without_a_gpu_the_gpu_script_says_so(monkeypatch, capsys):
    monkeypatch.setattr(gpu.on_card, "card", lambda device: None)
    assert gpu.main([]) == 1
    assert "no GPU" in capsys.readouterr().err


def test_a_precision_that_is_refused_is_left_out_with_a_message(monkeypatch, capsys):
    def refuse(setting, what):
        raise lrpkeras.LrpError("no such precision")

    monkeypatch.setattr(gpu.on_card, "ours", refuse)
    setting = gpu.Setting("tiny", "bfloat16", 2, "cpu")
    assert gpu._contenders(setting, ["epsilon"], {}) == {}
    assert "tiny, bfloat16, epsilon is left out: no such precision" in capsys.readouterr().out


def test_the_share_of_the_peak_counts_two_operations_for_each_multiply_add():
    # 10^12 multiply-adds an image, ten images in half a second: 40 * 10^12 operations a second.
    cell = {"batch": 10, "seconds": [0.5, 0.5], "multiply_adds": 10**12, "peak": 160.0}
    assert cards.rate(cell) == 20
    assert cards.share(cell) == 0.25
    assert cards.share({**cell, "peak": None}) is None


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "tf32", 494.7),
        ("NVIDIA H100 PCIe", "bfloat16", 756.0),
        ("NVIDIA A100-SXM4-40GB", "float32", 19.5),
        ("NVIDIA L40S", "float32", 91.6),
        ("NVIDIA L4", "float32", 30.3),
        ("Tesla T4", "bfloat16", None),
        ("Some other card", "float32", None),
    ],
)
def test_the_peaks_of_known_cards_are_those_of_their_data_sheets(name, precision, expected):
    assert cards.peak(name, precision) == expected


def test_the_largest_batch_is_found_by_doubling():
    tried = []
    assert on_card.largest(lambda n: tried.append(n) or n <= 100, 8, 4096) == 64
    assert tried == [8, 16, 32, 64, 128]
    assert on_card.largest(lambda n: False, 8, 4096) is None
    assert on_card.largest(lambda n: True, 8, 20) == 16


@pytest.mark.slow
def test_two_copies_are_trained_in_turn_one_of_them_watched(quick):
    cell = results.load(quick / "results.json").get("training", "tiny-resnet")
    assert set(cell["seconds"]) == {training.WITH, training.WITHOUT}
    assert [len(row) for row in (*cell["seconds"].values(), cell["sheets"])] == [3, 3, 3]
    for whole, sheet in zip(cell["seconds"][training.WITH], cell["sheets"], strict=True):
        assert 0 < sheet < whole
    assert "tiny-resnet, 64 images an epoch" in (quick / "RESULTS.md").read_text()


def test_the_share_of_a_training_counts_the_first_sheet_and_all_others():
    seconds = {training.WITHOUT: [9.0, 10.0, 40.0]}
    cell = {"start": 2.0, "sheets": [0.1, 0.3, 0.2], "seconds": seconds}
    assert training.share(cell) == pytest.approx((2 + 10 * 0.2) / (10 * 10))


@pytest.mark.slow
def test_measures_are_timed_beside_the_runs_that_they_must_make(quick):
    cells = results.load(quick / "results.json").of("measures")
    assert list(cells) == [("tiny-resnet",)]
    for cell in cells.values():
        assert set(cell["seconds"]) == set(measures.WORK)
        assert all(min(row) > 0 for row in cell["seconds"].values())
        assert measures.overhead(cell, measures.FORWARD) == [1, 1, 1]
    assert "`pixel_flipping`" in (quick / "RESULTS.md").read_text()


@pytest.mark.parametrize("name", [name for name in measures.WORK if hasattr(evaluate, name)])
def test_the_runs_that_a_measure_must_make_are_those_that_it_makes(name):
    """Counted as calls of the model for one batch, of which each sample is one."""
    analyzer = ways.analyzer(networks.build("tiny-resnet"), "epsilon", verify=False)
    counts, original = {"logits": 0, "explained": 0}, analyzer._explainer.run
    logits = analyzer.logits

    def counted_logits(x):
        counts["logits"] += 1
        return logits(x)

    def counted_run(*arguments, **settings):
        counts["explained"] += 1
        return original(*arguments, **settings)

    analyzer.logits, analyzer._explainer.run = counted_logits, counted_run
    images = ways.images(analyzer.model, 2)
    measures.run(analyzer, images, name)
    assert (counts["logits"], counts["explained"]) == measures.WORK[name]


def test_processes_are_summed_up_by_medians_of_every_number():
    cells = [{"loaded": loaded, "built": None} for loaded in (5, 1, 9, 2)]
    assert fresh.medians(cells) == {"loaded": 2, "built": None}


@pytest.mark.slow
def test_report_pages_are_opened_in_a_browser_where_there_is_one(quick):
    cell = results.load(quick / "results.json").get("pages", "6")
    if pages.CHROMIUM is None or cell is None:
        pytest.skip("there is no chromium, or no playwright")
    assert [len(row) for row in cell["seconds"].values()] == [3, 3]
    pairs = zip(*(cell["seconds"][name] for name in (pages.FIRST, pages.ALL)), strict=True)
    assert all(0 < first <= every for first, every in pairs)
    assert cell["bytes"] > 50_000
    assert "6 photos of 56 px, 3 classes each" in (quick / "RESULTS.md").read_text()
