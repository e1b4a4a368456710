"""An explanation: its pictures, its text, its file."""

import numpy as np
import pytest

import lrpkeras
from lrpkeras.errors import InputError

RELEVANCE = np.random.default_rng(2).normal(size=(2, 3, 4, 5, 1))
PHOTOS = np.arange(2.0)[:, None, None, None] * np.ones((2, 8, 10, 3))


def explained(relevance=RELEVANCE, target=((0, 1, 2), (2, 1, 0))):
    """Two samples, three classes."""
    logits = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
    return lrpkeras.Explanation(relevance, logits, np.array(target))


def photos_and_maps(axes):
    """The grey level of the photo below each map, and each map."""
    photos = [panel.images[0].get_array() for panel in axes]
    assert all(photo.shape == (8, 10) for photo in photos)
    maps = np.array([panel.images[1].get_array() for panel in axes])
    return [float(photo[0, 0]) for photo in photos], maps


@pytest.mark.parametrize(
    ("images", "greys"),
    [
        (PHOTOS, [0, 0, 0, 1, 1, 1]),
        (PHOTOS[..., :1], [0, 0, 0, 1, 1, 1]),
        (list(PHOTOS), [0, 0, 0, 1, 1, 1]),
        (PHOTOS[1:], [1] * 6),
        (PHOTOS[1], [1] * 6),
        (PHOTOS[1, :, :, 0], [1] * 6),
    ],
)
def test_maps_of_several_targets_lie_over_their_samples_photo(images, greys):
    shown, maps = photos_and_maps(explained().plot(images).axes)
    assert shown == pytest.approx(greys)  # luminance weights sum to 1 within rounding
    np.testing.assert_array_equal(maps, RELEVANCE.reshape(6, 4, 5))


def test_maps_and_photos_without_channels_are_drawn_too():
    got = explained(RELEVANCE[:, 0, :, :, 0], [0, 1])
    axes = got.plot(np.stack([np.zeros((4, 5)), np.ones((4, 5))])).axes
    assert [float(panel.images[0].get_array()[0, 0]) for panel in axes] == [0, 1]
    np.testing.assert_array_equal(axes[1].images[1].get_array(), RELEVANCE[1, 0, :, :, 0])


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["cat", "dog", "bird"], ["cat", "dog"]),
        (np.array(["cat", "dog", "bird"]), ["cat", "dog"]),
        ({1: "dog"}, ["class 0", "dog"]),
    ],
)
def test_labels_are_a_name_for_each_class_or_a_dict(labels, names):
    axes = explained(RELEVANCE[:, 0], [0, 1]).plot(labels=labels).axes
    assert [panel.get_title().split(":")[0] for panel in axes] == names


@pytest.mark.parametrize(
    ("output", "target", "labels", "title"),
    [
        ([[1.0, -2.5]], [1], None, "class 1: -2.50"),
        ([[1.0, -2.5]], [-1], None, ""),
        ([1.5], [0], ["size"], "size: 1.50"),
        ([[[1.0, 2.0]]], [1], None, "class 1"),
    ],
)
def test_titles_name_class_and_logit_as_far_as_there_are_any(output, target, labels, title):
    got = lrpkeras.Explanation(RELEVANCE[:1, 0], np.array(output), np.array(target))
    assert got.plot(labels=labels).axes[0].get_title() == title


def test_titles_of_ones_own_replace_classes_and_logits():
    axes = explained(RELEVANCE[:, 0], [0, 1]).plot(titles=["left", "right"]).axes
    assert [panel.get_title() for panel in axes] == ["left", "right"]
    axes = explained(RELEVANCE[:, 0], [0, 1]).plot(titles=None).axes
    assert [panel.get_title() for panel in axes] == ["", ""]


@pytest.mark.parametrize(
    ("relevance", "options", "words"),
    [
        (RELEVANCE, {"images": np.ones((5, 8, 10, 3))}, "5 images for 2 samples"),
        (RELEVANCE, {"images": [[1.0], [1.0, 2.0]]}, "image is not one array"),
        (RELEVANCE, {"labels": ["cat"]}, "labels has 1 names, the model has 3 classes"),
        (RELEVANCE, {"labels": ["cat"] * 4}, "labels has 4 names"),
        (RELEVANCE, {"labels": "cat"}, "list of class names"),
        (RELEVANCE, {"labels": 3}, "list of class names"),
        (RELEVANCE[..., 0, 0], {}, r"each map has shape \(4,\).*lrpkeras.plot.series or tokens"),
        (RELEVANCE[..., None], {}, "lrpkeras.plot.volume"),
        ([RELEVANCE, RELEVANCE], {}, "one input's relevance"),
    ],
)
def test_what_an_explanation_cannot_draw_is_refused(relevance, options, words):
    with pytest.raises(InputError, match=words):
        explained(relevance).plot(**options)


def test_a_notebook_shows_the_plot_of_an_explanation():
    assert explained().plot()._repr_png_().startswith(b"\x89PNG")


def test_an_explanation_prints_as_shapes_targets_and_names():
    assert repr(explained(RELEVANCE[:, 0], [0, 1])) == (
        "Explanation(relevance=(2, 4, 5, 1), output=(2, 3), target=[0, 1])"
    )
    one, many = np.ones((9, 4)), np.arange(9)
    layers_of = {"conv": one, "dense": one}
    nested = lrpkeras.Explanation({"a": one, "b": [one, one[:, :2]]}, one, many, layers_of)
    assert repr(nested) == (
        "Explanation(relevance={'a': (9, 4), 'b': [(9, 4), (9, 2)]}, output=(9, 4), "
        "target=[0, 1, 2, 3, 4, ... (9)], layers=['conv', 'dense'])"
    )


@pytest.mark.parametrize(
    ("nest", "names"),
    [
        (lambda a, b: [a, b], ["relevance/0", "relevance/1"]),
        (lambda a, b: {"left": a, "right": b}, ["relevance/left", "relevance/right"]),
        (lambda a, b: {"z": a, "a": b}, ["relevance/z", "relevance/a"]),
        (lambda a, b: {"x": [a, b]}, ["relevance/x/0", "relevance/x/1"]),
    ],
)
def test_saved_relevance_of_several_inputs_is_named_by_their_keys(nest, names, tmp_path):
    arrays = RELEVANCE[:, 0], RELEVANCE[:, 1]
    explained(nest(*arrays), [0, 1]).save(tmp_path / "several.npz")
    with np.load(tmp_path / "several.npz") as file:
        assert {name for name in file if name.startswith("relevance")} == set(names)
        for name, array in zip(names, arrays, strict=True):
            np.testing.assert_array_equal(file[name], array)
