"""The ledger: per node, relevance in and out, and what every sink took by its own formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import InputError
from lrpkeras.graph.nodes import Node
from lrpkeras.propagate import Forward, Program
from lrpkeras.rules import Relevance, Rule
from lrpkeras.rules.relevance import largest

Array = Any

# What rounding explains of a node's balance, relative to the magnitudes that were added up there.
# In bfloat16 kernel, input and result of a product are rounded, in a message and its denominator.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 2.0**-6}


@dataclass(frozen=True)
class Entry:
    """One node's account, summed over samples and positions.

    `incoming` is relevance at the node's output, `outgoing` what its inputs got, `sinks` what went
    elsewhere; `imbalance` is the largest `|incoming - outgoing - sinks|` of any sample, relative to
    the magnitudes there. `inputs` names the nodes that got relevance from this one (one that is
    read twice is there twice), `sent` says how much each got: they add up to `outgoing`.

    Where a rule rescales what arrived at a fork, that has an entry of its own, with the fork's
    name, before the fork's.
    """

    name: str
    kind: str
    rule: str
    incoming: float
    outgoing: float
    sinks: dict[str, float]
    imbalance: float
    inputs: tuple[str, ...]
    sent: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Check:
    """What `Analyzer.check` found.

    Attributes
    ----------
    fidelity
        Largest difference between the rewritten graph's output and the model's, relative to a
        sample's largest; through the softmax or sigmoid, where one was stripped off.
    entries
        One account per node, from the output back to the inputs.
    start
        Sum of relevance at the output, over samples.
    inputs
        Sum of relevance at the model's inputs.
    tolerance
        Largest imbalance that rounding explains.
    """

    fidelity: float
    entries: tuple[Entry, ...]
    start: float
    inputs: float
    tolerance: float

    @property
    def closes(self) -> bool:
        """Whether every node's account balances, in finite numbers."""
        finite = math.isfinite(self.start) and math.isfinite(self.inputs)
        return finite and self.imbalance <= self.tolerance

    @property
    def imbalance(self) -> float:
        """The largest imbalance of any node."""
        return max((entry.imbalance for entry in self.entries), default=0.0)

    @property
    def sinks(self) -> dict[str, float]:
        """What each sink took, over all nodes."""
        total: dict[str, float] = {}
        for entry in self.entries:
            for sink, value in entry.sinks.items():
                total[sink] = total.get(sink, 0.0) + value
        return total

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [("node", "rule", "in", "out", "went elsewhere")]
        for entry in self.entries:
            lost = ", ".join(f"{sink} {value:.3g}" for sink, value in entry.sinks.items() if value)
            numbers = f"{entry.incoming:.4g}", f"{entry.outgoing:.4g}"
            rows.append((entry.name, entry.rule, *numbers, lost))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
            for row in rows
        ]
        verdict = "closes" if self.closes else "DOES NOT CLOSE"
        total = ", ".join(f"{sink} {value:.4g}" for sink, value in self.sinks.items())
        lines += [
            f"start {self.start:.6g} = inputs {self.inputs:.6g} + sinks ({total or 'none'})",
            f"ledger {verdict}: largest imbalance {self.imbalance:.1e}; "
            f"fidelity of the rewritten graph {self.fidelity:.1e}",
        ]
        return "\n".join(line.rstrip() for line in lines)


def joined(checks: Sequence[Check]) -> Check:
    """Add up the accounts of several batches of one program.

    Parameters
    ----------
    checks
        What was found of each batch, with the same nodes in the same order.

    Returns
    -------
    Sums of relevance; of fidelity and imbalances the largest.

    Raises
    ------
    InputError
        If there is none, or they are of different programs.
    """
    nodes = {tuple((entry.name, entry.rule) for entry in check.entries) for check in checks}
    if len(nodes) != 1:
        raise InputError("Checks can be added up if they are of one analyzer; give at least one.")
    pairs = zip(*(check.entries for check in checks), strict=True)
    return Check(
        fidelity=max(check.fidelity for check in checks),
        entries=tuple(map(_added, pairs)),
        start=sum(check.start for check in checks),
        inputs=sum(check.inputs for check in checks),
        tolerance=checks[0].tolerance,
    )


def _added(entries: Sequence[Entry]) -> Entry:
    """Return the account of one node over several batches."""
    sinks: dict[str, float] = {}
    for entry in entries:
        for sink, value in entry.sinks.items():
            sinks[sink] = sinks.get(sink, 0.0) + value
    return replace(
        entries[0],
        incoming=sum(entry.incoming for entry in entries),
        outgoing=sum(entry.outgoing for entry in entries),
        sinks=sinks,
        imbalance=max(entry.imbalance for entry in entries),
        sent=tuple(map(sum, zip(*(entry.sent for entry in entries), strict=True))),
    )


