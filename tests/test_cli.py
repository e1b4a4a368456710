import dataclasses
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lrpkeras
from lrpkeras import cli, datasets, demo

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def small() -> demo.Demo:
    """A demo of one preset, so that the command line can be tried without the work."""
    data = datasets.shapes(demo.COUNT, seed=0)
    row = demo._row(datasets.shapes_model(), "epsilon_plus_flat", data)
    return demo.Demo(data, {"epsilon_plus_flat": row})


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "lrpkeras", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=300,
    )


@pytest.mark.slow
def test_python_m_lrpkeras_ends_with_the_commands_status_and_no_traceback(tmp_path):
    done = run("demo", "--out", str(tmp_path / "demo.pdf"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "lrpkeras: error: The picture is a PNG" in done.stderr


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"lrpkeras {lrpkeras.__version__}\n"


def test_the_installed_script_is_this_command_line():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"lrpkeras": f"{cli.main.__module__}:{cli.main.__name__}"}


def test_the_demo_writes_the_picture_tells_where_and_prints_the_table(tmp_path, capsys):
    out = tmp_path / "picture.png"
    assert cli.main(["demo", "--out", str(out), "--seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    assert str(out) in printed
    assert all(f"\n{preset} " in printed for preset in demo.PRESETS)


@pytest.mark.slow
def test_the_seed_and_a_path_in_the_working_folder_are_handed_on(
    small, tmp_path, monkeypatch, capsys
):
    seeds = []
    monkeypatch.setattr(demo, "explain_shapes", lambda seed: seeds.append(seed) or small)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo", "--seed", "7"]) == 0
    assert cli.main(["demo"]) == 0
    assert seeds == [7, 0]
    assert (tmp_path / "demo.png").exists()
    assert str(tmp_path / "demo.png") in capsys.readouterr().out


def test_a_ledger_that_does_not_close_fails_the_demo(small, tmp_path, monkeypatch, capsys):
    (name, row), *_ = small.rows.items()
    entries = tuple(dataclasses.replace(entry, imbalance=1.0) for entry in row.check.entries)
    broken = dataclasses.replace(row, check=dataclasses.replace(row.check, entries=entries))
    bad = dataclasses.replace(small, rows={name: broken})
    monkeypatch.setattr(demo, "explain_shapes", lambda seed: bad)
    assert cli.main(["demo", "--out", str(tmp_path / "demo.png")]) == 1
    assert "does not close" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--out", "demo.jpg"], "ends in .png"),
        (["demo", "--out", "absent/demo.png"], "no folder 'absent'"),
        (["demo", "--seed", "-1"], "seed must be a whole number"),
    ],
)
def test_an_error_is_one_line_and_status_1(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("lrpkeras: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(
    small, tmp_path, monkeypatch, capsys
):
    (tmp_path / "demo.png").mkdir()
    monkeypatch.setattr(demo, "explain_shapes", lambda seed: small)
    assert cli.main(["demo", "--out", str(tmp_path / "demo.png")]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "demo.png") in error
    assert "directory" in error


@pytest.mark.parametrize("arguments", [[], ["dem"], ["demo", "--seed", "x"], ["demo", "extra"]])
def test_arguments_that_are_not_understood_end_with_status_2_and_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: lrpkeras" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    assert "demo" in capsys.readouterr().out
