"""Products in bfloat16, everything else in float32."""

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import randomized

import lrpkeras
from lrpkeras import backend
from lrpkeras.backend.tensorflow import narrow
from lrpkeras.errors import RuleError

RANDOM = np.random.default_rng(5)


def network(dtype="float32"):
    image = keras.Input((12, 12, 3), dtype=dtype)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", dtype=dtype, name="first")(image)
    y = layers.Conv2D(8, 3, padding="same", dtype=dtype, name="inner")(x)
    x = layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([x, y]))
    x = layers.DepthwiseConv2D(3, activation="relu", dtype=dtype, name="depthwise")(x)
    x = layers.Flatten(dtype=dtype)(x)
    x = layers.Dense(16, activation="relu", dtype=dtype, name="wide")(x)
    return randomized(keras.Model(image, layers.Dense(4, dtype=dtype, name="head")(x)))


def rounded(array):
    """An array as bfloat16 holds it."""
    return keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(array, "bfloat16"), "float32"))


def test_kernels_of_inner_products_are_held_in_bfloat16_and_nothing_else_is():
    analyzer = lrpkeras.Analyzer(network(), "epsilon_plus", precision="bfloat16")
    held = analyzer._program.prepared
    narrowed = {
        (name, key)
        for name, group in held.items()
        for key, array in group.items()
        if "bfloat16" in str(array.dtype)
    }
    kernels = {"kernel", "positive"}
    assert narrowed == {("inner", key) for key in kernels} | {
        ("wide", "kernel"),
        ("wide", "weights"),
    }


def test_a_map_of_biases_stays_in_float32_though_it_has_the_shape_of_the_kernel():
    image = keras.Input((6, 4))
    x = layers.Dense(8, activation="relu")(image)
    x = layers.BatchNormalization()(layers.AveragePooling1D(1)(x))
    x = layers.Dense(5, activation="relu", name="end")(layers.ZeroPadding1D(1)(x))
    model = randomized(keras.Model(image, layers.Dense(2)(layers.Flatten()(x))))
    for preset in ("epsilon", "z_plus", "gamma", "alpha2_beta1", "flat", "w_square"):
        analyzer = lrpkeras.Analyzer(model, preset, precision="bfloat16")
        held = analyzer._program.prepared["end"]
        biases = {key for key in held if key.endswith("bias") or key == "share"}
        assert any(held[key].shape == (8, 5) for key in biases)
        narrow_ones = {key for key, array in held.items() if "bfloat16" in str(array.dtype)}
        assert narrow_ones == set(held) - biases
        assert np.isfinite(np.asarray(analyzer(RANDOM.normal(size=(2, 6, 4))))).all()


@pytest.mark.parametrize(
    "behind",
    [
        lambda x: x,
        layers.Softmax(),
        layers.Rescaling(0.5),
        lambda x: layers.Softmax()(layers.Reshape((2, 4))(x)),
        lambda x: layers.Add()([x, layers.Dense(8, name="also")(x)]),
    ],
)
def test_what_scores_are_made_of_is_multiplied_in_float32(behind):
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", name="inner")(x))
    model = randomized(keras.Model(image, behind(layers.Dense(8, name="head")(x))))
    held = lrpkeras.Analyzer(model, "epsilon", precision="bfloat16")._program.prepared
    for name in {"inner", "head", "also"} & set(held):
        is_narrow = {"bfloat16" in str(array.dtype) for array in held[name].values()}
        assert (True in is_narrow) == (name == "inner")


@pytest.mark.parametrize("native", [True, False])
def test_a_product_in_bfloat16_is_that_of_rounded_factors(native, monkeypatch):
    monkeypatch.setattr(narrow, "multiplies_bfloat16", lambda: native)
    x = RANDOM.normal(size=(2, 5, 5, 3)).astype("float32")
    kernel = RANDOM.normal(size=(1, 1, 3, 4)).astype("float32")
    geometry = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    held = backend.constant(kernel, "bfloat16")
    got = backend.to_numpy(backend.convolve(backend.constant(x), held, **geometry))
    back = backend.convolve_adjoint(backend.constant(got), held, (5, 5), **geometry)
    matrix = rounded(kernel)[0, 0].astype("float64")
    # A product of rounded factors is exact in float32; native kernels may round each sum, of at
    # most four terms, and the result.
    tolerance = 4 * 2.0**-8 if native else 1e-6
    for result, factor, by in ((got, rounded(x), matrix), (back, rounded(got), matrix.T)):
        result = backend.to_numpy(result)
        assert result.dtype == "float32"
        assert (np.abs(result - factor @ by) <= tolerance * (np.abs(factor) @ np.abs(by))).all()


def test_maps_in_bfloat16_are_those_of_float32_but_for_rounding():
    # Under z+ nothing cancels, so that rounding stays as small as it is.
    preset = "z_plus"
    model, x = network(), RANDOM.normal(size=(4, 12, 12, 3)).astype("float32")
    target = [0, 1, 2, 3]
    exact = np.asarray(lrpkeras.Analyzer(model, preset)(x, target=target))
    analyzer = lrpkeras.Analyzer(model, preset, precision="bfloat16")
    maps = np.asarray(analyzer(x, target=target))
    assert maps.dtype == "float32"
    assert not np.array_equal(maps, exact)
    for one, other in zip(maps, exact, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999
    assert analyzer.check(x).closes


def test_refreshed_weights_are_rounded_as_those_at_the_build():
    model, x = network(), RANDOM.normal(size=(2, 12, 12, 3)).astype("float32")
    analyzer = lrpkeras.Analyzer(model, precision="bfloat16")
    randomized(model, seed=9)
    analyzer.refresh()
    fresh = lrpkeras.Analyzer(model, precision="bfloat16")
    np.testing.assert_array_equal(np.asarray(analyzer(x)), np.asarray(fresh(x)))


def test_the_setting_survives_a_configuration():
    model = network()
    config = lrpkeras.Analyzer(model, precision="bfloat16").get_config()
    assert lrpkeras.Analyzer.from_config(config, model).options.precision == "bfloat16"


def test_float64_models_are_not_rounded_to_8_bits():
    with pytest.raises(RuleError, match="float64"):
        lrpkeras.Analyzer(network("float64"), precision="bfloat16")
