"""`results.png`: how many gradients an explanation costs, and what an image takes in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks import spread, targets, ways
from benchmarks.peers import client
from benchmarks.results import Results

COLOURS = {"VGG16": "#4477aa", "ResNet50": "#ee6677"}
SHOWN = (ways.FORWARD, *ways.PRESETS, ways.BFLOAT16, *client.ZENNIT, client.CAPTUM,
         client.INNVESTIGATE)  # fmt: skip


def write(found: Results, path: Path) -> None:
    """Write the picture."""
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _bars(left, found)
        _per_image(right, found)
        figure.savefig(path, dpi=90, metadata={"Software": None})


def _bars(axes: Any, found: Results) -> None:
    """A bar for each way and network: its time in tape gradients, batch 4."""
    cells = {model: found.get("times", model, targets.BATCH) for model in targets.MODELS}
    names = [n for n in SHOWN if any(cell and n in cell["seconds"] for cell in cells.values())]
    for number, (model, cell) in enumerate(cells.items()):
        here = [name for name in names if cell and name in cell["seconds"]]
        if cell is None or not here:
            continue
        base = cell["seconds"][ways.GRADIENT]
        ratios = [spread.ratio(cell["seconds"][name], base) for name in here]
        places = np.array([names.index(name) for name in here]) + 0.4 * number - 0.2
        middle = [ratio.median for ratio in ratios]
        errors = [[r.median - r.low for r in ratios], [r.high - r.median for r in ratios]]
        axes.barh(places, middle, 0.38, xerr=errors, color=COLOURS[model], label=model)
        for place, ratio in zip(places, ratios, strict=True):
            axes.text(ratio.high, place, f"  {ratio.median:.2f}", va="center")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"time in gradients of a tape, batch {targets.BATCH}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", frameon=False)


def _per_image(axes: Any, found: Results) -> None:
    """Milliseconds of one image over the batch size."""
    for (model, by), cell in found.of("growth").items():
        if by != "batch":
            continue
        for what, row in cell["seconds"].items():
            batches = [int(number) for number in row]
            each = [1e3 * spread.spread(row[str(b)]).median / b for b in batches]
            axes.plot(batches, each, marker="o", label=f"{model}, {what}")
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [str(b) for b in batches])
        axes.legend(frameon=False)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("batch size")
    axes.set_ylabel("ms an image")
