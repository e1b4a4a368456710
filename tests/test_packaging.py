"""What is released: the wheel, the source distribution, and the files that go with them."""

import email
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import lrpkeras

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def tracked():
    """The files of the repository, by their paths in it."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a checkout")
    return [path for path in done.stdout.splitlines() if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with wheel and source distribution, built from a copy."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for path in tracked():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, source / path)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(path))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == {path for path in tracked() if path.startswith("lrpkeras/")}
    assert {"lrpkeras/py.typed", "lrpkeras/data/shapes.keras"} < found


@pytest.mark.slow
def test_the_source_distribution_is_the_repository(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        found = {
            name.partition("/")[2]
            for name in archive.getnames()
            if archive.getmember(name).isfile()
        }
    made = {name for name in found if name == "PKG-INFO" or ".egg-info/" in name}
    assert found - made == set(tracked())


@pytest.mark.slow
def test_an_index_accepts_both_and_can_show_the_description(built):
    files = [str(path) for path in built.iterdir()]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == len(files) == 2


@pytest.mark.slow
def test_the_metadata_are_those_of_the_project(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert metadata["Version"] == lrpkeras.__version__
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    # No address is known; one that is made up would be worse than none.
    assert metadata.get_all("Project-URL") is None


@pytest.mark.slow
def test_the_description_leads_nowhere_that_is_not_there(metadata):
    description = metadata.get_payload()
    assert description.startswith("# lrpkeras")
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", description) == []


def test_links_of_the_description_lead_into_the_repository_once_it_has_an_address():
    spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    text = "![A map](docs/a.png) [rules](docs/rules.md#box) [top](#top) [Keras](https://keras.io)"
    assert setup.page(text) == " rules [top](#top) [Keras](https://keras.io)"
    address = "https://example.org/lrpkeras"
    assert setup.page(text, address) == (
        f"![A map]({address}/raw/main/docs/a.png) [rules]({address}/blob/main/docs/rules.md#box) "
        "[top](#top) [Keras](https://keras.io)"
    )


def test_the_citation_is_of_this_version_and_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == lrpkeras.__version__
    assert citation["license"] == "Apache-2.0"
    assert {"message", "title", "authors"} < set(citation)
    for entry in (citation, *citation["references"]):
        assert entry["title"]
        assert all(
            "name" in a or {"family-names", "given-names"} <= set(a) for a in entry["authors"]
        )


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_what_the_site_reads(path):
    """The schema that GitHub documents: kinds of fields, and what each must have."""
    form = yaml.safe_load(path.read_text("utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert set(form) == {"name", "description", "labels", "body"}
    needed = {
        "markdown": {"value"},
        "textarea": {"label"},
        "dropdown": {"label", "options"},
        "checkboxes": {"label", "options"},
    }
    for field in form["body"]:
        assert needed[field["type"]] <= set(field["attributes"]), field
        assert set(field) <= {"type", "id", "attributes", "validations"}
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids) > 0


def test_who_reports_a_wrong_map_is_asked_for_rules_and_ledger():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/wrong_map.yml").read_text("utf-8"))
    asked = {f["id"] for f in form["body"] if f.get("validations", {}).get("required")}
    assert {"summary", "check", "versions"} <= asked
