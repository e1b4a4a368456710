"""The walk over a flat graph: which operations are needed, and what each becomes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lrpkeras.graph.draft import Draft, Refusal, Site, Tensor, UnknownSize
from lrpkeras.graph.moves import Shape
from lrpkeras.graph.problems import Problem
from lrpkeras.graph.tensorflow_reader import patterns
from lrpkeras.graph.tensorflow_reader.constants import Constants
from lrpkeras.graph.tensorflow_reader.flat import Flat
from lrpkeras.graph.tensorflow_reader.lowering import LOWERINGS, ROWWISE, Op, Rows, Value
from lrpkeras.graph.tensorflow_reader.scopes import Place, places

# What only hands its input on.
ALIASES = {
    "CheckNumerics",
    "EnsureShape",
    "Identity",
    "IdentityN",
    "PreventGradient",
    "Snapshot",
    "StopGradient",
}
REASONS = {
    "control flow that depends on values": ("Case", "If", "StatelessCase", "StatelessIf", "While",
                                            "StatelessWhile", "Switch", "Merge", "Enter"),
    "random numbers": ("Multinomial", "RandomStandardNormal", "RandomUniform", "RandomUniformInt",
                       "StatelessRandomNormalV2", "StatelessRandomUniformV2",
                       "StatelessTruncatedNormalV2", "TruncatedNormal"),
    "Python code that runs outside of the graph": ("EagerPyFunc", "PyFunc", "PyFuncStateless"),
}  # fmt: skip
WHY = {kind: f"it has {why}" for why, kinds in REASONS.items() for kind in kinds}


@dataclass(frozen=True)
class Owner:
    """Whose operations are read: `path` and `layer` go before the names, "" for a whole model."""

    path: str = ""
    layer: str = ""
    operation: Any = None

    def site(self, place: Place) -> Site:
        """Return where an operation's nodes are emitted."""
        return Site(self._under(self.path, place.path), self._under(self.layer, place.layer),
                    self.operation)  # fmt: skip

    @staticmethod
    def _under(outer: str, inner: str) -> str:
        return f"{outer}/{inner}" if outer and inner else outer or inner


