"""Moves copy, drop and fill; the adjoint of each is what the scalar product says."""

import numpy as np
import pytest
from keras import ops

from lrpkeras.graph.moves import (
    Concatenate,
    Crop,
    Gather,
    Keep,
    Pad,
    Repeat,
    Reshape,
    Transpose,
)

SHAPE = (3, 4, 6, 2)

MOVES = [
    Keep(),
    Reshape((8, 6)),
    Reshape((-1,)),
    Reshape((2, -1, 3)),
    Transpose((0, 3, 1, 2)),
    Transpose((0, 2, 3, 1)),
    Pad(((1, 2), (0, 0), (0, 3))),
    Pad(((0, 0), (0, 0), (0, 0))),
    Crop(((1, 2), (0, 3), (0, 0))),
    Gather((2, 0, 2, 5), 2, 6),
    Gather((5, 4, 3, 2, 1, 0), 2, 6),
    Gather((1, 3, 5), 2, 6),
    Gather((2, 3), 2, 6),
    Gather((3,), 1, 4),
    Repeat(1, 3),
    Repeat(3, 2),
    Concatenate(2),
]


def arrays(move):
    rng = np.random.default_rng(3)
    shapes = [SHAPE, (3, 4, 1, 2), (3, 4, 3, 2)] if isinstance(move, Concatenate) else [SHAPE]
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_the_adjoint_of_a_move_satisfies_its_definition(move):
    """<A x, s> = <x, A' s>, to the rounding of sums of a few hundred terms."""
    inputs = arrays(move)
    output = np.asarray(move.apply(*map(ops.convert_to_tensor, inputs)))
    s = np.random.default_rng(4).normal(size=output.shape)
    back = move.adjoint(ops.convert_to_tensor(s), tuple(x.shape for x in inputs))
    assert [tuple(b.shape) for b in back] == [x.shape for x in inputs]
    left = np.sum(output * s)
    right = sum(np.sum(x * np.asarray(b)) for x, b in zip(inputs, back, strict=True))
    assert left == pytest.approx(right, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_the_static_shape_is_the_computed_one(move):
    inputs = arrays(move)
    output = move.apply(*map(ops.convert_to_tensor, inputs))
    static = move.output_shape(*((None, *x.shape[1:]) for x in inputs))
    assert static == (None, *output.shape[1:])


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_move_says_truly_whether_it_drops_or_fills(move):
    ones = [ops.convert_to_tensor(np.ones_like(x)) for x in arrays(move)]
    output = move.apply(*ones)
    back = move.adjoint(ops.ones_like(output), tuple(x.shape for x in ones))
    fills = bool((np.asarray(output) == 0).any())
    drops = any((np.asarray(b) == 0).any() for b in back)
    # Padding by nothing may say that it fills: that is only a missed shortcut.
    assert move.fills >= fills
    assert move.drops >= drops
    if any(isinstance(move, kind) for kind in (Keep, Reshape, Transpose, Gather, Repeat)):
        assert (move.fills, move.drops) == (fills, drops)


def test_gather_takes_by_index():
    x = np.arange(12.0).reshape(1, 6, 2)
    taken = Gather((4, 0, 0), 1, 6).apply(ops.convert_to_tensor(x))
    np.testing.assert_array_equal(taken, x[:, [4, 0, 0]])


def test_reshape_finds_the_free_size_in_a_traced_graph():
    import tensorflow as tf

    traced = tf.function(Reshape((-1,)).apply)
    spec = tf.TensorSpec((None, None, None, 2), "float32")
    assert traced.get_concrete_function(spec)(tf.zeros((3, 4, 5, 2))).shape == (3, 40)
