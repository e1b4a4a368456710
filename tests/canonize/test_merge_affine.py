"""Affine maps behind one another multiply out."""

import keras
import pytest
from keras import layers

from lrpkeras.canonize import merge_affine
from lrpkeras.graph.nodes import Affine

pytestmark = pytest.mark.usefixtures("float64")


def chain(*stack, shape=(5, 4)):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


def affines(graph):
    return [node for node in graph if isinstance(node, Affine)]


BN = layers.BatchNormalization
MERGED = {
    "two-norms": lambda: (BN(), BN()),
    "three-norms": lambda: (BN(), BN(center=False), BN(scale=False)),
    "two-norms-axis-1": lambda: (BN(axis=1), BN(axis=1)),
    "scalings": lambda: (layers.Rescaling(0.5, 1.0), lambda x: x * 3.0, lambda x: 2.0 - x),
    "scale-then-shift": lambda: (lambda x: x * 3.0, lambda x: x + 1.0),
}


@pytest.mark.parametrize("name", MERGED)
def test_pairs_are_multiplied_out(name, rewritten):
    graph = rewritten(chain(*MERGED[name]()), merge_affine)
    (merged,) = affines(graph)
    assert "multiplied out" in merged.notes[0]


KEPT = {
    "norm-after-rescaling": lambda: (layers.Rescaling(0.5), BN()),
    "norms-of-other-axes": lambda: (BN(axis=1), BN(axis=-1)),
    "relu-between": lambda: (BN(), layers.ReLU(), BN()),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_does_not_go_together_stays_apart(name, rewritten):
    assert len(affines(rewritten(chain(*KEPT[name]()), merge_affine))) == 2


def test_an_affine_map_that_something_else_reads_stays(rewritten):
    inputs = keras.Input((5, 4))
    first = BN()(inputs)
    model = keras.Model(inputs, layers.Add()([BN()(first), first]))
    assert len(affines(rewritten(model, merge_affine))) == 2


def test_an_affine_map_that_is_an_output_stays(rewritten):
    inputs = keras.Input((5, 4))
    first = BN()(inputs)
    model = keras.Model(inputs, [BN()(first), first])
    assert len(affines(rewritten(model, merge_affine))) == 2
