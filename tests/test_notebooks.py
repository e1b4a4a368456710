"""Every notebook runs, and its committed output is what it says now."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "1_first_heatmap",
    "2_which_preset",
    "3_batch_norm",
    "4_reading_relevance",
    "5_your_own_layers_and_rules",
    "6_is_it_right",
    "7_beyond_photos",
    "8_to_a_service",
    "9_clever_hans",
    "experiments",
]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    """A notebook as committed, and freshly executed."""
    message = "notebooks need nbclient, nbformat and ipykernel: pip install lrpkeras[dev]"
    nbclient = pytest.importorskip("nbclient", reason=message)
    nbformat = pytest.importorskip("nbformat", reason=message)
    pytest.importorskip("ipykernel", reason=message)
    committed, fresh = (nbformat.read(request.param, as_version=4) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        root = str(request.param.parents[1])
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        patch.setenv("PYTHONPATH", path.rstrip(os.pathsep))
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        nbclient.NotebookClient(fresh, timeout=300, kernel_name="python3").execute()
    return committed, fresh


def outputs(notebook, kind):
    return [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {}) or output.get("name") == kind
    ]


def test_the_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.slow
def test_it_runs_without_a_warning_and_shows_a_picture(notebook):
    _, fresh = notebook
    assert outputs(fresh, "image/png")
    assert not outputs(fresh, "stderr")


@pytest.mark.slow
def test_the_committed_output_is_kept_complete_and_small(notebook):
    committed, fresh = notebook
    assert len(outputs(committed, "image/png")) == len(outputs(fresh, "image/png"))
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not outputs(committed, "stderr")
    assert len(str(committed)) < 300_000
    told = [str(output) for kind in ("text/plain", "stdout") for output in outputs(committed, kind)]
    assert not [text for text in told if "/tmp/" in text or "/home/" in text or str(ROOT) in text]


def test_the_first_cell_is_five_lines():
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(NOTEBOOKS[0], as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert sum(bool(line.strip()) for line in first.source.splitlines()) == 5
