"""Where a graph comes from: a Keras model that is walked, or a function that TensorFlow traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
from keras.src.models.functional import Functional

from lrpkeras import backend
from lrpkeras.errors import ModelError, UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.draft import Refusal
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.tracer import tensorflow_reader
from lrpkeras.graph.walk import functional

Array = Any
REBUILD = "rebuild it with the functional API, keras.Model(inputs, outputs), from the same layers"


class Source(Protocol):
    """A model that can be read, and run to compare with."""

    @property
    def inputs(self) -> Sequence[Any]:
        """The inputs in order, each with `name`, `shape` (with batch) and `dtype`."""

    @property
    def structure(self) -> Any:
        """How inputs are nested when the model is called."""

    @property
    def dtypes(self) -> set[str]:
        """The types that are computed in."""

    def read(self) -> Graph:
        """Return the graph, with the weights as they are now."""

    def run(self, inputs: Any) -> dict[str, Array]:
        """Return every layer's output, by the names that `read` puts in `places`."""


class KerasSource:
    """A functional or Sequential model."""

    def __init__(self, model: keras.Model, network: Functional) -> None:
        self.model = model
        self.inputs = network.inputs
        self.structure = network._inputs_struct

    @property
    def dtypes(self) -> set[str]:
        """The types that the layers compute in.

        On JAX, Keras rounds to float32 in layers that are said to compute in float64 (a batch
        normalization, tanh): its own rule of promotion tells.
        """
        return {keras.backend.result_type(dtype, dtype) for dtype in self._declared()}

    def _declared(self) -> set[str]:
        layers: list[Any] = self.model._flatten_layers()
        return {layer.compute_dtype for layer in layers}

    def read(self) -> Graph:
        """Return the graph; see `keras_reader.read`.

        Raises
        ------
        ModelError
            If the backend does not compute in a type that a layer is said to.
        """
        for dtype in sorted(self._declared()):
            if missing := backend.lacks(dtype):
                raise ModelError(f"The model computes in {dtype}, and {missing}.")
        return keras_reader.read(self.model)

    def run(self, inputs: Any) -> dict[str, Array]:
        """Run the model layer by layer; see `keras_reader.run`."""
        return keras_reader.run(self.model, inputs)


def source_of(model: Any) -> Source:
    """Return the source that a model is, whatever kind of model.

    Parameters
    ----------
    model
        A Keras model (a subclassed one must have been called, or built), a concrete function or
        a signature of a loaded SavedModel, or a source.

    Raises
    ------
    ModelError
        It is none of these, or it is not built.
    UnsupportedLayerError
        It is subclassed and cannot be traced.
    """
    if hasattr(model, "read") and hasattr(model, "run"):
        source: Source = model
        return source
    if isinstance(model, keras.Model):
        keras_reader.check_built(model)
        network = functional(model)
        return _traced(model) if network is None else KerasSource(model, network)
    if hasattr(model, "captured_inputs") and hasattr(model, "graph"):
        try:
            signature: Source = tensorflow_reader().of_signature(model)
        except Refusal as refusal:
            raise ModelError(
                f"That is a concrete function: {refusal.why}; {refusal.helps}"
            ) from None
        return signature
    if callable(getattr(model, "get_concrete_function", None)):
        raise ModelError(
            "A tf.function has a graph for each kind of input: give the concrete function, "
            "f.get_concrete_function(tf.TensorSpec((None, 224, 224, 3)))."
        )
    if hasattr(model, "signatures"):
        raise ModelError(
            "That is a loaded SavedModel: give one of its functions, such as "
            f"loaded.signatures[...], of {sorted(model.signatures)}, or the folder's path."
        )
    raise ModelError(
        "a keras.Model, a concrete function or the path of a model is needed, not "
        f"{type(model).__name__}"
    )


def _traced(model: keras.Model) -> Source:
    """Trace a subclassed model on inputs of the shapes that it was built for."""
    specs = _specs(model)
    flat = keras.tree.flatten(specs)
    kinds = [(spec.shape, spec.dtype) for spec in flat]
    slots = keras.tree.map_structure(lambda spec: _Slot(), specs)
    try:
        reader = tensorflow_reader()
        function = reader.traced(model, tuple(slots), {"training": False}, kinds, _Slot)
    except Refusal as refusal:
        helps = f"{refusal.helps}, or " if refusal.helps else ""
        raise UnsupportedLayerError(
            f"{model.name!r} ({type(model).__name__}) is subclassed, and {refusal.why}; "
            f"{helps}{REBUILD}"
        ) from refusal
    structure = keras.tree.map_structure(lambda spec: spec.name, specs)
    names = [spec.name for spec in flat]
    source: Source = reader.FunctionSource(
        function, names, structure[0] if len(structure) == 1 else structure, model
    )
    return source


class _Slot:
    """Stands for a tensor in a structure of arguments."""


@dataclass(frozen=True)
class _Spec:
    """An argument that is a tensor: its name, shape with batch, and type."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def _specs(model: keras.Model) -> list[Any]:
    """What the model was built for: the structure of each of its arguments."""
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes and model.built and model.variables:
        raise ModelError(
            f"Keras has no input shape of the subclassed model {model.name!r}, though it was "
            f"built: it cannot be traced, for it branches on values, say; {REBUILD}"
        )
    if not shapes:
        raise ModelError(
            f"The subclassed model {model.name!r} has no known input shape: call it once on data."
        )
    names = [key.removesuffix("_shape") for key in shapes]
    return [
        _as_specs(shape, model.input_dtype, name)
        for name, shape in zip(names, shapes.values(), strict=True)
    ]


def _as_specs(shape: Any, dtype: str, name: str) -> Any:
    """Put a `_Spec` in the place of every shape of a structure."""
    if isinstance(shape, dict):
        return {key: _as_specs(inner, dtype, str(key)) for key, inner in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        return _Spec(name, (None, *shape[1:]), dtype)
    return [_as_specs(inner, dtype, f"{name}_{n}") for n, inner in enumerate(shape)]
