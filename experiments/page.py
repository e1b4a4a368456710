"""Write docs/experiments.md, and a page for each paper: `python -m experiments.page`."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, get_args

from matplotlib.figure import FigureBase

from experiments.options import RESULTS
from experiments.outcome import Verdict
from lrpkeras.evaluate.chart import chart

Result = dict[str, Any]  # what `Outcome.save` writes
DOCS = Path(__file__).parents[1] / "docs"
ORDER = ("guillemot2020", "binder2016", "hui2019", "nyiri2024", "gonzalez2020", "defaults")
VERDICTS = get_args(Verdict)
COLOURS = dict(zip(VERDICTS, ("#1b7837", "#a6dba0", "#c2a5cf", "#d9d9d9"), strict=True))
OPENING = """# The papers' experiments, run again

Five papers are the foundation of lrpkeras. Their experiments are scripts here, `experiments/`, and
these pages are what came out, whichever way. Networks whose sizes the papers give only in figures
are chosen, and described in the scripts; all intervals are 95 % bootstrap intervals over images.

![Claims of each paper, counted by verdict](images/claims.png)

**reproduced**: every part of a claim holds, by the criterion beside it, mostly that an interval
leaves out 0. **partly**: some of its parts do; of claims of Nyiri & Gibaru, which have many, more
than half. **not reproduced**: no more than that; where an interval holds 0, the images here do not
tell. **not tested**: something is missing, which is named.

Each title leads to the numbers, tables and pictures, with the command that makes them again;
trained networks are kept in `~/.cache/lrpkeras`. `python -m experiments.page` writes these pages
from `experiments/results/*.json`, and `notebooks/experiments.ipynb` shows a choice of them."""


def main() -> None:
    """Write the pages and the chart."""
    found = results()
    for file, text in pages(found).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    counted(found).savefig(DOCS / "images" / "claims.png", dpi=100)


def results(folder: Path = RESULTS) -> list[Result]:
    """Read what experiments found, in the papers' order."""
    files = [folder / f"{name}.json" for name in ORDER]
    return [json.loads(file.read_text()) for file in files if file.is_file()]


def pages(found: list[Result]) -> dict[Path, str]:
    """Return the text of each page: one with all claims, and one for each experiment."""
    texts = {DOCS / "experiments.md": "\n\n".join([OPENING, _summary(found)])}
    for result in found:
        texts[DOCS / "experiments" / f"{result['name']}.md"] = _page(result)
    return {file: f"{text}\n" for file, text in texts.items()}


def counts(result: Result) -> dict[str, int]:
    """Count an experiment's claims by verdict."""
    verdicts = [claim["verdict"] for claim in result["claims"]]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def counted(found: list[Result]) -> FigureBase:
    """Draw how many claims of each paper came out which way."""
    figure, panel = chart()
    figure.set_size_inches(7, 0.6 * len(found) + 1.2)
    titles, left = [result["title"] for result in found], [0] * len(found)
    for verdict in VERDICTS:
        widths = [counts(result)[verdict] for result in found]
        bars = panel.barh(titles, widths, left=left, label=verdict, color=COLOURS[verdict])
        panel.bar_label(bars, [str(width or "") for width in widths], label_type="center")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    panel.invert_yaxis()
    panel.set_xlabel("claims")
    panel.legend(ncols=len(VERDICTS), loc="lower center", bbox_to_anchor=(0.4, 1.0), frameon=False)
    return figure


def _summary(found: list[Result]) -> str:
    numbers = [
        [
            f"[{result['title']}](experiments/{result['name']}.md)",
            *map(str, counts(result).values()),
        ]
        for result in found
    ]
    parts = [markdown(["", *VERDICTS], numbers)]
    for result in found:
        rows = [[c["where"], c["says"], f"**{c['verdict']}**"] for c in result["claims"]]
        parts += [f"## {result['title']}", markdown(["where", "says", "here"], rows)]
    return "\n\n".join(parts)


def _page(result: Result) -> str:
    """Return what one experiment did and found; its script's docstring says how."""
    settings = "; ".join(f"{name}: {value}" for name, value in result["settings"].items())
    script = Path(__file__).with_name(f"{result['name']}.py")
    about = ast.get_docstring(ast.parse(script.read_text())) or ""
    rows = [[c["where"], c["says"], f"**{c['verdict']}**", c["measured"]] for c in result["claims"]]
    return "\n\n".join(
        [
            f"# {result['title']}",
            about,
            f"`{result['command']}`, {result['date']}, {result['versions']}. {settings}.",
            "## Claims",
            markdown(["where", "it says", "verdict", "we measured"], rows),
            "## Numbers",
            *(f"### {t['title']}\n\n{markdown(t['heads'], t['rows'])}" for t in result["tables"]),
            "## Pictures",
            *(
                f"![{caption}](../../experiments/results/{file})\n\n*{caption}*"
                for file, caption in result["figures"].items()
            ),
        ]
    )


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )


if __name__ == "__main__":
    main()
