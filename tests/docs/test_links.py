"""Links between the files of the repository lead somewhere, wherever they are read."""

import json
import re

import pytest
from code_blocks import ROOT

FOLDERS = ("docs", "notebooks", "benchmarks", "experiments", ".github")
PAGES = sorted(
    path
    for place in (ROOT, *(ROOT / name for name in FOLDERS))
    for pattern in ("*.md", "*.ipynb")
    for path in (place.glob(pattern) if place == ROOT else place.rglob(pattern))
)
# The target of a link or picture that is no address and no anchor; code is no link.
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def text_of(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_there_are_pages_with_links():
    assert sum(len(LINK.findall(text_of(path))) for path in PAGES) > 200


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path):
    links = LINK.findall(CODE.sub("", text_of(path)))
    assert [link for link in links if not (path.parent / link).exists()] == []
