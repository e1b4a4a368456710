"""Read a Keras model: one node after another, as the model calls its layers; nothing rewritten.

Reading never calls a layer on Keras tensors, so that the user's model stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import keras
from keras.src.models.functional import Functional

from lrpkeras.errors import ModelError, UnsupportedLayerError
from lrpkeras.graph import (  # noqa: F401 - importing them fills the registry
    lower_activation,
    lower_array_operations,
    lower_convolution,
    lower_inert,
    lower_linear,
    lower_local_normalization,
    lower_lookup,
    lower_masking,
    lower_merging,
    lower_normalization,
    lower_operations,
    lower_pooling,
    lower_resampling,
    lower_reshaping,
    lower_sample_normalization,
    lower_slicing,
    lower_windows,
    lower_wrappers,
    refused,
)
from lrpkeras.graph.call_arguments import (
    check_outputs,
    first_argument,
    for_lowering,
    inference,
    refuse_modes,
)
from lrpkeras.graph.draft import Draft, NotYet, Refusal, Site, Tensor, UnknownSize
from lrpkeras.graph.graph import Graph
from lrpkeras.graph.lower import LOWERINGS, Registered, lowering_of
from lrpkeras.graph.nodes import Input
from lrpkeras.graph.problems import Problem, inner_softmax, raise_all
from lrpkeras.graph.tracer import tensorflow_reader
from lrpkeras.graph.walk import Call, functional, walk

Array = Any
SUBCLASSED = (
    "subclassed models cannot be read yet: rebuild it with the functional API, "
    "keras.Model(inputs, outputs), from the same layers"
)


def read(model: keras.Model) -> Graph:
    """Return the graph of a model: its layers lowered to nodes, nothing folded or dropped.

    Parameters
    ----------
    model
        A built `Sequential` or functional model.

    Returns
    -------
    The graph, in topological order, with copies of all weights in float64 if the model computes in
    float64, in float32 otherwise. `places` maps a layer's path to the node with its output.

    Raises
    ------
    ModelError
        The model is not built, or no Keras model.
    UnsupportedLayerError
        Naming every layer that cannot be read, why, and what helps.
    """
    network = _network(model)
    reader = _Reader(_dtype(network))
    inputs = [reader.input(x) for x in network.inputs]
    outputs = walk(network, inputs, reader)
    reader.check_outputs(outputs)
    raise_all(reader.problems)
    return Graph(
        nodes=reader.draft.nodes,
        inputs=tuple(x.name for x in inputs),
        outputs=tuple(x.name for x in outputs),
        places=reader.places,
        folded=frozenset(reader.folded),
        dtype=reader.draft.dtype,
    )


def run(model: keras.Model, inputs: Any) -> dict[str, Array]:
    """Run a model layer by layer, and return every layer's output by its path.

    Parameters
    ----------
    model
        A model that `read` takes.
    inputs
        What the model is called with: an array, a list in the order of `model.inputs`, or a dict.

    Returns
    -------
    Tensors by the names that `read` puts in `places`, in inference mode.
    """
    network = _network(model)
    runner = _Runner()
    values = _flat(inputs, network)
    walk(
        network,
        [_converted(x, spec) for x, spec in zip(values, network.inputs, strict=True)],
        runner,
    )
    return runner.outputs


def check_built(model: keras.Model) -> None:
    """Raise `ModelError` where a Sequential model's sizes are not known yet."""
    if isinstance(model, keras.Sequential) and model._functional is None:
        raise ModelError(
            f"the Sequential model {model.name!r} is not built, so that its sizes are unknown: "
            "begin it with keras.Input(shape), or call it once on data"
        )


def _network(model: keras.Model) -> Functional:
    """Return the functional model to walk, or say why there is none."""
    if not isinstance(model, keras.Model):
        raise ModelError(f"a keras.Model is needed, not {type(model).__name__}")
    check_built(model)
    network = functional(model)
    if network is None:
        raise UnsupportedLayerError(f"{model.name!r} ({type(model).__name__}): {SUBCLASSED}")
    return network


def _dtype(network: Functional) -> str:
    return "float64" if any(x.dtype == "float64" for x in network.outputs) else "float32"


