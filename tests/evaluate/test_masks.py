"""Measures against masks: maps that are the mask, maps beside it, and noise."""

import tracemalloc

import numpy as np
import pytest

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.evaluate import (
    Curve,
    Measure,
    mask_distance,
    mask_share,
    pointing_game,
    relevance_mass,
    relevance_rank,
)

N = 300
IMAGES, LABELS, MASKS = lrpkeras.datasets.shapes(N, seed=3)
MEASURES = (mask_share, mask_distance, relevance_mass, relevance_rank, pointing_game)
QUIET = {"target": 0, "verbose": 0}

pytest.importorskip("scipy", reason="distances from masks need scipy")


def square():
    """Return an image's mask: 4 x 4 pixels in the upper left of 8 x 8."""
    mask = np.zeros((1, 8, 8), bool)
    mask[0, :4, :4] = True
    return mask


def test_a_map_that_is_the_mask_is_perfect():
    maps = MASKS.astype("float32")
    small = [1, 5]  # no object of this data set is smaller than 5 % of its image
    assert MASKS.mean(axis=(1, 2)).min() > 0.05
    assert mask_share(maps, IMAGES, MASKS, percentages=small, **QUIET).values.min() == 1
    assert mask_distance(maps, IMAGES, MASKS, percentages=small, **QUIET).values.max() == 0
    for measure in (relevance_mass, relevance_rank, pointing_game):
        assert measure(maps, IMAGES, MASKS, **QUIET).values.tolist() == [1] * N


def test_a_map_beside_the_mask_is_worthless():
    maps = -MASKS.astype("float32")
    maps[~MASKS] += 1
    assert mask_share(maps, IMAGES, MASKS, percentages=[1, 20], **QUIET).values.max() == 0
    for measure in (relevance_mass, relevance_rank, pointing_game):
        assert measure(maps, IMAGES, MASKS, **QUIET).values.max() == 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float16", "float64"])
@pytest.mark.parametrize("measure", MEASURES)
def test_maps_of_any_type_of_numbers_mean_the_same(measure, dtype):
    """Unsigned, zero would come before one; in half precision, 40,000 times 100 is infinite."""
    mask = np.zeros((1, 200, 200), bool)
    mask[0, :100] = True
    x = np.zeros((1, 200, 200, 1), "float32")
    result = measure((100 * mask).astype(dtype), x, mask, **QUIET)
    values = result.value_at(50).values if isinstance(result, Curve) else result.values
    assert values.tolist() == [0 if measure is mask_distance else 1]


@pytest.mark.parametrize("constant", [False, True])
def test_noise_and_maps_of_one_value_are_at_chance(constant):
    """The mean is within four standard errors of it."""
    noise = np.random.default_rng(0).uniform(size=MASKS.shape).astype("float32")
    maps = np.ones_like(noise) if constant else noise
    for measure in MEASURES:
        result = measure(maps, IMAGES, MASKS, **QUIET)
        each = [result.value_at(5), result.value_at(50)] if isinstance(result, Curve) else [result]
        for one in each:
            away = one.minus(Measure("chance", one.chance))
            error = away.values.std() / np.sqrt(N)
            assert abs(away.mean) <= 4 * error + 1e-6, measure.__name__


def test_chance_is_what_the_masks_are():
    share = MASKS.mean(axis=(1, 2))
    maps = MASKS.astype("float32")
    for measure in (mask_share, relevance_mass, relevance_rank, pointing_game):
        assert measure(maps, IMAGES, MASKS, **QUIET).chance == pytest.approx(share)


def test_shares_are_counted():
    """Of the three most relevant of 64 pixels (5 %), one lies on the object."""
    relevance = np.zeros((1, 8, 8), "float32")
    relevance[0, 0, 0], relevance[0, 7, 7], relevance[0, 7, 6] = 1, 3, 2
    x = np.zeros((1, 8, 8, 1), "float32")
    result = mask_share(relevance, x, square(), percentages=[1, 3, 5], **QUIET)
    assert result.values.tolist() == [[0, 0, pytest.approx(1 / 3)]]
    negative = mask_share(-relevance, x, square(), absolute=True, percentages=[5], **QUIET)
    assert negative.values.tolist() == [[pytest.approx(1 / 3)]]


def test_distances_are_from_the_nearest_pixel_of_the_object():
    """The corner (7, 7) is 4 rows and 4 columns away from (3, 3), and farthest of all."""
    relevance = np.zeros((1, 8, 8), "float32")
    relevance[0, 7, 7] = 3
    relevance[0, 1, 6] = 2  # 3 columns beside the object
    relevance[0, 2, 2] = 1
    x = np.zeros((1, 8, 8, 1), "float32")
    result = mask_distance(relevance, x, square(), percentages=[1, 3, 5], **QUIET)
    farthest = np.sqrt(32)
    expected = [1, (1 + 3 / farthest) / 2, (1 + 3 / farthest) / 3]
    assert result.values[0] == pytest.approx(expected)


