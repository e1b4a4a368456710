"""Cases in which a map would be plausible and wrong; each was, once, or is in some library."""

import sys
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import randomized

import lrpkeras
from lrpkeras import rules
from lrpkeras.errors import LrpError, UnsupportedLayerError, VerificationError
from lrpkeras.graph.nodes import Affine

RANDOM = np.random.default_rng(3)


@dataclass(frozen=True)
class Lying(rules.Epsilon):
    """Computes another output than the node does."""

    def evaluate(self, node, prepared, inputs):
        output = 3 * node.compute(inputs, prepared) + 1
        return output, self.linearize(node, prepared, inputs, output)


def test_a_rule_that_changes_the_forward_pass_is_caught():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(VerificationError, match="dense"):
        lrpkeras.Analyzer(model, rules={"dense*": Lying()})


@pytest.mark.parametrize("bound", [1e2, 1e4, 1e8])
def test_wide_bounds_leave_the_logits_as_they_are(bound):
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]
    )
    x = RANDOM.normal(size=(4, 6, 6, 3)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "epsilon_plus_box", input_range=(-bound, bound))
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(analyzer.explain(x, verbose=0).output, expected, rtol=1e-4)


class Twice(layers.Layer):
    """Scaled, cut off, scaled: two constants that may happen to be equal."""

    first = np.ones(3, "float32")
    second = np.ones(3, "float32")

    def call(self, x):
        return keras.ops.relu(x * self.first) * self.second


def test_refresh_tells_arrays_apart_that_were_equal_when_built():
    def lower(layer, x):
        y = x.then(Affine, scale=layer.first).through(layers.ReLU(name="cut"))
        return y.then(Affine, scale=layer.second)

    lrpkeras.register_layer(Twice, lower=lower)
    layer = Twice()
    model = keras.Sequential([keras.Input((3,)), layer, layers.Dense(2)])
    x = np.abs(RANDOM.normal(size=(2, 3))).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    analyzer(x)
    layer.second = np.array([2, -3, 4], "float32")
    analyzer.refresh()
    np.testing.assert_array_equal(analyzer(x), lrpkeras.Analyzer(model, "epsilon")(x))


class Doubling(layers.Layer):
    """Computes 2 x; its lowering will say 5 x."""

    def call(self, x):
        return 2 * x


def test_the_fidelity_is_to_the_model_not_to_our_reading_of_it():
    lrpkeras.register_layer(Doubling, lower=lambda layer, x: x.then(Affine, scale=np.float32(5)))
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False), Doubling()])
    x = RANDOM.normal(size=(2, 3)).astype("float32")
    check = lrpkeras.Analyzer(model, "epsilon", verify=False).check(x)
    assert check.fidelity == pytest.approx(1.5, rel=1e-4)  # (5 - 2) / 2
    with pytest.raises(VerificationError, match="doubling"):
        lrpkeras.Analyzer(model, "epsilon")


class Left(Doubling):
    """Computes 2 x; its lowering will leave it out."""


def test_a_layer_in_front_that_its_lowering_leaves_out_is_named():
    lrpkeras.register_layer(Left, lower=lambda layer, x: x.through(layers.Identity(name="same")))
    model = keras.Sequential([keras.Input((3,)), Left(name="mine"), layers.Dense(2)])
    with pytest.raises(VerificationError, match="first at layer 'mine"):
        lrpkeras.Analyzer(model, "epsilon")


class Turned(layers.Layer):
    """Turns each number by a quarter, and back."""

    def call(self, x):
        turned = keras.ops.cast(x, "complex64") * 1j
        return keras.ops.real(turned * -1j)


def test_complex_numbers_are_refused_by_name():
    model = keras.Sequential([keras.Input((3,)), Turned(name="mine"), layers.Dense(2)])
    with pytest.raises(UnsupportedLayerError, match=r"'mine'.*complex64"):
        lrpkeras.Analyzer(model)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_fidelity_is_of_logits_where_the_head_is_fused(activation):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation=activation)])
    x = RANDOM.normal(size=(5, 3)).astype("float32")
    assert lrpkeras.Analyzer(model).check(x).fidelity < 1e-5


