"""Presets by name: ours, other libraries', and users' own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from lrpkeras.errors import RuleError, near_misses
from lrpkeras.presets.preset import Preset

Factory = Callable[..., Preset]

REGISTRY: dict[str, Factory] = {}
# Other libraries' names for presets, as they write them.
ALIASES: dict[str, Factory] = {}


def preset(function: Factory) -> Factory:
    """Register a function that returns a preset, under its own name."""
    REGISTRY[_key(function.__name__)] = function
    return function


def alias(name: str) -> Callable[[Factory], Factory]:
    """Register a function that returns a preset under another library's name for it."""

    def decorate(function: Factory) -> Factory:
        ALIASES[_key(name)] = function
        return function

    return decorate


def register_preset(function: Factory) -> Factory:
    """Make a preset of one's own known by the name of the function that returns it.

    Parameters
    ----------
    function
        Returns a `Preset`; its parameters are what `presets.get(name, ...)` takes.

    Returns
    -------
    callable
        The function itself, so that this can be used as a decorator.

    Raises
    ------
    RuleError
        If it is no function, or the name is taken.

    Examples
    --------
    >>> import lrpkeras
    >>> from lrpkeras import rules
    >>> @lrpkeras.register_preset
    ... def mine(gamma=0.1):
    ...     return lrpkeras.Preset({"conv": rules.Gamma(gamma), "dense": rules.Epsilon()}, "mine")
    >>> lrpkeras.presets.get("mine", gamma=0.5).name
    'mine'
    """
    if not inspect.isfunction(function) or not function.__name__.isidentifier():
        raise RuleError(
            f"register_preset takes a function that returns a Preset, not {function!r}."
        )
    known = find(function.__name__)
    same = known is not None and (known.__module__, known.__qualname__) == (
        function.__module__,
        function.__qualname__,
    )
    if known is not None and not same:
        raise RuleError(f"The preset name {function.__name__!r} is taken: choose another one.")
    return preset(function)


def find(name: str) -> Factory | None:
    """Return what makes the preset of a name or alias; dashes and dots count as underscores."""
    key = _key(name)
    return REGISTRY.get(key) or ALIASES.get(key)


def _key(name: str) -> str:
    return name.replace("-", "_").replace(".", "_").lower()


def aliases() -> list[str]:
    """Return the names of other libraries that are understood, dots as underscores.

    Returns
    -------
    list of str
        In alphabetical order.

    Examples
    --------
    >>> "lrp_sequential_preset_a" in aliases()
    True
    """
    return sorted(ALIASES)


def names() -> list[str]:
    """Return the names of all presets, those that were registered included.

    Returns
    -------
    list of str
        In alphabetical order.

    Examples
    --------
    >>> "epsilon_plus_flat" in names()
    True
    """
    return sorted(REGISTRY)


def get(name: str | Preset, **parameters: Any) -> Preset:
    """Return a preset by name or alias; dashes and dots count as underscores.

    Parameters
    ----------
    name
        One of `names()` or `aliases()`; a `Preset` is returned as it is.
    **parameters
        Those of the preset, in place of its defaults; `docs/presets.md` lists them.

    Returns
    -------
    Preset
        For `Analyzer(model, preset)`.

    Raises
    ------
    RuleError
        If the name is unknown, or the preset does not take these parameters or needs others.

    Examples
    --------
    >>> from lrpkeras import presets
    >>> presets.get("z-plus").name
    'z_plus'
    >>> presets.get("epsilon", epsilon=0.5).entries
    (('*', Epsilon(bias='absorb', epsilon=0.5)),)
    """
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str):
        raise RuleError(f"preset must be a name or a Preset, not {name!r}.")
    function = find(name)
    if function is None:
        hint = near_misses(_key(name), {**REGISTRY, **ALIASES})
        raise RuleError(f"Unknown preset {name!r}{hint or '.'} Known: {', '.join(names())}.")
    signature = inspect.signature(function)
    try:
        signature.bind(**parameters)
    except TypeError:
        wanted = signature.parameters.values()
        needed = [p.name for p in wanted if p.default is p.empty]
        raise RuleError(
            f"Preset {name!r} got {sorted(parameters) or 'no parameters'}; it takes "
            f"{[p.name for p in wanted]}, and needs {needed or 'none of them'}."
        ) from None
    made = function(**parameters)
    if not isinstance(made, Preset):
        raise RuleError(f"The preset {name!r} returned {made!r}, not a Preset.")
    return made


def named(name: str | Preset, input_range: tuple[float, float] | None = None) -> Preset:
    """Return a preset by name; one that needs bounds gets those of the input range.

    Parameters
    ----------
    name
        One of `names()` or `aliases()`; a `Preset` is returned as it is.
    input_range
        The smallest and largest value of the model's input, if known.

    Returns
    -------
    Preset
        What `Analyzer(model, name, input_range=input_range)` takes.

    Raises
    ------
    RuleError
        If the name is unknown, or the preset needs bounds and there are none.

    Examples
    --------
    >>> from lrpkeras import presets
    >>> presets.named("epsilon_gamma_box", (0, 1)).entries[0]
    ('first', Box(low=0, high=1))
    """
    function = find(name) if isinstance(name, str) else None
    if function is None or not {"low", "high"} <= set(inspect.signature(function).parameters):
        return get(name)
    if input_range is None:
        raise RuleError(
            f"Preset {name!r} needs low and high, the smallest and largest value of the model's "
            f"input: Analyzer(..., input_range=(low, high)), or presets.get({name!r}, low=..., "
            "high=...) for bounds per channel."
        )
    return get(name, low=input_range[0], high=input_range[1])
