"""What a page says, and that nothing in it runs but its own script."""

import base64
import dataclasses
import hashlib
import json
import math
import sys
from io import BytesIO

import keras
import numpy as np
import pytest
from PIL import Image
from report_pages import HOSTILE, Page, about, check, explained, heavy_tailed

import lrpkeras
from lrpkeras.errors import InputError, LrpError
from lrpkeras.evaluate import Curve, Flipping, Measure
from lrpkeras.report.places import read_places
from lrpkeras.report.samples import json_in_page

PHOTO4 = np.random.default_rng(4).uniform(size=(4, 24, 20, 3))
PHOTOS = np.random.default_rng(0).uniform(size=(3, 24, 20, 3))


def written(folder, explanation=None, *arguments, **options):
    return Page((explanation or explained()).report(folder / "page.html", *arguments, **options))


def curve(name, samples=3):
    values = np.linspace(5, 1, 4) + np.random.default_rng(len(name)).normal(size=(samples, 4))
    return Curve(name, np.linspace(0, 1, 4), values, "share flipped")


def test_values_and_sums_are_those_of_the_arrays(tmp_path):
    explanation = explained(layers=[("conv", (5, 4, 7)), ("dense", (6,))])
    page = written(tmp_path, explanation)
    arrays = [explanation.relevance, *explanation.layers.values()]
    assert [place["name"] for place in page.data["places"]] == ["input", "conv", "dense"]
    for number in range(3):
        for position, array in enumerate(arrays):
            summed = array[number].sum(axis=-1) if position < 2 else array[number][:, None]
            got, largest = page.maps(number, position), np.abs(summed).max(axis=(1, 2))
            # Half a level at the largest value of 32767 levels whose squares are kept.
            assert (np.abs(got - summed) <= largest[:, None, None] / 32766).all()
            sums = page.sample(number)["places"][position]["sums"]
            np.testing.assert_allclose(sums, summed.sum(axis=(1, 2)), rtol=1e-9, atol=1e-12)


def test_a_page_that_must_be_small_adds_up_neighbours_and_says_so(tmp_path):
    explanation = explained(8, 2, (64, 64, 1), [("conv", (32, 32, 4))])
    page = written(tmp_path, explanation, megabytes=0.1)
    assert page.path.stat().st_size < 100_000
    place, layer = page.data["places"]
    assert place["rows"] < 64
    assert layer["rows"] == place["rows"] / 2
    factor = 64 // place["rows"]
    size = f"{place['rows']} × {place['rows']}"
    assert f"{size} values of 64 × 64, sums of {factor} × {factor}" in page.text
    summed = explanation.relevance[0, ..., 0]
    summed = summed.reshape(2, place["rows"], factor, -1, factor).sum(axis=(2, 4))
    largest = np.abs(summed).max(axis=(1, 2), keepdims=True)
    assert (np.abs(page.maps(0) - summed) <= largest / 126).all()
    assert "kept in 8 bits" in page.text
    with pytest.raises(InputError, match="explain fewer samples, classes or layers"):
        written(tmp_path, explanation, megabytes=0.05)


@pytest.mark.slow
def test_two_hundred_photos_of_three_classes_stay_below_twenty_megabytes(tmp_path):
    """Noise, that is: maps of networks take half of it."""
    layers = [("conv1", (112, 112, 1)), ("conv2", (56, 56, 1)), ("conv3", (14, 14, 1))]
    explanation = explained(200, 3, (224, 224, 1), layers)
    photos = np.random.default_rng(0).uniform(size=(200, 28, 28, 3))
    photos = photos.repeat(8, axis=1).repeat(8, axis=2)
    page = explanation.report(tmp_path / "page.html", photos)
    assert page.stat().st_size < 20e6


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [
        ((8, 6, 3), "image", (8, 6)),
        ((3, 16, 12), "image", (16, 12)),
        ((28, 28), "image", (28, 28)),
        ((100, 3), "series", (1, 100)),
        ((9,), "vector", (1, 9)),
        ((1, 1, 9), "vector", (1, 9)),
        ((), "vector", (1, 1)),
    ],
)
def test_the_shape_decides_what_relevance_is_shown_as(shape, kind, size):
    relevance = heavy_tailed((2, 3, *shape))
    [place], left_out = read_places(
        lrpkeras.Explanation(relevance, np.ones((2, 5)), np.zeros((2, 3), int))
    )
    assert (place.kind, place.size, left_out) == (kind, size, [])
    np.testing.assert_allclose(
        place.maps.sum(axis=(2, 3)), relevance.reshape(2, 3, -1).sum(axis=-1), atol=1e-12
    )


