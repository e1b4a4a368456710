"""Ways of computing something from images with one Keras model: what is timed, and counted.

What is timed is what users call, with all its checks, up to the finished NumPy array.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import lrpkeras
from benchmarks import turns

FORWARD = "forward"
GRADIENT = "tape gradient"
COMPILED_GRADIENT = "tape gradient, XLA"  # on a GPU analyzers are compiled, too
PRESETS = (
    "epsilon",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
    "relative",
)
# The same explanation as iNNvestigate's preset of this name, with its parameters.
PRESET_A_FLAT = "lrp.sequential_preset_a_flat"
BFLOAT16 = "epsilon_plus_flat bfloat16"
BOUNDS = (-1.0, 1.0)  # of the images; for presets that need to know


@dataclass(frozen=True)
class Way:
    """One way: how to call it on images, its graph for a batch size, and its first call's cost.

    `first_call` are seconds to build (analyzers: with verification), trace and run once, batch 1,
    in a process that has done much before; `first_call.py` measures fresh ones.
    """

    what: str
    call: Callable[[np.ndarray], np.ndarray]
    graph: Callable[[int], Any]
    first_call: float


def images(model: keras.Model, batch: int) -> np.ndarray:
    """Return random images between `BOUNDS`."""
    random = np.random.default_rng(0)
    return random.uniform(*BOUNDS, (batch, *model.input_shape[1:])).astype("float32")


def ways(model: keras.Model, presets: Iterable[str]) -> tuple[list[Way], dict[str, str]]:
    """Return the forward pass, the gradient, each preset, and what was refused, with the reason."""
    made = [way(model, FORWARD), way(model, GRADIENT)]
    absent = {}
    for preset in presets:
        try:
            made.append(way(model, preset))
        except lrpkeras.LrpError as error:
            absent[preset] = str(error)
    return made, absent


def way(model: keras.Model, what: str) -> Way:
    """Build one way, and call it once."""
    start = time.perf_counter()
    call, graph = built(model, what)
    call(images(model, 1))
    return Way(what, call, graph, time.perf_counter() - start)


def built(model: keras.Model, what: str) -> tuple[Callable, Callable]:
    """Build one way, and do not call it: return how it is called, and its graph by batch size."""
    make = FUNCTIONS.get(what)
    return compiled(model, make(model)) if make else explained(model, what)


def run(made: Way, batch: np.ndarray) -> turns.Run:
    """Return what calls a way on images and returns the seconds that it took."""
    return turns.timed(lambda: made.call(batch))


def forward(model: keras.Model) -> Callable:
    """Return the model as a plain function."""
    return lambda x: model(x, training=False)


def tape_gradient(model: keras.Model) -> Callable:
    """Return the gradient of each sample's largest output to its input."""

    def gradient(x: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            winner = tf.reduce_max(model(x, training=False), axis=-1)
        return tape.gradient(winner, x)

    return gradient


FUNCTIONS = {FORWARD: forward, GRADIENT: tape_gradient, COMPILED_GRADIENT: tape_gradient}


def compiled(model: keras.Model, function: Callable) -> tuple[Callable, Callable]:
    """Return how a function is called on images, and its graph for a batch size."""
    shape = model.input_shape[1:]
    signature = tf.TensorSpec((None, *shape), "float32")
    traced = tf.function(function, input_signature=[signature], autograph=False)

    def graph(batch: int) -> Any:
        fixed = tf.function(function, autograph=False)
        return fixed.get_concrete_function(tf.TensorSpec((batch, *shape), "float32"))

    return lambda x: traced(tf.constant(x)).numpy(), graph


def explained(model: keras.Model, what: str) -> tuple[Callable, Callable]:
    """Return how an analyzer is called on images, and its graph for a batch size."""
    made = analyzer(model, what)
    return lambda x: made(x).numpy(), made.concrete_function


def analyzer(model: keras.Model, what: str, **settings: Any) -> lrpkeras.Analyzer:
    """Return the analyzer of a preset's name, perhaps with a precision behind it."""
    name, _, precision = what.partition(" ")
    if precision:
        settings["precision"] = precision
    return lrpkeras.Analyzer(model, lrpkeras.presets.named(name, BOUNDS), **settings)
