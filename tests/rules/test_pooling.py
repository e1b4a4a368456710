"""Pooling rules against loops over windows, and by hand."""

import itertools

import keras
import numpy as np
import pytest
from explained import assert_close, rewritten, run
from keras import layers
from linear_layers import float64

from lrpkeras import ledger
from lrpkeras.rules import Flat, Proportional, Ties, Winner

# Rank, window, stride, padding, size: overlapping windows, gaps, a rest, more padding than needed,
# windows side by side that leave nothing over.
GEOMETRIES = [
    (1, (3,), (3,), "valid", (6,)),
    (2, (2, 3), (2, 3), "same", (4, 6)),
    (3, (2, 1, 2), (2, 1, 2), "valid", (4, 2, 2)),
    (1, (2,), (2,), "valid", (7,)),
    (1, (3,), (1,), "valid", (6,)),
    (1, (3,), (2,), "same", (6,)),
    (1, (1,), (2,), "same", (5,)),
    (2, (2, 2), (2, 2), "valid", (5, 4)),
    (2, (3, 2), (1, 2), "valid", (4, 5)),
    (2, (3, 3), (2, 2), "same", (5, 4)),
    (2, (2, 3), (1, 1), "same", (3, 3)),
    (3, (2, 2, 2), (1, 2, 1), "valid", (3, 4, 3)),
    (3, (2, 3, 2), (2, 1, 1), "same", (3, 3, 2)),
]
CHANNELS = 2
POOLS = {
    "max": (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    "average": (layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
}
GLOBAL_POOLS = {
    "max": (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    "average": (
        layers.GlobalAveragePooling1D,
        layers.GlobalAveragePooling2D,
        layers.GlobalAveragePooling3D,
    ),
}


def windows(size, window, strides, padding):
    """The positions, in row-major order, that each output sees; padding is no position."""
    axes = []
    for n, k, step in zip(size, window, strides, strict=True):
        count = -(-n // step) if padding == "same" else (n - k) // step + 1
        total = max((count - 1) * step + k - n, 0) if padding == "same" else 0
        starts = [o * step - total // 2 for o in range(count)]
        axes.append([[p for p in range(s, s + k) if 0 <= p < n] for s in starts])
    for out in itertools.product(*(range(len(axis)) for axis in axes)):
        seen = [axis[o] for axis, o in zip(axes, out, strict=True)]
        yield out, list(itertools.product(*seen))


def winner(values: list[float]) -> list[float]:
    """All to the first of the largest."""
    best = values.index(max(values))
    return [float(index == best) for index in range(len(values))]


def proportional(values: list[float]) -> list[float]:
    """By what each contributes; by magnitude where the sum cancels."""
    total, size = sum(values), sum(map(abs, values))
    if abs(total) < 1e-6 * size:
        return [abs(v) / size for v in values]
    return [v / total if total != 0 else 0.0 for v in values]


def ties(values: list[float]) -> list[float]:
    won = [v == max(values) for v in values]
    return [float(each) / sum(won) for each in won]


def flat(values: list[float]) -> list[float]:
    return [1 / len(values)] * len(values)


RULES = {
    "winner": ("max", Winner(), winner),
    "ties": ("max", Ties(), ties),
    "proportional": ("average", Proportional(), proportional),
    "proportional max": ("max", Proportional(), proportional),
    "flat": ("average", Flat(), flat),
}


def by_loops(x, relevance, seen, shares) -> np.ndarray:
    """`x` is `(batch, *size, channels)`, `relevance` `(k, batch, *out, channels)`."""
    out = np.zeros((len(relevance), *x.shape))
    for k, b, c in itertools.product(range(len(relevance)), range(len(x)), range(CHANNELS)):
        for position, inputs in seen:
            values = [float(x[(b, *i, c)]) for i in inputs]
            for i, share in zip(inputs, shares(values), strict=True):
                out[(k, b, *i, c)] += share * relevance[(k, b, *position, c)]
    return out


def pooled(x, seen, shape, kind: str) -> np.ndarray:
    """The values themselves: TensorFlow has no float64 pooling in three dimensions."""
    out = np.zeros(shape)
    for position, inputs in seen:
        values = np.stack([x[(slice(None), *i)] for i in inputs])
        out[(slice(None), *position)] = values.max(0) if kind == "max" else values.mean(0)
    return out


def model_of(layer: keras.Layer, shape: tuple) -> keras.Model:
    with float64():
        x = keras.Input(shape, dtype="float64")
        return keras.Model(x, layer(x))


def integers(shape: tuple) -> np.ndarray:
    """Few different values: ties in most windows, sums of zero in some."""
    return np.random.default_rng(4).integers(-2, 3, (2, *shape)).astype(float)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_pooling_rules_share_every_window_as_their_formula_says(geometry, name):
    rank, window, strides, padding, size = geometry
    kind, rule, shares = RULES[name]
    with float64():
        layer = POOLS[kind][rank - 1](window, strides, padding)
    model = model_of(layer, (*size, CHANNELS))
    x = integers((*size, CHANNELS))
    seen = list(windows(size, window, strides, padding))
    made = run(rewritten(model), {"*": rule}, x, vanishes=False)
    start = np.random.default_rng(6).normal(0, 1, (2, *made.output.shape))
    assert_close(made.output, pooled(x, seen, made.output.shape, kind), 1e-13)
    assert_close(made.back(start)[0], by_loops(x, start, seen, shares), 1e-13)
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    ratio = by_loops(x, start * made.output, seen, shares)
    assert_close(made.back(start, "ratio")[0], ratio, 1e-13)
    assert made.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_pooling_is_one_window_over_everything(rank, name, keepdims):
    kind, rule, shares = RULES[name]
    size = (3, 2, 4)[:rank]
    with float64():
        layer = GLOBAL_POOLS[kind][rank - 1](keepdims=keepdims)
    model = model_of(layer, (*size, CHANNELS))
    x = integers((*size, CHANNELS))
    x[1, ..., 0] -= x[1, ..., 0].mean()
    made = run(rewritten(model), {"*": rule}, x, vanishes=False)
    start = np.random.default_rng(6).normal(0, 1, (2, *made.output.shape))
    spread = start.reshape(2, 2, *(1,) * rank, CHANNELS)
    seen = [((0,) * rank, list(np.ndindex(size)))]
    assert_close(made.back(start)[0], by_loops(x, spread, seen, shares), 1e-12)
    assert made.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("name", RULES)
def test_pooling_with_channels_first_is_pooling_with_the_axes_swapped(name):
    kind, rule, _ = RULES[name]
    x = integers((4, 5, CHANNELS))
    results = []
    for data_format in ("channels_last", "channels_first"):
        with float64():
            layer = POOLS[kind][1](3, 2, "same", data_format=data_format)
        first = data_format == "channels_first"
        data = np.moveaxis(x, -1, 1) if first else x
        made = run(rewritten(model_of(layer, data.shape[1:])), {"*": rule}, data, vanishes=False)
        start = np.random.default_rng(6).normal(0, 1, (2, 2, 2, 3, CHANNELS))
        got = made.back(np.moveaxis(start, -1, 2) if first else start)[0]
        results.append(np.moveaxis(got, 2, -1) if first else got)
    assert np.array_equal(*results)


BY_HAND = {
    # Window 2, stride 2: the first of equal maxima; the last value belongs to no window.
    "ties": ((2, 2, "valid"), [1, 3, 3, 3, 9], [[10, 20]], [0, 10, 20, 0, 0]),
    # Window 3, stride 1: one value wins twice and gets both.
    "overlap": ((3, 1, "valid"), [1, 5, 2, 4], [[10, 20]], [0, 30, 0, 0]),
    # Padding is no value: it does not win over negative ones.
    "padding": ((2, 2, "same"), [-1, -2, -3], [[10, 20]], [10, 0, 20]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_winner_takes_it_all(name):
    (window, strides, padding), x, start, expected = BY_HAND[name]
    with float64():
        layer = layers.MaxPooling1D(window, strides, padding)
    model = model_of(layer, (len(x), 1))
    made = run(rewritten(model), {}, np.reshape(x, (1, -1, 1)), vanishes=False)
    got = made.back(np.reshape(start, (1, 1, -1, 1)))[0]
    assert got.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("delta", "expected", "sinks"),
    [(1e-6, [5, 5, 5, 15], {}), (0.0, [0, 0, 5, 15], {"zero sum": 10})],
)
def test_an_average_over_values_that_cancel_is_shared_by_magnitude(delta, expected, sinks):
    with float64():
        layer = layers.AveragePooling1D(2)
    model = model_of(layer, (4, 1))
    x, rule = np.array([[[1.0], [-1.0], [1.0], [3.0]]]), {"AveragePool": Proportional(delta)}
    made = run(rewritten(model), rule, x, vanishes=False)
    got = made.back(np.array([[[[10.0], [20.0]]]]))[0]
    assert got.ravel().tolist() == expected
    assert made.sinks == sinks
