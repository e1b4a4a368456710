"""What a rule is: parameters, and three pure steps from a node to the relevance of its inputs."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from lrpkeras.errors import RuleError
from lrpkeras.graph.nodes import Node
from lrpkeras.rules.relevance import Relevance

Array = Any
Prepared = Mapping[str, Array]
# A node of one of the kinds that the rule is made for.
OfKind = Any


class Vanishing(NamedTuple):
    """Where relevance is known to be zero: where the tensor is zero; where it is not positive."""

    at_zero: bool = False
    unless_positive: bool = False


@dataclass(frozen=True)
class Rule:
    """Base class of all rules: a frozen dataclass of parameters.

    A rule passes relevance back through one node in three steps. `prepare` makes modified kernels
    and constants, once; `linearize` computes all that does not depend on the target; `propagate`
    is the way back. For k targets the first two are shared.
    """

    kinds: ClassVar[tuple[type[Node], ...]] = ()

    @property
    def name(self) -> str:
        """The rule as summaries show it: class name and parameters that are not the default."""
        changed = [
            f"{field.name}={_short(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if not _is_default(field, getattr(self, field.name))
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def applies(self, node: Node) -> bool:
        """Whether this rule is made for nodes of this kind."""
        return isinstance(node, self.kinds)

    def validate(self, node: OfKind) -> None:
        """Raise `RuleError` where the rule cannot apply to a node of a kind that it is made for."""

    def prepare(self, node: OfKind) -> dict[str, Array]:
        """Return every array that the two other steps, and the forward pass, will read."""
        return dict(node.parameters)

    def evaluate(
        self, node: OfKind, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, Any]:
        """Return the node's output, as it is held, and the state that `linearize` would return.

        None leaves that to the way back: until then inputs and output alone are held in memory. It
        is made here where a rule shares work between them.
        """
        return node.held(node.compute(inputs, prepared)), None

    def linearize(
        self, node: OfKind, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        """Return all that `propagate` needs and that does not depend on the target."""
        return node, prepared, inputs, output

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        """Return the relevance of each receiving input; None where it gets none by design."""
        raise NotImplementedError

    def reaches(self, node: OfKind) -> tuple[bool, ...]:
        """Tell which inputs get relevance at all; for all others `propagate` returns None."""
        return (True,) * node.receives

    def denominator(self, state: Any) -> Array | None:
        """Return the denominators whose sign shares of the output take over; None where none do.

        A rule that divides by z gives a message with the sign of z a positive share. One that
        splits messages by sign, or looks at weights alone, gives positive shares whatever z.
        """
        return None

    def vanishing(self, node: OfKind, output: Vanishing) -> Vanishing:
        """Tell where relevance of the inputs vanishes, given where that of the output does."""
        return Vanishing()

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        """Return what does not reach the inputs, by sink, each from its own formula.

        Parameters
        ----------
        state
            From `linearize`.
        relevance
            Relevance itself at the output, `(k, batch, ...)`.

        Returns
        -------
        Arrays that broadcast against `relevance`.
        """
        return {}


def _is_default(field: dataclasses.Field, value: Any) -> bool:
    return (field.default is not dataclasses.MISSING and field.default is value) or (
        isinstance(value, int | float | str) and field.default == value
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    shape = getattr(value, "shape", None)
    return f"array{tuple(shape)}" if shape else str(value)


def check_number(
    rule: Rule, name: str, *, above: float = -math.inf, least: float = -math.inf
) -> None:
    """Raise `RuleError` unless a parameter is a finite number above a bound, or at least one."""
    value = getattr(rule, name)
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > above and value >= least):
        bound = "" if above == -math.inf else f" greater than {above:g}"
        bound += "" if least == -math.inf else f" of at least {least:g}"
        raise RuleError(
            f"{type(rule).__name__}({name}={value!r}): {name} must be a finite number{bound}."
        )


def check_flag(rule: Rule, name: str) -> None:
    """Raise `RuleError` unless a parameter of a rule is True or False."""
    if not isinstance(getattr(rule, name), bool):
        raise RuleError(
            f"{type(rule).__name__}({name}={getattr(rule, name)!r}): {name} is True or False."
        )


def refuse(rule: Rule, node: Node, why: str) -> RuleError:
    """Return the error for a rule that cannot apply to a node."""
    return RuleError(f"{rule.name} cannot apply to {node.name!r} ({node.kind}): {why}")


@dataclass(frozen=True)
class ByKind(Rule):
    """A rule of one name and idea that works differently for each kind of node."""

    def part(self, node: OfKind) -> Rule:
        """Return the rule for nodes of this kind."""
        raise NotImplementedError

    def validate(self, node: OfKind) -> None:
        self.part(node).validate(node)

    def prepare(self, node: OfKind) -> dict[str, Array]:
        return self.part(node).prepare(node)

    def linearize(
        self, node: OfKind, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        part = self.part(node)
        return part, part.linearize(node, prepared, inputs, output)

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        part, inner = state
        return part.propagate(inner, relevance)

    def vanishing(self, node: OfKind, output: Vanishing) -> Vanishing:
        return self.part(node).vanishing(node, output)

    def denominator(self, state: Any) -> Array | None:
        part, inner = state
        return part.denominator(inner)

    def losses(self, state: Any, relevance: Array) -> dict[str, Array]:
        part, inner = state
        return part.losses(inner, relevance)
