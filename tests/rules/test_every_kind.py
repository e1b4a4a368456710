"""The ledger closes for every rule at every kind of node that it is made for.

Linear and affine nodes: `test_dense_oracle.py`, which covers every layer.
"""

import keras
import numpy as np
import pytest
from explained import rewritten, run
from keras import layers
from linear_layers import float64, randomized

from lrpkeras import ledger, rules
from lrpkeras.graph.nodes import Affine, Linear
from lrpkeras.layers import LocalResponseNormalization
from lrpkeras.presets import Preset
from lrpkeras.rules import Rule


def max_pool(x):
    return layers.MaxPooling2D(3, 2, "same")(x)


def average_pool(x):
    return layers.AveragePooling2D(3, 2, "same")(x)


def activation(x):
    return layers.Activation("tanh")(layers.ReLU()(x) - 0.5)


def gate(x):
    """A normalization that folds through a ReLU."""
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.Conv2D(2, 3, padding="same")(x)


def route(x):
    return layers.ZeroPadding2D(1)(layers.Permute((2, 1, 3))(layers.Cropping2D(1)(x)))


def fork(x):
    return layers.Concatenate()([x, layers.ReLU()(x), x])


def total(x):
    return layers.Add()([x, layers.ReLU()(x), -x])


def extremum(x):
    return layers.Minimum()([x, layers.Maximum()([x, -x, x])])


def product(x):
    return layers.Multiply()([x, layers.Activation("sigmoid")(x)])


def normalize(x):
    """With and without a mean, over one axis and several."""
    return layers.UnitNormalization()(layers.LayerNormalization(axis=(1, 3))(x))


def local_normalize(x):
    return LocalResponseNormalization(1, 0.5, 0.3, 0.75)(x)


def resample(x):
    """Weights of one sign, and of both, along one axis and two."""
    x = layers.UpSampling2D((2, 1), interpolation="bilinear")(x)
    return layers.Resizing(6, 5, interpolation="bicubic")(x)


def lookup(x):
    return layers.Embedding(3, 2)(x)


def masked(x):
    """The mean of rows, those of index 0 left out."""
    indices = layers.Flatten()(x)
    return layers.GlobalAveragePooling1D()(layers.Embedding(3, 2, mask_zero=True)(indices))


NETS = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "Activation": activation,
    "Gate": gate,
    "Route": route,
    "Fork": fork,
    "Sum": total,
    "Extremum": extremum,
    "Product": product,
    "Normalize": normalize,
    "LocalNormalize": local_normalize,
    "Resample": resample,
    "Lookup": lookup,
    "Masked": masked,
}
# A rule with other parameters than its own defaults.
OTHERS: dict[type[Rule], tuple[Rule, ...]] = {
    rules.Proportional: (rules.Proportional(0.0), rules.Proportional(0.3)),
    rules.Detach: (rules.Detach(0.1), rules.Detach(mean="linear")),
    rules.Taylor: (rules.Taylor(0.5, "reference"), rules.Taylor(-1.0)),
}


def all_rules() -> list[type[Rule]]:
    found = [getattr(rules, name) for name in rules.__all__]
    classes = [each for each in found if isinstance(each, type) and issubclass(each, Rule)]
    return [each for each in classes if each.kinds and not set(each.kinds) <= {Linear, Affine}]


def cases() -> list[tuple[str, Rule]]:
    table = []
    for rule in all_rules():
        for kind in rule.kinds:
            nets = ("Activation", "Gate") if kind.__name__ == "Activation" else (kind.__name__,)
            table += [
                (net, made)
                for net in nets
                if kind not in (Linear, Affine)
                for made in (rule(), *OTHERS.get(rule, ()))
                if net != "LocalNormalize" or made not in OTHERS[rules.Taylor]
            ]
    return table


def net(name: str) -> keras.Model:
    with float64():
        inputs = keras.Input((5, 4, 2), dtype="float64")
        return randomized(keras.Model(inputs, NETS[name](inputs)))


def images(non_negative: bool, name: str = "") -> np.ndarray:
    """Whole numbers: ties, sums that cancel, windows of zeros; not all of them masked out."""
    x = np.random.default_rng(8).integers(0 if non_negative else -2, 3, (3, 5, 4, 2))
    x[2] = 0
    x[2, 0, 0] = int(name == "Masked")
    return x.astype(float)


@pytest.mark.parametrize("non_negative", [False, True], ids=["signed", "non-negative"])
@pytest.mark.parametrize(("name", "rule"), cases(), ids=lambda part: getattr(part, "name", part))
def test_the_ledger_closes_for_every_rule_at_every_kind_of_node(name, rule, non_negative):
    graph = rewritten(net(name), (0, 2) if non_negative else None)
    kind = "Activation" if name == "Gate" else name
    preset = Preset(((kind, rule), ("Linear", rules.Epsilon()), ("Affine", rules.Epsilon())))
    made = run(graph, preset, images(non_negative, name), vanishes=False)
    assert any(node.kind == name and made.program.rules[node.name] is rule for node in graph)
    start = np.random.default_rng(6).normal(0, 1, (2, *made.output.shape))
    for form in ("R", "ratio"):
        for part in made.back(start, form):
            assert np.isfinite(part).all()
        assert made.imbalance <= ledger.TOLERANCE["float64"]


def test_every_kind_of_node_has_a_net_here():
    kinds = {kind.__name__ for rule in all_rules() for kind in rule.kinds}
    assert kinds - {"Linear", "Affine"} <= set(NETS)
