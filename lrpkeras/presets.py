"""Presets: which rule each node gets. An ordered list of (where, rule); the first match wins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lrpkeras.errors import RuleError, near_misses
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import KINDS, Node, Product
from lrpkeras.matching import POSITIONS, Matcher, Where
from lrpkeras.rules import (
    Adjoint,
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gradient,
    Pass,
    Proportional,
    Rule,
    Signal,
    Uniform,
    Winner,
    Zero,
    ZPlus,
)

Entry = tuple[Where, Rule]

# What nodes get that no entry of a preset names.
DEFAULTS: tuple[Entry, ...] = (
    ("Activation", Pass()),
    ("MaxPool", Winner()),
    ("AveragePool", Proportional()),
    ("Sum", Proportional()),
    ("Extremum", Winner()),
    ("Route", Adjoint()),
    ("Fork", Adjoint()),
)


@dataclass(frozen=True)
class Preset:
    """An ordered list of (where, rule); the first entry that matches a node gives its rule.

    *Where* is a layer-name glob ("block5_*"; names of folded layers count), a Keras layer class, a
    node kind ("Linear", "MaxPool", or its class), a position ("first": the linear nodes reached
    from an input through nothing linear, and the affine nodes in front of them; "last"; "conv";
    "dense"), or a range of depth `(0.0, 0.3)`, counted over linear nodes from the input. An entry
    is passed over at nodes of a kind that its rule is not made for, and one that matches no node of
    a model is no error (one in `Analyzer(rules=...)` is). An affine node that was not
    folded counts as "conv" or "dense" by its rank, and takes the rule elementwise.

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
    """

    entries: tuple[Entry, ...]
    name: str = "custom"
    seed: str = "relevance"
    times_input: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", as_entries(self.entries))
        if self.seed not in ("relevance", "gradient"):
            raise RuleError(f"Preset(seed={self.seed!r}): it is 'relevance' or 'gradient'.")

    def with_overrides(self, rules: Mapping[Where, Rule] | Iterable[Entry] | None) -> Preset:
        """Return the preset with entries put in front of its own."""
        return replace(self, entries=(*as_entries(rules), *self.entries))

    def with_bias(self, bias: str | None) -> Preset:
        """Return the preset with this `bias` in every rule that has the field; None changes none.

        Raises
        ------
        RuleError
            If `bias` is not "absorb", "ignore" or "distribute".

        Examples
        --------
        >>> get("epsilon").with_bias("ignore").entries
        (('*', Epsilon(bias='ignore', epsilon=1e-06)),)
        """
        if bias is None:
            return self
        entries = (
            (where, replace(rule, bias=bias) if "bias" in _fields(rule) else rule)
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

        Raises
        ------
        RuleError
            If a node is left without a rule, or a required entry matches none.
        """
        matches = Matcher(graph)
        used: set[int] = set()
        entries = (*self.entries, *DEFAULTS)
        rules: dict[str, Rule] = {}
        explained = graph.ancestors(graph.outputs[0])
        for node in graph:
            if node.receives == 0 or node.name not in explained:
                continue
            found = _first_match(node, entries, matches)
            if found is None and isinstance(node, Product):
                mixed = any(node.facts.gates) and not all(node.facts.gates)
                rules[node.name] = Signal() if mixed else Uniform()
            elif found is None:
                raise RuleError(
                    f"Preset {self.name!r} has no rule for {node.name!r} ({node.kind}); give one "
                    f"with rules={{{node.kind!r}: ...}}."
                )
            else:
                used.add(found)
                rules[node.name] = entries[found][1]
        _check_used(graph, entries[:required], used, matches)
        for name, rule in rules.items():
            rule.validate(graph[name])
        return rules


def as_entries(rules: Mapping[Where, Rule] | Iterable[Entry] | None) -> tuple[Entry, ...]:
    """Return overrides, a dict or a list of pairs, as entries of a preset.

    Raises
    ------
    RuleError
        If a value is no rule, or a place no name, class or range.
    """
    pairs = rules.items() if isinstance(rules, Mapping) else (rules or ())
    try:
        entries = tuple((where, rule) for where, rule in pairs)
    except (TypeError, ValueError):
        raise RuleError(
            f"rules={rules!r} is neither a dict {{where: rule}} nor a list of pairs (where, rule)."
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
    numbers = isinstance(where, tuple) and all(isinstance(x, int | float) for x in where)
    return numbers and len(where) == 2


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
            f"rules[{where!r}] matches no layer, node kind or position of this model{hint}. "
            "analyzer.summary() lists the names."
        )


REGISTRY: dict[str, Callable[..., Preset]] = {}


def preset(function: Callable[..., Preset]) -> Callable[..., Preset]:
    """Register a function that returns a preset, under its own name."""
    REGISTRY[function.__name__] = function
    return function


def names() -> list[str]:
    """Return the names of all presets.

    Examples
    --------
    >>> "epsilon_plus_flat" in names()
    True
    """
    return sorted(REGISTRY)