def test_a_mean_over_padded_zeros_is_right_at_every_size():
    # The share of zeros in the mean, and so the folded shift, depends on the size.
    inputs = keras.Input((None, None, 3))
    x = layers.ZeroPadding2D(2)(layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    randomized(model)
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    for size in (5, 8):
        x = RANDOM.normal(size=(2, size, size, 3)).astype("float32")
        explanation = analyzer.explain(x, verbose=0)
        expected = model.predict(x, verbose=0)
        np.testing.assert_allclose(explanation.output, expected, rtol=1e-4, atol=1e-5)


def test_the_deepest_linear_node_of_a_contrast_is_the_head_that_is_explained():
    model = keras.Sequential([keras.Input((4,)), *(layers.Dense(4) for _ in range(3))])
    rule = {(0.9, 1.0): rules.ZPlus()}
    analyzer = lrpkeras.Analyzer(model, "epsilon", rules=rule, initial="contrast")
    got = {name: rule.name for name, rule in analyzer.rules.items() if name.startswith("dense")}
    assert [rule for name, rule in got.items() if name.endswith(":contrast")] == ["ZPlus()"]
    assert list(got.values()).count("ZPlus()") == 1


def test_a_contrast_that_is_not_one_is_caught(monkeypatch):
    module = sys.modules["lrpkeras.canonize.contrast_head"]
    right = module._contrasted
    monkeypatch.setattr(module, "_contrasted", lambda weights: 3 * right(weights))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(VerificationError, match="contrast"):
        lrpkeras.Analyzer(model, initial="contrast")


def test_box_bounds_hold_behind_a_normalization_of_unknown_size():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same")(layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    randomized(model)
    x = RANDOM.uniform(size=(2, 6, 6, 3)).astype("float32")
    check = lrpkeras.Analyzer(model, "epsilon_plus_box", input_range=(0, 1)).check(x)
    assert check.closes


def test_tiny_activations_do_not_become_nan_in_the_compiled_graph():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, activation="relu", use_bias=False),
            layers.Conv2D(4, 3, use_bias=False),
            layers.Flatten(),
            layers.Dense(2, use_bias=False),
        ]
    )
    x = 1e-20 * RANDOM.normal(size=(1, 6, 6, 2)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, "alpha2_beta1", initial="unit")
    assert np.isfinite(np.asarray(analyzer(x))).all()


def test_a_map_that_is_not_finite_is_an_error():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="ones")])
    analyzer = lrpkeras.Analyzer(model, "input_x_gradient")
    with pytest.raises(LrpError, match="not finite"):
        analyzer(np.full((1, 2), 1e30, "float32"), np.full((1, 1), 1e30))


def test_errors_behind_what_noise_leaves_dead_are_seen(monkeypatch):
    # Dead for inputs around zero, alive for pixels: verification draws both.
    module = sys.modules["lrpkeras.canonize.fold_left"]
    right = module._merged

    def wrong(linear, norm):
        merged = right(linear, norm)
        return replace(merged, kernel=5 * merged.kernel) if linear.name == "second" else merged

    monkeypatch.setattr(module, "_merged", wrong)
    inputs = keras.Input((8, 8, 3))
    low = keras.initializers.Constant(-100.0)
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer=low)(inputs)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, name="second")(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(VerificationError):
        lrpkeras.Analyzer(model, "epsilon")


def test_a_callable_target_gets_the_logits_also_under_contrast():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    x = RANDOM.normal(size=(2, 4)).astype("float32")
    seen = []

    def target(output):
        seen.append(np.asarray(output))
        return np.ones((2, 3), "float32")

    lrpkeras.Analyzer(model, "epsilon", initial="contrast")(x, target)
    np.testing.assert_allclose(seen[0], model.predict(x, verbose=0), rtol=1e-5)


def test_the_last_batch_is_filled_up_for_xla_and_cut_again():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)]
    )
    x = RANDOM.normal(size=(5, 4)).astype("float32")
    plain = lrpkeras.Analyzer(model).explain(x, batch_size=2, verbose=0)
    compiled = lrpkeras.Analyzer(model, jit_compile=True).explain(x, batch_size=2, verbose=0)
    assert compiled.relevance.shape == x.shape
    np.testing.assert_allclose(compiled.relevance, plain.relevance, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(compiled.target, plain.target)


def test_refresh_refuses_a_model_whose_structure_changed():
    def lower(layer, x):
        return x.through(layers.ReLU(name=f"cut{next(count)}"))

    count = iter(range(10))
    lrpkeras.register_layer(Twice, lower=lower)
    model = keras.Sequential([keras.Input((3,)), Twice(), layers.Dense(2)])
    analyzer = lrpkeras.Analyzer(model, "epsilon", verify=False)
    with pytest.raises(LrpError, match="build it anew"):
        analyzer.refresh()
