"""Everything that users may call: what a docstring is owed."""

import ast
import dataclasses
import importlib
import inspect
import textwrap
from dataclasses import dataclass

from lrpkeras.rules import Rule

MODULES = (
    "lrpkeras",
    "lrpkeras.callbacks",
    "lrpkeras.datasets",
    "lrpkeras.errors",
    "lrpkeras.evaluate",
    "lrpkeras.layers",
    "lrpkeras.plot",
    "lrpkeras.presets",
    "lrpkeras.quantus",
    "lrpkeras.rules",
)


@dataclass(frozen=True)
class Public:
    """A function, class, method or property, and the name that users call it by."""

    name: str
    object: object
    member: bool

    @property
    def doc(self):
        return inspect.getdoc(self.object) or ""

    @property
    def is_error(self):
        return inspect.isclass(self.object) and issubclass(self.object, Exception)

    @property
    def raised(self):
        """The errors that its own body raises by name."""
        function = getattr(self.object, "fget", getattr(self.object, "__func__", self.object))
        if not inspect.isfunction(function):
            return set()
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
        raises = [node.exc for node in _own(tree) if isinstance(node, ast.Raise)]
        called = [exc.func for exc in raises if isinstance(exc, ast.Call)]
        return {function.id for function in called if isinstance(function, ast.Name)}


def _own(tree):
    """Yield the nodes of a function, but not those of functions within it."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from _own(child)


def surface():
    """Yield all that is public, each once."""
    seen = set()
    for module in map(importlib.import_module, MODULES):
        for name in _names(module):
            found = getattr(module, name)
            if not (inspect.isclass(found) or inspect.isfunction(found)) or found in seen:
                continue
            seen.add(found)
            yield Public(f"{module.__name__}.{name}", found, member=False)
            if inspect.isclass(found):
                yield from _members(f"{module.__name__}.{name}", found, seen)


def _names(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]


def _members(path, cls, seen):
    """Yield public methods and properties; overrides without a text mean what their base's do."""
    if issubclass(cls, Rule) and cls is not Rule:
        return  # known by its parameters: what rules share is said of `Rule`
    for name in dir(cls):
        owner = next(base for base in cls.__mro__ if name in vars(base))
        found = vars(owner)[name]
        callable_ = isinstance(found, property | classmethod | staticmethod) or inspect.isfunction(
            found
        )
        if name.startswith("_") or not callable_ or not owner.__module__.startswith("lrpkeras"):
            continue
        inherits = not found.__doc__ and any(name in vars(base) for base in owner.__mro__[1:])
        if not inherits and found not in seen:
            seen.add(found)
            bound = found if isinstance(found, property) else getattr(cls, name)
            yield Public(f"{path}.{name}", bound, member=True)


def fields(cls):
    """Return what a dataclass or named tuple is made of."""
    if dataclasses.is_dataclass(cls):
        return {field.name for field in dataclasses.fields(cls) if field.init}
    return set(getattr(cls, "_fields", ()))
