"""What an analyzer holds in memory: each weight once, and what its rules make of them."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import randomized
from memory import measured, resident_mb

import lrpkeras
from lrpkeras import backend, presets, rules
from lrpkeras.graph.draft import Draft

IN, OUT = 1024, 512
KERNEL = 4 * IN * OUT
CLOSED, OPEN = True, False


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
        return [ref for ref in seen if ref() is not None]

    return living


@pytest.mark.parametrize(("rule", "closes", "kernels"), NEEDED)
def test_a_big_kernel_is_held_as_often_as_its_rule_needs_it_and_no_copy_stays(
    rule, closes, kernels, big_copies
):
    analyzer = lrpkeras.Analyzer(net(closes), "epsilon", rules={"big": rule})
    assert len([v for v in distinct(analyzer) if v.shape == (IN, OUT)]) == kernels
    assert big_copies() == []
    analyzer.refresh()
    assert big_copies() == []


def test_a_saved_function_is_not_held_beside_the_analyzer(big_copies):
    function = tf.function(net(), autograph=False)
    analyzer = lrpkeras.Analyzer(
        function.get_concrete_function(tf.TensorSpec((None, 3))), "epsilon"
    )
    assert analyzer.check(np.ones((1, 3), "float32")).closes
    assert big_copies() == []


@measured
def test_an_analyzer_takes_as_much_memory_as_it_says():
    """A kernel of 67 MB, in variables and out: the rest of an analyzer is a few MB."""
    x = keras.Input((4096,))
    model = keras.Model(x, layers.Dense(4096, use_bias=False)(x))
    for preset, kernels in (("epsilon", 1), ("z_plus", 3)):
        before = resident_mb()
        analyzer = lrpkeras.Analyzer(model, preset, verify=False)
        taken = resident_mb() - before
        assert sum(analyzer._program.nbytes) == kernels * 4096 * 4096 * 4
        assert abs(taken - 64 * kernels) < 32
        del analyzer


@pytest.mark.parametrize("preset", ["epsilon", "epsilon_plus_flat", "alpha2_beta1", "relative"])
def test_the_summary_says_what_is_held(preset):
    analyzer = lrpkeras.Analyzer(net(), preset, verify=False)
    weights, made = analyzer._program.nbytes
    assert weights + made == bytes_of(distinct(analyzer))
    lines = analyzer.summary(print_fn=lambda text: None).splitlines()
    held = f"holds {(weights + made) / 1e6:.1f} MB: "
    assert len([line for line in lines if line.startswith(held)]) == 1


def test_weights_are_what_the_model_has_and_all_else_is_made_by_rules():
    model = net()
    own = sum(variable.numpy().nbytes for variable in model.variables)
    assert lrpkeras.Analyzer(model, "epsilon", verify=False)._program.nbytes == (own, 0)
    weights, made = lrpkeras.Analyzer(
        model, presets.Preset({"*": rules.ZPlus()}), input_range=(0, 1), verify=False
    )._program.nbytes
    # The positive part of every kernel, and of every bias.
    assert (weights, made) == (own, own)


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
