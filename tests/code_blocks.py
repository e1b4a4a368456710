"""The code blocks of the documentation, and how they are run.

The blocks of a page share one namespace and run in their order, in a folder with what a reader has:
`model.keras` (the shipped network), photos `cats/*.png`, and `cat.jpg`, `dog.jpg`.

- `python`: executed; with `>>>` in it, compared with what it shows, as a doctest.
- `bash`, `console` or none: lines that begin with `lrpkeras` are run as commands.
- `text` titled "prints": what the block before must have printed; `...` is anything.
- `pycon`: of a docstring, where doctest runs it.

A block titled "not run: REASON" is left out; the title is shown on the site.
"""

import contextlib
import doctest
import io
import re
import shlex
import textwrap
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import lrpkeras
from lrpkeras.cli import main

ROOT = Path(__file__).parents[1]
OWN_PAGES = ("README.md", "CONTRIBUTING.md")
SHELLS = ("bash", "console", "")
LANGUAGES = ("python", "pycon", "text", *SHELLS, "toml", "json", "yaml")
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A code block, and the line that it begins at."""

    language: str
    title: str
    code: str
    line: int

    @property
    def left_out(self):
        """The reason why it is not run, or an empty text."""
        return self.title.removeprefix("not run: ") if self.title.startswith("not run") else ""

    @property
    def commands(self):
        """The words of every `lrpkeras` command in it."""
        if self.language not in SHELLS:
            return []
        lines = self.code.replace("\\\n", " ").splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line]
        return [line[1:] for line in words if line[:1] == ["lrpkeras"]]

    @property
    def runs(self):
        """Whether there is something to execute."""
        return not self.left_out and (self.language == "python" or bool(self.commands))


def pages():
    """Return the pages with code that runs."""
    own = [ROOT / name for name in OWN_PAGES if (ROOT / name).exists()]
    found = [*own, *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if any(block.runs for block in blocks(page))]


def blocks(page):
    """Return the code blocks of a page."""
    text = page.read_text("utf-8")
    return [
        Block(
            *_info(found["info"]),
            textwrap.dedent(found["code"]),
            text.count("\n", 0, found.end("info")) + 1,
        )
        for found in BLOCK.finditer(text)
    ]


def _info(info):
    """Return language and title of a block."""
    title = re.search(r'title="([^"]*)"', info)
    words = info.split()
    return words[0] if words else "", title[1] if title else ""


def run(page):
    """Run the blocks of a page in the current folder; return its names."""
    names, printed = {"__name__": page.stem}, None
    for block in blocks(page):
        if block.runs:
            printed = _python(block, page, names) if block.language == "python" else _shell(block)
        elif block.language == "text" and block.title == "prints":
            assert _same(block.code, printed), f"{page.name}:{block.line} prints:\n{printed}"
    return names


def _same(wanted, got):
    return doctest.OutputChecker().check_output(wanted, got, FLAGS)


def _python(block, page, names):
    code = block.code.replace('weights="imagenet"', "weights=None")
    if ">>> " in code:
        return _compared(code, block, page, names)
    # Blank lines in front give errors the page's own line numbers.
    compiled = compile("\n" * block.line + code, str(page), "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compiled, names)
    return out.getvalue()


def _compared(code, block, page, names):
    test = doctest.DocTestParser().get_doctest(code, names, page.stem, str(page), block.line)
    report, runner = io.StringIO(), doctest.DocTestRunner(optionflags=FLAGS)
    failed, _ = runner.run(test, out=report.write, clear_globs=False)
    names.update(test.globs)
    assert not failed, report.getvalue()
    return ""


def _shell(block):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for words in block.commands:
            assert main(words) == 0, f"lrpkeras {shlex.join(words)}"
    return out.getvalue()


def furnish(folder):
    """Put there what readers of the pages have."""
    (folder / "model.keras").write_bytes((files("lrpkeras") / "data" / "shapes.keras").read_bytes())
    (folder / "cats").mkdir()
    for number, image in enumerate(lrpkeras.datasets.shapes(4, seed=1).images):
        Image.fromarray(np.rint(image * 255).astype("uint8")).save(folder / f"cats/{number}.png")
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype("uint8")
    for name in ("cat.jpg", "dog.jpg"):
        keras.utils.save_img(folder / name, pixels)
