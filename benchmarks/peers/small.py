"""Networks of a few numbers, for which the right relevance is known: what each library gives.

    python -m benchmarks.peers.small

asks zennit, captum and iNNvestigate in the environments that `make bench-peers` makes, writes what
they gave to `small.json`, and the table of it into `docs/comparison.md`. What lrpkeras gives is
asked by `tests/peers/test_small_networks.py`. Another version of a library beside the one that is
installed: `PYTHONPATH=folder python -m benchmarks.peers.small`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "comparison.md"
BEGIN, END = "<!-- small networks: begin -->\n", "<!-- small networks: end -->"
COLUMNS = ("zennit 1.0.0", "captum 0.9.0", "iNNvestigate 2.1.2")
CLOSE = 1e-3  # relative: no stabilizer of any library shows, and every mistake does

Results = dict[str, dict[str, list[float] | str]]


@dataclass(frozen=True)
class Case:
    """What is asked, and the right answer."""

    text: str
    right: tuple[float, ...]


CASES = {
    "residual": Case(
        "16 blocks `x + layer(x)`, written with `+`; ε-rule: sum of relevance / logit", (1.0,)
    ),
    "residual_by_modules": Case("the same with the library's own module for sums", (1.0,)),
    "negative_bias": Case("α1β0, w = (1, −1), b = −0.9, x = (1, 0.05), z = 0.05", (0.05, 0.0)),
    "negative_input": Case("α1β0, w = (1, −1), x = (1, −3), z = 4", (1.0, 3.0)),
    "sigmoid_head": Case(
        "ε-rule, w = (1, −3), x = (1, 1), then a sigmoid: evidence for the class is positive",
        (1.0, -3.0),
    ),
    "flat_behind_padding": Case(
        "flat first layer behind a layer that pads: equal shares of 1 for four pixels", (0.25,) * 4
    ),
    "batch_norm": Case(
        "ε-rule, layer and normalization, 3 (x − 1) / √4 + 0.5 at x = 5: 7.5, and −1 is the bias's",
        (7.5,),
    ),
    "batch_norm_behind_relu": Case(
        "layer, ReLU as a function, normalization: the logit that is explained", (-2.5,)
    ),
    "factor": Case(
        "ε-rule behind `2 * x` (iNNvestigate: `Rescaling(2)`) at x = 3, logit 6", (6.0,)
    ),
    "nested": Case("α1β0 in a model within a model, w = (1, −1), x = (3, 1), z = 2", (2.0, 0.0)),
    "second_call": Case(
        "α1β0 chosen for a layer, w = (1, −1), x = (3, 1), explained twice", (2.0, 0.0, 2.0, 0.0)
    ),
    "saved": Case("ε = 1, w = x = (1, 1), saved and loaded: 2 / (2 + 1) each", (2 / 3, 2 / 3)),
}


def main() -> None:
    """Ask the libraries, keep what they gave, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("torch", "innvestigate"):
        folder = {"torch": "peers"}.get(name, name)
        default = ROOT / f".venv-{folder}" / "bin" / "python"
        parser.add_argument(f"--{name}-python", type=Path, default=default, metavar="PYTHON")
    options = vars(parser.parse_args())
    found = load()
    for name in ("torch", "innvestigate"):
        python = options[f"{name}_python"]
        if python.exists():
            found |= asked(python, f"benchmarks.peers.small_{name}")
        else:
            print(f"left as it was: {name}, since there is no {python}")
    KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), found), "utf-8")


def asked(python: Path, module: str) -> Results:
    """Return what a library's environment prints."""
    paths = [path for path in (os.environ.get("PYTHONPATH"), str(ROOT)) if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, "-m", module],
        cwd=ROOT,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return json.loads(done.stdout)


def load() -> Results:
    """Return what is kept."""
    return json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}


def with_table(page: str, found: Results) -> str:
    """Return the page with the table of what was found."""
    between = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(between, lambda _: BEGIN + table(found) + END, page, flags=re.DOTALL)


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table; what is wrong stands in bold."""
    rows = [("network", "right, and lrpkeras", *COLUMNS), ("---",) * (2 + len(COLUMNS))]
    for name, case in CASES.items():
        cells = [cell(found[library], name, case) for library in COLUMNS]
        rows.append((case.text, shown(case.right), *cells))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cell(results: Mapping[str, Any], name: str, case: Case) -> str:
    """Return what a library gave for a case."""
    got = results.get(name)
    if got is None:
        return "–"
    if not isinstance(got, str):
        return marked(got, case)
    unchecked = results.get(f"{name}, unchecked")
    if unchecked is None:
        return "refused"
    return f"refused; {marked(unchecked, case)} with `disable_model_checks`"


def marked(got: Iterable[float], case: Case) -> str:
    """Return numbers, in bold if they are not the right ones."""
    numbers = tuple(got)
    return shown(numbers) if is_right(numbers, case) else f"**{shown(numbers)}**"


def is_right(got: Iterable[float], case: Case) -> bool:
    """Whether these are the right numbers, up to stabilizers."""
    return bool(np.allclose(tuple(got), case.right, rtol=CLOSE, atol=CLOSE))


def shown(numbers: Iterable[float]) -> str:
    """Return numbers as they stand in the table: five digits."""
    rounded = (float(f"{number:.5g}") + 0.0 for number in numbers)
    return ", ".join(f"{number:,.16g}".replace("-", "−") for number in rounded)


if __name__ == "__main__":
    main()