def test_of_several_inputs_those_that_can_be_drawn_are(tmp_path):
    relevance = {"scan": heavy_tailed((2, 6, 6, 1)), "age": heavy_tailed((2, 3))}
    volume = {**relevance, "body": heavy_tailed((2, 4, 4, 4, 1))}
    explanation = lrpkeras.Explanation(volume, np.ones((2, 3)), np.zeros(2, int))
    shown = {"scan": PHOTOS[:2], "age": np.array([[1.5, 2, 3], [4, 5, 6]])}
    page = written(tmp_path, explanation, shown)
    kinds = {place["name"]: place["kind"] for place in page.data["places"]}
    assert kinds == {"scan": "image", "age": "vector"}
    assert "Not drawn: body (4 × 4 × 4 × 1)" in page.text
    assert page.sample(0)["values"] == {"age": [[1.5, 2, 3]]}
    assert list(page.sample(0)["photos"]) == ["scan"]
    two = lrpkeras.Explanation(list(relevance.values()), np.ones((2, 3)), np.zeros(2, int))
    assert [place.name for place in read_places(two)[0]] == ["input 0", "input 1"]


SCAN, BODY, AGE = (4, 6, 6, 1), (4, 3, 4, 4, 1), (4, 3)


@pytest.mark.parametrize(
    ("inputs", "images", "shown"),
    [
        ({"a": {"b": SCAN, "c": AGE}}, {"a": {"b": PHOTO4, "c": None}}, ["a/b"]),
        ({"a": {"b": SCAN, "c": AGE}}, {"a": {"b": PHOTO4}}, ["a/b"]),
        ([SCAN, BODY], [PHOTO4, None], ["input 0"]),
        ([SCAN, BODY], [PHOTO4, np.ones(BODY)], ["input 0"]),
        ([SCAN, AGE], (PHOTO4, np.ones(AGE)), ["input 0", "input 1"]),
        ([SCAN], PHOTO4, ["input 0"]),
        ([SCAN], [PHOTO4], ["input 0"]),
        ([SCAN], list(PHOTO4), ["input 0"]),
    ],
)
def test_images_are_nested_like_the_inputs(tmp_path, inputs, images, shown):
    relevance = keras.tree.map_shape_structure(heavy_tailed, inputs)
    page = written(
        tmp_path, lrpkeras.Explanation(relevance, np.ones((4, 3)), np.zeros(4, int)), images
    )
    sample = page.sample(0)
    assert sorted([*sample["photos"], *sample["values"]]) == shown


@pytest.mark.parametrize(
    ("inputs", "images"),
    [
        ([SCAN, BODY], [PHOTO4]),
        ([SCAN, BODY], PHOTO4),
        ({"a": SCAN, "b": AGE}, {"c": PHOTO4}),
        ({"a": {"b": SCAN, "c": AGE}}, {"a": {"d": None}}),
    ],
)
def test_images_that_are_nested_otherwise_are_refused(tmp_path, inputs, images):
    relevance = keras.tree.map_shape_structure(heavy_tailed, inputs)
    explanation = lrpkeras.Explanation(relevance, np.ones((4, 3)), np.zeros(4, int))
    with pytest.raises(InputError, match="The inputs are .*nest it like the inputs"):
        explanation.report(tmp_path / "page.html", images)


def test_a_layer_of_tokens_is_a_series_and_lies_over_no_photo(tmp_path):
    """Its second axis are channels, not places; but a picture without channels stays one."""
    page = written(tmp_path, explained(layers=[("tokens", (49, 16))]), PHOTOS)
    place = page.data["places"][1]
    assert (place["kind"], place["columns"], place["photo"]) == ("series", 49, None)
    digits = explained(shape=(28, 28), layers=[("scaled", (28, 28)), ("rows", (28, 30))])
    kinds = [place["kind"] for place in written(tmp_path, digits).data["places"]]
    assert kinds == ["image", "image", "series"]


