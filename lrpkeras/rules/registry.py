"""Rules by name, for configurations: ours and users' own."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from lrpkeras import rules
from lrpkeras.errors import RuleError, near_misses
from lrpkeras.rules.rule import Rule

R = TypeVar("R", bound=type[Rule])

OWN: dict[str, type[Rule]] = {}


def register_rule(rule: R) -> R:
    """Make a rule of one's own known by its class name, so that configurations can hold it.

    Parameters
    ----------
    rule
        A frozen dataclass derived from `lrpkeras.rules.Rule` or one of its kin.

    Returns
    -------
    type
        The class itself, so that this can be used as a decorator.

    Raises
    ------
    RuleError
        If it is no such class, or the name is taken.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import lrpkeras
    >>> @lrpkeras.register_rule
    ... @dataclass(frozen=True)
    ... class Double(lrpkeras.rules.Epsilon):
    ...     "Epsilon, twice as large."
    ...     def whole(self, z):
    ...         return 2 * super().whole(z)
    """
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        raise RuleError(
            f"register_rule takes a class derived from lrpkeras.rules.Rule, not {rule!r}."
        )
    if "__dataclass_fields__" not in vars(rule) or not rule.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise RuleError(
            f"{rule.__name__} must be a frozen dataclass, whose fields are its parameters: put "
            "@dataclasses.dataclass(frozen=True) above it, below @register_rule."
        )
    needed = ("kinds", "propagate")
    missing = [name for name in needed if getattr(rule, name) is getattr(Rule, name)]
    if missing:
        raise RuleError(
            f"{rule.__name__} lacks {' and '.join(missing)}: `kinds` names the kinds of nodes that "
            "it is for, `propagate` passes relevance back."
        )
    known = _known().get(rule.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (
        rule.__module__,
        rule.__qualname__,
    ):
        raise RuleError(f"The rule name {rule.__name__!r} is taken: choose another one.")
    OWN[rule.__name__] = rule
    return rule


def find(name: str) -> type[Rule]:
    """Return the rule class of a name.

    Raises
    ------
    RuleError
        If there is none.
    """
    known = _known()
    if name not in known:
        raise RuleError(
            f"The rule {name!r} is not known here{near_misses(str(name), known)}: if it is your "
            "own, import the module that registers it with lrpkeras.register_rule."
        )
    return known[name]


def is_shadowed(rule: Rule) -> bool:
    """Whether the name of a rule's class means another class."""
    return _known().get(type(rule).__name__, type(rule)) is not type(rule)


def _known() -> dict[str, type[Rule]]:
    ours = {name: getattr(rules, name) for name in rules.__all__}
    classes = {
        name: found
        for name, found in ours.items()
        if isinstance(found, type) and issubclass(found, Rule) and dataclasses.is_dataclass(found)
    }
    return {**classes, **OWN}
