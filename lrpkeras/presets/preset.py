"""Presets: which rule each node gets. An ordered list of (where, rule); the first match wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from lrpkeras.errors import RuleError, near_misses
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import KINDS, Lookup, Node, Product
from lrpkeras.matching import POSITIONS, Matcher, Where
from lrpkeras.rules import (
    Adjoint,
    Detach,
    Identity,
    Pass,
    Proportional,
    Rule,
    Signal,
    Uniform,
    Winner,
)

Entry = tuple[Where, Rule]

# What nodes get that no entry of a preset names.
DEFAULTS: tuple[tuple[str, Rule], ...] = (
    ("Activation", Pass()),
    ("MaxPool", Winner()),
    ("AveragePool", Proportional()),
    ("Sum", Proportional()),
    ("Extremum", Winner()),
    ("Route", Adjoint()),
    ("Fork", Adjoint()),
    ("Normalize", Detach()),
    ("LocalNormalize", Identity()),
    ("Resample", Proportional()),
    ("Lookup", Adjoint()),
    ("Masked", Adjoint()),
)


@dataclass(frozen=True)
class Preset:
    """An ordered list of (where, rule); the first entry that matches a node gives its rule.

    *Where* is a layer-name glob ("block5_*"; names of folded layers count), a Keras layer class, a
    node kind ("Linear", "MaxPool", or its class), a position ("first": the linear nodes reached
    from an input through nothing linear, and what rescales or resizes in front of them; "last";
    "conv"; "dense"; "batch_norm": normalizations that were not folded), or a range of depth
    `(0.0, 0.3)`, counted over linear nodes from the input. An entry is passed over at nodes of a
    kind that its rule is not made for, and one that matches no node of a model is no error (one in
    `Analyzer(rules=...)` is). An affine node that was not folded counts as "conv" or "dense" by
    its rank, and takes the rule elementwise.

    Attributes
    ----------
    entries
        The list, as pairs or as a dict.
    name
        For summaries and configurations.
    seed
        "relevance": starts from the output, as `Analyzer(initial=...)` says; "gradient": from 1.
    times_input
        Whether what arrives is multiplied by the input at the end (input x gradient).

    Raises
    ------
    RuleError
        If an entry is no pair of a place and a rule, or a setting is none of the above.

    Examples
    --------
    >>> import lrpkeras
    >>> from lrpkeras import rules
    >>> preset = lrpkeras.Preset(
    ...     {"first": rules.Flat(), "dense": rules.Epsilon(), "conv": rules.Gamma(0.1)}, "mine"
    ... )
    >>> analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model(), preset)
    >>> [analyzer.rules[layer].name for layer in ("stem_conv", "stage1_block1_conv1", "head")]
    ['Flat()', 'Gamma(gamma=0.1)', 'Epsilon()']
    """

    entries: tuple[Entry, ...]
    name: str = "custom"
    seed: str = "relevance"
    times_input: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", as_entries(self.entries))
        if self.seed not in ("relevance", "gradient"):
            raise RuleError(f"Preset(seed={self.seed!r}): it is 'relevance' or 'gradient'.")
        if not isinstance(self.times_input, bool):
            raise RuleError(f"Preset(times_input={self.times_input!r}): it is True or False.")
        if not isinstance(self.name, str):
            raise RuleError(f"Preset(name={self.name!r}): a name is text.")

    def with_overrides(
        self, rules: Preset | Mapping[Where, Rule] | Iterable[Entry] | None
    ) -> Preset:
        """Return the preset with entries put in front of its own.

        Parameters
        ----------
        rules
            A dict, pairs, or another preset's entries; None changes nothing.

        Returns
        -------
        Preset
            A new one of the same name.
        """
        return replace(self, entries=(*as_entries(rules), *self.entries))

    def with_bias(self, bias: str | None) -> Preset:
        """Return the preset with this `bias` in every rule that has the field; None changes none.

        Parameters
        ----------
        bias
            "absorb", "ignore" or "distribute", as `Analyzer` explains them.

        Returns
        -------
        Preset
            A new one of the same name.

        Raises
        ------
        RuleError
            If `bias` is not "absorb", "ignore" or "distribute".

        Examples
        --------
        >>> from lrpkeras import presets
        >>> presets.get("epsilon").with_bias("ignore").entries
        (('*', Epsilon(bias='ignore', epsilon=1e-06)),)
        """
        if bias is None:
            return self
        entries = (
            (where, replace(rule, **{"bias": bias}) if "bias" in _fields(rule) else rule)
            for where, rule in self.entries
        )
        return replace(self, entries=tuple(entries))

    def assign(self, graph: Graph, *, required: int = 0) -> dict[str, Rule]:
        """Return a rule for every node of the graph that passes relevance on.

        Parameters
        ----------
        graph
            A canonized graph with facts.
        required
            How many entries, counted from the first, must match a node (the user's overrides).

        Returns
        -------
        dict of str to Rule
            By the node's name.

        Raises
        ------
        RuleError
            If a node is left without a rule, or a required entry matches none.
        """
        return {name: match.rule for name, match in self.match(graph, required=required).items()}

    def match(self, graph: Graph, *, required: int = 0) -> dict[str, Match]:
        """Return the rule that `assign` gives each node, and which entry it is from.

        Parameters
        ----------
        graph
            A canonized graph with facts.
        required
            How many entries, counted from the first, must match a node (the user's overrides).

        Returns
        -------
        dict of str to Match
            By the node's name.
        """
        matches = Matcher(graph)
        used: set[int] = set()
        found: dict[str, Match] = {}
        explained = graph.ancestors(graph.outputs[0])
        if self.seed == "gradient":
            _refuse_indices(self.name, [graph[name] for name in explained])
        for node in graph:
            if node.receives == 0 or node.name not in explained:
                continue
            index = _first_match(node, self.entries, matches)
            if index is None:
                found[node.name] = Match(self._default(node), "default")
                continue
            used.add(index)
            where, rule = self.entries[index]
            source = "rules" if index < required else "preset"
            found[node.name] = Match(rule, f"{source}: {_shown(where)}")
        _check_used(graph, self.entries[:required], used, matches)
        for name, match in found.items():
            match.rule.validate(graph[name])
        return found

    def _default(self, node: Node) -> Rule:
        """Return the rule of a node that no entry names."""
        if isinstance(node, Product):
            mixed = any(node.facts.gates) and not all(node.facts.gates)
            return Signal() if mixed else Uniform()
        for kind, rule in DEFAULTS:
            if isinstance(node, KINDS[kind]):
                return rule
        raise RuleError(
            f"Preset {self.name!r} has no rule for {node.name!r} ({node.kind}); give one "
            f"with rules={{{node.kind!r}: ...}}."
        )


def _refuse_indices(name: str, nodes: Iterable[Node]) -> None:
    """Raise `RuleError` where a gradient would have to be one with respect to indices."""
    tables = [node.name for node in nodes if isinstance(node, Lookup)]
    if tables:
        raise RuleError(
            f"Preset {name!r} is a gradient, and {tables[0]!r} looks up rows by indices, which "
            "have none. 'zero' gives the gradient times the row, summed over it."
        )


class Match(NamedTuple):
    """The rule of a node, and why it got it.

    Attributes
    ----------
    rule
        The rule.
    why
        The entry that matched first: "rules: ..." of the user's, "preset: ..." of the preset, or
        "default" of the node's kind.

    Examples
    --------
    >>> from lrpkeras import presets, rules
    >>> presets.Match(rules.Flat(), "preset: 'first'").why
    "preset: 'first'"
    """

    rule: Rule
    why: str


def _shown(where: Where) -> str:
    return where.__name__ if isinstance(where, type) else repr(where)


def as_entries(
    rules: Preset | Mapping[Where, Rule] | Iterable[Entry] | None,
) -> tuple[Entry, ...]:
    """Return overrides as entries of a preset.

    Parameters
    ----------
    rules
        A dict, pairs (where, rule), or a preset, of which the entries are taken; None is none.

    Returns
    -------
    tuple of Entry
        Pairs (where, rule), in their order.

    Raises
    ------
    RuleError
        If a value is no rule, or a place no name, class or range.

    Examples
    --------
    >>> from lrpkeras import presets, rules
    >>> presets.as_entries({"conv5_*": rules.Zero()})
    (('conv5_*', Zero(bias='absorb')),)
    """
    if isinstance(rules, Preset):
        return rules.entries
    pairs: Any = rules.items() if isinstance(rules, Mapping) else rules
    pairs = () if rules is None else None if isinstance(rules, str) else pairs
    try:
        entries = tuple((where, rule) for where, rule in pairs)
    except (TypeError, ValueError):
        raise RuleError(
            f"rules={rules!r} is neither a dict {{where: rule}}, a list of pairs (where, rule), "
            "nor a Preset."
        ) from None
    for where, rule in entries:
        if not isinstance(rule, Rule):
            raise RuleError(
                f"rules[{where!r}] is {rule!r}, not a rule such as lrpkeras.rules.ZPlus()."
            )
        if not (isinstance(where, str | type) or _is_range(where)):
            raise RuleError(
                f"{where!r} is no place for a rule: use a layer name or glob, a layer class, a "
                "node kind, a position, or a range of depth (low, high)."
            )
    return entries


def _fields(rule: Rule) -> set[str]:
    """Return the names of a rule's parameters."""
    return {field.name for field in fields(rule) if field.init}


def _is_range(where: Any) -> bool:
    """Tell whether a place is a range of depth."""
    if not isinstance(where, tuple) or len(where) != 2:
        return False
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in where):
        return False
    if not 0 <= where[0] <= where[1] <= 1:
        raise RuleError(
            f"The range of depth {where!r} is none: it is (low, high), 0 <= low <= high <= 1, "
            "0 at the linear node nearest to the input and 1 at the last."
        )
    return True


def _first_match(node: Node, entries: tuple[Entry, ...], matches: Matcher) -> int | None:
    for index, (where, rule) in enumerate(entries):
        if rule.applies(node) and matches(where, node):
            return index
    return None


def _check_used(graph: Graph, entries: tuple[Entry, ...], used: set[int], matches: Matcher) -> None:
    for index, (where, rule) in enumerate(entries):
        if index in used:
            continue
        named = [node for node in graph if matches(where, node)]
        if named:
            kinds = sorted({node.kind for node in named})
            made = ", ".join(kind.__name__ for kind in rule.kinds)
            raise RuleError(
                f"rules[{where!r}] = {rule.name} applies to no node: what it names is of kind "
                f"{', '.join(kinds)}, the rule is for {made}, or an earlier entry took it."
            )
        known = {layer for node in graph for layer in (node.name, *node.layers)}
        hint = near_misses(where, known | {*POSITIONS, *KINDS}) if isinstance(where, str) else ""
        raise RuleError(
            f"rules[{where!r}] matches no layer, node kind or position of this model"
            f"{hint or '.'} analyzer.summary() lists the names."
        )
