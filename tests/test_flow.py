"""A flow shows what the ledger says: widths are its numbers, sinks leave, nothing is hidden."""

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from pictures import picture

import lrpkeras
from lrpkeras import plot
from lrpkeras.errors import InputError
from lrpkeras.ledger import Check, Entry
from lrpkeras.plot.stages import grouped, label, read


def account(name, kind, sent, **sinks):
    """A node that got what it sent on and what its sinks took."""
    outgoing = sum(sent.values())
    incoming = outgoing + sum(sinks.values())
    return Entry(name, kind, "r", incoming, outgoing, sinks, 0.0, (*sent,), (*sent.values(),))


def check_of(*entries, inputs=("x",)):
    sent = [pair for entry in entries for pair in zip(entry.inputs, entry.sent, strict=True)]
    arrived = sum(value for name, value in sent if name in inputs)
    return Check(0.0, entries, entries[0].incoming, arrived, 1e-4)


# 10 at the output; a branch of 6 loses 2 to its bias; another one, of -1, is given 1.
BRANCHED = check_of(
    account("out", "Linear", {"add": 9.0}, bias=1.0),
    account("add", "Sum", {"conv": 6.0, "fork": 4.0, "gain": -1.0}),
    account("gain", "Linear", {"fork": -2.0}, bias=1.0),
    account("conv", "Linear", {"fork": 4.0}, bias=2.0),
    account("fork", "Fork", {"x": 6.0}),
)


def chain(*losses):
    """A chain of linear nodes "n0", "n1", ... each of which loses what is said."""
    left, entries = sum(losses) + 1.0, []
    for i, loss in enumerate(losses):
        left -= loss
        name = f"n{i + 1}" if i + 1 < len(losses) else "x"
        entries.append(account(f"n{i}", "Linear", {name: left}, bias=loss))
    return check_of(*entries)


def residual(blocks):
    """A network of blocks: add, relu, and a branch of two convolutions beside a shortcut."""
    entries = [account("out", "Linear", {f"b{blocks}_relu": 8.0})]
    for i in range(blocks, 0, -1):
        below = f"b{i - 1}_relu" if i > 1 else "x"
        entries += [
            account(f"b{i}_relu", "Activation", {f"b{i}_add": 8.0}),
            account(f"b{i}_add", "Sum", {f"b{i}_fork": 5.0, f"b{i}_conv2": 3.0}),
            account(f"b{i}_conv2", "Linear", {f"b{i}_conv1": 2.0}, bias=1.0),
            account(f"b{i}_conv1", "Linear", {f"b{i}_fork": 3.0}, bias=-1.0),
            account(f"b{i}_fork", "Fork", {below: 8.0}),
        ]
    return check_of(*entries)


def patches(axes, gid):
    return [patch for patch in axes.patches if patch.get_gid() == gid]


def width(patch, end=0):
    """How wide a patch is at its upper (0) or lower (-1) end."""
    vertices = patch.get_path().vertices
    levels = np.unique(vertices[:, 1])
    ends = vertices[vertices[:, 1] == levels[end], 0]
    return np.ptp(ends)


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_streams_are_as_wide_as_the_relevance_that_passes():
    _, axes = plot.flow(BRANCHED)
    sent = [abs(value) for entry in BRANCHED.entries for value in entry.sent]
    for end in (0, -1):
        assert [width(patch, end) for patch in patches(axes, "way")] == pytest.approx(sent)


def test_stubs_are_as_wide_as_what_sinks_took_or_gave():
    _, axes = plot.flow(BRANCHED)
    stubs = patches(axes, "sink")
    assert sorted(width(stub) for stub in stubs) == pytest.approx([1, 1, 2])
    # `gain` passes on -2 of -1: its bias gave -1, which is no loss. It took 1 of what was positive.
    assert [bool(stub.get_hatch()) for stub in stubs] == [False, True, False]


def test_signs_have_the_colours_of_heatmaps():
    _, axes = plot.flow(BRANCHED)
    values = [value for entry in BRANCHED.entries for value in entry.sent]
    for value, patch in zip(values, patches(axes, "way"), strict=True):
        red, _, blue, _ = patch.get_facecolor()
        assert (red > blue) == (value > 0)


def test_every_node_of_a_small_network_has_a_row_and_every_sink_a_number():
    figure, axes = plot.flow(BRANCHED)
    assert len(patches(axes, "stage")) == len(BRANCHED.entries) + 1
    text = words(figure)
    for expected in ("out", "conv", "bias 20 %", "bias 10 %", "inputs 6 (60 %)", "bias 4 (40 %)"):
        assert expected in text
    assert "nodes in" not in text


@pytest.mark.parametrize("check", [chain(*range(30)), residual(9), BRANCHED])
@pytest.mark.parametrize("most", [2, 3, 7])
def test_grouping_loses_no_node_and_no_relevance(check, most):
    whole = read(check)
    drawn = grouped(whole, most)
    assert len(drawn) <= most
    names = [node.name for stage in drawn.stages for node in stage.nodes]
    assert sorted(names) == sorted(node.name for stage in whole.stages for node in stage.nodes)
    for number, stage in enumerate(drawn.stages):
        sent = sum(way.value for way in drawn.leaving(number))
        lost = sum(value for _, value in stage.sinks)
        if not stage.is_input:
            assert stage.incoming == pytest.approx(sent + lost)
    assert all(way.source < way.target for way in drawn.ways)
    assert sum(stage.loss for stage in drawn.stages) == sum(stage.loss for stage in whole.stages)


