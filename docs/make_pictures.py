"""Write the pictures of pages: those that the pages' own code saves.

    python docs/make_pictures.py

A page's code is run as the tests run it, and what it leaves as PNG goes to `docs/images`, into a
folder of the page's name.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent.resolve()
PAGES = (
    "../README.md",
    "start.md",
    "concepts/ledger.md",
    "how-to/choose-a-preset.md",
    "how-to/hidden-layers.md",
    "how-to/evaluate.md",
    "how-to/pictures.md",
    "how-to/report.md",
)


def write(page: Path) -> None:
    """Run a page, and keep its pictures that it shows."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import code_blocks

    text = page.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        code_blocks.furnish(Path(folder))
        os.chdir(folder)
        code_blocks.run(page)
        if Path("report.html").exists():
            photograph(Path("report.html").resolve(), Path("page.png"))
        target = HERE / "images" / page.stem
        for picture in sorted(Path(folder).glob("*.png")):
            if f"images/{page.stem}/{picture.name}" in text:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(picture, target / picture.name)
        os.chdir(HERE)


def photograph(page: Path, picture: Path) -> None:
    """Write what a browser shows of a report page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 620})
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached")
        tab.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    for name in PAGES:
        write((HERE / name).resolve())
