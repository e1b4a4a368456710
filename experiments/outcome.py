"""What an experiment found: tables, pictures, and each claim of its paper with a verdict."""

from __future__ import annotations

import datetime
import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import keras
from matplotlib.figure import FigureBase
from PIL import Image

import lrpkeras
from lrpkeras.evaluate import Measure

Verdict = Literal["reproduced", "partly", "not reproduced", "not tested"]


@dataclass(frozen=True)
class Claim:
    """Something that a paper says, and what was measured here.

    Attributes
    ----------
    where
        Section, figure or table of the paper.
    says
        The paper's words, or their gist.
    verdict
        "not tested" where something is missing, which `measured` then names.
    measured
        The numbers.
    """

    where: str
    says: str
    verdict: Verdict
    measured: str


@dataclass(frozen=True)
class Table:
    """Numbers, with what they are above them."""

    title: str
    heads: list[str]
    rows: list[list[str]]


@dataclass
class Outcome:
    """All that an experiment found."""

    name: str
    title: str
    settings: dict[str, str]
    tables: list[Table] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    def table(self, title: str, heads: list[str], rows: list[list[str]]) -> None:
        """Add a table, and print it."""
        self.tables.append(Table(title, heads, rows))
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        print(f"\n{title}")
        for row in (heads, *rows):
            cells = zip(row, widths, strict=True)
            print("  ".join(cell.ljust(width) for cell, width in cells), flush=True)

    def claim(self, where: str, says: str, verdict: Verdict, measured: str) -> None:
        """Add a claim, and print it."""
        self.claims.append(Claim(where, says, verdict, measured))
        print(f"\n{where}: {says}\n  {verdict}: {measured}", flush=True)

    def figure(self, folder: Path, name: str, caption: str, drawn: FigureBase) -> None:
        """Write a picture beside the numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        file = f"{self.name}_{name}.png"
        drawn.savefig(folder / file, dpi=80)
        # In 256 colours a picture of photos takes a third of the space.
        Image.open(folder / file).convert("RGB").quantize(256).save(folder / file, optimize=True)
        self.figures[file] = caption

    def save(self, folder: Path) -> None:
        """Write everything as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "date": datetime.date.today().isoformat(),
            "command": " ".join(["python -m", f"experiments.{self.name}", *_told(sys.argv[1:])]),
            "versions": (
                f"lrpkeras {lrpkeras.__version__}, Keras {keras.__version__} on "
                f"{keras.backend.backend()}, Python {platform.python_version()}"
            ),
        }
        text = json.dumps({**about, **asdict(self)}, indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n")


def _told(arguments: list[str]) -> list[str]:
    """Leave out what says only where files are: the numbers do not depend on it."""
    ours = {"--data", "--cache", "--results"}
    places = [argument.partition("=")[0] in ours for argument in arguments]
    values = [False, *(place and "=" not in a for place, a in zip(places, arguments, strict=True))]
    return [a for a, *skip in zip(arguments, places, values, strict=False) if not any(skip)]


def shown(measure: Measure, digits: int = 3) -> str:
    """Return a mean and its interval as text."""
    low, high = measure.interval()
    return f"{measure.mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def above(measure: Measure) -> bool | None:
    """Whether a mean is above 0 (True), below (False), or not known to be either (None)."""
    low, high = measure.interval()
    return True if low > 0 else False if high < 0 else None


def judged(*parts: bool | None) -> Verdict:
    """Return "reproduced" if all parts of a claim hold, "partly" if one does."""
    held = [part is not None and bool(part) for part in parts]  # NumPy's True is not True
    return "reproduced" if all(held) else "partly" if any(held) else "not reproduced"
