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
        target = HERE / "images" / page.stem
        for picture in sorted(Path(folder).glob("*.png")):
            if f"images/{page.stem}/{picture.name}" in text:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(picture, target / picture.name)
        os.chdir(HERE)


if __name__ == "__main__":
    for name in PAGES:
        write((HERE / name).resolve())
