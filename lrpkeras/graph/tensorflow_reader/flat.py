"""A concrete function as one flat TensorFlow graph: calls inlined, variables named.

TensorFlow itself derives the static shapes, when the flat graph is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

from lrpkeras.errors import ModelError
from lrpkeras.graph.draft import Refusal

Function = Any
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
READS = ("ReadVariableOp", "ResourceGather")
# What may be done with a variable besides, without changing it.
HARMLESS = (
    *READS,
    "DisableCopyOnRead",
    "Identity",
    "ResourceGatherNd",
    "VarIsInitializedOp",
    "VariableShape",
)
CHANGES = ("Assign", "Resource")
CONTROL = ("If", "While", "Case", *CALLS)


@dataclass(frozen=True)
class Flat:
    """A graph without calls.

    Attributes
    ----------
    graph
        The flat graph.
    inputs, outputs
        Its tensors, in the order of the function's own.
    held
        Captured tensors by the name of the placeholder that stands for their value: a variable's
        handle, or a constant.
    variables
        The variables' names by the same placeholders' names.
    changed
        The names of the variables that the function assigns to.
    unsettled
        Those of them that it reads, too: what it reads depends on the order.
    """

    graph: tf.Graph
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    held: Mapping[str, Any]
    variables: Mapping[str, str]
    changed: frozenset[str]
    unsettled: frozenset[str]

    @cached_property
    def shared(self) -> dict[Any, Any]:
        """Each held value once, however often it is read."""
        return {}

    def value(self, name: str) -> Any:
        """Return what a placeholder stands for, as a tensor."""
        tensor = self.held[name]
        if tensor.dtype == tf.resource and name not in self.variables:
            raise Refusal("it reads a table, or another resource that is no variable")
        return tensor if tensor.dtype != tf.resource else self._read(tensor, name)

    def _read(self, handle: Any, name: str) -> Any:
        key = str(id(handle))
        if key not in self.shared:
            dtype = self.graph.get_tensor_by_name(f"{name}:0").dtype
            self.shared[key] = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
        return self.shared[key]


def flatten(function: Function, owner: Any = None, outputs: Sequence[Any] | None = None) -> Flat:
    """Return the flat graph of a concrete function, or of some of its outputs.

    Variables become placeholders of their shape; what no output needs is dropped. They are named
    as TensorFlow does, or by their paths in the Keras layer `owner`.
    """
    definition = function.graph.as_graph_def()
    inliner = _Inliner({f.signature.name: f for f in definition.library.function})
    inliner.add(definition.node, "")
    captured = list(function.captured_inputs)
    given = [x.op.name for x in function.inputs]
    own = given[: len(given) - len(captured)]
    held = dict(zip(given[len(own) :], captured, strict=True))
    wanted = function.outputs if outputs is None else outputs
    ends = [inliner.resolved(x.name) for x in wanted]
    specs = dict(zip(given, function.inputs, strict=True))
    nodes = _Writer(inliner, held, specs, _names(function) | _paths(owner))
    # Else a variable that is one number has no known rank.
    nodes.definition.versions.CopyFrom(definition.versions)
    nodes.write(ends, own)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(nodes.definition, name="")
    return Flat(
        graph,
        tuple(graph.get_tensor_by_name(f"{name}:0") for name in own),
        tuple(graph.get_tensor_by_name(name) for name in ends),
        nodes.held,
        nodes.variables,
        frozenset(map(nodes.variable, nodes.changed)),
        frozenset(map(nodes.variable, nodes.changed & nodes.read)),
    )


def _names(function: Function) -> dict[int, str]:
    """The variables' names by the identity of their handles."""
    try:
        return {id(v.handle): v.name.partition(":")[0] for v in function.variables}
    except AssertionError as error:
        raise ModelError(
            "Variables of the function are gone: keep the object that holds them, such as what "
            "tf.saved_model.load returned."
        ) from error


def _paths(owner: Any) -> dict[int, str]:
    """The paths of a Keras layer's variables by the identity of their handles."""
    return {id(v._value.handle): v.path for v in getattr(owner, "variables", ())}


@dataclass
class _Inliner:
    """Copies nodes, and the bodies of the functions that they call.

    `aliases` says of a tensor that is no more (a call's output, a body's argument) which one it is.
    """

    library: Mapping[str, Any]
    nodes: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def add(self, nodes: Iterable[Any], prefix: str) -> None:
        """Copy the nodes of a body, their names behind a prefix."""
        for node in nodes:
            copy = tf.compat.v1.NodeDef()
            copy.CopyFrom(node)
            copy.name = prefix + node.name
            inputs = [prefix + _full(i) for i in node.input if not i.startswith("^")]
            del copy.input[:]
            copy.input.extend(inputs)
            if node.op in CALLS:
                self._inline(copy, node.attr["f"].func.name)
            else:
                self.nodes[copy.name] = copy

    def _inline(self, call: Any, name: str) -> None:
        body = self.library[name]
        definition, places = function_def_to_graph_def(body)
        prefix = call.name + "/"
        arguments = {argument.name for argument in body.signature.input_arg}
        self.add((node for node in definition.node if node.name not in arguments), prefix)
        for argument, given in zip(body.signature.input_arg, call.input, strict=True):
            self.aliases[f"{prefix}{argument.name}:0"] = given
        for number, result in enumerate(body.signature.output_arg):
            inner = _full(places[body.ret[result.name]])
            self.aliases[f"{call.name}:{number}"] = prefix + inner

    def resolved(self, reference: str) -> str:
        """Follow the aliases of a tensor to the one that is computed."""
        while reference in self.aliases:
            reference = self.aliases[reference]
        return reference