def test_captions_tell_classes_logits_and_conditions(tmp_path):
    explanation = lrpkeras.Explanation(
        heavy_tailed((2, 1, 2, 6, 6, 1)),
        np.array([[1.0, -2.5, 0.001], [3, 4, 5]]),
        np.array([[1], [2]]),
        condition=({"conv1": (3, 5)}, {"conv2": (1,)}),
    )
    page = written(tmp_path, explanation, labels=["cat", "dog", "bird"])
    first, second = (sample["captions"] for sample in page.data["samples"])
    assert [one["name"] for one in first] == ["dog", "dog"]
    assert [one["logit"] for one in (first[0], second[0])] == ["−2.50", "+5.00"]
    assert [one["condition"] for one in first] == ["conv1: 3, 5", "conv2: 1"]
    assert "Negative logits." in page.text
    array = lrpkeras.Explanation(
        explanation.relevance[:, 0, 0], np.ones((2, 3)), np.array([-1] * 2)
    )
    page = written(tmp_path, array)
    assert page.data["samples"][0]["captions"] == [{"name": "", "logit": None, "condition": ""}]
    assert "No class." in page.text
    assert "Negative logits." not in page.text


def test_rules_ledger_and_measures_are_on_the_page(tmp_path):
    flipping = Flipping({"most": curve("most"), "random": curve("random")})
    measure = Measure("mass", np.array([0.1, 0.5, np.nan]), np.array([0.2, 0.2, 0.2]))
    other = Measure("of others", np.ones(7))
    page = written(
        tmp_path,
        explained(about=about("softmax stripped")),
        check=check(),
        measures={"flipping": flipping, "mass": measure, "others": other},
    )
    for text in ("preset epsilon_plus", "ZPlus()", "3 nodes", "softmax stripped", "bias 1.25",
                 "closes", "0123456789abcdef", "epsilon −0.25"):  # fmt: skip
        assert text in page.text
    low, high = flipping.gap.interval()
    assert f"{low:.4g} to {high:.4g}".replace("-", "−") in page.text
    sorts = {sort["name"]: sort for sort in page.data["sorts"]}
    assert list(sorts) == ["name", "logit", "flipping gap", "mass"]
    np.testing.assert_allclose(sorts["flipping gap"]["values"], flipping.gap.values)
    assert sorts["mass"]["values"] == [0.1, 0.5, None]
    assert [len(line["points"].split()) for line in page.all("polyline")] == [4, 4]


@pytest.mark.parametrize(
    ("initial", "words"),
    [("unit", "from 1, with the sign"), ("contrast", "lead over the mean"), ("logit", None)],
)
def test_a_page_says_where_relevance_started(tmp_path, initial, words):
    made = dataclasses.replace(about(), settings={"initial": initial})
    page = written(tmp_path, explained(about=made))
    assert ("<strong>Start.</strong>" in page.text) == (words is not None)
    assert words is None or words in page.text


def test_results_that_are_not_finite_are_told(tmp_path):
    def line(*values):
        return Curve("line", np.arange(5.0), np.array([values]), "steps")

    gap = (0.0, 1.0, np.nan, 3.0, 4.0)
    measures = {
        "gap": line(*gap),
        "none": line(*[np.nan] * 5),
        "some": Measure("some", np.array([1.0, np.nan, 3.0])),
        "lost chance": Measure("lost chance", np.arange(3.0), np.array([0.1, np.nan, 0.1])),
        "single": Measure("single", np.array([2.0])),
    }
    sinks = {"bias": math.inf, "epsilon": 1.0}
    [entry] = check().entries
    broken = dataclasses.replace(
        check(), inputs=math.nan, entries=(dataclasses.replace(entry, sinks=sinks),)
    )
    page = written(tmp_path, measures=measures, check=broken)
    # From 54 to 408 along five positions: two parts, and a gap between them.
    lines = [line["points"].split() for line in page.all("polyline")]
    assert [[float(point.split(",")[0]) for point in line] for line in lines] == [
        [54, 142.5], [319.5, 408],
    ]  # fmt: skip
    assert not [a for _, a in page.elements if "nan" in str(list(a.values())).lower()]
    assert "1 of 3 samples have no finite value" in page.text
    assert page.text.count("(one sample)") == 1
    assert page.text.count("1 of 1 samples have no finite value") == 2  # the curves' areas
    assert "<span>∞</span>" in page.text


