import dataclasses

import keras
import numpy as np
import pytest

from lrpkeras import datasets, demo
from lrpkeras.errors import InputError

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def result() -> demo.Demo:
    return demo.explain_shapes(seed=0)


@pytest.fixture(scope="module")
def model():
    return datasets.shapes_model()


def test_eight_images_are_explained_under_at_least_four_presets(result):
    assert len(result.rows) >= 4
    assert {row.relevance.shape for row in result.rows.values()} == {(8, 48, 48, 3)}


def test_the_explained_classes_are_those_that_the_network_predicts(result, model):
    predicted = np.asarray(model(result.data.images)).argmax(axis=-1).tolist()
    assert result.decisions == list(zip(result.data.labels.tolist(), predicted, strict=True))


@pytest.mark.parametrize("preset", [name for name in demo.PRESETS if "gradient" not in name])
def test_relevance_starts_at_the_winning_logits_and_all_of_it_is_accounted_for(
    result, model, preset
):
    probabilities = np.asarray(model(result.data.images), "float64")
    check = result.rows[preset].check
    head = model.layers[-1]
    hidden = np.asarray(keras.Model(model.input, head.input)(result.data.images), "float64")
    kernel, bias = (np.asarray(weight, "float64") for weight in head.get_weights())
    logits = hidden @ kernel + bias
    assert np.array_equal(logits.argmax(axis=-1), probabilities.argmax(axis=-1))
    # float32 forward passes in another order of operations, folded and not.
    assert check.start == pytest.approx(logits.max(axis=-1).sum(), rel=1e-5)
    assert check.closes
    assert check.start == pytest.approx(check.inputs + sum(check.sinks.values()), rel=1e-4)


@pytest.mark.parametrize("preset", [name for name in demo.PRESETS if "gradient" not in name])
def test_the_maps_add_up_to_what_the_ledger_says_reached_the_inputs(result, preset):
    row = result.rows[preset]
    total = row.relevance.sum(dtype="float64")
    # The ledger runs op by op, the maps come from one compiled graph: float32 rounding apart.
    assert total == pytest.approx(row.check.inputs, rel=1e-4)


@pytest.mark.parametrize("preset", demo.PRESETS)
def test_positive_relevance_lies_in_the_object_more_than_chance_puts_it_there(result, preset):
    assert result.chance == pytest.approx(np.mean([mask.mean() for mask in result.data.masks]))
    assert result.rows[preset].inside > 2 * result.chance


def test_the_share_inside_of_even_relevance_is_the_share_of_the_image():
    masks = datasets.shapes(6, seed=3).masks
    even = np.ones((6, 48, 48, 3), "float32")
    assert demo.share_inside(even, masks) == pytest.approx(masks.mean())


def test_the_share_inside_weighs_images_alike_and_leaves_out_negative_pixels():
    relevance = np.zeros((3, 1, 3, 2))
    relevance[0, 0] = [[4, -1], [1, 0], [-9, 1]]  # 3 inside, 1 outside, negative
    relevance[1, 0] = [[0, 0], [100, 100], [0, 0]]  # all outside
    masks = np.array([[[True, False, False]]] * 3)  # the third image has no relevance at all
    assert demo.share_inside(relevance, masks) == pytest.approx((0.75 + 0 + 0) / 3)


def test_the_picture_has_the_images_and_a_row_for_each_preset(result):
    figure = result.picture()
    bars = len(demo.PRESETS)
    assert len(figure.axes) == (1 + len(demo.PRESETS)) * demo.COUNT + bars
    titles = [axes.get_title() for axes in figure.axes[: demo.COUNT]]
    assert [title.split(",")[0] for title in titles] == [
        datasets.shapes_classes[label] for label in result.data.labels
    ]


def test_a_mistaken_class_is_named_above_the_image(result):
    first = next(iter(result.rows))
    wrong = (result.data.labels + 1) % len(datasets.shapes_classes)
    row = dataclasses.replace(result.rows[first], predicted=wrong)
    mistaken = dataclasses.replace(result, rows={first: row})
    assert mistaken.picture().axes[0].get_title().startswith("cross,\ntaken for")
    assert "0 of 8 images are classified correctly" in str(mistaken)


def test_the_picture_is_written_as_png(result, tmp_path):
    result.save(tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(PNG)


def test_the_table_has_a_line_for_each_preset_with_share_chance_and_ledger(result):
    table = str(result).split("\n\n")[1]
    lines = {line.split()[0]: line.split() for line in table.splitlines()}
    for name, row in result.rows.items():
        share, chance, start, inputs, sinks, verdict = lines[name][1:7]
        assert share == f"{100 * row.inside:.1f}%"
        assert chance == f"{100 * result.chance:.1f}%"
        assert float(start) == pytest.approx(float(inputs) + float(sinks), abs=0.02)
        assert verdict == "closes"


def test_only_the_ledger_of_a_gradient_is_marked(result):
    marked = [line.split()[0] for line in str(result).splitlines() if line.endswith("closes *")]
    assert marked == ["input_x_gradient"]


def test_a_ledger_that_does_not_close_is_shouted(result):
    first = next(iter(result.rows))
    check = result.rows[first].check
    gap = dataclasses.replace(check.entries[0], imbalance=0.5)
    broken = dataclasses.replace(check, entries=(gap, *check.entries[1:]))
    row = dataclasses.replace(result.rows[first], check=broken)
    bad = dataclasses.replace(result, rows={**result.rows, first: row})
    assert not bad.closes
    assert "DOES NOT CLOSE" in str(bad)
    assert "DOES NOT CLOSE" not in str(result)


def test_another_ending_than_png_is_refused():
    with pytest.raises(InputError, match=r"ends in \.png"):
        demo.check_path("demo.pdf")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        demo.check_path(tmp_path / "absent" / "demo.png")
