"""What GPUs can do at most, and the section of `RESULTS.md` on them."""

from __future__ import annotations

from benchmarks import spread, ways
from benchmarks.results import Cell, Results
from benchmarks.tables import markdown, mebibytes

PRECISIONS = ("float32", "tf32", "bfloat16")
ZENNIT = "zennit "

# Dense 10^12 floating-point operations a second, float32 / TF32 / bfloat16, as NVIDIA's data sheets
# say (half of what they say "with sparsity"). The first name that a card's own holds counts.
PEAKS: dict[str, tuple[float | None, float | None, float | None]] = {
    "H200": (66.9, 494.7, 989.4),
    "H100 PCIe": (51.2, 378.0, 756.0),
    "H100": (66.9, 494.7, 989.4),
    "A100": (19.5, 156.0, 312.0),
    "L40S": (91.6, 183.0, 362.0),
    "L4": (30.3, 60.0, 121.0),
    "V100": (15.7, None, None),
    "T4": (8.1, None, None),
}


def peak(card: str, precision: str) -> float | None:
    """Return a card's matrix peak in 10^12 operations a second; None where it is not known."""
    known = next((row for name, row in PEAKS.items() if name in card), (None,) * 3)
    return known[PRECISIONS.index(precision)]


def share(cell: Cell) -> float | None:
    """Return how much of the card's peak the counted multiply-adds take, two operations each."""
    if not cell["peak"] or not cell["multiply_adds"]:
        return None
    return 2 * cell["multiply_adds"] * rate(cell) / (cell["peak"] * 1e12)


def rate(cell: Cell) -> float:
    """Return images a second."""
    return cell["batch"] / spread.spread(cell["seconds"]).median


def section(found: Results) -> str:
    """Return the section; it says so where nothing was measured."""
    cells = found.of("gpu")
    if not cells:
        return EMPTY
    rows = [_row(key, cell, cells) for key, cell in cells.items()]
    card = next(iter(cells.values()))["card"]
    heads = ["network, precision, way", *HEADS]
    return HEADING.format(card=card) + markdown(heads, rows)


HEADS = ("images/s", "× tape", "zennit's time / ours", "of the peak", "peak MiB", "largest batch")
EMPTY = """\
## On a GPU

To be filled: no GPU was at hand. `python -m benchmarks.gpu --json benchmarks/results.json` measures
where there is one, and writes this section; its first lines tell how."""

HEADING = """\
## On a GPU

{card}. Images are on the card and relevance stays there. "Of the peak": multiply-adds counted in
the traced graph, two operations each, in units of the card's dense matrix peak for the precision.
"Peak MiB" is what TensorFlow, or torch, had allocated on the card at most while the way ran;
the largest batch was found by doubling, each try in a process of its own.

"""


def _row(key: tuple[str, ...], cell: Cell, cells: dict[tuple[str, ...], Cell]) -> list[str]:
    model, precision, what = key
    tape = cells.get((model, precision, ways.GRADIENT))
    zennit = cells.get((model, precision, ZENNIT + _camel(what)))
    ratio = spread.ratio(cell["seconds"], tape["seconds"]).median if tape else None
    gain = spread.ratio(zennit["seconds"], cell["seconds"]).median if zennit else None
    part = share(cell)
    memory = cell["memory"]
    return [
        f"{model}, {precision}, {what}",
        f"{rate(cell):,.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if gain is None else f"{gain:.2f}",
        "" if part is None else f"{100 * part:.0f} %",
        "" if memory is None else mebibytes(memory),
        "" if cell["largest"] is None else str(cell["largest"]),
    ]


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
