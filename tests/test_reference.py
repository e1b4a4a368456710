"""Trained networks and real photos: exact predictions, finite maps, ledgers that close."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import lrpkeras

pytestmark = pytest.mark.reference

PRESETS = ("epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon_plus_box", "epsilon")
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
DOZEN = slice(0, 500, 42)


@pytest.fixture(scope="module")
def photos(data_folder):
    """500 photos as MobileNet takes them, and their classes.

    Decoded exactly: the faster decoder, TensorFlow's default, changes one prediction.
    """
    files = sorted((data_folder / "imagenet_dev").glob("*.jpg"))
    images = [
        tf.io.decode_jpeg(file.read_bytes(), channels=3, dct_method="INTEGER_ACCURATE")
        for file in files
    ]
    labels = np.array([int(file.stem.split("_")[1]) for file in files])
    return np.stack(images) / np.float32(127.5) - 1, labels


@pytest.fixture(scope="module")
def mobilenet_file(data_folder):
    return data_folder / "mobilenet_0.25_224_imagenet.keras"


@pytest.fixture(scope="module")
def mobilenet(mobilenet_file):
    return keras.saving.load_model(mobilenet_file, compile=False)


@pytest.fixture(scope="module")
def faces(data_folder):
    with np.load(data_folder / "faces.npz") as file:
        return file["x64"].astype("float32") / 127.5 - 1


@pytest.fixture(scope="module")
def xception_file(data_folder):
    return data_folder / "fer2013_mini_XCEPTION.110-0.65.keras"


@pytest.fixture(scope="module")
def stated(data_folder):
    """Top-1 and top-5 of MobileNet on the photos, in percent, as the folder's README states."""
    readme = (data_folder / "README.md").read_text()
    return [
        float(x) for x in re.search(r"Top-1/top-5.*?: ([\d.]+) % / ([\d.]+) %", readme).groups()
    ]


def test_mobilenets_predictions_are_those_of_keras_and_as_often_right_as_stated(
    mobilenet, mobilenet_file, photos, stated
):
    images, labels = photos
    explanation = lrpkeras.Analyzer(mobilenet_file).explain(images, batch_size=50, verbose=0)
    ranked = explanation.output.argsort(axis=1)[:, ::-1]
    right = ranked == labels[:, None]
    assert [round(100 * right[:, :k].any(axis=1).mean(), 1) for k in (1, 5)] == stated
    assert int(right[:, 0].sum()) == 286
    np.testing.assert_array_equal(explanation.target, ranked[:, 0])
    probabilities = mobilenet.predict(images, batch_size=50, verbose=0)
    np.testing.assert_array_equal(ranked[:, 0], probabilities.argmax(axis=1))
    # 27 folded normalizations in float32; a logit is about 10.
    np.testing.assert_allclose(keras.ops.softmax(explanation.output), probabilities, atol=1e-4)
    assert np.isfinite(explanation.relevance).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_mobilenets_maps_are_finite_and_its_ledger_closes(mobilenet, photos, preset):
    images = photos[0][DOZEN]
    analyzer = lrpkeras.Analyzer(mobilenet, preset, input_range=(-1, 1))
    relevance = analyzer(images).numpy()
    assert relevance.shape == images.shape
    assert np.isfinite(relevance).all()
    assert (np.abs(relevance).sum(axis=(1, 2, 3)) > 0).all()
    check = analyzer.check(images)
    assert check.closes, str(check)
    assert check.fidelity < 1e-5
    assert check.start == pytest.approx(check.inputs + sum(check.sinks.values()), rel=1e-3)


def test_a_flow_of_mobilenet_shows_that_biases_take_nearly_all_of_the_logit(mobilenet, photos):
    check = lrpkeras.Analyzer(mobilenet, "z_plus").check(photos[0][:1])
    assert check.sinks["bias"] > 0.999 * check.start
    _, axes = lrpkeras.plot.flow(check)
    bars = [patch.get_extents() for patch in axes.patches if patch.get_gid() == "stage"]
    assert bars[-1].width < 1e-3 * bars[0].width
    figures = [label.get_text() for label in axes.get_yticklabels()]
    assert figures[0] == "100 %"
    assert float(figures[-1].removesuffix(" %")) == pytest.approx(
        100 * check.inputs / check.start, rel=1e-2
    )


def test_all_of_mobilenets_normalizations_fold(mobilenet):
    analyzer = lrpkeras.Analyzer(mobilenet, verify=False)
    folded = {name for node in analyzer.graph for name in node.layers if "bn" in name}
    norms = [
        layer.name
        for layer in mobilenet.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 27
    assert folded == set(norms)
    assert not [node for node in analyzer.graph if node.kind == "Affine"]


@pytest.mark.parametrize("preset", PRESETS)
def test_four_of_four_faces_are_right_and_their_maps_sound(xception_file, faces, preset):
    analyzer = lrpkeras.Analyzer(xception_file, preset, input_range=(-1, 1))
    explanation = analyzer.explain(faces[:4], verbose=0)
    assert [EMOTIONS[i] for i in explanation.target] == ["happy", "surprise", "sad", "angry"]
    assert explanation.relevance.shape == (4, 64, 64, 1)
    assert np.isfinite(explanation.relevance).all()
    check = analyzer.check(faces[:4])
    assert check.closes, str(check)
    assert check.fidelity < 1e-5


def test_a_model_of_a_list_of_one_takes_arrays_and_lists_without_a_warning(xception_file, faces):
    analyzer = lrpkeras.Analyzer(xception_file)
    plain = analyzer(faces[:2])
    (listed,) = analyzer([faces[:2]])
    np.testing.assert_array_equal(plain, listed)


def test_mobilenet_gives_its_logit_to_biases_under_z_plus(mobilenet, photos):
    # The README says so: no map's sum may be taken for the whole of the logit.
    analyzer = lrpkeras.Analyzer(mobilenet, "epsilon_plus_flat")
    check = analyzer.check(photos[0][DOZEN][:4])
    assert check.sinks["bias"] > 0.999 * check.start


def test_a_saved_model_gives_the_maps_of_the_keras_model(mobilenet, photos, tmp_path):
    images = photos[0][DOZEN]
    mobilenet.export(str(tmp_path / "mobilenet"), verbose=False)
    got, expected = (
        lrpkeras.Analyzer(model).explain(images, verbose=0)
        for model in (tmp_path / "mobilenet", mobilenet)
    )
    np.testing.assert_array_equal(got.target, expected.target)
    gap = np.abs(got.relevance - expected.relevance).max(axis=(1, 2, 3))
    # Float32 adds up in another order.
    assert np.all(gap <= 1e-4 * np.abs(expected.relevance).max(axis=(1, 2, 3)))


def test_the_default_preset_in_bfloat16_correlates_with_float32_by_0_999(photos, mobilenet):
    images = photos[0][DOZEN]
    target = np.argmax(mobilenet.predict(images, verbose=0), axis=-1)
    maps = [
        lrpkeras.Analyzer(mobilenet, precision=precision)
        .explain(images, target=target, verbose=0)
        .relevance
        for precision in (None, "bfloat16")
    ]
    for one, other in zip(*maps, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] >= 0.999
