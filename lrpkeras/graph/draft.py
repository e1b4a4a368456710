"""A graph being written: handles of its tensors, and the nodes that lowering functions emit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from lrpkeras import backend
from lrpkeras.graph.moves import Shape
from lrpkeras.graph.nodes import Node
from lrpkeras.graph.shapes import output_shape


class Refusal(Exception):  # noqa: N818 - caught by the reader, which raises the error itself
    """One reason why one layer cannot be lowered; `helps` is what the user can do about it."""

    def __init__(self, why: str, helps: str = ""):
        super().__init__(why)
        self.why = why
        self.helps = helps


class NotYet(Refusal):
    """Nothing but a new rule would help: what the layer computes has no kind of node."""


class UnknownSize(Refusal):
    """A size that is only known at run time is needed before."""

    def __init__(self, why: str):
        super().__init__(why, "build the model with a fixed input size")


@dataclass(frozen=True)
class Site:
    """The layer call that nodes are being emitted for.

    `path` names the call (`tower#2/dense`), `layer` the layer (`tower/dense`).
    """

    path: str
    layer: str
    operation: Any


@dataclass(frozen=True, eq=False)
class Tensor:
    """The handle of a symbolic value: what lowering functions take and return.

    `shape` is static, with batch (always None). `guessed` says that a refused layer came before,
    so that the shape is Keras' own guess.
    """

    name: str
    shape: Shape
    draft: Draft = field(repr=False)
    guessed: bool = False

    @property
    def rank(self) -> int:
        """The number of axes, batch included."""
        return len(self.shape)

    def then(self, kind: type[Node], part: str | None = None, **fields: Any) -> Tensor:
        """Emit a node that reads this tensor; return the handle of its output.

        Parameters
        ----------
        kind
            A class of `lrpkeras.graph.nodes`.
        part
            What the node is within its layer: the node is named `layer:part`. One node of a layer,
            the one whose output or weights the layer stands for, has none.
        **fields
            The node's fields. Variables and tensors become arrays of the graph's dtype.
        """
        return join(kind, (self,), part, **fields)

    def through(self, layer: keras.layers.Layer) -> Tensor:
        """Lower a sublayer that reads this tensor, as the nodes of a layer inside this one."""
        return self.draft.lower(layer, self)


def join(
    kind: type[Node], tensors: Sequence[Tensor], part: str | None = None, **fields: Any
) -> Tensor:
    """Emit a node that reads several tensors; see `Tensor.then`."""
    draft = tensors[0].draft
    site = draft.site
    node = kind(
        name=draft.free_name(site.path if part is None else f"{site.path}:{part}", kind),
        inputs=tuple(tensor.name for tensor in tensors),
        layers=(site.layer,),
        layer_class=type(site.operation),
        **draft.fields(fields),
    )
    node = replace(node, shape=output_shape(node, *(tensor.shape for tensor in tensors)))
    draft.nodes[node.name] = node
    return Tensor(node.name, node.shape, draft, any(tensor.guessed for tensor in tensors))


@dataclass
class Draft:
    """The nodes emitted so far, and the arrays that they hold.

    A variable is copied once, however many layers use it, and a layer called twice gets the same
    arrays. `lower` is how a composite lowers a sublayer.
    """

    dtype: str
    lower: Callable[[Any, Tensor], Tensor]
    nodes: dict[str, Node] = field(default_factory=dict)
    site: Site = Site("", "", None)
    _variables: dict[int, tuple[Any, np.ndarray]] = field(default_factory=dict)

    @contextmanager
    def at(self, site: Site) -> Iterator[None]:
        """Emit nodes for `site` within a `with` block."""
        self.site, outer = site, self.site
        try:
            yield
        finally:
            self.site = outer

    def free_name(self, name: str, kind: type[Node]) -> str:
        """Return `name`, or one like it that no node has."""
        if name in self.nodes and ":" not in name:
            name = f"{name}:{kind.__name__.lower()}"
        number, free = 1, name
        while free in self.nodes:
            number += 1
            free = f"{name}{number}"
        return free

    def fields(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a node's fields: arrays of the graph's dtype for what holds numbers."""
        return {name: self.as_field(value) for name, value in given.items()}

    def as_field(self, value: Any) -> Any:
        """Return a node field's value: an array of the graph's dtype for what holds numbers."""
        if isinstance(value, keras.Variable):
            # The variable itself is kept too: an id is only unique while its object lives.
            known = self._variables.setdefault(id(value), (value, self.array(value)))
            return known[1]
        if not isinstance(value, np.ndarray) and not keras.ops.is_tensor(value):
            return value
        return self.array(value)

    def array(self, value: Any) -> np.ndarray:
        """Return a variable, tensor or array as it is now, in the graph's dtype."""
        return backend.snapshot(value).astype(self.dtype, copy=False)