def test_nodes_where_most_is_lost_stay_on_their_own():
    drawn = grouped(read(chain(0, 0, 0, 5, 0, 0, 0, 7, 0, 0)), 6)
    alone = [stage.nodes[0].name for stage in drawn.stages if len(stage.nodes) == 1]
    assert alone == ["n3", "n7", "x"]


def test_gains_and_losses_within_a_group_do_not_hide_one_another():
    (stage, *_) = grouped(read(chain(3.0, -2.0)), 2).stages
    assert stage.sinks == (("bias", 3.0), ("bias", -2.0))


def test_branches_stay_apart_as_long_as_there_are_rows_for_them():
    drawn = grouped(read(residual(3)), 8)
    assert [label(stage, drawn) for stage in drawn.stages] == [
        "out +2",
        "b3_conv2 … conv1 (2 nodes)",
        "b2_add +2",
        "b2_conv2 … conv1 (2 nodes)",
        "b1_add +2",
        "b1_conv2 … conv1 (2 nodes)",
        "b1_fork",
        "x",
    ]


def test_with_fewer_rows_a_block_is_one():
    drawn = grouped(read(residual(3)), 4)
    assert len(drawn) == 4
    assert all(way.target == way.source + 1 for way in drawn.ways)


def test_a_picture_says_what_it_puts_together():
    assert "47 nodes in 5 rows" in words(plot.flow(residual(9), most=5).figure)


def test_a_ledger_that_does_not_close_is_shouted():
    broken = Check(0.0, chain(1.0).entries, 2.0, 1.0, tolerance=-1.0)
    assert "DOES NOT CLOSE" in words(plot.flow(broken).figure)


def test_names_of_layers_are_no_formulas(tmp_path):
    entries = account("$x_1", "Linear", {"$": 1.0})
    plot.flow(check_of(entries, inputs=("$",))).figure.savefig(tmp_path / "dollars.png")


def test_without_relevance_there_are_numbers_instead_of_percentages():
    check = check_of(account("out", "Linear", {"x": 1.0}, bias=-1.0))
    text = words(plot.flow(check).figure)
    assert "start 0" in text
    assert "%" not in text


def test_given_axes_are_drawn_into():
    panel = Figure().subplots()
    drawn = plot.flow(BRANCHED, axes=panel)
    assert drawn.axes is panel
    assert drawn.figure is panel.figure


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"check": np.ones(3)}, "analyzer.check"),
        ({"check": BRANCHED, "most": 1}, "at least 2"),
        ({"check": BRANCHED, "most": 2.5}, "whole number"),
        ({"check": BRANCHED, "least": 2}, "between 0 and 1"),
        ({"check": BRANCHED, "axes": "here"}, "1 matplotlib Axes"),
        ({"check": check_of(account("a", "Linear", {"x": np.nan}))}, "'a' is not finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        plot.flow(**arguments)


def test_a_check_of_two_inputs_ends_at_both():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Concatenate()([a, b])))
    check = lrpkeras.Analyzer(model, "epsilon").check([np.ones((1, 3)), np.ones((1, 2))])
    drawn = read(check)
    ends = [stage for stage in drawn.stages if stage.is_input]
    assert [stage.nodes[0].name for stage in ends] == ["a", "b"]
    assert sum(stage.incoming for stage in ends) == pytest.approx(check.inputs, rel=1e-5)


def test_a_fork_where_branches_are_rescaled_has_one_row():
    x = keras.Input((4,), name="x")
    branch = keras.layers.Dense(4, name="branch")(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Add()([x, branch])))
    check = lrpkeras.Analyzer(model, "relative").check(np.ones((1, 4)))
    entries = [entry for entry in check.entries if entry.name == "x:fork"]
    (stage,) = [stage for stage in read(check).stages if stage.nodes[0].name == "x:fork"]
    assert len(entries) == 2
    assert stage.incoming == entries[0].incoming
    assert dict(stage.sinks).get("residual rescaling", 0) == entries[0].sinks["residual rescaling"]


@picture
def test_flow_of_branches():
    return plot.flow(BRANCHED)


@picture
def test_flow_of_blocks():
    return plot.flow(residual(4), most=12)


def test_streams_keep_their_room_beside_long_names(tmp_path):
    """And nothing is cut off: names at the left, sinks at the right."""
    inputs = x = keras.Input((4,))
    for number in range(6):
        name = f"a_layer_with_a_name_that_takes_half_a_page_{number}"
        x = keras.layers.Dense(4, "relu", name=name)(x)
    check = lrpkeras.Analyzer(keras.Model(inputs, x), "z_plus").check(np.ones((1, 4), "float32"))
    for most in (3, 40):
        drawn = plot.flow(check, most=most)
        drawn.figure.savefig(tmp_path / "flow.png")
        width = drawn.figure.get_size_inches()[0]
        assert drawn.axes.get_position().width * width >= 3.5
        page = drawn.figure.bbox
        for text in drawn.axes.texts:
            box = text.get_window_extent()
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
