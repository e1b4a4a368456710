"""What an analyzer holds in memory: each weight once, and what its rules make of them."""

import gc
import re
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import randomized
from memory import allocated_mb, counted

import lrpkeras
from lrpkeras import backend, presets, rules
from lrpkeras.backend.tensorflow.convolution import convolves_with_onednn
from lrpkeras.graph.draft import Draft

IN, OUT = 1024, 512
KERNEL = 4 * IN * OUT
CLOSED, OPEN = True, False
not_pooled = pytest.mark.skipif(
    convolves_with_onednn(), reason="with oneDNN, TensorFlow keeps what is freed in a pool"
)


def net(closes=CLOSED):
    """A kernel of 2 MB behind a ReLU, beside which all else is small."""
    x = keras.Input((3,))
    y = layers.Dense(IN, activation="relu")(x)
    y = layers.Dense(OUT, activation="relu" if closes else None, name="big")(y)
    return randomized(keras.Model(x, layers.Dense(2)(y)))


def distinct(analyzer):
    """The variables of an analyzer, each once."""
    groups = analyzer._program.prepared.values()
    return list({id(v): v for group in groups for v in group.values()}.values())


def bytes_of(arrays):
    return sum(backend.to_numpy(array).nbytes for array in arrays)


# How many arrays of a kernel's size a rule needs: behind a ReLU, whether or not one follows.
NEEDED = [
    (rules.Zero(), CLOSED, 1),
    (rules.Epsilon(bias="distribute"), CLOSED, 1),
    (rules.Gradient(), CLOSED, 1),
    (rules.Flat(), CLOSED, 1),
    (rules.Relative(), CLOSED, 1),
    (rules.ZPlus(), CLOSED, 2),
    (rules.AlphaBeta(2, 1), CLOSED, 2),
    (rules.Gamma(), CLOSED, 2),
    (rules.Gamma(), OPEN, 3),
    (rules.WSquare(), CLOSED, 2),
    (rules.Power(2), CLOSED, 2),
]


@pytest.fixture
def big_copies(monkeypatch):
    """Return which big arrays still live of all that were read, or that variables were made of."""
    seen = []
    read, hold = Draft.array, backend.variable

    def noted(array):
        if array.nbytes >= KERNEL:
            seen.append(weakref.ref(array))
        return array

    monkeypatch.setattr(Draft, "array", lambda self, value: noted(read(self, value)))
    monkeypatch.setattr(backend, "variable", lambda array, *rest: hold(noted(array), *rest))

    def living():
        assert seen
        gc.collect()
        return [ref for ref in seen if ref() is not None and ref().flags.owndata]

    return living


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "closes", "kernels"), NEEDED)
def test_a_big_kernel_is_held_as_often_as_its_rule_needs_it_and_no_copy_stays(
    rule, closes, kernels, big_copies
):
    analyzer = lrpkeras.Analyzer(net(closes), "epsilon", rules={"big": rule})
    assert len([v for v in distinct(analyzer) if v.shape == (IN, OUT)]) == kernels
    assert big_copies() == []
    analyzer.refresh()
    assert big_copies() == []


