"""The table of an analyzer: one line a node, written out by hand for one fixed network."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import lrpkeras
from lrpkeras import summary
from lrpkeras.rules import AlphaBeta


@pytest.fixture(scope="module")
def model():
    """What each line of the table shows.

    A padding that the convolution takes in; normalizations folded left, and through a ReLU as a
    gate; one that cannot be; a nested block; a branch; two layers that are dropped; a head.
    """
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.ZeroPadding2D(name="pad")(inputs)
    x = layers.Conv2D(4, 3, use_bias=False, name="conv1")(x)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(x))
    block = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
            layers.BatchNormalization(name="bn"),
        ],
        name="block",
    )
    x = layers.Add(name="add")([x, block(x)])
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="bn2")(x))
    x = layers.Conv2D(5, 3, name="conv2")(layers.Dropout(0.5, name="drop")(x))
    x = layers.AveragePooling2D(2, name="mean")(layers.MaxPooling2D(name="max")(x))
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


# Lines as wide as the widest row.
RULE = "-" * 122
CONV1 = "padding of pad absorbed; bn1 folded"
BN = "not folded: add (Sum) reads it"
# 4 bytes each. Own: kernel and bias of conv1, which were folded, scale and shift of two
# normalizations, the scale of the one that conv2 bears. Kernels and biases of the three other
# linear nodes are as they are in the model. Flat makes shares of 36 pixels; ZPlus the positive part
# of block/conv and its bias, of block/bn and its shift, and both parts of conv2, whose input has
# both signs.
WEIGHTS = 4 * ((108 + 4) + (4 + 4) + (4 + 4) + 4)
BORROWED = 4 * ((144 + 4) + (180 + 5) + (15 + 3))
MADE = 4 * (36 + (144 + 4) + (4 + 4) + 2 * 180)
TOTAL, RULED, READ = (f"{size / 1000:.1f} kB" for size in (WEIGHTS + MADE, MADE, BORROWED))
HELD = f"holds {TOTAL}: {WEIGHTS} bytes of weights, {RULED} made of weights; reads {READ} in the "
HELD += "model's memory until the model is trained"
TABLE = f"""\
preset epsilon_plus_flat
node             kind                output shape     rule            why              notes
{RULE}
image            Input               (None, 6, 6, 3)  -
conv1            Linear Convolution  (None, 6, 6, 4)  Flat()          preset: 'first'  {CONV1}
relu1            Activation relu     (None, 6, 6, 4)  Pass()          default
relu1:fork       Fork                (None, 6, 6, 4)  Adjoint()       default
block/conv       Linear Convolution  (None, 6, 6, 4)  ZPlus()         preset: 'conv'
block/conv:relu  Activation relu     (None, 6, 6, 4)  Pass()          default
block/bn         Affine              (None, 6, 6, 4)  ZPlus()         preset: 'conv'   {BN}
add              Sum                 (None, 6, 6, 4)  Proportional()  default
relu2            Gate relu           (None, 6, 6, 4)  Pass()          default          gate of bn2
relu2:shift      Shift               (None, 6, 6, 4)  -
conv2            Linear Convolution  (None, 4, 4, 5)  ZPlus()         preset: 'conv'   bn2 folded
max              MaxPool             (None, 2, 2, 5)  Winner()        default
mean             AveragePool         (None, 1, 1, 5)  Proportional()  default
flat             Route Reshape       (None, 5)        Adjoint()       default
head             Linear Dense        (None, 3)        Epsilon()       preset: 'dense'
{RULE}
15 nodes, 4 of them linear
{HELD}
dropped, doing nothing in prediction: drop
softmax of 'head' stripped: relevance is of logits
"""


def test_the_table_shows_every_node_with_its_rule_and_what_became_of_the_rest(model, capsys):
    text = lrpkeras.Analyzer(model).summary()
    assert capsys.readouterr().out == text + "\n"
    assert text.splitlines() == TABLE.splitlines()


def test_the_table_can_be_handed_to_a_function(model, capsys):
    lines = []
    text = lrpkeras.Analyzer(model, verify=False).summary(print_fn=lines.append)
    assert lines == [text]
    assert capsys.readouterr().out == ""


def test_the_table_shows_the_rules_that_nodes_got(model):
    analyzer = lrpkeras.Analyzer(
        model, "epsilon", rules={"block/*": AlphaBeta(2.0, 1.0)}, verify=False
    )
    rows = {line.split()[0]: line for line in analyzer.summary(print_fn=lambda _: None).split("\n")}
    without = {"image", "relu2:shift"}
    assert set(analyzer.rules) | without == {node.name for node in analyzer.graph}
    for name, rule in analyzer.rules.items():
        assert rule.name in rows[name]
    assert "AlphaBeta()" in rows["block/conv"]
    assert "rules: 'block/*'" in rows["block/conv"]
    assert "Epsilon()" in rows["conv2"]
    assert "preset: '*'" in rows["conv2"]


def test_columns_are_aligned(model):
    lines = lrpkeras.Analyzer(model, verify=False).summary(print_fn=lambda _: None).split("\n")
    kind, shape = lines[1].index("kind"), lines[1].index("output shape")
    body = lines[3 : 3 + 15]
    assert all(line[kind - 2 : kind] == "  " and line[kind] != " " for line in body)
    assert all(line[shape] == "(" for line in body)


def test_what_is_explained_at_a_hidden_layer_is_all_that_the_table_shows(model):
    analyzer = lrpkeras.Analyzer(model, output="relu1", verify=False)
    text = analyzer.summary(print_fn=lambda _: None)
    assert [line.split()[0] for line in text.split("\n")[3:-3]] == ["image", "conv1", "relu1"]
    assert "softmax" not in text


def test_an_explanation_has_the_table_of_what_made_it(model, tmp_path):
    analyzer = lrpkeras.Analyzer(model, "epsilon", bias="ignore", verify=False)
    explanation = analyzer.explain(np.ones((1, 6, 6, 3), "float32"), verbose=0)
    about = explanation.about
    assert str(about.summary) == analyzer.summary(print_fn=lambda _: None)
    assert about.fingerprint == analyzer.fingerprint
    assert about.settings["bias"] == "ignore"
    assert about.versions["keras"] == keras.__version__
    explanation.save(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as file:
        saved = json.loads(str(file["about"]))
    assert [row["rule"] for row in saved["summary"]["rows"]] == [
        row.rule for row in about.summary.rows
    ]


def test_a_table_is_read_from_its_text(model):
    made = lrpkeras.Analyzer(model, verify=False)._table()
    assert summary.read(str(made), made.preset) == made
    assert [row.node for row in made.rows][:2] == ["image", "conv1"]


@pytest.mark.parametrize(
    "text", ["", "no table", "a\nnode  b\n---\n", str(RULE), TABLE.replace(RULE, "")]
)
def test_a_text_that_is_no_table_is_kept_as_it_is(text):
    found = summary.read(text, "epsilon")
    assert found.rows == ()
    assert "\n".join(found.notes) == text
