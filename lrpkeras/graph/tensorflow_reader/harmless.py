"""What the graphs of SavedModels may run: computations, and nothing that reaches files or code.

A SavedModel is a program: TensorFlow runs some of its functions when it is loaded, others when it
is called, and constants of it when it is read. So its operations are looked at before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import loader_impl

from lrpkeras.errors import ModelError

# Of those that TensorFlow calls stateful: variables, tables, calls, checks and random numbers.
STATEFUL = {
    "Assert", "AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "Case",
    "CheckNumerics", "CheckNumericsV2", "DeepCopy", "DestroyResourceOp", "DisableCopyOnRead",
    "Empty", "GuaranteeConst", "HashTable", "HashTableV2", "If", "InitializeTableFromTextFileV2",
    "InitializeTableV2", "Multinomial", "NonDeterministicInts", "RandomCrop", "RandomShuffle",
    "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "RestoreV2",
    "StatefulPartitionedCall", "TruncatedNormal", "VarHandleOp", "VarIsInitializedOp", "Variable",
    "VariableShape", "VariableV2", "While",
}  # fmt: skip
FAMILIES = (
    "LookupTable", "MutableDenseHashTable", "MutableHashTable", "RandomGamma", "RandomPoisson",
    "RandomStandardNormal", "RandomUniform", "ResourceScatter", "Rng", "StatefulRandom",
    "StatefulStandardNormal", "StatefulTruncatedNormal", "StatefulUniform", "TensorArray",
)  # fmt: skip
# Of those that it calls stateless.
REACHING = ("Dataset", "MatchingFiles", "PyFunc", "Reader", "ReadFile", "XlaCustomCall")
LARGEST = 2**31  # bytes of a graph: more, protocol buffers do not hold
LARGEST_TEXT = 2**26


def check(path: str | os.PathLike) -> None:
    """Refuse a SavedModel that could do more than compute.

    Raises
    ------
    ModelError
        If its graph runs other operations, or is too large.
    """
    for name, largest in (("saved_model.pb", LARGEST), ("saved_model.pbtxt", LARGEST_TEXT)):
        file = Path(path) / name
        if file.exists() and not (file.is_file() and file.stat().st_size < largest):
            raise ModelError(f"{os.fspath(path)!r} could not be loaded: {name} is no graph.")
    for graph in loader_impl.parse_saved_model(os.fspath(path)).meta_graphs:
        found = sorted({name for name in _operations(graph) if not is_harmless(name)})
        if found:
            raise ModelError(
                f"{os.fspath(path)!r} is not loaded: it runs {', '.join(found[:5])}, which may "
                "reach files or code. If you trust it, load it yourself: "
                "loaded = tf.saved_model.load(path), Analyzer(loaded.signatures[...])."
            )


def is_harmless(name: str) -> bool:
    """Whether an operation only computes."""
    known = op_def_registry.get(name)
    if known is None:
        return False
    if known.is_stateful:
        return name in STATEFUL or name.startswith(FAMILIES)
    return not any(part in name for part in REACHING)


def _operations(graph: Any) -> Iterator[str]:
    """Yield the operations that loading or calling may run; saving is neither."""
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    nodes = _run_nodes(graph)
    pending = set(graph.object_graph_def.concrete_functions) & library.keys()
    pending |= _called(nodes) & library.keys()
    yield from (node.op for node in nodes if node.op not in library)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        seen.add(name)
        body = library[name].node_def
        yield from (node.op for node in body if node.op not in library)
        pending |= (_called(body) & library.keys()) - seen


def _run_nodes(graph: Any) -> list[Any]:
    """Return the nodes of the main graph that signatures, restoring or initializing reach."""
    nodes = {node.name: node for node in graph.graph_def.node}
    wanted = [graph.saver_def.restore_op_name]
    for signature in graph.signature_def.values():
        wanted += [tensor.name for tensor in signature.outputs.values()]
    for collection in ("saved_model_main_op", "legacy_init_op", "table_initializer"):
        wanted += list(graph.collection_def[collection].node_list.value)
    pending, seen = [_plain(name) for name in wanted], set()
    while pending:
        name = pending.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            pending += [_plain(each) for each in nodes[name].input]
    return [nodes[name] for name in seen]


def _plain(name: str) -> str:
    """Return the node's name of a tensor or of a control input."""
    return name.removeprefix("^").split(":")[0]


def _called(nodes: Iterable[Any]) -> set[str]:
    """Return the functions that nodes call, or hand on."""
    found = set()
    for node in nodes:
        found.add(node.op)
        for value in node.attr.values():
            found.add(value.func.name)
            found.update(each.name for each in value.list.func)
    return found
