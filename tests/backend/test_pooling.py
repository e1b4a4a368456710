"""Pooling against loops in NumPy, and its adjoints against their definitions."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from window_loops import (
    PADS,
    SIZES,
    STRIDES,
    WINDOW,
    assert_adjoint,
    collect,
    normal,
    same_pads,
    windows,
)

from lrpkeras import backend

POOLS = [
    (rank, stride, padding, dtype, jit_compile)
    for rank, stride, padding, dtype, jit_compile in itertools.product(
        (1, 2, 3), STRIDES, ("valid", "same"), ("float32", "float64"), (False, True)
    )
    # XLA is slow to start; these are enough to see that it pools alike.
    if not jit_compile or (rank == 2 and stride != "unequal") or (rank, stride) == (3, "2")
]


def pool_case(rank, stride, padding):
    sizes, window, strides = SIZES["mixed"][:rank], WINDOW[:rank], STRIDES[stride][:rank]
    pads = same_pads(sizes, window, strides) if padding == "same" else PADS["valid"][:rank]
    return sizes, {"window": window, "strides": strides, "padding": padding}, pads


def loop_max_pool(x, s_at, window, strides, pads):
    """Maxima, and where the first maximum in row-major order sends its window's s."""
    index = np.arange(x[0, ..., 0].size, dtype=float).reshape(x.shape[1:-1])
    places = np.broadcast_to(index[None, ..., None], x.shape)
    values = windows(x, window, strides, pads, (1,) * len(window), -np.inf)
    indices = windows(places, window, strides, pads, (1,) * len(window), -1)
    maxima, routed = {}, np.zeros((len(x), index.size, x.shape[-1]))
    for (position, seen), (_, place) in zip(values, indices, strict=True):
        seen, place = (each.reshape(len(x), -1, x.shape[-1]) for each in (seen, place))
        maxima[position] = seen.max(1)
        for n, c in np.ndindex(len(x), x.shape[-1]):
            winner = int(place[n, np.argmax(seen[n, :, c]), c])  # argmax takes the first
            routed[n, winner, c] += s_at(n, position, c)
    return collect(maxima.items(), len(x), x.shape[-1]), routed.reshape(x.shape)


@pytest.mark.parametrize(("rank", "stride", "padding", "dtype", "jit_compile"), POOLS)
def test_max_pool_sends_all_to_the_first_maximum(rank, stride, padding, dtype, jit_compile):
    sizes, options, pads = pool_case(rank, stride, padding)
    # Few distinct integers: most windows tie, and sums of integers are exact in every type.
    x = np.random.default_rng(0).integers(-2, 1, (2, *sizes, 2)).astype(dtype)
    y = backend.max_pool(x, **options)
    s = np.random.default_rng(1).integers(1, 50, y.shape).astype(dtype)
    unknown = backend.Spec((None,) * (rank + 1) + (2,), dtype)
    adjoint = backend.compile(
        lambda _, x, y, s: backend.max_pool_adjoint(x, y, s, **options),
        (unknown,) * 3,
        jit_compile=jit_compile,
    )
    expected, routed = loop_max_pool(
        x, lambda n, position, c: s[(n, *position, c)], options["window"], options["strides"], pads
    )
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(adjoint(x, y, s), routed)


def test_max_pool_of_equal_values_has_one_winner_a_window():
    x = np.zeros((1, 6, 6, 1))
    options = {"window": (3, 3), "strides": (1, 1), "padding": "same"}
    back = backend.max_pool_adjoint(x, x, np.ones_like(x), **options)
    # Windows start one row and column before their output; at the border, at the border.
    once = np.array([2.0, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(back[0, ..., 0], np.outer(once, once))


@pytest.mark.parametrize(("rank", "stride", "padding", "dtype", "jit_compile"), POOLS)
def test_average_pool_does_not_count_padding(rank, stride, padding, dtype, jit_compile):
    sizes, options, pads = pool_case(rank, stride, padding)
    x = normal(2, *sizes, 3, dtype=dtype)
    reads = windows(x, options["window"], options["strides"], pads, (1,) * rank, np.nan)
    means = ((at, np.nanmean(seen.reshape(2, -1, 3).astype("float64"), 1)) for at, seen in reads)
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    y = tf.function(backend.average_pool, jit_compile=jit_compile)(x, **options)
    np.testing.assert_allclose(y, collect(means, 2, 3), atol=tolerance)
    s = normal(*y.shape, dtype=dtype)
    adjoint = tf.function(
        lambda s: backend.average_pool_adjoint(s, sizes, **options), jit_compile=jit_compile
    )
    assert_adjoint(x, y, s, adjoint(s), tolerance)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling_serves_unknown_sizes(rank):
    sizes, options, _ = pool_case(rank, "2", "same")

    def both(x):
        y, mean = backend.max_pool(x, **options), backend.average_pool(x, **options)
        back = backend.max_pool_adjoint(x, y, mean, **options)
        return back, backend.average_pool_adjoint(y, backend.shape(x)[1:-1], **options)

    traced = tf.function(both, input_signature=[tf.TensorSpec([None] * (rank + 1) + [3])])
    x = normal(2, *sizes, 3, dtype="float32")
    for actual, expected in zip(traced(x), both(x), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("known", ["all", "none", "the first"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_adjoints_of_pooling_keep_the_sizes_that_are_known(rank, known, jit_compile):
    sizes, options, _ = pool_case(rank, "2", "same")
    kept = {"all": sizes, "none": (None,) * rank, "the first": (sizes[0], *[None] * (rank - 1))}

    def both(_, x):
        y, spatial = backend.max_pool(x, **options), backend.shape(x)[1:-1]
        return (
            backend.max_pool_adjoint(x, y, y, **options),
            backend.average_pool_adjoint(y, spatial, **options),
        )

    signature = (backend.Spec((None, *kept[known], 3), "float32"),)
    graph = backend.concrete(backend.compile(both, signature, jit_compile=jit_compile))
    for back in graph.structured_outputs:
        assert back.shape.as_list() == [None, *kept[known], 3]
