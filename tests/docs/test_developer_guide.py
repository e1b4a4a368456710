"""The map of the house shows the house."""

import re

import code_blocks

PAGE = code_blocks.ROOT / "docs" / "developer.md"
PACKAGE = code_blocks.ROOT / "lrpkeras"


def places():
    """The folders and files that the first column of the map names."""
    table = PAGE.read_text("utf-8").partition("| where |")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([\w./-]+)`", cell)]


def test_all_that_the_map_names_is_there():
    for name in places():
        assert (code_blocks.ROOT / name).exists() or (PACKAGE / name).exists(), name


def test_every_folder_of_the_package_is_on_the_map():
    folders = {path.name for path in PACKAGE.iterdir() if any(path.glob("[!_]*")) and path.is_dir()}
    named = {name.removeprefix("lrpkeras/").rstrip("/") for name in places()}
    assert folders - {"__pycache__"} <= named
