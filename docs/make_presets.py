"""Write `docs/presets.md`: every preset, and which rule it gives each node of two networks.

    python docs/make_presets.py

Graphs are read once and rules assigned; nothing is explained, and weights play no part.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import keras

from lrpkeras import presets
from lrpkeras.canonize import canonize
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.graph import Graph
from lrpkeras.presets import Preset
from lrpkeras.presets.registry import ALIASES, REGISTRY

PAGE = Path(__file__).parent / "presets.md"
# Bounds for presets that need them: pixels less the mean, as these networks take them.
BOUNDS = (-128.0, 152.0)
HEAD = """# The presets

`Analyzer(model, "epsilon_plus_flat")` takes a name; `lrpkeras.presets.get(name, **parameters)`
returns the preset with other parameters than its defaults. The first entry that matches a node
gives its rule; nodes that no entry names get the defaults of their kind. For your own model
`analyzer.summary()` prints the same, node by node. Which one to take:
[choose a preset](how-to/choose-a-preset.md).

Under each preset: what it gives the nodes of `keras.applications.VGG16` and `ResNet50`. Generated
by `python docs/make_presets.py`.
"""
# Every parameter that a preset, ours or of another library's name, has.
PARAMETERS = {
    "epsilon": "stabilizer of the layers that get `Epsilon`, > 0, in units of their outputs",
    "gamma": "extra weight of the messages that have the output's sign, >= 0",
    "low, high": "smallest and largest value of the model's input: numbers, one per channel, or "
    "arrays of its shape; `Analyzer(..., input_range=(low, high))` gives them, too",
    "alpha, beta": "weights of positive and negative messages",
    "bias": 'whether the bias is in the denominators: False is our `bias="ignore"`',
    "input_layer_rule": 'the rule of the first layers: "Flat", "WSquare", "Z", a pair (low, high), '
    "or one of our rules",
}


def page() -> str:
    """Return the text of the page."""
    graphs = {
        "VGG16": read(keras.applications.VGG16(weights=None)),
        "ResNet50": read(keras.applications.ResNet50(weights=None)),
    }
    sections = [section(name, graphs) for name in presets.names()]
    return "\n".join([HEAD, overview(), parameters(), *sections, names_of_others()])


def overview() -> str:
    """Return the table of all presets."""
    rows = [
        f"| [`{name}`](#{name}) | {summary(function)} |"
        for name, function in sorted(REGISTRY.items())
    ]
    return "\n".join(["| preset | entries |", "|---|---|", *rows, ""])


def summary(function: object) -> str:
    """Return the first paragraph of a docstring, without its source."""
    first = (inspect.getdoc(function) or "").split("\n\n")[0]
    return paragraph(first).split(" \\[")[0].split(" [")[0].rstrip(".")


def parameters() -> str:
    """Return the list of parameters."""
    rows = [f"| `{name}` | {text} |" for name, text in PARAMETERS.items()]
    return "\n".join(["| parameter | what it is |", "|---|---|", *rows, ""])


def read(model: keras.Model) -> tuple[Graph, Graph]:
    """Return a network's graph as it is explained: unfolded for gradients, else folded."""
    graph = keras_reader.read(model)
    unfolded, folded = (with_facts(canonize(graph, fold=fold)) for fold in (False, True))
    return unfolded, folded


def section(name: str, graphs: dict[str, tuple[Graph, Graph]]) -> str:
    """Return the text of one preset."""
    function = REGISTRY[name]
    lines = [f"## {name}", "", f"`{name}{signature(function)}`", ""]
    for text in (inspect.getdoc(function) or "").split("\n\n"):
        lines += [paragraph(text), ""]
    made = presets.named(name, BOUNDS)
    for model, (unfolded, folded) in graphs.items():
        graph = unfolded if made.seed == "gradient" else folded
        lines += [f'<details markdown="1"><summary>{model}</summary>', ""]
        lines += ["| nodes | kind | rule | why |", "|---|---|---|---|"]
        lines += [f"| {row} |" for row in rows(made, graph)]
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def paragraph(text: str) -> str:
    """Join a docstring's lines; its first one ends in a period for the linter's sake."""
    joined = " ".join(line for line in text.split("\n")).replace(".].", ".]")
    # In Markdown, two brackets in a row are a link to a reference.
    return joined.replace("] [", "] \\[").strip()


def signature(function: object) -> str:
    """Return a function's parameters without their types."""
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"({', '.join(shown)})"


def rows(preset: Preset, graph: Graph) -> list[str]:
    """Return one line for all nodes of a kind that got the same rule for the same reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, match in preset.match(graph).items():
        key = (graph[name].kind, match.rule.name, match.why)
        groups.setdefault(key, []).append(name)
    return [
        f"{shown(names)} | {kind} | `{rule}` | {why}" for (kind, rule, why), names in groups.items()
    ]


def shown(names: list[str]) -> str:
    """Return the first and last of many names."""
    if len(names) <= 2:
        return ", ".join(f"`{name}`" for name in names)
    return f"`{names[0]}` ... `{names[-1]}` ({len(names)})"


def names_of_others() -> str:
    """Return the table of other libraries' names."""
    lines = [
        "## Names of other libraries",
        "",
        "Understood with that library's parameters; dots and dashes count as underscores.",
        "",
        "| name | entries |",
        "|---|---|",
    ]
    for name in presets.aliases():
        lines.append(f"| `{name}{signature(ALIASES[name])}` | {summary(ALIASES[name])} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
