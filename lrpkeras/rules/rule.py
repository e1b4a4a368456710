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
    """Where relevance is known to be zero, for every input of the model.

    Attributes
    ----------
    at_zero
        Wherever the tensor is zero.
    unless_positive
        Wherever the tensor is not positive, as in front of a ReLU.

    Examples
    --------
    What `ZPlus` gives a ReLU's output is zero where that is zero, so nothing arrives where the
    ReLU is closed:

    >>> from lrpkeras import rules
    >>> rules.Vanishing(at_zero=True).unless_positive
    False
    """

    at_zero: bool = False
    unless_positive: bool = False


@dataclass(frozen=True)
class Rule:
    """Base class of all rules: a frozen dataclass of parameters.

    A rule passes relevance back through one node in three steps. `prepare` makes modified kernels
    and constants, once; `linearize` computes all that does not depend on the target; `propagate`
    is the way back. For k targets the first two are shared.

    Attributes
    ----------
    kinds
        The kinds of nodes that the rule is made for, such as `lrpkeras.graph.nodes.Linear`.

    Examples
    --------
    A rule for sums that sends all relevance along the first term:

    >>> from dataclasses import dataclass
    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras.graph.nodes import Sum
    >>> from lrpkeras.rules import Relevance, Rule
    >>> @dataclass(frozen=True)
    ... class First(Rule):
    ...     kinds = (Sum,)
    ...
    ...     def propagate(self, state, relevance):
    ...         node, prepared, inputs, output = state
    ...         array = relevance.absolute(output)
    ...         return Relevance(array), *(Relevance(0 * array) for _ in inputs[1:])
    >>> terms = [keras.Input((1,)), keras.Input((1,))]
    >>> model = keras.Model(terms, keras.layers.Add()(terms))
    >>> analyzer = lrpkeras.Analyzer(model, rules={"Sum": First()})
    >>> one, other = analyzer([np.array([[3.0]]), np.array([[1.0]])])
    >>> one.numpy().item(), other.numpy().item()
    (4.0, 0.0)
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
        """Tell whether this rule is made for nodes of this kind.

        Parameters
        ----------
        node
            Any node of a graph.

        Returns
        -------
        bool
            Whether an entry of a preset may give the node this rule.
        """
        return isinstance(node, self.kinds)

    def validate(self, node: OfKind) -> None:
        """Refuse a node of a kind that the rule is made for, but that it cannot apply to.

        Parameters
        ----------
        node
            A node of a kind that the rule is made for.

        Raises
        ------
        RuleError
            If it cannot apply there; not by default.
        """

    def prepare(self, node: OfKind) -> dict[str, Array]:
        """Return every array that the two other steps, and the forward pass, will read.

        Parameters
        ----------
        node
            A node of a kind that the rule is made for.

        Returns
        -------
        dict of str to numpy.ndarray
            The node's parameters, unless a rule says otherwise. They are held as variables, which
            `Analyzer.refresh` assigns anew.
        """
        return dict(node.parameters)

    def evaluate(
        self, node: OfKind, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, Any]:
        """Return the node's output, as it is held, and the state that `linearize` would return.

        Parameters
        ----------
        node
            A node of a kind that the rule is made for.
        prepared
            What `prepare` returned.
        inputs
            The node's inputs, `(batch, ...)` each.

        Returns
        -------
        output : tensor
            Shape `(batch, ...)`.
        state : Any
            None leaves it to the way back: until then inputs and output alone are held in memory.
            It is made here where a rule shares work between the two.
        """
        return node.held(node.compute(inputs, prepared)), None

    def linearize(
        self, node: OfKind, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Any:
        """Return all that `propagate` needs and that does not depend on the target.

        Parameters
        ----------
        node
            A node of a kind that the rule is made for.
        prepared
            What `prepare` returned.
        inputs
            The node's inputs, `(batch, ...)` each.
        output
            The node's output, `(batch, ...)`.

        Returns
        -------
        Any
            The state; `(node, prepared, inputs, output)` unless a rule says otherwise.
        """
        return node, prepared, inputs, output

    def propagate(self, state: Any, relevance: Relevance) -> tuple[Relevance | None, ...]:
        """Return the relevance of each receiving input; None where it gets none by design.

        Parameters
        ----------
        state
            What `linearize` returned.
        relevance
            Relevance of the node's output, for k targets.

        Returns
        -------
        tuple of Relevance
            One for each input that can receive relevance (indices and masks cannot).
        """
        raise NotImplementedError

    def reaches(self, node: OfKind) -> tuple[bool, ...]:
        """Tell which inputs get relevance at all; for all others `propagate` returns None.

        Parameters
        ----------
        node
            A node of a kind that the rule is made for.

        Returns
        -------
        tuple of bool
            One for each input that can receive relevance.
        """
        return (True,) * node.receives

    def denominator(self, state: Any) -> Array | None:
        """Return the denominators whose sign shares of the output take over; None where none do.

        A rule that divides by z gives a message with the sign of z a positive share. One that
        splits messages by sign, or looks at weights alone, gives positive shares whatever z.

        Parameters
        ----------
        state
            What `linearize` returned.

        Returns
        -------
        tensor or None
            Shaped like the output; `Analyzer(initial="unit")` starts with its sign.
        """
        return None

    def vanishing(self, node: OfKind, output: Vanishing) -> Vanishing:
        """Tell where relevance of the inputs vanishes, given where that of the output does.

        Parameters
        ----------
        node
            A node of a kind that the rule is made for.
        output
            Where relevance of the output is known to be zero.

        Returns
        -------
        Vanishing
            The same of the inputs; nowhere, unless a rule knows better. It saves work where a ReLU
            below is closed, and must hold for every input of the model.
        """
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
        dict of str to tensor
            By the sink's name, what it takes: arrays that broadcast against `relevance`.
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
