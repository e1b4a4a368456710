"""What stands in the way of reading a model, collected, so that one error can name all of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph.draft import Refusal
from lrpkeras.graph.moves import Keep, Reshape
from lrpkeras.graph.nodes import Activation, Node, Route


@dataclass(frozen=True)
class Problem:
    """One layer in the way, by its path, and why."""

    path: str
    cls: type
    refusal: Refusal

    def __str__(self) -> str:
        helps = f"; what helps: {self.refusal.helps}" if self.refusal.helps else ""
        cls = "" if self.cls in (object, type(None)) else f" ({self.cls.__name__})"
        return f"{self.path!r}{cls}: {self.refusal.why}{helps}"


def raise_all(problems: Sequence[Problem]) -> None:
    """Raise one `UnsupportedLayerError` that names every problem, a line each; if there are any."""
    if not problems:
        return
    which = "1 layer stands" if len(problems) == 1 else f"{len(problems)} layers stand"
    causes = [p.refusal.__cause__ for p in problems if p.refusal.__cause__ is not None]
    text = "".join((f"{which} in the way:", *(f"\n  {p}" for p in problems)))
    raise UnsupportedLayerError(text) from (causes[0] if causes else None)


def inner_softmax(nodes: Mapping[str, Node], outputs: Collection[str]) -> list[Problem]:
    """Return the softmax nodes that are not at a model output, or that something reads on from.

    At an output, perhaps behind nodes that only name or reshape it, they can be stripped.
    """
    ends, read_on = set(outputs), set[str]()
    for node in reversed(list(nodes.values())):
        keeps = isinstance(node, Route) and isinstance(node.move, Keep | Reshape)
        ends.update(node.inputs if keeps and node.name in ends else ())
        read_on.update(() if keeps and node.name not in read_on else node.inputs)
    return [
        _inside(node)
        for node in nodes.values()
        if isinstance(node, Activation) and not node.function.elementwise
        if node.name not in ends or node.name in read_on
    ]


def _inside(node: Activation) -> Problem:
    why = f"{node.function.name} inside the network mixes positions, and no rule is known for it"
    return Problem(node.layers[0], node.layer_class or object, Refusal(why, "end the model there"))