def get(name: str | Preset, **parameters: Any) -> Preset:
    """Return a preset by name; dashes count as underscores.

    Raises
    ------
    RuleError
        If the name is unknown, or a preset that needs parameters got none.

    Examples
    --------
    >>> get("z-plus").name
    'z_plus'
    """
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str):
        raise RuleError(f"preset must be a name or a Preset, not {name!r}.")
    key = name.replace("-", "_")
    if key not in REGISTRY:
        raise RuleError(
            f"Unknown preset {name!r}{near_misses(key, REGISTRY)}. Known: {', '.join(names())}."
        )
    try:
        return REGISTRY[key](**parameters)
    except TypeError:
        wanted = inspect.signature(REGISTRY[key]).parameters.values()
        needed = [p.name for p in wanted if p.default is p.empty]
        raise RuleError(
            f"Preset {name!r} got {sorted(parameters) or 'no parameters'}; it takes "
            f"{[p.name for p in wanted]}, and needs {needed or 'none of them'}."
        ) from None


def named(name: str | Preset, input_range: tuple[float, float] | None = None) -> Preset:
    """Return a preset by name; one that needs bounds gets those of the input range.

    Raises
    ------
    RuleError
        If the name is unknown, or the preset needs bounds and there are none.
    """
    preset = None if isinstance(name, Preset) else REGISTRY.get(str(name).replace("-", "_"))
    if preset is None or not {"low", "high"} <= set(inspect.signature(preset).parameters):
        return get(name)
    if input_range is None:
        raise RuleError(
            f"Preset {name!r} needs low and high, the smallest and largest value of the model's "
            f"input: Analyzer(..., input_range=(low, high)), or presets.get({name!r}, low=..., "
            "high=...) for bounds per channel."
        )
    return get(name, low=input_range[0], high=input_range[1])


@preset
def zero() -> Preset:
    """`Zero` everywhere; sums without a guard: equals input x gradient on ReLU networks.

    [Bach et al. 2015; the identity: Shrikumar et al. 2016.]
    """
    return Preset((("*", Zero()), ("Sum", Proportional(delta=0.0))), "zero")


@preset
def epsilon(epsilon: float = 1e-6) -> Preset:
    """`Epsilon` everywhere. [Bach et al. 2015, eq. 58]."""
    return Preset((("*", Epsilon(epsilon)),), "epsilon")


@preset
def z_plus() -> Preset:
    """`ZPlus` everywhere. [Montavon et al. 2017, the z+ rule.]."""
    return Preset((("*", ZPlus()),), "z_plus")


@preset
def alpha1_beta0() -> Preset:
    """`AlphaBeta(1, 0)` everywhere. [Bach et al. 2015, eq. 60]."""
    return Preset((("*", AlphaBeta(1.0, 0.0)),), "alpha1_beta0")


@preset
def alpha2_beta1() -> Preset:
    """`AlphaBeta(2, 1)` everywhere. [Bach et al. 2015, eq. 60]."""
    return Preset((("*", AlphaBeta(2.0, 1.0)),), "alpha2_beta1")


@preset
def epsilon_plus(epsilon: float = 1e-6) -> Preset:
    """`Epsilon` in dense layers, `ZPlus` in convolutions. [zennit's EpsilonPlus.]."""
    return Preset((("dense", Epsilon(epsilon)), ("conv", ZPlus())), "epsilon_plus")


@preset
def epsilon_plus_flat(epsilon: float = 1e-6) -> Preset:
    """`Flat` first, `Epsilon` in dense layers, `ZPlus` in convolutions.

    [zennit's EpsilonPlusFlat.]
    """
    entries = epsilon_plus(epsilon).entries
    return Preset((("first", Flat()), *entries), "epsilon_plus_flat")


@preset
def epsilon_plus_box(low: Any, high: Any, epsilon: float = 1e-6) -> Preset:
    """`Box(low, high)` first, `Epsilon` in dense layers, `ZPlus` in convolutions.

    Needs `low` and `high`, the smallest and largest value of the model's input: scalars, one per
    channel, or arrays of its shape. [Montavon et al. 2017, section "bounded input".]
    """
    entries = epsilon_plus(epsilon).entries
    return Preset((("first", Box(low, high)), *entries), "epsilon_plus_box")


@preset
def epsilon_alpha2_beta1(epsilon: float = 1e-6) -> Preset:
    """`Epsilon` in dense layers, `AlphaBeta(2, 1)` in convolutions.

    [zennit's EpsilonAlpha2Beta1.]
    """
    entries = (("dense", Epsilon(epsilon)), ("conv", AlphaBeta(2.0, 1.0)))
    return Preset(entries, "epsilon_alpha2_beta1")


@preset
def epsilon_alpha2_beta1_flat(epsilon: float = 1e-6) -> Preset:
    """`Flat` first, `Epsilon` in dense layers, `AlphaBeta(2, 1)` in convolutions.

    [zennit's EpsilonAlpha2Beta1Flat; iNNvestigate's preset A flat with other epsilon.]
    """
    entries = epsilon_alpha2_beta1(epsilon).entries
    return Preset((("first", Flat()), *entries), "epsilon_alpha2_beta1_flat")


@preset
def gradient() -> Preset:
    """The gradient of the explained logit. Not a decomposition. [Simonyan et al. 2014.]."""
    return Preset((("*", Gradient()),), "gradient", seed="gradient")


@preset
def input_x_gradient() -> Preset:
    """The gradient times the input. [Shrikumar et al. 2016.]."""
    return Preset((("*", Gradient()),), "input_x_gradient", seed="gradient", times_input=True)
