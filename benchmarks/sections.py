"""The sections of `RESULTS.md`, each from the cells of its part."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import cards, fresh, measures, pages, spread, targets, training, ways
from benchmarks.results import Cell, Results
from benchmarks.tables import markdown, mebibytes, milliseconds, quartiles
from lrpkeras import evaluate

NOTHING = "Not measured yet."


def opening(found: Results) -> str:
    """Say what this is."""
    return """\
# Results of the benchmark

Written by `make bench` from `results.json`; do not edit. Weights are random (the work does not
depend on their values), images have 224 × 224 pixels. What is timed is what users call, with all
checks, up to the finished NumPy array. All that is compared in one table took turns in one run, the
peers in processes of their own that were asked in turn. "× tape" is the time in units of the tape
gradient's in the same round. Numbers are medians over rounds, quartiles in brackets."""


def goals(found: Results) -> str:
    """Compare what was measured with what it should be."""
    heads = ["(batch 4)"]
    for model in targets.MODELS:
        heads += [f"{model}: target", "measured"]
    return "## Targets\n\n" + markdown(heads, targets.rows(found))


def times(found: Results) -> str:
    """Show a table for each network, with a column pair for each batch size."""
    models: dict[str, dict[str, Cell]] = {}
    for (model, batch), cell in found.of("times").items():
        models.setdefault(model, {})[batch] = cell
    if not models:
        return f"## Times\n\n{NOTHING}"
    tables = [_times_of(model, cells) for model, cells in models.items()]
    plot = "![time in units of the tape gradient, and per image](results.png)"
    return "\n\n".join(["## Times", plot, *tables, PEERS])


PEERS = """\
What the peers run: zennit its composites of these names, normalizations merged by its
`SequentialMergeBatchNorm` and sums as its `Sum` modules. captum `LRP` with its default,
`EpsilonRule` in every module, also in normalizations, which it does not fold; it does not support a
plain `+`, so that sums are its own `Addition_Module`. iNNvestigate `lrp.sequential_preset_a_flat`.
torch's threads wait without
spinning (`OMP_WAIT_POLICY=PASSIVE`), which a machine that does anything else punishes. The peers'
networks have the same parameters and multiply-adds as Keras' (checked when they are built).
Peers run on VGG16, ResNet50 and, zennit alone, MobileNetV2 (captum has no rule for ReLU6).
DenseNet121 and EfficientNetB0 are not measured with peers: zennit has no canonizer for a
normalization in front of a ReLU and a convolution, nor a rule for a product with a gate. The more
expensive peers are left out at large batch sizes."""


def _times_of(model: str, cells: dict[str, Cell]) -> str:
    whats = list(dict.fromkeys(what for cell in cells.values() for what in cell["seconds"]))
    heads = [model]
    for batch in cells:
        heads += [f"batch {batch}: ms", "× tape"]
    columns = [{what: _cells(*both) for what, *both in spreads(c)} for c in cells.values()]
    rows = [
        [f"{what}", *(text for column in columns for text in column.get(what, ("", "")))]
        for what in whats
    ]
    absent = {what: why for cell in cells.values() for what, why in cell["absent"].items()}
    left_out = [f"Left out: {what}: {why}." for what, why in absent.items()]
    return "\n\n".join([markdown(heads, rows), *left_out])


def spreads(cell: Cell) -> list[tuple[str, spread.Spread, spread.Spread]]:
    """Return each way's seconds, and their ratio to the tape gradient's."""
    seconds = cell["seconds"]
    base = seconds[ways.GRADIENT]
    return [(what, spread.spread(row), spread.ratio(row, base)) for what, row in seconds.items()]


def _cells(time: spread.Spread, ratio: spread.Spread) -> tuple[str, str]:
    return milliseconds(time.median), quartiles(ratio)


def work(found: Results) -> str:
    """Show multiply-adds in forward passes, and whether they are those of the table."""
    cells = found.of("work")
    if not cells:
        return f"## Multiply-adds\n\n{NOTHING}"
    presets = list(dict.fromkeys(p for cell in cells.values() for p in cell["counted"]))
    heads = ["network", "forward, G", *presets, "as the table says"]
    rows = [
        [
            model,
            f"{cell['forward'] / 1e9:.3f}",
            *(count(cell, preset) for preset in presets),
            "yes" if cell["counted"] == cell["expected"] else "**no**",
        ]
        for (model,), cell in cells.items()
    ]
    return WORK + markdown(heads, rows)


