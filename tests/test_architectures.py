"""Every network of `keras.applications` is read, verified and explained: the table of the docs."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "architectures.py"


def _benchmark():
    spec = importlib.util.spec_from_file_location("architectures", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCHMARK = _benchmark()
# Normalizations that a sum reads, beside nothing that could take them over.
UNFOLDED = {"NASNetMobile": 3, "NASNetLarge": 3}


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARK.NAMES)
def test_an_architecture_is_explained(name, capsys):
    row = BENCHMARK.measure(name)
    with capsys.disabled():
        print(f"\n{BENCHMARK.line(row)}")
    # A float32 model is itself as far from float64.
    assert row.fidelity <= 1e-4
    assert row.closes
    assert row.norms - row.folded == UNFOLDED.get(name, 0)


def test_all_forty_are_in_the_table():
    assert len(BENCHMARK.NAMES) == 40
    page = BENCHMARK.PAGE.read_text()
    assert all(f"| {name} |" in page for name in BENCHMARK.NAMES)