def _flat(inputs: Any, model: Functional) -> list[Any]:
    """Return the inputs in the model's own order; a dict goes by name."""
    if isinstance(inputs, dict) and not isinstance(model._inputs_struct, dict):
        return [inputs[x.name] for x in model.inputs]
    return list(keras.tree.flatten(inputs))


def _converted(x: Any, spec: Any) -> Array:
    return keras.ops.convert_to_tensor(x, dtype=spec.dtype)


class _Runner:
    """The visitor that computes."""

    def __init__(self) -> None:
        self.outputs: dict[str, Array] = {}

    def apply(self, call: Call) -> list[Array]:
        return list(keras.tree.flatten(call.operation(*call.args, **inference(call))))

    def enter(self, call: Call, model: Functional) -> list[Array] | None:
        values = _flat(first_argument(call), model)
        return [_converted(x, spec) for x, spec in zip(values, model.inputs, strict=True)]

    def leave(self, path: str, values: Sequence[Array]) -> None:
        self.outputs.update(_named(path, values))


def _tensors(arguments: Any) -> list[Tensor]:
    return [x for x in keras.tree.flatten(arguments) if isinstance(x, Tensor)]


def _named(path: str, values: Sequence[Any]) -> dict[str, Any]:
    """Name the outputs of a call: by its path, and a number where there are several."""
    if len(values) == 1:
        return {path: values[0]}
    return {f"{path}:{number}": value for number, value in enumerate(values)}