def count(cell: Cell, preset: str, digits: int = 3) -> str:
    """Return multiply-adds in forward passes, and in brackets those that tiles leave."""
    counted, tiled = (cell.get(kind, {}).get(preset) for kind in ("counted", "tiled"))
    if counted is None:
        return ""
    beside = "" if tiled in (None, counted) else f" ({tiled / cell['forward']:.{digits}f})"
    return f"{counted / cell['forward']:.{digits}f}{beside}"


WORK = """\
## Multiply-adds

Of convolutions and matrix products for one image, counted in the traced graph, in forward passes of
the network. "As the table says": equal, to the last one, to what the design's table gives for every
layer's rule, the sign of its inputs, and whether a ReLU closes behind it (`work.py`). In brackets:
what is left, in a batch of 4, where large convolutions go by tiles (`winograd.py`).

"""


def first_calls(found: Results) -> str:
    """Show the seconds to the first explanation."""
    cells = found.of("fresh")
    slow = [
        f"{peer} takes {cell['seconds']:.0f} s for {model}, building and first call."
        for (model, peer), cell in found.of("slow").items()
    ]
    rows = [
        [f"{model}, {what}", *(f"{cell[key]:.1f}" for key in ("build", "first_call"))]
        for (model, what), cell in cells.items()
    ]
    table = markdown(["seconds", "build", "first call"], rows) if rows else NOTHING
    return "\n\n".join([FIRST, table, *slow])


FIRST = """\
## Build and first call

In a fresh process, from the Keras model to the analyzer (verified), and its first call, batch 1,
which traces."""


def ten(found: Results) -> str:
    """Show ten classes at once against ten calls."""
    rows = [_pair(model, cell) for (model,), cell in found.of("classes").items()]
    heads = ["epsilon_plus_flat", "ten at once, ms", "ten calls, ms", "ratio"]
    return "## Ten classes at once\n\n" + (markdown(heads, rows) if rows else NOTHING)


def _pair(model: str, cell: Cell) -> list[str]:
    """Return the cells of two ways of having the same maps: both times, and their ratio."""
    both = [milliseconds(spread.spread(row).median) for row in cell["seconds"].values()]
    ratio = quartiles(spread.of_pair(cell["seconds"]))
    return [f"{model}, batch {cell['batch']}", *both, ratio]


def xla(found: Results) -> str:
    """Show whole graphs compiled by XLA against those that TensorFlow runs."""
    rows = [
        [*_pair(model, cell), *(f"{second:.1f}" for second in cell["first_call"].values())]
        for (model,), cell in found.of("compiled").items()
    ]
    heads = ["epsilon_plus_flat", "XLA, ms", "not, ms", "ratio", "XLA's first call, s", "not, s"]
    return XLA + (markdown(heads, rows) if rows else NOTHING)


XLA = """\
## Whole graphs compiled by XLA

What `jit_compile="auto"` decides by: it compiles where there is a GPU. On a CPU only runs of
elementwise steps are compiled, as parts of TensorFlow's graph.

"""


def memory(found: Results) -> str:
    """Show what each way adds to the memory of a process."""
    cells = found.of("fresh")
    rows = []
    for (model, what), cell in cells.items():
        if fresh.peak(cell) is not None:
            base = cells.get((model, ways.GRADIENT))
            shares = [_share(size(cell), size(base)) if base else "" for size in SIZES]
            beyond = [cell[key] - cell["loaded"] for key in ("built", "building", "explaining")]
            rows.append([f"{model}, {what}", *map(mebibytes, (cell["loaded"], *beyond)), *shares])
    heads = ["MiB", "loaded", "built adds", "peak while building", "while explaining"]
    heads += ["peak, ratio", "added, ratio"]
    return MEMORY + (markdown(heads, rows) if rows else NOTHING)


MEMORY = """\
## Memory

Each way in processes of its own, batch 16; medians of three, that took turns. As Linux counts
resident memory: "loaded" with TensorFlow imported and the model built and called once; the rest
beyond that: what function or analyzer hold after a first call on one image (the analyzer's own
copies of the weights are part of it), the most until then, and the most during three calls on the
batch. The ratios compare the most that the process ever took, and the most that it took beyond
"loaded", with the gradient's.

"""

SIZES = (fresh.peak, fresh.added)


def _share(size: int | None, base: int | None) -> str:
    return f"{size / base:.2f}" if size and base else ""


def growth(found: Results) -> str:
    """Show the time of one image over batch size and size of images."""
    parts = []
    for (model, by), cell in found.of("growth").items():
        numbers = list(next(iter(cell["seconds"].values())))
        rows = [
            [what, *(milliseconds(_each(by, number, row[number])) for number in numbers)]
            for what, row in cell["seconds"].items()
        ]
        unit = "ms an image, by batch size" if by == "batch" else "ms per 224 × 224 pixels, by size"
        parts.append(markdown([f"{model}: {unit}", *numbers], rows))
    return "\n\n".join(["## Growth", *(parts or [NOTHING])])


