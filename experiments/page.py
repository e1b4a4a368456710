"""Write docs/experiments.md from the results of all experiments: `python -m experiments.page`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from experiments.options import RESULTS
from experiments.outcome import Verdict

PAGE = Path(__file__).parents[1] / "docs" / "experiments.md"
ORDER = ("guillemot2020", "binder2016", "hui2019", "nyiri2024", "gonzalez2020", "defaults")
OPENING = """# The papers' experiments, run again

Five papers are the foundation of lrpkeras. Their experiments are scripts here, `experiments/`, and
this page is what came out, whichever way. Networks whose sizes the papers give only in figures are
chosen, and described in the scripts; all intervals are 95 % bootstrap intervals over images.

**reproduced**: every part of a claim holds, by the criterion beside it, mostly that an interval
leaves out 0. **partly**: some of its parts do; of claims of Nyiri & Gibaru, which have many, more
than half. **not reproduced**: no more than that; where an interval holds 0, the images here do not
tell. **not tested**: something is missing, which is named.

Every table is printed again by the command above it; trained networks are kept in
`~/.cache/lrpkeras`.
`python -m experiments.page` writes this page from `experiments/results/*.json`."""


def main() -> None:
    """Write the page."""
    found = [
        json.loads((RESULTS / f"{name}.json").read_text())
        for name in ORDER
        if (RESULTS / f"{name}.json").is_file()
    ]
    parts = [OPENING, _summary(found), *map(_section, found)]
    PAGE.write_text("\n\n".join(parts) + "\n")


def _summary(found: list[dict]) -> str:
    rows = [
        [f"{result['title']}, {claim['where']}", claim["says"], f"**{claim['verdict']}**"]
        for result in found
        for claim in result["claims"]
    ]
    counts = [
        [result["title"], *(str(_count(result, verdict)) for verdict in get_args(Verdict))]
        for result in found
    ]
    return "\n\n".join(
        [
            "## All claims",
            markdown(["", *get_args(Verdict)], counts),
            markdown(["paper", "says", "here"], rows),
        ]
    )


def _count(result: dict, verdict: str) -> int:
    return sum(claim["verdict"] == verdict for claim in result["claims"])


def _section(result: dict) -> str:
    settings = "; ".join(f"{name}: {value}" for name, value in result["settings"].items())
    parts = [
        f"## {result['title']}",
        f"`{result['command']}`, {result['date']}, {result['versions']}. {settings}.",
    ]
    rows = [[c["where"], c["says"], f"**{c['verdict']}**", c["measured"]] for c in result["claims"]]
    parts.append(markdown(["where", "the paper says", "verdict", "we measured"], rows))
    parts += [f"### {t['title']}\n\n{markdown(t['heads'], t['rows'])}" for t in result["tables"]]
    parts += [
        f"![{caption}](../experiments/results/{file})\n\n*{caption}*"
        for file, caption in result["figures"].items()
    ]
    return "\n\n".join(parts)


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )


if __name__ == "__main__":
    main()