def _full(reference: str) -> str:
    return reference if ":" in reference else reference + ":0"


class _Writer:
    """Writes the nodes that outputs need, values in place of variables."""

    def __init__(
        self,
        inliner: _Inliner,
        captured: Mapping[str, Any],
        specs: Mapping[str, Any],
        names: Mapping[int, str],
    ) -> None:
        self.inliner = inliner
        self.captured = captured
        self.specs = specs
        self.names = names
        self.definition = tf.compat.v1.GraphDef()
        self.held: dict[str, Any] = {}
        self.variables: dict[str, str] = {}
        # Placeholders of handles.
        self.changed: set[str] = set()
        self.read: set[str] = set()

    def write(self, outputs: Sequence[str], inputs: Sequence[str]) -> None:
        """Write all that the outputs need, and the inputs, needed or not."""
        self._find_changes()
        pending = [reference.partition(":")[0] for reference in outputs]
        written: set[str] = set()
        while pending:
            name = pending.pop()
            if name in written:
                continue
            written.add(name)
            pending += [i.partition(":")[0] for i in self._write(self.inliner.nodes[name])]
        for name in set(inputs) - written:
            self._write(self.inliner.nodes[name])

    def _find_changes(self) -> None:
        """Note the variables that anything but a read is done with, needed or not."""
        for node in self.inliner.nodes.values():
            if self._only_reads(node):
                continue
            for reference in node.input:
                handle = self._origin(reference)
                if getattr(self.captured.get(handle), "dtype", None) == tf.resource:
                    self.changed.add(handle)

    def _origin(self, reference: str) -> str:
        """The name of the node that a tensor comes from, handed on or not."""
        while True:
            name = self.inliner.resolved(reference).partition(":")[0]
            node = self.inliner.nodes.get(name)
            if node is None or node.op != "Identity":
                return name
            reference = node.input[0]

    def _only_reads(self, node: Any) -> bool:
        """Whether an operation, or the functions that it may call, changes no variable."""
        if node.op in HARMLESS or node.op.startswith("LookupTable"):
            return True
        names = [value.func.name for value in node.attr.values() if value.HasField("func")]
        names += [f.name for value in node.attr.values() for f in value.list.func]
        bodies = [self.inliner.library[name] for name in names]
        return bool(bodies) and all(
            self._keeps(inner) for body in bodies for inner in body.node_def
        )

    def _keeps(self, node: Any) -> bool:
        """Whether a step of a function changes no variable."""
        if node.op in CONTROL:
            return self._only_reads(node)
        return node.op in HARMLESS or not node.op.startswith(CHANGES)

    def _write(self, node: Any) -> list[str]:
        """Write one node; return what it reads."""
        if node.op == "Placeholder":
            self._placeholder(node.name, self.specs.get(node.name))
            return []
        if node.op in READS and self._origin(node.input[0]) in self.captured:
            return self._read(node)
        inputs = [self.inliner.resolved(i) for i in node.input]
        copy = self.definition.node.add()
        copy.CopyFrom(node)
        copy.device = ""
        copy.attr.pop("_class", None)
        copy.attr.pop("_output_shapes", None)
        del copy.input[:]
        copy.input.extend(inputs)
        return inputs

    def variable(self, placeholder: str) -> str:
        """Return the name of the variable that a placeholder stands for."""
        return self.names.get(id(self.captured.get(placeholder)), placeholder)

    def _placeholder(self, name: str, spec: Any) -> None:
        node = self.definition.node.add(name=name, op="Placeholder")
        node.attr["dtype"].type = spec.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(spec.shape.as_proto())
        if name in self.captured:
            self.held[name] = self.captured[name]

    def _read(self, node: Any) -> list[str]:
        """Write a placeholder for a variable's value; rows are gathered from it by an own node."""
        handle = self._origin(node.input[0])
        gathers = node.op == "ResourceGather"
        name = f"{node.name}/ReadVariableOp" if gathers else node.name
        dtype = tf.as_dtype(node.attr["dtype"].type)
        value = tf.raw_ops.ReadVariableOp(resource=self.captured[handle], dtype=dtype)
        self._placeholder(name, tf.TensorSpec(value.shape, dtype))
        self.held[name] = self.captured[handle]
        self.variables[name] = self.variable(handle)
        self.read.add(handle)
        return self._gather(node, name) if gathers else []

    def _gather(self, node: Any, table: str) -> list[str]:
        axis = self.definition.node.add(name=f"{node.name}/axis", op="Const")
        axis.attr["dtype"].type = tf.int32.as_datatype_enum
        axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0))
        indices = self.inliner.resolved(node.input[1])
        gather = self.definition.node.add(name=node.name, op="GatherV2")
        gather.input.extend([f"{table}:0", indices, f"{axis.name}:0"])
        gather.attr["Tparams"].type = node.attr["dtype"].type
        gather.attr["Tindices"].type = node.attr["Tindices"].type
        gather.attr["Taxis"].type = tf.int32.as_datatype_enum
        return [indices]
