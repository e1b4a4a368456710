"""A concrete function as a model: read to a graph, and run to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrpkeras.errors import ModelError
from lrpkeras.graph.draft import Draft, Refusal, Tensor
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.nodes import Input
from lrpkeras.graph.problems import inner_softmax, raise_all
from lrpkeras.graph.tensorflow_reader.flat import Flat, flatten
from lrpkeras.graph.tensorflow_reader.reading import Owner, Reading

Array = Any


@dataclass(frozen=True)
class Spec:
    """An input: its name, shape with batch, and type."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class FunctionSource:
    """What a concrete function computes.

    Parameters
    ----------
    function
        A concrete function of tensors with the batch in front.
    names
        The inputs' names, in the order of the function's own; those of its placeholders by default.
    keep
        Whatever must live as long as the function, such as the object that holds its variables.
    """

    def __init__(
        self,
        function: Any,
        names: Sequence[str] | None = None,
        structure: Any = None,
        keep: Any = None,
    ) -> None:
        self.function = function
        self.keep = keep
        given = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
        names = [x.op.name for x in given] if names is None else names
        for x, name in zip(given, names, strict=True):
            _check_input(x, name)
        self.inputs = tuple(
            Spec(name, (None, *x.shape[1:]), x.dtype.name)
            for x, name in zip(given, names, strict=True)
        )
        self.structure = _nested(function, list(names)) if structure is None else structure

    @cached_property
    def flat(self) -> Flat:
        """The function's flat graph. Variables are read at the time of `read`."""
        owner = self.keep if isinstance(self.keep, keras.Layer) else None
        wanted = [self.function.outputs[number] for number in self._outputs.values()]
        return flatten(self.function, owner, wanted)

    @property
    def dtypes(self) -> set[str]:
        """The types of all tensors."""
        operations = self.flat.graph.get_operations()
        return {x.dtype.name for op in operations for x in op.outputs}

    def read(self) -> Graph:
        """Return the graph; see `keras_reader.read`."""
        try:
            return self._read()
        finally:
            # Weights are held by who reads them, not here as well.
            self.flat.shared.clear()

    def _read(self) -> Graph:
        wide = any(x.dtype == tf.float64 for x in self.flat.outputs)
        draft = Draft("float64" if wide else "float32", _no_layer)
        inputs = [_input(draft, spec) for spec in self.inputs]
        reading = Reading(self.flat, draft, Owner())
        outputs = reading.run(inputs)
        _check_outputs(reading, outputs)
        places = {**{x.name: x.name for x in inputs}, **reading.places()}
        for name, value in zip(self._outputs, outputs, strict=True):
            places.setdefault(name, value.name)
        self._tensors = reading.tensors()
        return Graph(
            nodes=draft.nodes,
            inputs=tuple(x.name for x in inputs),
            outputs=tuple(x.name for x in outputs),
            places=places,
            folded=frozenset(reading.folded()),
            dtype=draft.dtype,
        )

    @cached_property
    def _outputs(self) -> dict[str, int]:
        """The names and numbers of the outputs that have relevance: no class numbers, no text.

        Raises
        ------
        ModelError
            There is none.
        """
        structured, tensors = self.function.structured_outputs, self.function.outputs
        if structured is not None:
            # A tape that differentiated the function has added outputs of its own.
            tensors = tensors[: len(_tensors(structured))]
        names = [f"output_{number}" for number in range(len(tensors))]
        if isinstance(structured, dict):
            given = sorted(key for key, x in structured.items() if x is not None)
            flat = not any(tf.nest.is_nested(x) for x in structured.values())
            names = list(map(str, given)) if flat else names
        found = {n: i for i, n in enumerate(names) if tensors[i].dtype.is_floating}
        if not found:
            raise ModelError("No output of the function is of a floating type.")
        return found

    def run(self, inputs: Any) -> dict[str, Array]:
        """Return what each layer, and the function itself, puts out, by its path."""
        arrays = [
            np.asarray(tf.cast(x, spec.dtype)) for x, spec in zip(inputs, self.inputs, strict=True)
        ]
        layers, outputs = self._computed(arrays)
        if not self.flat.changed:
            called = self._called(arrays)
            outputs = [called[number] for number in self._outputs.values()]
        return {**layers, **dict(zip(self._outputs, outputs, strict=True))}

    def _called(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        tensors = iter([tf.constant(x) for x in arrays])
        signature = self.function.structured_input_signature
        if signature is None:
            return _tensors(self.function(*tensors))
        args, kwargs = tf.nest.map_structure(
            lambda x: next(tensors) if isinstance(x, tf.TensorSpec) else x, signature
        )
        return _tensors(self.function(*args, **kwargs))

    def _computed(self, arrays: Sequence[np.ndarray]) -> tuple[dict[str, Array], list[Array]]:
        """Run the flat graph: what each layer's scope puts out, and the outputs.

        Variables stay as they are, whatever the function does to them.
        """
        flat = self.flat
        feed = dict(zip(flat.inputs, arrays, strict=True))
        for name in flat.held:
            feed[flat.graph.get_tensor_by_name(f"{name}:0")] = flat.value(name).numpy()
        flat.shared.clear()
        with tf.compat.v1.Session(graph=flat.graph, config=_unoptimized()) as session:
            found: tuple = session.run((self._tensors, list(flat.outputs)), feed)
        return found


def _unoptimized() -> Any:
    """Run operations as they are: TensorFlow fuses grouped convolutions that it cannot run then."""
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


def _tensors(outputs: Any) -> list[Any]:
    """What a function returns, flat; None is nothing."""
    return [x for x in tf.nest.flatten(outputs) if x is not None]


def _nested(function: Any, names: list[str]) -> Any:
    """How inputs are nested when the function is called: its one argument's way, or a list.

    A signature, which takes all by name, has a dict.
    """
    signature = function.structured_input_signature
    args, kwargs = ((), {}) if signature is None else signature
    one = kwargs if not args else args[0] if len(args) == 1 and not kwargs else None
    if one is None or not keras.tree.is_nested(one):
        return names if len(names) > 1 else names[0]
    given = iter(names)
    if isinstance(one, dict):
        one = {
            key: x for key, x in one.items() if isinstance(x, tf.TensorSpec | list | tuple | dict)
        }
    return keras.tree.map_structure(
        lambda x: next(given) if isinstance(x, tf.TensorSpec) else None, one
    )


def _check_input(x: Any, name: str) -> None:
    if x.shape.rank is not None and x.shape.rank > 0 and x.shape[0] is not None:
        raise ModelError(
            f"The function's input {name!r} takes batches of exactly {x.shape[0]}: trace, or "
            f"export, it for any, with a tf.TensorSpec such as {(None, *x.shape[1:])}."
        )
    if x.shape.rank == 0:
        raise ModelError(
            f"The function's input {name!r} is one number, not a batch: bind it in a function of "
            "the other inputs, tf.function(lambda x: f(x, False)), and trace that."
        )
    if x.shape.rank is None:
        raise ModelError(
            f"The function's input {name!r} has no known number of axes: trace it with a "
            "tf.TensorSpec such as (None, 224, 224, 3)."
        )


def _input(draft: Draft, spec: Spec) -> Tensor:
    node = Input(name=spec.name, shape=spec.shape, layers=(spec.name,), dtype=spec.dtype)
    draft.nodes[node.name] = node
    return Tensor(node.name, node.shape, draft)


def _no_layer(layer: Any, x: Tensor) -> Tensor:
    raise Refusal("a TensorFlow function holds no Keras layers")


def _is_node(value: Any, draft: Draft) -> bool:
    return isinstance(value, Tensor) and value.name in draft.nodes


def _check_outputs(reading: Reading, outputs: Sequence[Any]) -> None:
    raise_all(reading.problems)
    if not all(_is_node(x, reading.draft) for x in outputs):
        raise ModelError("An output of the function does not keep the samples of a batch apart.")
    raise_all(inner_softmax(reading.draft.nodes, [x.name for x in outputs]))


def lower_call(function: Any, inputs: Sequence[Tensor], draft: Draft, owner: Owner) -> tuple:
    """Lower a traced layer into a draft.

    Returns
    -------
    The handles of its outputs, and the reading that knows the layers inside it.

    Raises
    ------
    Refusal
        Naming every operation that cannot be lowered.
    """
    reading = Reading(flatten(function, owner.operation), draft, owner)
    outputs = reading.run(inputs)
    if reading.problems:
        raise Refusal("; ".join(map(str, reading.problems)))
    if not all(isinstance(x, Tensor) for x in outputs):
        raise Refusal("its output does not keep the samples of a batch apart")
    return outputs, reading
