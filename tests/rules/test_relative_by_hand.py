"""R-LRP by loops that follow Nyiri & Gibaru: equations 6 to 8, 12, 13 and proposition 13."""

import keras
import numpy as np
import oracle
import pytest
from explained import assert_close, linear_nodes, rewritten, run
from keras import layers
from linear_layers import LAYERS, built, float64, on_cpu, randomized
from window_loops import same_pads

import lrpkeras
from lrpkeras import ledger, presets
from lrpkeras.rules import Relative

PRESET = presets.Preset((("*", Relative()),), "relative")


def contribution(x, w, z, taps):
    """`z_i = Card(J) / N sum_j (1 / M) w_ij x_i z_j` (eq. 6, 7); who is connected: w_ij != 0."""
    w, x, z = w.tolist(), x.tolist(), z.tolist()
    inputs, outputs = len(x), len(z)
    back = np.zeros(inputs)
    for i in range(inputs):
        connected = [j for j in range(outputs) if w[i][j] != 0]
        total = sum(w[i][j] * x[i] * z[j] / taps for j in connected)
        back[i] = len(connected) / outputs * total
    return back


def taps_of(layer):
    """M: all inputs of one output, padding or not."""
    kernel = getattr(layer, "kernel", None)
    if isinstance(layer, layers.BatchNormalization):
        return 1
    if isinstance(layer, layers.EinsumDense):
        left, output = layer.equation.split("->")
        letters = left.split(",")[1].replace("...", "")
        return np.prod([n for c, n in zip(letters, kernel.shape, strict=True) if c not in output])
    if "Depthwise" in type(layer).__name__:
        return np.prod(layer.kernel_size)
    if "Transpose" in type(layer).__name__:
        return np.prod(layer.kernel_size) * kernel.shape[-1]
    return np.prod(kernel.shape[:-1])


@pytest.mark.parametrize("name", LAYERS)
def test_every_linear_layer_follows_equations_8_and_12(name):
    layer, shape = built(name)
    call = on_cpu(layer)
    with float64():
        inputs = keras.Input(shape, dtype="float64")
        model = keras.Model(inputs, layer(inputs))
    dense, taps = oracle.dense_of(call, shape), taps_of(layer)
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (2, *shape))
    x[0].flat[::3] = 0
    graph = rewritten(model)
    made = run(graph, PRESET, x, vanishes=False)
    assert all(isinstance(made.program.rules[n.name], Relative) for n in linear_nodes(graph))
    start = rng.normal(size=(2, *made.output.shape))
    expected = [
        [contribution(a.ravel(), dense.w, z.ravel(), taps) for a, z in zip(x, r, strict=True)]
        for r in start
    ]
    assert_close(made.back(start)[0], np.reshape(expected, (2, *x.shape)))
    assert made.imbalance <= ledger.TOLERANCE["float64"]