@dataclass
class Reading:
    """Lowers the operations of a flat graph into a draft, inputs first.

    Attributes
    ----------
    expanded
        By node name: the tensor before an axis of size 1 was put in, and the axis.
    changed
        By node name: the operation that became the node's bias.
    factors
        By node name: what it multiplies, and the number by which it does.
    sums
        By node name: the layer that adds, and what it adds, each with its coefficient.
    """

    flat: Flat
    draft: Draft
    owner: Owner
    problems: list[Problem] = field(default_factory=list)
    expanded: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    factors: dict[str, tuple[Tensor, float]] = field(default_factory=dict)
    sums: dict[str, tuple[str, list[tuple[Tensor, float]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = Constants(self.flat)
        self._values: dict[str, Value] = {}
        self._places: dict[str, Place] = {}
        self._sources: dict[str, patterns.Pattern | None] = {}
        self.uses: Counter[str] = Counter()

    def run(self, inputs: Sequence[Tensor]) -> list[Value]:
        """Lower everything that the outputs need; return their values."""
        self._refuse_changing()
        given = zip(self.flat.inputs, inputs, strict=True)
        self._values = {x.name: handle for x, handle in given}
        order = self._order()
        own = [op.name for op in order if op.type not in ALIASES and op.type != "Placeholder"]
        root = None if self.owner.operation is None else self.owner.operation.name
        self._places = places(own, self._variables(), root)
        for op in order:
            self._lower(op)
        return [self._values.get(x.name) for x in self.flat.outputs]

    def _refuse_changing(self) -> None:
        """Refuse variables that are assigned to and read: their value depends on the order."""
        names = sorted(self.flat.unsettled)
        if names:
            listed = ", ".join(map(repr, names))
            refusal = Refusal(f"it changes variables that it reads: {listed}", "leave that out")
            self.problems.append(Problem(self.owner.path or "the function", object, refusal))

    def _variables(self) -> Mapping[str, str]:
        return {name: variable for name, variable in self.flat.variables.items() if variable}

    def ends(self) -> Iterator[tuple[str, Any, Tensor]]:
        """Yield each layer's path, the tensor that its last operation gives, and its handle."""
        last = {}
        for name, place in self._places.items():
            outputs = self.flat.graph.get_operation_by_name(name).outputs
            handle = self._values.get(outputs[0].name) if len(outputs) == 1 else None
            if isinstance(handle, Tensor) and handle.name in self.draft.nodes:
                last[self.owner.site(place).path] = outputs[0], handle
        for path, (tensor, handle) in last.items():
            yield path, tensor, handle

    def places(self) -> dict[str, str]:
        """Return the node with each layer's output."""
        return {path: handle.name for path, _, handle in self.ends()}

    def folded(self) -> set[str]:
        """Return the layers whose output has a later one's bias in it."""
        order = {name: index for index, name in enumerate(self._places)}
        found = set()
        for path, tensor, handle in self.ends():
            inner, _ = self.expanded.get(handle.name, (handle, 0))
            later = self.changed.get(inner.name)
            if later is not None and order[later] > order[tensor.op.name]:
                found.add(path)
        return found

    def tensors(self) -> dict[str, Any]:
        """Return each layer's last output, as a tensor of the flat graph, by its path."""
        return {path: tensor for path, tensor, _ in self.ends()}

    def value(self, tensor: Any) -> Value:
        """Return what a tensor became: a handle, or what stands for one."""
        if self.constants.is_constant(tensor):
            raise Refusal("it does not depend on the model's input")
        return self._values[tensor.name]

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, made once: weights that are shared stay shared."""
        if key not in self.flat.shared:
            self.flat.shared[key] = make()
        return self.flat.shared[key]

    def read_once(self, tensor: Any) -> bool:
        """Whether one operation alone reads a tensor, under whatever name it is handed on."""
        while self.uses[tensor.name] == 1:
            before = [x for x in tensor.op.inputs if self._is_same(x, tensor)]
            if not before:
                return True
            tensor = before[0]
        return False

    def _is_same(self, one: Any, other: Any) -> bool:
        """Whether two tensors have the same node, but for an axis of size 1."""
        names = [self._node(x) for x in (one, other)]
        return None not in names and names[0] == names[1]

    def _node(self, tensor: Any) -> str | None:
        value = self._values.get(tensor.name)
        handle = value.base if isinstance(value, Rows) else value
        if not isinstance(handle, Tensor):
            return None
        inner, _ = self.expanded.get(handle.name, (handle, 0))
        return inner.name

    def shape(self, tensor: Any) -> Shape:
        """Return a static shape, its batch unknown.

        Raises
        ------
        UnknownSize
            Not even the number of axes is known.
        """
        if tensor.shape.rank is None:
            raise UnknownSize("its number of axes is only known at run time")
        return (None, *tensor.shape[1:]) if tensor.shape.rank else ()

    def _order(self) -> list[Any]:
        """The operations that are needed, each after those that it reads."""
        order: dict[str, Any] = {}
        for output in self.flat.outputs:
            stack = [(output.op, iter(self._needs(output.op)))]
            while stack:
                op, needs = stack[-1]
                pending = next((x.op for x in needs if x.op.name not in order), None)
                if pending is None:
                    order.setdefault(op.name, op)
                    stack.pop()
                else:
                    stack.append((pending, iter(self._needs(pending))))
        for op in order.values():
            self.uses.update(x.name for x in self._needs(op))
        self.uses.update(x.name for x in self.flat.outputs)
        return list(order.values())

    def _needs(self, op: Any) -> list[Any]:
        """The tensors that an operation, or the pattern that it ends, is computed from."""
        if self.constants.is_constant(op.outputs[0]):
            return []
        if op.name not in self._sources:
            alias = op.type in ALIASES
            self._sources[op.name] = None if alias else patterns.ending_at(op, self.constants)
        pattern = self._sources[op.name]
        needed = op.inputs if pattern is None else pattern.sources
        return [x for x in needed if not self.constants.is_constant(x)]

    def _lower(self, op: Any) -> None:
        if self.constants.is_constant(op.outputs[0]) or op.outputs[0].name in self._values:
            return
        if op.type in ALIASES:
            for y, x in zip(op.outputs, op.inputs, strict=True):
                if x.name in self._values:
                    self._values[y.name] = self._values[x.name]
                    self._know(y, self._values[x.name])
            return
        with self.draft.at(self.owner.site(self._places[op.name])):
            try:
                values = self._lowered(op)
            except Refusal as refusal:
                self._refuse(op, refusal)
                values = [self._guess(x) for x in op.outputs]
        for x, value in zip(op.outputs, values, strict=True):
            self._values[x.name] = value
            self._know(x, value)

    def _know(self, tensor: Any, value: Value) -> None:
        """Remember a shape that is known but for the batch."""
        shape = (
            value.base.shape if isinstance(value, Rows) else getattr(value, "shape", (None, None))
        )
        sizes = [n for n in shape[1:] if n is not None]
        if len(sizes) == len(shape) - 1:
            rows = math.prod(sizes[:-1])
            known = (rows, sizes[-1]) if isinstance(value, Rows) else (1, *sizes)
            self.constants.shapes[tensor.name] = known

    def _lowered(self, op: Any) -> list[Value]:
        pattern = self._sources[op.name]
        if pattern is not None:
            return [pattern.emit(*(self.value(x) for x in pattern.sources))]
        if op.type not in LOWERINGS:
            why = WHY.get(op.type, f"no rule is known for the TensorFlow operation {op.type}")
            raise Refusal(why)
        return self._called(op)

    def _called(self, op: Any) -> list[Value]:
        lowering = LOWERINGS[op.type]
        seen = Op(op, self)
        rows = [x for x in op.inputs if isinstance(self._values.get(x.name), Rows)]
        if rows and op.type in ROWWISE:
            bases = tuple(self._base(x) for x in op.inputs)
            return [Rows(lowering(replace(seen, values=bases)))]
        result = lowering(seen)
        return list(result) if isinstance(result, list) else [result]

    def _base(self, tensor: Any) -> Value:
        value = self._values.get(tensor.name)
        if not isinstance(value, Rows | None):
            raise Refusal("it joins merged samples with others")
        return None if value is None else value.base

    def _guess(self, tensor: Any) -> Tensor:
        rank = tensor.shape.rank or 2
        shape = tuple(tensor.shape) if tensor.shape.rank else (None,) * rank
        return Tensor(tensor.name, (None, *shape[1:]), self.draft, True)

    def _refuse(self, op: Any, refusal: Refusal) -> None:
        guessed = [self._values.get(x.name) for x in op.inputs]
        after = any(isinstance(x, Tensor) and x.guessed for x in guessed)
        if not after or op.type not in LOWERINGS:
            path = self.owner.site(self._places[op.name]).path
            self.problems.append(Problem(f"{path}:{op.type}", type(op), refusal))