class Accountant:
    """Watches a backward pass and keeps an account of every node."""

    def __init__(self, program: Program, forward: Forward) -> None:
        self.values = forward.values
        self.entries: list[Entry] = []
        self._dtype = program.graph.dtype
        # What every tensor got of each consumer: sum of magnitudes, and its log-scale.
        self._parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def __call__(
        self,
        node: Node,
        rule: Rule | None,
        state: Any,
        relevance: Relevance,
        back: Sequence[Relevance | None],
    ) -> None:
        """Take one node into account."""
        # All in units of the relevance that came in: by itself it may be too small for the type.
        incoming = relevance.absolute(self.values[node.name])
        unit = relevance.log_scale
        unit = ops.zeros_like(largest(incoming)) if unit is None else unit
        pairs = zip(node.inputs, back, strict=False)
        receiving = [(name, part) for name, part in pairs if part is not None]
        outgoing = [part.at(unit, self.values[name]) for name, part in receiving]
        assert rule is not None
        spread = ops.zeros_like(incoming)
        sinks = {name: spread + value for name, value in rule.losses(state, incoming).items()}
        sums = {name: _sums(value) for name, value in sinks.items()}
        sent = [_sums(part) for part in outgoing]
        into, out = _sums(incoming), sum(sent, np.zeros(1))
        gap = np.abs(into - out - sum(sums.values(), np.zeros(1)))
        whole = self._added_up(node.name, backend.to_numpy(unit), _sums(ops.absolute(incoming)))
        scale = sum((_sums(ops.absolute(a)) for a in outgoing), whole)
        self._note_parts(node, back)
        size = np.exp(backend.to_numpy(unit).astype("float64"))
        self.entries.append(
            Entry(
                name=node.name,
                kind=node.kind,
                rule=rule.name,
                incoming=float((size * into).sum()),
                outgoing=float((size * out).sum()),
                sinks={name: float((size * value).sum()) for name, value in sums.items()},
                imbalance=_relative(gap, scale),
                inputs=tuple(name for name, _ in receiving),
                sent=tuple(float((size * part).sum()) for part in sent),
            )
        )

    def _note_parts(self, node: Node, back: Sequence[Relevance | None]) -> None:
        for name, part in zip(node.inputs, back, strict=False):
            if part is not None:
                array = part.absolute(self.values[name])
                scale = ops.zeros_like(largest(array)) if part.log_scale is None else part.log_scale
                noted = _sums(ops.absolute(array)), backend.to_numpy(scale).astype("float64")
                self._parts.setdefault(name, []).append(noted)

    def _added_up(self, name: str, unit: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Return the magnitudes that were added up at a node, in its units.

        Where branches cancel at a fork, they are much more than what is left of them.
        """
        parts = self._parts.get(name, [])
        total = sum((size * np.exp(np.minimum(log - unit, 0)) for size, log in parts), np.zeros(1))
        return np.maximum(total, left)


def _relative(gap: np.ndarray, scale: np.ndarray) -> float:
    """The largest gap beside its scale; infinite where a number is not finite."""
    if not (np.isfinite(gap).all() and np.isfinite(scale).all()):
        return float("inf")
    return float(np.max(np.divide(gap, scale, out=np.zeros_like(gap), where=scale != 0)))


def _sums(array: Array) -> np.ndarray:
    """Sum over all but targets and samples, in float64: rounding of the sum is no imbalance."""
    values = backend.to_numpy(array).astype("float64")
    return values.reshape(*values.shape[:2], -1).sum(axis=-1)


def check(
    program: Program,
    inputs: Sequence[Array],
    start: Callable[[Forward], Relevance],
    fidelity: Callable[[Array], float],
) -> Check:
    """Run forward and backward once, eagerly, with an account of every node.

    Parameters
    ----------
    program
        Graph and rules.
    inputs
        Tensors, in the model's order.
    start
        Function from the forward pass to relevance of the output.
    fidelity
        Function from the reported output to its distance from the model's own.
    """
    forward = program.forward(inputs)
    accountant = Accountant(program, forward)
    begin = start(forward)
    output = forward.output(program.graph)
    arrived, _ = program.backward(forward, begin, observe=accountant)
    return Check(
        fidelity=fidelity(forward.values[program.graph.outputs[-1]]),
        entries=tuple(accountant.entries),
        start=float(_sums(begin.absolute(output)).sum()),
        inputs=float(sum(_sums(array).sum() for array in arrived)),
        tolerance=TOLERANCE[program.precision or program.graph.dtype],
    )