# Safety


def hostile_page(folder):
    first, second, third, fourth, _ = HOSTILE
    explanation = explained(
        5,
        layers=[(first, (4, 4, 2)), (third, (5,))],
        condition={second: (1, 2)},
        about=about(first, fourth),
    )
    return written(
        folder,
        explanation,
        labels={0: first, 1: fourth},
        names=HOSTILE,
        title=fourth,
        check=check(second),
        measures={third: Measure(third, np.arange(5.0)), second: curve(second, 5)},
    )


def test_no_text_becomes_markup(tmp_path):
    harmless, page = written(tmp_path, explained(5)), hostile_page(tmp_path)
    scripts = [script.get("id") for script in page.all("script")]
    assert scripts == ["page-data", None, *[f"data-{number}" for number in range(5)]]
    assert len(scripts) == len(harmless.all("script"))
    assert not page.all("img")
    assert not any(name.startswith("on") or name == "style" for _, a in page.elements for name in a)
    assert not page.all("b")
    assert "<!--" not in page.text
    assert page.texts["title"] == HOSTILE[3]
    titles = [card["title"] for card in page.all("button") if card.get("class") == "card"]
    assert titles[:4] == list(HOSTILE[:4])
    assert titles[4] == HOSTILE[4].encode("utf-8", "backslashreplace").decode("utf-8")
    assert [sample["name"] for sample in page.data["samples"]] == list(HOSTILE)
    assert page.data["places"][1]["name"] == HOSTILE[0]


def test_the_policy_allows_the_page_s_own_script_and_style_and_nothing_else(tmp_path):
    page = hostile_page(tmp_path)
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"
    for name, text in (("script-src", page.texts["script"]), ("style-src", page.texts["style"])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[name] == f"'sha256-{digest}'"
    links = [a.get("src") or a.get("href") for _, a in page.elements if "src" in a or "href" in a]
    assert all(link.startswith(("#", "data:")) for link in links)
    for script in ("page-data", "script", "style"):
        assert not any(
            word in page.texts[script] for word in ("http:", "https:", "@import", "url(")
        )


@pytest.mark.parametrize("text", [*HOSTILE, "plain", "Ωμέγα & <ω>"])
def test_json_in_a_page_has_no_markup_and_says_the_same(text):
    for value in (text, [text], {text: text}):
        made = json_in_page(value)
        assert not set("<>&\u2028\u2029") & set(made)
        assert made.isascii()
        assert json.loads(made) == value


# Files


def test_the_same_explanation_gives_the_same_page(tmp_path):
    first = written(tmp_path, explained(), PHOTOS)
    second = explained().report(tmp_path / "other.html", PHOTOS)
    assert first.path.read_bytes() == second.read_bytes()


def test_a_page_is_replaced_when_the_new_one_is_complete(tmp_path, monkeypatch):
    page = written(tmp_path)
    old = page.path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path, explained(2))
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert page.path.read_bytes() == old


