"""Presets: which rule each node gets. An ordered list of (where, rule); the first match wins."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lrpkeras.errors import RuleError, near_misses
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import KINDS, Affine, Linear, Node, Product
from lrpkeras.graph.operations import Dense, Einsum
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

Where = str | type | tuple[float, float]
Entry = tuple[Where, Rule]

POSITIONS = ("first", "last", "conv", "dense")

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
    is passed over at nodes of a kind that its rule is not made for. An affine node that was not
    folded counts as "conv" or "dense" by its rank, and takes the rule elementwise.

    Attributes
    ----------
    name
        For summaries and configurations.
    entries
        The list.
    seed
        "relevance": starts from the output, as `Analyzer(initial=...)` says; "gradient": from 1.
    times_input
        Whether what arrives is multiplied by the input at the end (input x gradient).
    """

    name: str
    entries: tuple[Entry, ...]
    seed: str = "relevance"
    times_input: bool = False

    def with_overrides(self, rules: Mapping[Where, Rule] | Iterable[Entry] | None) -> Preset:
        """Return the preset with entries put in front of its own."""
        if not rules:
            return self
        pairs = rules.items() if isinstance(rules, Mapping) else rules
        return replace(self, entries=(*pairs, *self.entries))

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
        for node in graph:
            if node.receives == 0:
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


class Matcher:
    """Decides whether a *where* means a node of one graph; positions are looked up once."""

    def __init__(self, graph: Graph) -> None:
        linear = [node.name for node in graph if isinstance(node, Linear)]
        last = max(len(linear) - 1, 1)
        self.depth = {name: index / last for index, name in enumerate(linear)}
        self.first = _first(graph)
        self.last = _last(graph)

    def __call__(self, where: Where, node: Node) -> bool:
        """Tell whether `where` means `node`."""
        if isinstance(where, tuple):
            low, high = where
            return node.name in self.depth and low <= self.depth[node.name] <= high
        if isinstance(where, type):
            if issubclass(where, Node):
                return isinstance(node, where)
            return node.layer_class is not None and issubclass(node.layer_class, where)
        if where in POSITIONS:
            return self._at(where, node)
        if where in KINDS:
            return isinstance(node, KINDS[where])
        return any(fnmatch.fnmatchcase(name, where) for name in (node.name, *node.layers))

    def _at(self, position: str, node: Node) -> bool:
        if position == "first":
            return node.name in self.first
        if position == "last":
            return node.name in self.last
        if isinstance(node, Affine):
            return (position == "dense") == (len(node.shape) <= 2)
        if not isinstance(node, Linear):
            return False
        return (position == "dense") == isinstance(node.operation, Dense | Einsum)


def _first(graph: Graph) -> set[str]:
    """Linear nodes with no linear node before them, and the affine nodes in front of these."""
    behind: dict[str, bool] = {}
    first = set()
    for node in graph:
        linear_above = any(behind[name] for name in node.inputs)
        behind[node.name] = linear_above or isinstance(node, Linear)
        if isinstance(node, Linear | Affine) and not linear_above:
            first.add(node.name)
    return first


def _last(graph: Graph) -> set[str]:
    """Linear nodes with no linear node behind them."""
    consumers = graph.consumers()
    ahead: dict[str, bool] = {}
    last = set()
    for node in reversed(list(graph)):
        ahead[node.name] = any(ahead[c.name] or isinstance(c, Linear) for c in consumers[node.name])
        if isinstance(node, Linear) and not ahead[node.name]:
            last.add(node.name)
    return last


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
        raise RuleError(
            f"Preset {name!r} does not take {sorted(parameters) or 'no parameters'}. "
            f"{(REGISTRY[key].__doc__ or '').strip()}"
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
    return Preset(
        "zero",
        (
            ("*", Zero()),
            ("Sum", Proportional(delta=0.0)),
        ),
    )


@preset
def epsilon(epsilon: float = 1e-6) -> Preset:
    """`Epsilon` everywhere. [Bach et al. 2015, eq. 58]."""
    return Preset("epsilon", (("*", Epsilon(epsilon)),))


@preset
def z_plus() -> Preset:
    """`ZPlus` everywhere. [Montavon et al. 2017, the z+ rule.]."""
    return Preset("z_plus", (("*", ZPlus()),))


@preset
def alpha1_beta0() -> Preset:
    """`AlphaBeta(1, 0)` everywhere. [Bach et al. 2015, eq. 60]."""
    return Preset("alpha1_beta0", (("*", AlphaBeta(1.0, 0.0)),))


@preset
def alpha2_beta1() -> Preset:
    """`AlphaBeta(2, 1)` everywhere. [Bach et al. 2015, eq. 60]."""
    return Preset("alpha2_beta1", (("*", AlphaBeta(2.0, 1.0)),))


@preset
def epsilon_plus(epsilon: float = 1e-6) -> Preset:
    """`Epsilon` in dense layers, `ZPlus` in convolutions. [zennit's EpsilonPlus.]."""
    return Preset(
        "epsilon_plus",
        (
            ("dense", Epsilon(epsilon)),
            ("conv", ZPlus()),
        ),
    )


@preset
def epsilon_plus_flat(epsilon: float = 1e-6) -> Preset:
    """`Flat` first, `Epsilon` in dense layers, `ZPlus` in convolutions.

    [zennit's EpsilonPlusFlat.]
    """
    entries = epsilon_plus(epsilon).entries
    return Preset("epsilon_plus_flat", (("first", Flat()), *entries))


@preset
def epsilon_plus_box(low: Any, high: Any, epsilon: float = 1e-6) -> Preset:
    """`Box(low, high)` first, `Epsilon` in dense layers, `ZPlus` in convolutions.

    Needs `low` and `high`, the smallest and largest value of the model's input: scalars, one per
    channel, or arrays of its shape. [Montavon et al. 2017, section "bounded input".]
    """
    entries = epsilon_plus(epsilon).entries
    return Preset("epsilon_plus_box", (("first", Box(low, high)), *entries))


@preset
def epsilon_alpha2_beta1(epsilon: float = 1e-6) -> Preset:
    """`Epsilon` in dense layers, `AlphaBeta(2, 1)` in convolutions.

    [zennit's EpsilonAlpha2Beta1.]
    """
    entries = (("dense", Epsilon(epsilon)), ("conv", AlphaBeta(2.0, 1.0)))
    return Preset("epsilon_alpha2_beta1", entries)


@preset
def epsilon_alpha2_beta1_flat(epsilon: float = 1e-6) -> Preset:
    """`Flat` first, `Epsilon` in dense layers, `AlphaBeta(2, 1)` in convolutions.

    [zennit's EpsilonAlpha2Beta1Flat; iNNvestigate's preset A flat with other epsilon.]
    """
    entries = epsilon_alpha2_beta1(epsilon).entries
    return Preset("epsilon_alpha2_beta1_flat", (("first", Flat()), *entries))


@preset
def gradient() -> Preset:
    """The gradient of the explained logit. Not a decomposition. [Simonyan et al. 2014.]."""
    return Preset("gradient", (("*", Gradient()),), seed="gradient")


@preset
def input_x_gradient() -> Preset:
    """The gradient times the input. [Shrikumar et al. 2016.]."""
    return Preset("input_x_gradient", (("*", Gradient()),), seed="gradient", times_input=True)