class _Reader:
    """The visitor that lowers."""

    def __init__(self, dtype: str) -> None:
        self.draft = Draft(dtype, self.through)
        self.places: dict[str, str] = {}
        self.problems: list[Problem] = []
        # Handles of truth values; and, where they are `indices != 0`, the indices.
        self.masks: dict[str, Tensor | None] = {}
        self.folded: set[str] = set()

    def input(self, x: Any) -> Tensor:
        """Emit a model input."""
        layer = x._keras_history.operation
        shape = (None, *x.shape[1:])
        node = Input(
            name=layer.name,
            shape=shape,
            layers=(layer.name,),
            layer_class=type(layer),
            dtype=x.dtype,
        )
        self.draft.nodes[node.name] = node
        return Tensor(node.name, shape, self.draft)

    def apply(self, call: Call) -> list[Tensor]:
        if all(x.dtype == "bool" for x in call.outputs):
            # Keras computes masks by operations of their own. Whoever reads one is asked, not they.
            self.masks[call.path] = lower_masking.masked_indices(call)
            return self._guesses(call)
        with self.draft.at(Site(call.path, call.layer, call.operation)):
            try:
                return self._lowered(call)
            except UnknownSize as refusal:
                # After a refused layer, sizes are a guess: unknown ones are not this layer's fault.
                if not any(x.guessed for x in _tensors((call.args, call.kwargs))):
                    self._refuse(call, refusal)
            except Refusal as refusal:
                self._refuse(call, refusal)
        return self._guesses(call)

    def _guesses(self, call: Call) -> list[Tensor]:
        """Return handles of what is not lowered, of the shapes that Keras expects."""
        return [Tensor(call.path, (None, *x.shape[1:]), self.draft, True) for x in call.outputs]

    def _lowered(self, call: Call) -> list[Tensor]:
        masked = self._masked(call)
        if masked is not None:
            return [masked]
        refuse_modes(call)
        before = dict(self.draft.nodes)
        try:
            return self._by_class(call)
        except (NotYet, UnknownSize):
            raise
        except Refusal as refusal:
            if isinstance(LOWERINGS.get(type(call.operation)), Registered):
                raise
            self.draft.nodes.clear()
            self.draft.nodes.update(before)
            return self._traced(call, refusal)

    def _masked(self, call: Call) -> Tensor | None:
        """Lower a layer that reads the mask of indices, where it is known how."""
        mask = call.kwargs.get("mask")
        indices = self.masks.get(mask.name) if isinstance(mask, Tensor) else None
        lowering = lower_masking.masked_lowering(call.operation)
        if indices is None or lowering is None:
            return None
        refuse_modes(lower_masking.without_mask(call))
        y = lowering(call.operation, first_argument(call), indices)
        check_outputs([y], call)
        return y

    def _by_class(self, call: Call) -> list[Tensor]:
        lowering = lowering_of(call.operation)
        positional, keywords = for_lowering(call, lowering)
        self._refuse_truths(_tensors((positional, keywords)))
        outputs = list(keras.tree.flatten(lowering(call.operation, *positional, **keywords)))
        check_outputs(outputs, call)
        return outputs

    def _refuse_truths(self, tensors: Sequence[Tensor]) -> None:
        if any(x.name in self.masks for x in tensors):
            raise NotYet("it computes with truth values that depend on the input")

    def _traced(self, call: Call, unknown: Refusal) -> list[Tensor]:
        """Lower what a call computes, operation by operation, where its class does not tell."""
        try:
            reader = tensorflow_reader()
        except Refusal as refusal:
            helps = f"{refusal.helps}{', or ' * bool(unknown.helps)}{unknown.helps}"
            raise Refusal(f"{unknown.why}; {refusal.why}", helps) from refusal
        keywords = inference(call)
        tensors = _tensors((call.args, keywords))
        self._refuse_truths(tensors)
        specs = [(x.shape, given.dtype) for x, given in zip(tensors, call.inputs, strict=True)]
        owner = reader.Owner(call.path, call.layer, call.operation)
        try:
            function = reader.traced(call.operation, call.args, keywords, specs, Tensor)
            outputs, inside = reader.lower_call(function, tensors, self.draft, owner)
        except Refusal as refusal:
            why = f"{unknown.why}; traced, {refusal.why}"
            raise Refusal(why, refusal.helps or unknown.helps) from refusal
        check_outputs(outputs, call)
        self.places.update((p, node) for p, node in inside.places().items() if p != call.path)
        self.folded |= inside.folded() - {call.path}
        return list(outputs)

    def enter(self, call: Call, model: Functional) -> list[Tensor] | None:
        try:
            refuse_modes(call)
        except Refusal as refusal:
            self._refuse(call, refusal)
        values = _flat(first_argument(call), model)
        ranks = [(x.rank, len(spec.shape)) for x, spec in zip(values, model.inputs, strict=True)]
        if any(given != expected for given, expected in ranks):
            why = "Keras adds or drops an axis of what this model is called with"
            self._refuse(call, Refusal(why, "reshape its input explicitly"))
            return [Tensor(call.path, spec.shape, self.draft, True) for spec in model.inputs]
        return values

    def leave(self, path: str, values: Sequence[Tensor]) -> None:
        places = _named(path, [value.name for value in values])
        self.places.update({p: name for p, name in places.items() if name in self.draft.nodes})

    def through(self, layer: keras.layers.Layer, x: Tensor) -> Tensor:
        """Lower a layer inside the one that is being lowered."""
        site = self.draft.site
        path = self._free_path(f"{site.path}/{layer.name}")
        plain = f"{site.layer}/{layer.name}"
        model = functional(layer)
        if model is not None:
            output: Tensor = walk(model, [x], self, path + "/", plain + "/")[0]
        else:
            refuse_modes(Call(path, plain, layer, (x,), {}, ()))
            with self.draft.at(Site(path, plain, layer)):
                output = lowering_of(layer)(layer, x)
        self.leave(path, [output])
        return output

    def _free_path(self, path: str) -> str:
        numbered = (path if n == 1 else f"{path}#{n}" for n in count(1))
        return next(free for free in numbered if free not in self.places)

    def check_outputs(self, outputs: Sequence[Tensor]) -> None:
        """Refuse truth values at the end, and softmax anywhere else."""
        truths = [x.name for x in outputs if x.name in self.masks]
        refusal = Refusal("the model puts out truth values", "leave that output out")
        self.problems += [Problem(name, bool, refusal) for name in truths]
        self.problems += inner_softmax(self.draft.nodes, [x.name for x in outputs])

    def _refuse(self, call: Call, refusal: Refusal) -> None:
        self.problems.append(Problem(call.path, type(call.operation), refusal))
