"""Random small networks with normalizations everywhere: exact, and every ledger closes."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

import lrpkeras
from lrpkeras import backend, presets
from lrpkeras.canonize import canonize, drop_inert, strip_head
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts
from lrpkeras.graph.nodes import Affine
from lrpkeras.ledger import Accountant
from lrpkeras.propagate import Program
from lrpkeras.rules import Relevance

pytestmark = pytest.mark.usefixtures("float64")

WIDTH = 4
BLOCKS = ("conv", "strided", "padded", "depthwise", "separable", "grouped", "transposed")
BETWEEN = ("norm", "relu", "max", "average", "dropout", "pad", "crop")
JOINS = {
    "add": layers.Add,
    "maximum": layers.Maximum,
    "concatenate": layers.Concatenate,
    "none": None,
}
GAMMAS = (-1.5, -0.5, 0.0, 0.7, 2.0)


def linear(kind):
    make = {
        "conv": functools.partial(layers.Conv2D, WIDTH, 3, padding="same"),
        "strided": functools.partial(layers.Conv2D, WIDTH, 3, strides=2, padding="same"),
        "padded": functools.partial(layers.Conv2D, WIDTH, (2, 1)),
        "depthwise": functools.partial(layers.DepthwiseConv2D, 3, padding="same"),
        "separable": functools.partial(layers.SeparableConv2D, WIDTH, 3, padding="same"),
        "grouped": functools.partial(layers.Conv2D, WIDTH, 3, groups=2, padding="same"),
        "transposed": functools.partial(layers.Conv2DTranspose, WIDTH, 3, padding="same"),
    }[kind]
    return make()


def between(kind, x):
    make = {
        "norm": layers.BatchNormalization,
        "relu": layers.ReLU,
        "max": functools.partial(layers.MaxPooling2D, 2, 1, padding="same"),
        "average": functools.partial(layers.AveragePooling2D, 2, 1, padding="same"),
        "dropout": functools.partial(layers.Dropout, 0.5),
        "pad": functools.partial(layers.ZeroPadding2D, ((0, 1), (1, 0))),
        "crop": functools.partial(layers.Cropping2D, ((1, 0), (0, 0))),
    }[kind]
    return make()(x)


BLOCK = st.tuples(
    st.lists(st.sampled_from(BETWEEN), max_size=3),
    st.sampled_from(BLOCKS),
    st.lists(st.sampled_from(("norm", "relu")), max_size=3),
    st.sampled_from(sorted(JOINS)),
)
PLANS = st.tuples(
    st.lists(BLOCK, min_size=1, max_size=3),
    st.sampled_from((layers.Flatten, layers.GlobalAveragePooling2D)),
    st.booleans(),
    st.integers(0, 99),
)


def built(plan):
    """Blocks of what is between, a linear layer, and what follows; perhaps a branch beside."""
    blocks, flat, last_norm, number = plan
    x = inputs = keras.Input((7, 6, WIDTH))
    for before, kind, behind, join in blocks:
        for name in before:
            x = between(name, x)
        start, x = x, linear(kind)(x)
        for name in behind:
            x = between(name, x)
        if join != "none" and start.shape == x.shape:
            x = JOINS[join]()([x, start])
            x = layers.Conv2D(WIDTH, 1)(x) if x.shape[-1] != WIDTH else x
    x = flat()(x)
    x = layers.BatchNormalization()(x) if last_norm else x
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    fill(model, np.random.default_rng(number))
    return model


def fill(model, rng):
    for variable in model.variables:
        if not variable.dtype.startswith("float"):
            continue
        if "variance" in variable.name:
            variable.assign(rng.choice([1e-36, 0.5, 2.0], variable.shape, p=[0.1, 0.45, 0.45]))
        elif "gamma" in variable.name:
            variable.assign(rng.choice(GAMMAS, variable.shape))
        else:
            variable.assign(rng.normal(0, 0.5, variable.shape))


EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def values(graph, x):
    return graph.evaluate({graph.inputs[0]: keras.ops.convert_to_tensor(x)})


def relative(actual, expected):
    actual, expected = map(keras.ops.convert_to_numpy, (actual, expected))
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-300)


@EXAMPLES
@given(PLANS, st.sampled_from(["epsilon", "z_plus", "epsilon_plus_flat", "alpha2_beta1"]))
def test_random_networks_fold_exactly_and_their_ledgers_close(plan, preset):
    model = built(plan)
    x = np.random.default_rng(0).normal(size=(2, 7, 6, WIDTH))
    read = keras_reader.read(model)
    check_layers(canonize(read), strip_head(drop_inert(read)), x)
    check_ledger(with_facts(canonize(read)), preset, x)
    assert relative(lrpkeras.fold_batch_norm(model)(x), model(x)) <= 1e-12


def check_layers(graph, plain, x):
    """Every value that the rewritten graph still has is the model's; what stays says why."""
    actual, expected = values(graph, x), values(plain, x)
    assert relative(actual[graph.outputs[0]], expected[plain.outputs[0]]) <= 1e-12
    for layer in graph.places.keys() - graph.folded - graph.heads.keys():
        value = actual[graph.places[layer]]
        assert relative(value, expected[plain.places[layer]]) <= 1e-11
    left = [node for node in graph if isinstance(node, Affine) and node.batch_norm]
    assert all("not folded" in node.notes[-1] for node in left)


def check_ledger(graph, preset, x):
    """Relevance in is relevance out plus what each sink took, at every node."""
    program = Program(graph, presets.named(preset, None).assign(graph), vanishes=True)
    forward = program.forward([backend.constant(x)])
    accountant = Accountant(program, forward)
    program.backward(forward, Relevance(forward.output(graph)[None]), observe=accountant)
    assert max(entry.imbalance for entry in accountant.entries) <= 1e-9