def _each(by: str, number: str, seconds: list[float]) -> float:
    """Return the median seconds of an image, or of as many pixels as 224 × 224."""
    times = int(number) if by == "batch" else (int(number) / 224) ** 2
    return spread.spread(seconds).median / times


def measured(found: Results) -> str:
    """Show how many samples a second the measures take, and what they add to the model's runs."""
    parts = []
    for (model,), cell in found.of("measures").items():
        rows = [
            (
                f"`{name}`" if hasattr(evaluate, name) else name,
                f"{forward}",
                f"{explained}",
                f"{cell['batch'] / spread.spread(cell['seconds'][name]).median:.3g}",
                quartiles(spread.spread(measures.overhead(cell, name))),
            )
            for name, (forward, explained) in measures.WORK.items()
        ]
        heads = (
            f"{model}, {cell['preset']}, batch {cell['batch']}",
            "forward passes a sample",
            "explanations a sample",
            "samples a second",
            "time over that of these runs",
        )
        parts.append(markdown(heads, rows))
    return "\n\n".join(["## Measures of maps", *(parts or [NOTHING])])


def trained(found: Results) -> str:
    """Show what the callback adds to a training."""
    rows = []
    for (model,), cell in found.of("training").items():
        with_, without = (cell["seconds"][name] for name in (training.WITH, training.WITHOUT))
        rows.append(
            (
                f"{model}, {cell['images']:,} images an epoch",
                f"{spread.spread(without).median:.1f}",
                quartiles(spread.ratio(with_, without)),
                milliseconds(spread.spread(cell["sheets"]).median),
                f"{cell['start']:.1f}",
                f"{training.share(cell):.1%}",
            )
        )
    heads = ("network", "an epoch, s", "watched / not", "a sheet, ms", "the first, s")
    heads += (f"share of {training.EPOCHS} epochs",)
    return TRAINED + (markdown(heads, rows) if rows else NOTHING)


TRAINED = f"""\
## In training

What `RelevanceCallback` adds: a sheet of {training.SHOWN} maps after every epoch, as a PNG file
and for TensorBoard. Two copies of a network are trained in turn, epoch by epoch, one of them
watched. The first sheet builds the analyzer and traces its function; "share": that one and all
others, in epochs that are not watched.

"""


def paged(found: Results) -> str:
    """Show how large report pages are, and how soon they are there."""
    rows = [
        (
            f"{cell['samples']} photos of {cell['size']} px, {cell['classes']} classes each",
            f"{cell['bytes'] / 1e6:.2f}",
            f"{cell['write']:.1f}",
            *(quartiles(spread.spread(cell["seconds"][name])) for name in pages.PAINTED),
        )
        for _, cell in found.of("pages").items()
    ]
    heads = ("a page", "MB", "written in, s", *(f"{name}, s" for name in pages.PAINTED))
    return PAGED + (markdown(heads, rows) if rows else NOTHING)


PAGED = """\
## Report pages

A page of noise, with the input and three layers, opened in headless Chromium, 1300 x 900: seconds
from asking for it until maps are painted.

"""


def where(found: Results) -> str:
    """Show the machine, the versions, the dates and the commands."""
    return "\n\n".join(["## Where and how", *(_run(*item) for item in found.runs.items())])


def _run(number: str, run: dict) -> str:
    names = ("python", "numpy", "keras", "tensorflow", "lrpkeras")
    versions = ", ".join(f"{name} {run[name]}" for name in names)
    peers = [f"{name} {v}" for about in run.get("peers", {}).values() for name, v in about.items()]
    environment = "".join(f"{name}={value} " for name, value in run["environment"].items())
    lines = [
        f"Run {number}: {run['when']}, `{environment}{run['command']}`.",
        f"{run['processor']} ({run['machine']}), {run['cores']} cores, {run['memory']} of memory, "
        f"{run['system']}. Of its vector instructions: {', '.join(run['flags']) or 'unknown'}.",
        f"Load before it began (1, 5, 15 minutes): {run['load']}. GPUs: {run['gpus'] or 'none'}.",
        f"{versions}. Peers: {', '.join(peers) or 'none'}.",
        *(f"Left out: {name}: {why}." for name, why in run.get("missing", {}).items()),
    ]
    return "\n".join(f"- {line}" if n else line for n, line in enumerate(lines))


SECTIONS: tuple[Callable[[Results], str], ...] = (
    opening,
    goals,
    times,
    work,
    first_calls,
    ten,
    xla,
    memory,
    growth,
    measured,
    trained,
    paged,
    cards.section,
    where,
)