def test_the_positive_part_of_a_big_convolution_s_kernel_is_made_at_every_call():
    """z+ of a 1 x 1 convolution, as its equation says; smaller kernels' positive parts are held."""
    x = keras.Input((2, 3, 1024))
    y = layers.Conv2D(1024, 1, name="big")(x)
    model = randomized(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    preset = presets.Preset({"*": rules.ZPlus()})
    analyzer = lrpkeras.Analyzer(model, preset, input_range=(0, 1))
    assert [v.shape for v in distinct(analyzer) if v.shape == (1, 1, 1024, 1024)] == [
        (1, 1, 1024, 1024)
    ]
    values = np.random.default_rng(0).random((2, 2, 3, 1024))
    kernel, bias = (w.astype("float64") for w in model.get_layer("big").get_weights())
    plus = values @ np.maximum(kernel[0, 0], 0)
    j = int((values @ kernel[0, 0] + bias).mean(axis=(1, 2))[0].argmax())
    arrives = ((values @ kernel[0, 0] + bias) / 6)[..., j]
    expected = (
        values
        * np.maximum(kernel[0, 0, :, j], 0)
        * (arrives / (plus[..., j] + max(bias[j], 0.0)))[..., None]
    )
    got = np.asarray(analyzer(values.astype("float32"), j))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_saved_function_is_not_held_beside_the_analyzer(big_copies):
    model = net()
    function = tf.function(model, autograph=False)
    analyzer = lrpkeras.Analyzer(
        function.get_concrete_function(tf.TensorSpec((None, 3))), "epsilon"
    )
    assert analyzer.check(np.ones((1, 3), "float32")).closes
    assert big_copies() == []
    own = sum(variable.numpy().nbytes for variable in model.variables)
    assert analyzer._program.nbytes == (0, 0, own)


@counted
@not_pooled
def test_an_analyzer_takes_as_much_memory_as_it_says():
    """Kernels of 67 MB, the model's own among them: the rest of an analyzer is a few MB."""
    x = keras.Input((4096,))
    model = keras.Model(x, layers.Dense(4096, use_bias=False)(x))
    size = 4096 * 4096 * 4
    for preset, made in (("epsilon", 0), ("z_plus", 2)):
        before = allocated_mb()
        analyzer = lrpkeras.Analyzer(model, preset, verify=False)
        taken = allocated_mb() - before
        assert analyzer._program.nbytes == (0, made * size, size)
        assert abs(taken - 64 * made) < 32
        del analyzer


@counted
@not_pooled
def test_memory_of_the_model_is_the_analyzer_s_once_the_model_is_trained():
    """The model takes other memory then, and `refresh` reads that in place again."""
    x = keras.Input((4096,))
    model = keras.Model(x, layers.Dense(4096, use_bias=False)(x))
    analyzer = lrpkeras.Analyzer(model, "epsilon", verify=False)
    before = allocated_mb()
    kernel = model.layers[-1].kernel
    kernel.assign(kernel + 1)
    assert abs(allocated_mb() - before - 64) < 32
    analyzer.refresh()
    # TensorFlow lets go of an array when it takes the next.
    keras.ops.convert_to_tensor(np.ones(1))
    assert abs(allocated_mb() - before) < 32


@pytest.mark.parametrize("preset", ["epsilon", "epsilon_plus_flat", "alpha2_beta1", "relative"])
def test_the_summary_says_what_is_held(preset):
    analyzer = lrpkeras.Analyzer(net(), preset, verify=False)
    weights, made, borrowed = analyzer._program.nbytes
    assert weights + made + borrowed == bytes_of(distinct(analyzer))
    lines = analyzer.summary(print_fn=lambda text: None).splitlines()
    (held,) = [line for line in lines if line.startswith("holds ")]
    amounts = re.findall(r"[\d.]+ (?:[kM]B|bytes)", held)
    own, held_weights, held_made, read = [
        float(amount.split()[0]) * {"MB": 1e6, "kB": 1e3, "bytes": 1}[amount.split()[1]]
        for amount in amounts
    ]
    assert (held_weights, read) == pytest.approx((weights, borrowed), rel=0.05)
    assert (own, held_made) == pytest.approx((weights + made, made), rel=0.05)


def test_weights_are_what_the_model_has_and_all_else_is_made_by_rules():
    model = net()
    own = sum(variable.numpy().nbytes for variable in model.variables)
    assert lrpkeras.Analyzer(model, "epsilon", verify=False)._program.nbytes == (0, 0, own)
    memory = lrpkeras.Analyzer(
        model, presets.Preset({"*": rules.ZPlus()}), input_range=(0, 1), verify=False
    )._program.nbytes
    # The positive part of every kernel, and of every bias.
    assert memory == (0, own, own)


def test_weights_that_were_folded_are_the_analyzer_s_own():
    x = keras.Input((8,))
    y = layers.BatchNormalization()(layers.Dense(4)(x))
    model = randomized(keras.Model(x, layers.Dense(2, name="plain")(y)))
    memory = lrpkeras.Analyzer(model, "epsilon")._program.nbytes
    assert memory == (4 * (8 * 4 + 4), 0, 4 * (4 * 2 + 2))


def test_what_a_function_computes_of_its_weights_is_the_analyzer_s_own():
    w = tf.Variable(np.ones((IN, 4), "float32"))
    function = tf.function(lambda x: tf.matmul(x, w * 2.0))
    analyzer = lrpkeras.Analyzer(
        function.get_concrete_function(tf.TensorSpec((None, IN))), "zero", verify=False
    )
    assert analyzer._program.nbytes == (4 * IN * 4, 0, 0)


def test_a_variable_that_is_copied_whenever_it_is_read_lends_no_memory():
    """TensorFlow does so from the first sparse update on."""
    model = net()
    kernel = model.get_layer("big").kernel
    kernel.value.scatter_nd_update([[0]], kernel.value[:1])
    own = sum(variable.numpy().nbytes for variable in model.variables)
    memory = lrpkeras.Analyzer(model, "epsilon", verify=False)._program.nbytes
    assert memory == (KERNEL, 0, own - KERNEL)


def trained(model, jit_compile, optimizer):
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    model.fit(np.random.rand(16, 3), np.random.rand(16, 2), verbose=0)


WRITES = {
    "adam": lambda model: trained(model, False, "adam"),
    "sgd, jit_compile": lambda model: trained(model, True, "sgd"),
    "assign": lambda model: [v.assign(2 * v) for v in model.variables],
    "assign_add": lambda model: [v.assign_add(keras.ops.ones_like(v)) for v in model.variables],
    "set_weights": lambda model: model.set_weights([2 * w for w in model.get_weights()]),
    "in place": lambda model: [
        v.value.scatter_nd_update([[0]], 2 * v.value[:1]) for v in kernels(model)
    ],
}


def kernels(model):
    return [v for v in model.variables if v.ndim == 2]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_to_the_model_reaches_the_analyzer_when_refreshed(write):
    model, x = net(), np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    before = analyzer(x).numpy()
    for _ in range(2):
        write(model)
        np.testing.assert_array_equal(analyzer(x), before)
        expected = lrpkeras.Analyzer(model, "epsilon")(x).numpy()
        assert np.abs(expected - before).max() > 1e-6
        analyzer.refresh()
        np.testing.assert_array_equal(analyzer(x), expected)
        before = expected


def test_a_layer_called_twice_is_held_once():
    x = [keras.Input((IN,)), keras.Input((IN,))]
    shared = layers.Dense(OUT, name="big")
    model = keras.Model(x, layers.Add()([shared(each) for each in x]))
    analyzer = lrpkeras.Analyzer(model, "epsilon", verify=False)
    assert sum(analyzer._program.nbytes) == KERNEL + 4 * OUT


def test_the_graph_shows_the_weights_that_are_explained():
    """As they were when they were read; what rules hold in another form only is not told wrong."""
    model = net()
    first = model.layers[1]
    before = first.kernel.numpy()
    analyzer = lrpkeras.Analyzer(model, rules={"big": rules.AlphaBeta(2, 1)}, verify=False)
    name = first.name
    randomized(model, seed=7)
    np.testing.assert_array_equal(analyzer.graph[name].kernel, before)
    held = analyzer.graph[name].kernel
    analyzer.refresh()
    np.testing.assert_array_equal(analyzer.graph[name].kernel, first.kernel.numpy())
    np.testing.assert_array_equal(held, before)
    assert analyzer.graph["big"].kernel.shape == (IN, OUT)
    assert np.isnan(analyzer.graph["big"].kernel).all()
    with pytest.raises(ValueError, match="read-only"):
        analyzer.graph[name].kernel[0] = 0