def windows(size, window, strides, padding):
    """Each output position with the input positions that its window holds."""
    pads = same_pads(size, window, strides) if padding == "same" else [(0, 0)] * len(size)
    room = [n + sum(p) - w for n, p, w in zip(size, pads, window, strict=True)]
    for j in np.ndindex(*(r // s + 1 for r, s in zip(room, strides, strict=True))):
        low = [a * s - p[0] for a, s, p in zip(j, strides, pads, strict=True)]
        taps = (tuple(a + t for a, t in zip(low, tap, strict=True)) for tap in np.ndindex(*window))
        inside = (i for i in taps if all(0 <= a < n for a, n in zip(i, size, strict=True)))
        yield j, list(inside)


POOLS = [
    (layers.MaxPooling2D, (2, 2), (2, 2), "valid", (5, 4)),
    (layers.MaxPooling2D, (3, 2), (1, 2), "same", (4, 5)),
    (layers.AveragePooling2D, (3, 3), (2, 1), "same", (5, 4)),
    (layers.AveragePooling2D, (2, 3), (1, 1), "valid", (4, 4)),
    (layers.MaxPooling1D, (3,), (2,), "same", (6,)),
]


@pytest.mark.parametrize(("kind", "window", "strides", "padding", "size"), POOLS)
def test_pools_follow_proposition_13(kind, window, strides, padding, size):
    with float64():
        inputs = keras.Input((*size, 2), dtype="float64")
        model = keras.Model(inputs, kind(window, strides, padding)(inputs))
    # Whole numbers: ties in most windows, each of weight one.
    x = np.random.default_rng(4).integers(-1, 3, (2, *size, 2)).astype(float)
    made = run(rewritten(model), PRESET, x, vanishes=False)
    start = np.random.default_rng(5).normal(size=(2, *made.output.shape))
    seen = list(windows(size, window, strides, padding))
    card = {i: sum(i in inside for _, inside in seen) for i in np.ndindex(*size)}
    outputs = np.prod(made.output.shape[1:])
    expected = np.zeros((2, *x.shape))
    for k, b, c in np.ndindex(2, 2, 2):
        for j, inside in seen:
            top = max(x[(b, *i, c)] for i in inside)
            for i in inside:
                weight = 1 / len(inside) if "Average" in kind.__name__ else x[(b, *i, c)] == top
                part = weight * x[(b, *i, c)] * start[(k, b, *j, c)] / np.prod(window)
                expected[(k, b, *i, c)] += card[i] / outputs * part
    assert_close(made.back(start)[0], expected)
    assert made.imbalance <= ledger.TOLERANCE["float64"]


@pytest.mark.parametrize("kind", [layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D])
def test_a_global_pool_is_one_window(kind):
    with float64():
        inputs = keras.Input((3, 2, 4), dtype="float64")
        model = keras.Model(inputs, kind()(inputs))
    x = np.random.default_rng(4).integers(-1, 3, (2, 3, 2, 4)).astype(float)
    made = run(rewritten(model), PRESET, x, vanishes=False)
    start = np.random.default_rng(5).normal(size=(1, 2, 4))
    top = x.max(axis=(1, 2), keepdims=True)
    weight = np.full_like(x, 1 / 6) if "Average" in kind.__name__ else x == top
    # Card = 1, N = 4 channels, M = 6 positions.
    expected = weight * x * start[0][:, None, None, :] / (4 * 6)
    assert_close(made.back(start)[0], expected[None])


# Nets of dense layers: each step is eq. 8, so that what is left is how branches come together.


class Net:
    """Dense layers of one width in float64, and the same as plain arrays."""

    def __init__(self, seed=7, width=4):
        self.rng, self.width = np.random.default_rng(seed), width
        self.layers = {}

    def dense(self, name, x, activation=None):
        layer = layers.Dense(self.width, activation, name=name, dtype="float64")
        y = layer(x)
        layer.set_weights([self.rng.normal(size=v.shape) for v in layer.weights])
        self.layers[name] = layer
        return y

    def back(self, name, x, z):
        """Eq. 8 through a layer, for one sample."""
        w = np.asarray(self.layers[name].kernel)
        return np.array(
            [sum(w[i, j] * x[i] * z[j] for j in range(len(z))) for i in range(len(x))]
        ) / len(x)

    def forward(self, name, x, relu=False):
        w, b = (np.asarray(v) for v in self.layers[name].weights)
        z = x @ w + b
        return np.maximum(z, 0) if relu else z


def scaled(branch, end):
    """Eq. 13: a branch at its fork, times (sum at its end / sum at its beginning)."""
    return branch * end.sum() / branch.sum()


def explained(model, x, start):
    made = run(rewritten(model), PRESET, *x, vanishes=False)
    back = made.back(start)
    assert made.imbalance <= ledger.TOLERANCE["float64"]
    return back, made


def test_residual_blocks_are_rescaled_at_their_forks_inner_ones_first():
    net = Net()
    inputs = keras.Input((4,), dtype="float64")
    h = net.dense("stem", inputs, "relu")
    # The outer block: a projection beside a branch that holds a block with an identity shortcut.
    inner = net.dense("a", h, "relu")
    inner = layers.Add(name="inner")([inner, net.dense("b", inner)])
    total = layers.Add(name="outer")([net.dense("project", h), net.dense("c", inner)])
    model = keras.Model(inputs, net.dense("head", layers.ReLU()(total)))
    x = net.rng.normal(size=(3, 4))
    start = net.rng.normal(size=(2, 3, 4))
    (got,), made = explained(model, (x,), start)
    assert {s for entry in made.entries for s in entry.sinks} >= {"design", "residual rescaling"}
    for k, n in np.ndindex(2, 3):
        h = net.forward("stem", x[n], True)
        a = net.forward("a", h, True)
        i = a + net.forward("b", a)
        o = np.maximum(net.forward("project", h) + net.forward("c", i), 0)
        z = net.back("head", o, start[k, n])
        z_i = net.back("c", i, z)
        z_a = z_i + scaled(net.back("b", a, z_i), z_i)
        z_h = scaled(net.back("project", h, z), z) + scaled(net.back("a", h, z_a), z)
        assert_close(got[k, n], net.back("stem", x[n], z_h), 1e-9)


def test_all_ways_of_an_inception_inside_a_residual_block_are_one_branch():
    net = Net()
    inputs = keras.Input((4,), dtype="float64")
    h = net.dense("stem", inputs)
    both = layers.Concatenate()([net.dense("left", h), net.dense("right", h)])
    total = layers.Add()([h, net.dense("join", both)])
    model = keras.Model(inputs, net.dense("head", total))
    x, start = net.rng.normal(size=(2, 4)), net.rng.normal(size=(1, 2, 4))
    (got,), _ = explained(model, (x,), start)
    for n in range(2):
        h = net.forward("stem", x[n])
        parts = [net.forward(name, h) for name in ("left", "right")]
        joined = np.concatenate(parts)
        z = net.back("head", h + net.forward("join", joined), start[0, n])
        z_join = net.back("join", joined, z)
        branch = net.back("left", h, z_join[:4]) + net.back("right", h, z_join[4:])
        assert_close(got[0, n], net.back("stem", x[n], z + scaled(branch, z)), 1e-9)


def test_a_fork_that_ends_in_a_concatenation_adds_up():
    net = Net()
    inputs = keras.Input((4,), dtype="float64")
    h = net.dense("stem", inputs, "relu")
    both = layers.Concatenate()([net.dense("left", h, "relu"), net.dense("right", h), h])
    model = keras.Model(inputs, net.dense("head", both))
    x, start = net.rng.normal(size=(2, 4)), net.rng.normal(size=(1, 2, 4))
    (got,), _ = explained(model, (x,), start)
    for n in range(2):
        h = net.forward("stem", x[n], True)
        joined = np.concatenate([net.forward("left", h, True), net.forward("right", h), h])
        z = net.back("head", joined, start[0, n])
        z_h = net.back("left", h, z[:4]) + net.back("right", h, z[4:8]) + z[8:]
        assert_close(got[0, n], net.back("stem", x[n], z_h), 1e-10)


def test_a_sum_of_two_inputs_gives_both_its_relevance():
    net = Net()
    first, second = (keras.Input((4,), dtype="float64") for _ in range(2))
    total = layers.Subtract()([net.dense("a", first), net.dense("b", second)])
    model = keras.Model([first, second], net.dense("head", total))
    x = net.rng.normal(size=(2, 3, 4))
    start = net.rng.normal(size=(1, 3, 4))
    got, _ = explained(model, x, start)
    for n in range(3):
        z = net.back("head", net.forward("a", x[0, n]) - net.forward("b", x[1, n]), start[0, n])
        assert_close(got[0][0, n], net.back("a", x[0, n], z), 1e-10)
        assert_close(got[1][0, n], net.back("b", x[1, n], -z), 1e-10)


def test_a_branch_that_is_read_past_the_sum_is_not_rescaled():
    net = Net()
    inputs = keras.Input((4,), dtype="float64")
    h = net.dense("stem", inputs, "relu")
    a = net.dense("a", h, "relu")
    both = layers.Concatenate()([layers.Add()([h, net.dense("b", a)]), a])
    model = keras.Model(inputs, net.dense("head", both))
    x, start = net.rng.normal(size=(2, 4)), net.rng.normal(size=(1, 2, 4))
    (got,), _ = explained(model, (x,), start)
    for n in range(2):
        h = net.forward("stem", x[n], True)
        a = net.forward("a", h, True)
        joined = np.concatenate([h + net.forward("b", a), a])
        z = net.back("head", joined, start[0, n])
        z_a = net.back("b", a, z[:4]) + z[4:]
        assert_close(got[0, n], net.back("stem", x[n], z[:4] + net.back("a", h, z_a)), 1e-10)


def test_a_branch_whose_contributions_cancel_is_scaled_by_their_magnitudes():
    net = Net()
    inputs = keras.Input((4,), dtype="float64")
    total = layers.Add()([inputs, net.dense("a", inputs)])
    model = keras.Model(inputs, net.dense("head", total))
    x = np.array([[1.0, 1.0, 2.0, 2.0]])
    net.layers["a"].set_weights([np.diag([3.0, -3.0, 1.0, -1.0]), np.zeros(4)])
    net.layers["head"].set_weights([np.ones((4, 4)), np.zeros(4)])
    start = np.ones((1, 1, 4))
    (got,), _ = explained(model, (x,), start)
    # x + a(x) = (4, -2, 4, 0): z = x, up to 4 / 4; the branch at its fork: (3, 3, 2, 0)-like signs.
    z = np.array([4.0, -2.0, 4.0, 0.0])
    branch = np.array([3.0, -3.0, 1.0, -1.0]) * x[0] * z / 4
    assert branch.sum() != 0
    assert_close(got[0, 0], z + scaled(branch, z), 1e-12)
    x = np.array([[1.0, 1.0, 0.0, 0.0]])
    net.layers["a"].set_weights([np.diag([1.0, -2.0, 0.0, 0.0]), np.zeros(4)])
    (got,), _ = explained(model, (x,), start)
    # x + a(x) = (2, -1, 0, 0) = z; the branch: (2, 2, 0, 0) / 4.
    z = np.array([2.0, -1.0, 0.0, 0.0])
    assert_close(got[0, 0], z + scaled(np.array([0.5, 0.5, 0, 0]), z), 1e-12)
    net.layers["a"].set_weights([np.diag([1.0, 4.0, 0.0, 0.0]), np.zeros(4)])
    net.layers["head"].set_weights([np.diag([2.5, -0.25, 0.0, 0.0]), np.zeros(4)])
    (got,), _ = explained(model, (x,), start)
    # x + a(x) = (2, 5, 0, 0); z = (5, -1.25, 0, 0) / 4; the branch (5, -5, 0, 0) / 16 cancels.
    z = np.array([5.0, -1.25, 0.0, 0.0]) / 4
    branch = np.array([5.0, -5.0, 0.0, 0.0]) / 16
    assert_close(got[0, 0], z + branch * np.abs(z).sum() / np.abs(branch).sum(), 1e-12)


def test_a_fork_to_which_nothing_comes_back_has_an_account_that_closes():
    """The branch brings nothing, the term at its end got something: its factor is zero."""
    net = Net()
    inputs = keras.Input((4,), dtype="float64")
    total = layers.Add()([net.dense("a", inputs), net.dense("b", inputs)])
    model = keras.Model(inputs, net.dense("head", total))
    for name in ("a", "b"):
        net.layers[name].set_weights([np.zeros((4, 4)), np.ones(4)])
    (got,), _ = explained(model, (np.ones((2, 4)),), np.ones((1, 2, 4)))
    assert not got.any()


def residual_chain(blocks, dtype, width=6):
    inputs = keras.Input((width,), dtype=dtype)
    x = layers.Dense(width, "relu", dtype=dtype)(inputs)
    for _ in range(blocks):
        y = layers.Dense(width, dtype=dtype)(layers.Dense(width, "relu", dtype=dtype)(x))
        x = layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([x, y]))
    return keras.Model(inputs, layers.Dense(3, dtype=dtype)(x))


def plain_chain(depth, dtype, width=6):
    inputs = x = keras.Input((width,), dtype=dtype)
    for _ in range(depth):
        x = layers.Dense(width, "relu", dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(3, dtype=dtype)(x))


@pytest.mark.slow
@pytest.mark.parametrize("build", [lambda t: plain_chain(150, t), lambda t: residual_chain(50, t)])
def test_deep_nets_in_float32_give_the_map_of_float64_up_to_a_factor(build):
    wide, narrow = build("float64"), build("float32")
    rng = np.random.default_rng(2)
    for v in wide.variables:
        v.assign(np.abs(rng.normal(0, 0.2, v.shape)))
    narrow.set_weights([np.float32(w) for w in wide.get_weights()])
    x = rng.uniform(0, 1, (3, 6))
    maps = [
        run(rewritten(m), PRESET, x).back(np.ones((1, 3, 3)))[0].astype("float64")
        for m in (wide, narrow)
    ]
    assert all(np.isfinite(m).all() and (np.abs(m).max(axis=-1) > 0).all() for m in maps)
    wide_map, narrow_map = (m / np.abs(m).max(axis=-1, keepdims=True) for m in maps)
    # 150 layers, each with a rounding of about 1e-7.
    assert np.abs(wide_map - narrow_map).max() < 150 * 1e-6


def test_it_is_linear_in_the_starting_relevance_without_residual_sums():
    net = plain_chain(3, "float64")
    randomized(net)
    x = np.random.default_rng(2).normal(size=(2, 6))
    a, b = np.random.default_rng(3).normal(size=(2, 1, 2, 3))
    made = run(rewritten(net), PRESET, x)
    got = {name: made.back(r)[0] for name, r in {"a": a, "b": b, "sum": 2 * a - 3 * b}.items()}
    assert_close(got["sum"], 2 * got["a"] - 3 * got["b"], 1e-12)


def test_it_is_homogeneous_with_residual_sums():
    """Equation 13's factors depend on the relevance: a sum of starts gives no sum of maps."""
    net = randomized(residual_chain(2, "float64"))
    x = np.random.default_rng(2).normal(size=(2, 6))
    start = np.random.default_rng(3).normal(size=(1, 2, 3))
    made = run(rewritten(net), PRESET, x)
    plain = made.back(start)[0]
    for factor in (3.0, -2.0, 1e-3):
        assert_close(made.back(factor * start)[0], factor * plain, 1e-12)


def test_unknown_sizes_give_what_known_ones_give():
    def build(size):
        inputs = keras.Input((size, size, 2), dtype="float64")
        x = layers.Conv2D(3, 3, strides=2, padding="same", activation="relu", name="a")(inputs)
        x = layers.MaxPooling2D(2, padding="same")(x)
        x = layers.AveragePooling2D(2, 1, "same")(x)
        return keras.Model(inputs, layers.Dense(2, name="b")(layers.GlobalAveragePooling2D()(x)))

    with float64():
        known, unknown = build(9), build(None)
    randomized(known)
    unknown.set_weights(known.get_weights())
    x = np.random.default_rng(1).normal(size=(2, 9, 9, 2))
    start = np.random.default_rng(3).normal(size=(2, 2, 2))
    maps = [run(rewritten(m), PRESET, x).back(start)[0] for m in (known, unknown)]
    assert_close(maps[1], maps[0], 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VGG19", "ResNet152"])
def test_deep_architectures_in_float32_give_finite_maps_that_are_not_zero(name):
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
    x = np.random.default_rng(0).normal(0, 50, (2, 64, 64, 3)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "relative")
    relevance = np.asarray(analyzer(x, target=[[0, 3], [1, 2]]))
    assert np.isfinite(relevance).all()
    assert (np.abs(relevance).max(axis=(2, 3, 4)) > 0).all()
    assert (relevance != 0).mean() > 0.5
    assert analyzer.check(x).closes
