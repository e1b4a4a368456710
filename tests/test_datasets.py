"""Generated shapes and the network that ships with the package."""

import importlib.resources
import importlib.util
import json
import tomllib
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import lrpkeras.datasets
from lrpkeras.datasets import Shapes, shapes, shapes_classes, shapes_model
from lrpkeras.errors import InputError, LrpError, ModelError

MODEL_FILE = Path(lrpkeras.datasets.__file__).parent / "data" / "shapes.keras"
REPOSITORY = Path(__file__).parents[1]
TRAINING_SCRIPT = REPOSITORY / "experiments" / "train_shapes.py"

# Area over the squared distance of the farthest point from the centre, from plane geometry.
AREA_BY_SQUARED_RADIUS = {
    "circle": np.pi,
    "square": 2.0,
    "triangle": 3 * np.sqrt(3) / 4,
    "cross": 4 * (2 * 0.95 * 0.3 - 0.3**2) / (0.95**2 + 0.3**2),  # two bars, less their overlap
    "ring": np.pi * (1 - 0.6**2),
    "star": 5 * np.sin(np.pi / 5) * np.cos(2 * np.pi / 5) / np.cos(np.pi / 5),  # ten triangles
}


@pytest.fixture(scope="module")
def many() -> Shapes:
    return shapes(1200, seed=11)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return shapes_model()


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("train_shapes", TRAINING_SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shapes_have_the_documented_types_and_ranges(many):
    assert many.images.shape == (1200, 48, 48, 3)
    assert many.images.dtype == np.float32
    assert many.images.min() >= 0
    assert many.images.max() <= 1
    assert many.labels.shape == (1200,)
    assert many.labels.dtype == np.int64
    assert many.masks.shape == (1200, 48, 48)
    assert many.masks.dtype == np.bool_


def test_the_same_seed_gives_the_same_data():
    for first, second in zip(shapes(20, seed=4), shapes(20, seed=4), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_data():
    first, second = shapes(20, seed=4), shapes(20, seed=5)
    assert not any(np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True))


@pytest.mark.parametrize("n", [1, 7, 300])
def test_a_shorter_draw_is_the_start_of_a_longer_one(n):
    for short, long in zip(shapes(n, seed=2), shapes(600, seed=2), strict=True):
        np.testing.assert_array_equal(short, long[:n])


def test_no_two_images_are_the_same(many):
    assert len(np.unique(many.images.reshape(1200, -1), axis=0)) == 1200


def test_drawing_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()
    shapes(3, seed=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_every_run_of_six_images_holds_every_class(many):
    assert len(shapes_classes) == 6
    runs = np.sort(many.labels.reshape(-1, 6), axis=1)
    np.testing.assert_array_equal(runs, np.tile(np.arange(6), (200, 1)))


def test_the_order_of_the_classes_is_random(many):
    assert len(np.unique(many.labels.reshape(-1, 6), axis=0)) > 100  # of 720 possible ones


def test_the_mask_is_exactly_the_pixels_of_the_objects_colour(many):
    for image, mask in zip(many.images, many.masks, strict=True):
        colour = image[mask][0]
        np.testing.assert_array_equal((image == colour).all(axis=-1), mask)


def test_the_background_is_never_near_the_objects_colour(many):
    for image, mask in zip(many.images, many.masks, strict=True):
        distance = np.abs(image[~mask] - image[mask][0])
        assert distance.min() >= 0.02 - 1e-5  # rounding of float32 sums of a few terms below 1


def test_the_background_is_textured_around_every_object(many):
    spread = [image[~mask].std(axis=0).max() for image, mask in zip(*many[::2], strict=True)]
    assert min(spread) > 0.02


@pytest.mark.parametrize("name", shapes_classes)
def test_the_mask_has_the_area_that_geometry_gives_its_class(many, name):
    masks = many.masks[many.labels == shapes_classes.index(name)]
    ratios = []
    for mask in masks:
        points = np.argwhere(mask) - np.argwhere(mask).mean(axis=0)
        radius = np.sqrt((points**2).sum(axis=1).max()) + 0.5  # to the pixel's edge
        ratios.append(mask.sum() / radius**2)
    # Half a pixel at a radius of 10 to 18 is up to 5 % of the radius, 10 % of its square.
    np.testing.assert_allclose(np.mean(ratios), AREA_BY_SQUARED_RADIUS[name], rtol=0.1)


def test_objects_cover_a_moderate_share_of_the_image_and_lie_within_it(many):
    share = many.masks.mean(axis=(1, 2))
    assert 0.05 < share.mean() < 0.3
    assert share.min() > 0.03
    assert share.max() < 0.35
    # A circle of radius 18 that touches a border has at most 9 pixel centres beside it:
    # the chord half a pixel inside is 2 sqrt(18^2 - 17.5^2) = 8.4 pixels long.
    borders = np.concatenate([many.masks[:, [0, -1]], many.masks[:, :, [0, -1]].swapaxes(1, 2)], 1)
    assert borders.sum(axis=2).max() <= 9


def test_colour_does_not_give_away_the_class(many):
    colours = np.stack([i[m][0] for i, m in zip(many.images, many.masks, strict=True)])
    backgrounds = np.stack([i[~m].mean(0) for i, m in zip(many.images, many.masks, strict=True)])
    for values in (colours, backgrounds):
        means = np.stack([values[many.labels == label].mean(axis=0) for label in range(6)])
        # Standard error of a mean of 200 numbers that are uniform in [0, 1]: 0.0204.
        assert np.abs(means - values.mean(axis=0)).max() < 4 * np.sqrt(1 / 12 / 200)


@pytest.mark.parametrize(
    ("n", "seed"),
    [(0, 0), (-1, 0), (2.5, 0), ("8", 0), (None, 0), (True, 0), (8, -1), (8, 0.5), (8, None)],
)
def test_a_bad_argument_is_an_error_that_names_it(n, seed):
    named = "seed" if n == 8 else "n"
    with pytest.raises(InputError, match=f"^{named} must be a whole number") as caught:
        shapes(n, seed)
    assert isinstance(caught.value, LrpError)


def test_numpy_integers_are_whole_numbers():
    np.testing.assert_array_equal(shapes(np.int32(2), np.uint8(3)).images, shapes(2, 3).images)


def test_the_shipped_model_names_more_than_97_percent_of_fresh_images(model):
    images, labels, _ = shapes(1000, seed=20_260)
    winners = model.predict(images, verbose=0).argmax(axis=1)
    assert np.mean(winners == labels) > 0.97


def test_the_shipped_model_is_the_one_that_the_training_script_builds(model, training):
    built = training.build_model()
    assert model.to_json() == built.to_json()
    assert 40_000 <= model.count_params() <= 100_000


def test_the_training_seeds_are_those_that_shapes_declares_used(training):
    assert training.FIRST_TRAINING_SEED == 1_000_000
    assert max(training.TEST_SEEDS) < training.FIRST_TRAINING_SEED


def test_every_batch_normalization_of_the_shipped_model_was_trained(model):
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(layers) == 10
    for layer in layers:
        for variable, untrained in [(layer.gamma, 1), (layer.beta, 0), (layer.moving_mean, 0)]:
            assert not np.allclose(variable.numpy(), untrained)
        assert (layer.moving_variance.numpy() > 0).all()


def test_the_shipped_file_is_small_and_holds_no_training_state():
    assert MODEL_FILE.stat().st_size < 500_000
    with zipfile.ZipFile(MODEL_FILE) as archive:
        assert not json.loads(archive.read("config.json"))["compile_config"]
        with archive.open("model.weights.h5") as weights, h5py.File(weights) as file:
            assert "optimizer" not in file


def test_the_shipped_file_was_saved_by_the_oldest_supported_keras():
    """Older versions refuse what newer ones save: Keras 3.12 cannot read a file of 3.15."""
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    oldest = next(x for x in dependencies["dependencies"] if x.startswith("keras>="))
    with zipfile.ZipFile(MODEL_FILE) as archive:
        saved_by = json.loads(archive.read("metadata.json"))["keras_version"]
    assert saved_by.startswith(oldest.removeprefix("keras>="))


def test_each_load_gives_a_model_of_its_own(model):
    other = shapes_model()
    other.get_layer("head").set_weights([w * 0 for w in other.get_layer("head").get_weights()])
    assert np.abs(model.get_layer("head").get_weights()[0]).max() > 0


def test_a_missing_model_file_is_an_error_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(ModelError, match="reinstall lrpkeras"):
        shapes_model()


@pytest.mark.slow
def test_a_quick_training_run_saves_a_model_that_loads(training, tmp_path):
    path = tmp_path / "new" / "quick.keras"
    training.main(["--quick", "--out", str(path)])
    quick = keras.saving.load_model(path, compile=False)
    assert quick.to_json() == training.build_model().to_json()
    assert path.stat().st_size < 500_000