@pytest.mark.parametrize("name", [".", "absent/page.html"])
def test_a_place_where_no_page_can_be_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"is a folder|there is no folder"):
        explained().report(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_jinja2_it_says_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(LrpError, match=r"pip install 'lrpkeras\[report\]'"):
        explained().report(tmp_path / "page.html")


VOLUME = lrpkeras.Explanation(np.ones((2, 3, 4, 4, 4, 1)), np.ones((2, 3)), np.ones((2, 3), int))
EMPTY = lrpkeras.Explanation(np.ones((0, 4, 4, 1)), np.ones((0, 3)), np.ones(0, int))
HUGE = lrpkeras.Explanation(np.full((2, 4, 4, 1), 1e308), np.ones((2, 3)), np.array([0, 1]))
OTHER = explained(about=about("Flat()"))
BROKEN = lrpkeras.Explanation(np.full((2, 4, 4, 1), np.inf), np.ones((2, 3)), np.array([0, 1]))


@pytest.mark.parametrize(
    ("explanation", "options", "words"),
    [
        (VOLUME, {}, r"of no input.*input \(4 × 4 × 4 × 1\).*plot.volume"),
        (BROKEN, {}, "'input' holds NaN or infinite"),
        (None, {"names": ["one"]}, "1 names for 3 samples"),
        (None, {"names": "one"}, "give a list"),
        (None, {"labels": ["one"]}, "labels has 1 names, the model has 4 classes"),
        (None, {"images": PHOTOS[:2]}, "2 images for 3 samples"),
        (None, {"images": [PHOTOS[0], PHOTOS[1, :5]]}, "2 images for 3 samples"),
        (None, {"images": {"left": PHOTOS}}, "entry for 'left'"),
        (None, {"images": np.full((3, 4, 4, 3), np.nan)}, "NaN"),
        (None, {"images": np.ones((3, 4, 4, 2))}, r"shape \(4, 4, 2\)"),
        (None, {"images": [["a"], ["b"], ["c"]]}, "type <U1"),
        (None, {"images": 5}, "an array or a list of pictures, not 5"),
        (None, {"images": [np.ones((4, 4)), np.ones((4, 4), "uint8"), np.ones((4, 4))]}, "mixed"),
        (None, {"names": 3}, "1 names for 3 samples"),
        (None, {"check": {}}, "analyzer.check"),
        (OTHER, {"check": check()}, r"'conv1' has the rule ZPlus\(\), and Flat\(\)"),
        (None, {"measures": {"mass": 3}}, "lrpkeras.evaluate"),
        (None, {"measures": [Measure("a", np.ones(3))] * 2}, "have one name"),
        (None, {"clip": 0}, "clip is a percentile"),
        (None, {"megabytes": 0}, "megabytes is a positive number"),
        (None, {"megabytes": math.nan}, "megabytes is a positive number"),
        (None, {"megabytes": 0.01}, "MB"),
        (EMPTY, {}, "no samples"),
        (HUGE, {}, "or sums to such"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, explanation, options, words):
    with pytest.raises(InputError, match=words):
        (explanation or explained()).report(tmp_path / "page.html", **options)
    assert list(tmp_path.iterdir()) == []


def test_photos_are_on_the_page_as_they_are(tmp_path):
    eight = [np.rint(255 * PHOTOS[0]).astype("uint8"), np.zeros((700, 500, 3), "uint8"),
             np.full((60, 60, 1), 255, "uint8")]  # fmt: skip
    page = written(tmp_path, explained(), eight)
    found = []
    for number in range(3):
        head, _, data = page.sample(number)["photos"]["input"].partition(",")
        found.append((head, Image.open(BytesIO(base64.b64decode(data)))))
    assert [head for head, _ in found] == [
        "data:image/png;base64", "data:image/jpeg;base64", "data:image/png;base64",
    ]  # fmt: skip
    np.testing.assert_array_equal(np.asarray(found[0][1]), eight[0])
    assert found[1][1].size == (320, 448)
    assert (np.asarray(found[2][1]) == 255).all()


@pytest.mark.parametrize(
    ("images", "greys"),
    [
        (PHOTOS[..., 0] * 0 + np.array([0, 0.5, 1])[:, None, None], [0, 128, 255]),
        (np.array([-3.0, 1, 5])[:, None, None, None] * np.ones((3, 8, 8, 1)), [0, 128, 255]),
        (np.full((12, 10, 3), 51, "uint8"), [51, 51, 51]),
        (np.full((12, 10, 3), 1, "uint8"), [1, 1, 1]),
        (np.full((1, 12, 10, 3), 51.0), [51, 51, 51]),
        (np.full((3, 12, 10), -7.0), [128, 128, 128]),
    ],
)
def test_photos_share_black_and_white(tmp_path, images, greys):
    page = written(tmp_path, explained(), images)
    for number, grey in enumerate(greys):
        data = page.sample(number)["photos"]["input"].partition(",")[2]
        shown = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
        assert np.abs(shown.astype(int) - grey).max() <= 1


# Analyzers


@pytest.mark.slow
def test_an_exported_analyzer_s_table_is_on_the_page(tmp_path):
    images = lrpkeras.datasets.shapes(2, seed=0).images
    analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
    analyzer.export(tmp_path / "exported")
    explanation = lrpkeras.load(tmp_path / "exported").explain(images, verbose=0)
    assert explanation.about.summary.rows == analyzer._table().rows
    page = written(tmp_path, explanation, images)
    assert all(row.node in page.text for row in analyzer._table().rows)
