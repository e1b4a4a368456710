"""What no input takes part in is computed when an analyzer is built, and never again.

TensorFlow does not do it: kernels are variables, so that it has no constants to fold.
"""

from math import prod

import keras
import numpy as np
import pytest
from keras import layers
from linear_layers import randomized

import lrpkeras
from lrpkeras import backend, presets, rules

# Operations that hand on what is there, or only look at sizes.
FREE = ("Const", "ReadVariableOp", "Identity", "Placeholder", "Reshape", "ExpandDims", "Squeeze")
ONLY_SIZES = ("Shape", "OnesLike", "ZerosLike")
BATCH = 5
# More entries than a shape has, fewer than the smallest bias.
FEW = 6

RULES = (
    rules.Epsilon(bias="distribute"),
    rules.Gamma(),
    rules.Gamma(bias="distribute"),
    rules.AlphaBeta(2, 1),
    rules.ZPlus(),
    rules.Flat(),
    rules.WSquare(),
    rules.Relative(),
)


def net(size=8):
    """A bias map (what is folded right goes through padding), vectors, and an affine node."""
    x = keras.Input((size, size, 3))
    y = layers.BatchNormalization()(x)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(y)
    y = layers.AveragePooling2D(2)(y)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(y)
    y = layers.BatchNormalization()(layers.Add()([y, layers.Conv2D(8, 1)(y)]))
    y = layers.Dense(8)(layers.GlobalAveragePooling2D()(layers.ReLU()(y)))
    return randomized(keras.Model(x, y))


def analyzer_of(model, rule):
    preset = presets.Preset({"*": rule})
    return lrpkeras.Analyzer(model, preset, input_range=(-1, 1), verify=False)


def without_input(function):
    """Yield the operations that give more than a few numbers, and whose values no input changes."""
    given = {x.name for x in function.graph.inputs if x.dtype != "resource"}
    for op in function.graph.get_operations():
        if op.type not in ONLY_SIZES and any(x.name in given for x in op.inputs):
            given |= {x.name for x in op.outputs}
        elif op.type not in FREE:
            sizes = [prod(x.shape) for x in op.outputs if x.shape.is_fully_defined()]
            if any(size > FEW for size in sizes):
                yield f"{op.type} {op.name} {op.outputs[0].shape}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_nothing_is_computed_that_no_input_changes(rule):
    function = analyzer_of(net(), rule).concrete_function(BATCH)
    assert list(without_input(function)) == []


@pytest.mark.parametrize("rule", [RULES[2], RULES[3], RULES[6]], ids=lambda rule: rule.name)
def test_constants_of_rules_are_those_of_the_refreshed_weights(rule):
    model = net()
    analyzer = analyzer_of(model, rule)
    randomized(model, seed=5)
    analyzer.refresh()
    built = analyzer_of(model, rule)._program.prepared
    for name, group in analyzer._program.prepared.items():
        assert group.keys() == built[name].keys()
        for key, array in group.items():
            np.testing.assert_array_equal(
                backend.to_numpy(array), backend.to_numpy(built[name][key]), f"{name} {key}"
            )


@pytest.mark.parametrize(
    "rule", [rules.WSquare(), rules.Relative(), rules.Epsilon(bias="distribute")]
)
def test_where_sizes_are_unknown_constants_take_one_sample_s_work(rule):
    """Five samples may take no more than one of what no input changes."""
    function = analyzer_of(net(None), rule).concrete_function(BATCH)
    batches = [line for line in without_input(function) if f"({BATCH}," in line]
    assert batches == []