def test_mass_is_the_share_of_the_positive_relevance_of_pixels():
    relevance = np.zeros((1, 8, 8, 2), "float32")
    relevance[0, 0, 0] = (5, -2)  # a pixel of 3
    relevance[0, 7, 7] = (1, 0)
    relevance[0, 6, 6] = (2, -9)  # a pixel of -7, which counts for nothing
    x = np.zeros((1, 8, 8, 2), "float32")
    assert relevance_mass(relevance, x, square(), **QUIET).values.tolist() == [0.75]
    assert relevance_mass(-np.abs(relevance), x, square(), **QUIET).values.tolist() == [0]


def test_rank_takes_as_many_pixels_as_the_object_has():
    relevance = np.arange(64, dtype="float32").reshape(1, 8, 8)
    x = np.zeros((1, 8, 8, 1), "float32")
    # The 16 highest are the two lowest rows: none is on the object, in the rows above.
    assert relevance_rank(relevance, x, square(), **QUIET).values.tolist() == [0]
    # The other way round they are the two upper rows, of which half is on it.
    assert relevance_rank(-relevance, x, square(), **QUIET).values.tolist() == [0.5]


def test_the_pointing_game_forgives_as_many_pixels_as_it_is_told():
    relevance = np.zeros((1, 8, 8), "float32")
    relevance[0, 1, 5] = 1  # two columns beside the object
    x = np.zeros((1, 8, 8, 1), "float32")
    hits = [
        pointing_game(relevance, x, square(), tolerance=pixels, **QUIET).mean
        for pixels in (0, 1, 2, 3)
    ]
    assert hits == [0, 0, 1, 1]


def test_of_equal_highest_pixels_the_share_that_hits_counts():
    relevance = np.zeros((1, 8, 8), "float32")
    relevance[0, [0, 7, 7, 7], [0, 5, 6, 7]] = 1
    x = np.zeros((1, 8, 8, 1), "float32")
    assert pointing_game(relevance, x, square(), **QUIET).mean == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_batches_do_not_matter_and_neither_does_where_relevance_comes_from(measure):
    """The shipped network's maps hit the object more often than chance, whoever makes them."""
    analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model(), verify=False)
    x, masks, labels = IMAGES[:7], MASKS[:7], LABELS[:7]
    first = measure(analyzer, x, masks, labels, verbose=0)
    better = -1 if measure is mask_distance else 1
    assert better * np.mean(first.values) > better * first.chance.mean()
    maps = np.asarray(analyzer(x, labels))
    for explainer, size in ((analyzer, 2), (maps, 3), (lambda x, target: analyzer(x, target), 4)):
        other = measure(explainer, x, masks[..., None], labels, batch_size=size, verbose=0)
        assert other.values == pytest.approx(first.values, abs=0.02)


@pytest.mark.parametrize("measure", MEASURES)
def test_masks_take_no_memory_as_numbers_but_a_batch_at_a_time(measure):
    """All as float64 are 10 MB; ranks and lots of four are 0.5 MB or less each."""
    masks = np.zeros((128, 100, 100), bool)
    masks[:, 30:60, 30:60] = True
    x = np.zeros((*masks.shape, 1), "float32")
    maps = np.random.default_rng(0).random(masks.shape, "float32")
    tracemalloc.start()
    measure(maps, x, masks, batch_size=4, **QUIET)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (MASKS[:3, :40], "masks are true"),
        (MASKS[:2], "masks are true"),
        ([MASKS[0], MASKS[1, :40], MASKS[2]], "of different shapes"),
        (MASKS[:3] * 0.5, "masks are true"),
        (MASKS[:3] & False, r"The masks of samples \[0, 1, 2\] are empty"),
    ],
)
def test_masks_that_do_not_fit_are_refused(measure, masks, message):
    with pytest.raises(InputError, match=message):
        measure(MASKS[:3].astype("float32"), IMAGES[:3], masks, **QUIET)


@pytest.mark.parametrize("measure", MEASURES)
def test_without_a_model_the_target_must_be_told(measure):
    with pytest.raises(InputError, match="A model decides"):
        measure(MASKS.astype("float32"), IMAGES, MASKS, verbose=0)


def test_a_tolerance_below_zero_is_refused():
    with pytest.raises(InputError, match="tolerance"):
        pointing_game(MASKS.astype("float32"), IMAGES, MASKS, tolerance=-1, **QUIET)


def test_the_plots_show_chance():
    maps = MASKS.astype("float32")
    _, axes = mask_share(maps, IMAGES, MASKS, **QUIET).plot()
    assert [line.get_label() for line in axes.lines] == ["share on the object", "chance"]
    _, axes = relevance_mass(maps, IMAGES, MASKS, **QUIET).plot()
    assert [line.get_label() for line in axes.lines] == ["mean 1", "chance"]
