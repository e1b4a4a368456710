"""What an explanation shows of itself in a notebook: right, small, harmless, and always there."""

import base64
import io
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from end_colours import BLUE, NEUTRAL, RED
from IPython.core.formatters import HTMLFormatter
from PIL import Image

import lrpkeras
from lrpkeras.card import MAPS, card

ALLOWED = {"div", "table", "tr", "th", "td", "img"}
HOSTILE = "<script>alert('1')</script>&\"x"


class Page(HTMLParser):
    """The tags, texts and pictures of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.pictures, self.alternatives = set(), [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        named = dict(attributes)
        if tag == "img":
            kind, data = named["src"].split(",")
            assert kind == "data:image/png;base64"
            image = Image.open(io.BytesIO(base64.b64decode(data)))
            self.pictures.append(np.asarray(image.convert("RGB")))
            self.alternatives.append(named["alt"])
        assert set(named) <= {"style", "alt", "src"}

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


def explained(*shape, count=3, **more):
    rng = np.random.default_rng(0)
    relevance = rng.normal(size=(count, *shape)) if shape else None
    output = np.arange(4.0 * count).reshape(count, 4)
    return lrpkeras.Explanation(
        **{"relevance": relevance, "output": output, "target": np.arange(count) % 4, **more}
    )


def test_a_notebook_shows_the_card():
    explanation = explained(8, 8, 3)
    assert HTMLFormatter()(explanation) == card(explanation)


def test_maps_have_the_colours_of_their_relevance_and_are_titled_with_class_and_logit():
    relevance = np.zeros((2, 8, 8, 3))
    relevance[0, 1, 2], relevance[1, 5, 6] = 2.0, -2.0
    page = Page(card(explained(relevance=relevance, count=2)))
    assert page.alternatives == ["relevance, class 0: 0.00", "relevance, class 1: 5.00"]
    for picture, at, colour in zip(page.pictures, [(1, 2), (5, 6)], [RED, BLUE], strict=True):
        small = picture[::14, ::14]  # 112 / 8
        assert tuple(small[at].tolist()) == colour
        assert (small == NEUTRAL).all(axis=-1).sum() == 63
    assert "±6" in page.text  # three channels of 2


def test_the_table_says_what_is_explained():
    explanation = explained(
        8, 8, 3, count=5, layers={"conv": np.ones((5, 4, 4, 2))}, condition={"conv": (3, 5)}
    )
    text = Page(card(explanation, "z_plus")).text
    for part in ("z_plus", "0 (2 times), 1 (1 times)", "conv: 3, 5", "conv: (5, 4, 4, 2)"):
        assert part in text
    assert "preset" not in Page(card(explanation)).text


def test_an_analyzers_explanation_names_its_preset():
    conv = keras.layers.Conv2D(2, 3, activation="relu", name="conv")
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), conv, keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    analyzer = lrpkeras.Analyzer(model, preset="z_plus")
    images = np.ones((2, 8, 8, 1), "float32")
    page = Page(analyzer.explain(images, [[0, 1], [2, 3]], layers="conv")._repr_html_())
    assert "z_plus" in page.text
    assert len(page.pictures) == 4 + 1


def test_only_the_first_maps_are_drawn_and_looked_at():
    relevance = np.ones((100, 8, 8, 3))
    relevance[MAPS:] = np.nan
    page = Page(card(explained(relevance=relevance, count=100)))
    assert len(page.pictures) == MAPS
    assert "not drawn" not in page.text


def test_maps_of_targets_and_conditions_come_in_order():
    relevance = np.zeros((2, 3, 2, 8, 8, 1))
    relevance[0, 2, 1, 4, 4] = 1.0
    explanation = explained(
        relevance=relevance,
        count=2,
        target=np.array([[0, 1, 2], [1, 2, 3]]),
        condition=({"conv": (0,)}, {"conv": (7,)}),
    )
    page = Page(card(explanation))
    assert page.alternatives[5:7] == [
        "relevance, class 2: 2.00\nconv: 7",
        "relevance, class 1: 5.00\nconv: 0",
    ]
    assert "conv: 0; conv: 7" in page.text
    assert [(picture == NEUTRAL).all() for picture in page.pictures] == [True] * 5 + [
        False,
        True,
        True,
    ]


def test_large_maps_are_summed_in_blocks():
    relevance = np.zeros((1, 224, 224, 1))
    relevance[0, 0, 0], relevance[0, 1, 1] = 5.0, -5.0  # of one block
    relevance[0, 10, 20] = 1.0
    page = Page(card(explained(relevance=relevance, count=1)))
    (picture,) = page.pictures
    assert picture.shape[:2] == (112, 112)
    assert tuple(picture[0, 0].tolist()) == NEUTRAL
    assert tuple(picture[5, 10].tolist()) == RED
    assert "2 × 2 pixels summed" in page.text


@pytest.mark.parametrize(
    ("shape", "height"),
    [((20,), 56), ((500,), 56), ((300, 4), 56), ((9, 20, 24, 1), 80), ((28, 28), 112), ((1,), 56)],
)
def test_vectors_series_and_volumes_have_pictures_too(shape, height):
    page = Page(card(explained(*shape)))
    assert [picture.shape[0] for picture in page.pictures] == [height] * 3


def test_several_inputs_share_the_pictures():
    rng = np.random.default_rng(0)
    relevance = {"photo": rng.normal(size=(9, 8, 8, 3)), "age": rng.normal(size=(9, 5))}
    page = Page(card(explained(relevance=relevance, count=9)))
    assert len(page.pictures) == MAPS
    assert "Input photo, (9, 8, 8, 3)" in page.text
    many = Page(card(explained(relevance=[np.ones((2, 3))] * 11, count=2)))
    assert len(many.pictures) == MAPS
    assert "3 more inputs are not drawn" in many.text


@pytest.mark.parametrize(
    ("relevance", "told"),
    [
        (np.ones((3, 2, 2, 2, 9, 20)), "too many axes"),
        (np.full((3, 8, 8, 1), np.nan), "NaN"),
        (np.full((3, 8, 8, 1), 1e300), "too large"),
        (np.ones((3, 8, 0, 1)), "empty"),
        (np.ones((4, 8, 8, 1)), "its axes are not those of samples"),
    ],
)
def test_what_cannot_be_drawn_is_told(relevance, told):
    page = Page(card(explained(relevance=relevance)))
    assert page.pictures == []
    assert told in page.text


def test_no_samples_are_no_pictures():
    explanation = explained(relevance=np.ones((0, 8, 8, 1)), count=0)
    assert "there are no samples" in Page(card(explanation)).text


def test_relevance_that_starts_from_an_array_has_no_class():
    page = Page(card(explained(8, 8, 3, target=np.full(3, -1), output=np.zeros((3, 8, 8, 4)))))
    assert "relevance starts from an array" in page.text
    assert page.alternatives == ["relevance, "] * 3


def test_text_of_users_is_no_markup():
    explanation = explained(
        relevance={HOSTILE: np.ones((3, 8, 8, 3))},
        layers={HOSTILE: np.ones((3, 4, 4, 2))},
        condition={HOSTILE: (1,)},
    )
    html = card(explanation, HOSTILE)
    page = Page(html)
    assert page.tags == ALLOWED
    assert "<script" not in html
    assert page.text.count(HOSTILE) >= 4  # what was escaped is read as it was written


def test_a_card_of_noise_is_smaller_than_300_kilobytes():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 224, 224, 3)).astype("float32")
    layers = {str(n): noise for n in range(6)}
    html = card(explained(relevance=noise, count=8, layers=layers))
    assert len(html.encode()) < 300_000
    assert "2 more layers are not drawn" in html
