"""What was measured, kept as JSON: cells by name, and the runs that they come from.

Parts may be measured in runs of their own and gathered in one file: a cell that is measured again
replaces the old one. Seconds are kept for each round; medians and ratios are taken when they are
shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


@dataclass
class Results:
    """Cells by (part, model, further keys), and runs by their number as text.

    With a path, the file is written whenever a cell is put: what was measured stays, come what may.

    A run holds the machine, the versions, the date and the command line; each cell the number of
    its run.
    """

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    path: Path | None = None

    def begin(self, run: dict[str, Any]) -> None:
        """Start a run: cells that are put now come from it."""
        numbers = [int(number) for number in self.runs]
        self.runs[str(max(numbers, default=0) + 1)] = run

    def note(self, **more: Any) -> None:
        """Add to what is known of the latest run."""
        self.runs[max(self.runs, key=int)] |= more

    def put(self, part: str, *key: object, **cell: Any) -> Cell:
        """Keep a cell of the latest run, and return it."""
        name = _name(part, *key)
        self.cells[name] = {"run": max(self.runs, key=int), **cell}
        self._save()
        return self.cells[name]

    def forget(self, part: str) -> None:
        """Drop all cells of a part."""
        self.cells = {n: cell for n, cell in self.cells.items() if n.split("/")[0] != part}

    def get(self, part: str, *key: object) -> Cell | None:
        """Return a cell, if it was measured."""
        return self.cells.get(_name(part, *key))

    def of(self, part: str) -> dict[tuple[str, ...], Cell]:
        """Return all cells of a part by the rest of their names, in the order of measuring."""
        split = ((tuple(name.split("/")), cell) for name, cell in self.cells.items())
        return {name[1:]: cell for name, cell in split if name[0] == part}

    def _save(self) -> None:
        """Write the file; runs of which no cell is left are dropped."""
        if self.path is None:
            return
        used = {cell["run"] for cell in self.cells.values()}
        self.runs = {number: run for number, run in self.runs.items() if number in used}
        text = json.dumps({"runs": self.runs, "cells": self.cells}, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text + "\n")


def load(path: Path | None) -> Results:
    """Return results that are kept in a file, with what it holds."""
    if path is None or not path.exists():
        return Results(path=path)
    return Results(**json.loads(path.read_text()), path=path)


def _name(*parts: object) -> str:
    return "/".join(map(str, parts))
