"""What is shown of what was measured: on the terminal, as `RESULTS.md`, and in the README."""

from __future__ import annotations

from pathlib import Path

from benchmarks import fresh, sections, spread, tables, targets, ways
from benchmarks.peers import client
from benchmarks.results import Cell, Results

HEADINGS = {
    "work": "Multiply-adds",
    "times": "Times",
    "classes": "Ten classes at once",
    "compiled": "XLA",
    "fresh": "The first call, and memory",
    "growth": "Growth",
    "measures": "Measures",
    "training": "In training",
    "pages": "Report pages",
    "slow": "Slow peers",
}


def write(found: Results, path: Path) -> None:
    """Write `RESULTS.md`."""
    path.write_text("\n\n".join(section(found) for section in sections.SECTIONS) + "\n")


def readme(found: Results) -> str:
    """Return the README's table: ratios to the tape gradient at batch 4, and multiply-adds."""
    heads = ("time, in gradients of a tape", *targets.MODELS, "multiply-adds, in forward passes")
    names = [*ways.PRESETS, ways.BFLOAT16, *client.ZENNIT, client.CAPTUM, client.INNVESTIGATE]
    measured = [(name, *(_ratio(found, model, name) for model in targets.MODELS)) for name in names]
    rows = [
        (f"`{name}`" if name in ways.PRESETS else name, *ratios, _work(found, name))
        for name, *ratios in measured
        if any(ratios)
    ]
    return tables.markdown(heads, rows)


def _ratio(found: Results, model: str, what: str) -> str:
    value = targets.of_times(what, ways.GRADIENT)(found, model)
    return "" if value is None else f"{value:.2f}"


def _work(found: Results, what: str) -> str:
    cells = [found.get("work", model) for model in targets.MODELS]
    found_in = [cell for cell in cells if cell and what in cell["counted"]]
    return ", ".join(sections.count(cell, what, digits=2) for cell in found_in)


def printed(found: Results, model: str, batch: int) -> str:
    """Return one cell's table for the terminal."""
    heads = (f"{model}, batch {batch}", "ms", "quartiles", "x tape", "quartiles", "first call")
    cell = found.get("times", model, batch)
    assert cell is not None
    rows = [
        (
            what,
            tables.milliseconds(time.median),
            f"{tables.milliseconds(time.low)} - {tables.milliseconds(time.high)}",
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f} - {ratio.high:.2f}",
            f"{cell['first_call'][what]:.1f} s",
        )
        for what, time, ratio in sections.spreads(cell)
    ]
    left_out = [f"{what} is left out: {why}" for what, why in cell["absent"].items()]
    return "\n".join([tables.aligned(heads, rows), *left_out, ""])


def pair_line(model: str, cell: Cell) -> str:
    """Return the terminal's line on two ways of having the same maps."""
    ratio = tables.quartiles(spread.of_pair(cell["seconds"]))
    return f"{model}: {' / '.join(cell['seconds'])} {ratio}"


def fresh_line(model: str, what: str, cell: Cell) -> str:
    """Return the terminal's line on a fresh process."""
    seconds = f"built in {cell['build']:.1f} s, first call {cell['first_call']:.1f} s"
    added = fresh.added(cell)
    if added is None:
        return f"{model} {what}: {seconds}; memory cannot be read on this system"
    return f"{model} {what}: {seconds}; adds {tables.mebibytes(added)} MiB, batch {cell['batch']}"


def growth_lines(found: Results) -> list[str]:
    """Return the terminal's lines on growth."""
    return sections.growth(found).splitlines()[2:]


def measure_lines(found: Results) -> list[str]:
    """Return the terminal's lines on measures of maps."""
    return sections.measured(found).splitlines()[2:]


def page_lines(found: Results) -> list[str]:
    """Return the terminal's lines on report pages."""
    return sections.paged(found).splitlines()[2:]


def training_lines(found: Results) -> list[str]:
    """Return the terminal's lines on what watching adds to a training."""
    return sections.trained(found).splitlines()[2:]
