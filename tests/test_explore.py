"""The widget shows what the analyzer explains, explains it once, and says what went wrong.

Most tests hand it functions in place of an analyzer: it knows no more of one.
"""

import io
import sys
from collections import Counter
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
from end_colours import RED
from PIL import Image

import lrpkeras
from lrpkeras.errors import InputError, LrpError, RuleError
from lrpkeras.explore import explorer
from lrpkeras.explore.looks import ANALYZERS, Choice
from lrpkeras.explore.offer import Offer, Way
from lrpkeras.plot import pixels
from lrpkeras.plot.scale import read_scale

CLASSES = 12
IMAGES = np.random.default_rng(0).uniform(size=(5, 8, 8, 3))
LABELS = [*"abcdefghij", "<b>k</b>", "l"]


@dataclass
class Stage:
    """An offer whose relevance is image x (class + 1), that counts what it is asked for."""

    refused: dict = field(default_factory=lambda: {f"p{n}": "" for n in range(6)})
    layers: dict = field(default_factory=lambda: {"conv": "conv = norm", "dense": "dense"})
    weights: str = "some"
    calls: Counter = field(default_factory=Counter)
    fails: dict = field(default_factory=dict)

    def offer(self, note=""):
        return Offer("p0", self.refused, self.build, self.logits, lambda: self.weights, note)

    def build(self, preset):
        self.calls["build", preset] += 1
        if preset in self.fails:
            raise self.fails[preset]
        return Way(self.explain, self.layers)

    def logits(self, x):
        self.calls["logits"] += 1
        # Class 7 wins in image 0, 8 in image 1, and so on.
        number = int(np.flatnonzero((x == IMAGES).all(axis=(1, 2, 3)))[0])
        return (5 - np.abs(np.arange(CLASSES) - 7 - number))[None].astype("float32")

    def explain(self, x, target, layers, verbose):
        self.calls["explain", target] += 1
        assert verbose == 0
        assert layers == (list(self.layers) or None)
        hidden = {"conv": x[:, ::2, ::2] * (target + 1), "dense": x[:, 0, :, 0] - 0.5}
        return lrpkeras.Explanation(
            relevance=x * (target + 1),
            output=self.logits(x),
            target=np.array([target]),
            layers={name: hidden[name] for name in layers or ()},
        )


def shown(stage, images=IMAGES, labels=None, photos=None, note=""):
    return explorer(images, photos, labels, stage.offer(note))


def picture(widget):
    return np.asarray(Image.open(io.BytesIO(widget.value)).convert("RGB"))


def test_it_begins_with_the_winner_of_the_first_image():
    widget = shown(Stage())
    assert widget.choice == Choice(0, 7, "p0")
    np.testing.assert_array_equal(widget.explanation.relevance, IMAGES[:1] * 8)
    assert "class 7: 5.00" in widget.title.value
    assert widget.message.value == ""


def test_classes_are_offered_winner_first_then_by_logit():
    widget = shown(Stage(), labels=LABELS)
    texts, values = zip(*widget.target.options, strict=True)
    assert values == ("winner", 7, 6, 8, 5, 9)
    assert texts[:3] == ("winner, h: 5.00", "h: 5.00", "g: 4.00")
    widget.image.value = 1
    assert widget.target.value == "winner"
    assert widget.choice.target == 8


def test_a_chosen_class_stays_when_the_image_changes():
    widget = shown(Stage())
    widget.target.value = 5
    widget.image.value = 4  # there class 11 wins, and 5 is not among the first
    assert widget.choice == Choice(4, 5, "p0")
    assert dict(widget.target.options)["class 5: -1.00"] == 5


def test_any_class_is_found_by_its_name():
    widget = shown(Stage(), labels=LABELS)
    assert widget.search.options == tuple(LABELS)
    widget.search.value = "a"
    assert widget.choice.target == 0
    assert widget.search.value == ""
    np.testing.assert_array_equal(widget.explanation.relevance, IMAGES[:1])


def test_classes_of_one_name_are_told_apart_by_number():
    widget = shown(Stage(), labels=["same"] * CLASSES)
    widget.search.value = "same (3)"
    assert widget.choice.target == 3


def test_a_hidden_layer_is_shown_when_it_is_chosen():
    stage = Stage()
    widget = shown(stage)
    assert widget.layer.options == (("input", "input"), ("conv = norm", "conv"), ("dense", "dense"))
    widget.layer.value = "conv"
    np.testing.assert_array_equal(widget.explanation.layers["conv"], IMAGES[:1, ::2, ::2] * 8)
    assert list(widget.explanation.layers) == ["conv"]
    assert stage.calls["explain", 7] == 1  # all layers come with one explanation
    widget.layer.value = "dense"
    assert picture(widget.picture).shape == (168, 336, 3)  # bars


def test_the_picture_has_the_colours_of_the_relevance_over_the_image_or_alone():
    widget = shown(Stage())
    plane = 8 * IMAGES[0].sum(axis=-1)
    grey = IMAGES[0] @ [0.299, 0.587, 0.114]
    scale = read_scale(plane)
    for overlay, below in ((True, grey), (False, None)):
        widget.overlay.value = overlay
        expected = pixels.painted(plane, scale, below).repeat(42, axis=0).repeat(42, axis=1)
        np.testing.assert_array_equal(picture(widget.picture), expected)
    at = np.unravel_index(plane.argmax(), plane.shape)
    assert tuple(picture(widget.picture)[::42, ::42][at].tolist()) == RED
    np.testing.assert_allclose(picture(widget.photo)[::42, ::42], 255 * IMAGES[0], atol=0.5)


def test_clipping_changes_colours_and_says_so_without_explaining_again():
    stage = Stage()
    widget = shown(stage)
    widget.overlay.value = False
    before, calls = picture(widget.picture), stage.calls.copy()
    widget.clip.value = 90
    plane = 8 * IMAGES[0].sum(axis=-1)
    beyond = plane >= np.percentile(plane, 90)
    reds = (picture(widget.picture)[::42, ::42] == RED).all(axis=-1)
    np.testing.assert_array_equal(reds, beyond)
    assert "clipped" in widget.bar.value
    assert "percentile 90" in widget.bar.value
    widget.clip.value = 100
    np.testing.assert_array_equal(picture(widget.picture), before)
    assert "clipped" not in widget.bar.value
    assert stage.calls == calls


def test_a_second_look_explains_builds_and_predicts_nothing():
    stage = Stage()
    widget = shown(stage)
    for preset in ("p1", "p0"):
        widget.preset.value = preset
        for image in (1, 2, 0):
            widget.image.value = image
    calls = stage.calls.copy()
    for image in (2, 1):
        widget.image.value = image
        widget.preset.value = "p1"
        widget.preset.value = "p0"
    assert stage.calls == calls
    assert calls["build", "p0"] == calls["build", "p1"] == 1


def test_few_analyzers_are_held_but_what_was_looked_at_is_not_lost():
    stage = Stage()
    widget = shown(stage)
    for n in range(ANALYZERS + 1):
        widget.preset.value = f"p{n}"
    widget.preset.value = "p0"  # dropped, and not needed
    assert stage.calls["build", "p0"] == 1
    widget.image.value = 1
    assert stage.calls["build", "p0"] == 2


def test_other_weights_are_explained_anew():
    stage = Stage()
    widget = shown(stage)
    widget.image.value = 1
    stage.weights = "others"
    widget.image.value = 0
    assert stage.calls["explain", 7] == 2
    assert stage.calls["build", "p0"] == 2


def test_of_explanations_beyond_the_room_the_oldest_are_dropped(monkeypatch):
    stage = Stage()
    monkeypatch.setattr("lrpkeras.explore.looks.ROOM", 2 * IMAGES[0].nbytes)
    widget = shown(stage)
    for image in (1, 2, 1, 0):
        widget.image.value = image
    assert [stage.calls["explain", n] for n in (7, 8, 9)] == [2, 1, 1]


def test_a_preset_that_cannot_be_had_is_told_with_the_reason_and_shows_no_picture():
    stage = Stage(refused={"p0": "", "box": "It needs <low> & high."})
    widget = shown(stage)
    assert widget.preset.options == (("p0", "p0"), ("box (not available)", "box"))
    widget.preset.value = "box"
    assert "It needs &lt;low&gt; &amp; high." in widget.message.value
    assert widget.explanation is None
    assert widget.picture.value == b""
    assert widget.picture.layout.display == "none"
    assert widget.title.value == widget.bar.value == ""
    widget.preset.value = "p0"
    assert widget.message.value == ""
    assert widget.picture.layout.display is None
    assert picture(widget.picture).shape == (336, 336, 3)


def test_an_error_while_building_is_shown_and_the_next_look_tries_again():
    stage = Stage(fails={"p1": RuleError("no <such> rule")})
    widget = shown(stage)
    widget.preset.value = "p1"
    assert "no &lt;such&gt; rule" in widget.message.value
    stage.fails.clear()
    widget.image.value = 1
    assert widget.choice == Choice(1, 8, "p1")
    assert widget.message.value == ""


def test_a_mistake_of_ours_is_shown_and_raised():
    stage = Stage(fails={"p1": ZeroDivisionError("here")})
    widget = shown(stage)
    with pytest.raises(ZeroDivisionError):
        widget.preset.value = "p1"
    assert "ZeroDivisionError: here" in widget.message.value
    assert widget.picture.value == b""


def test_a_layer_that_another_preset_has_not_gives_way_to_the_input_and_it_is_told():
    stage = Stage()
    widget = shown(stage)
    widget.layer.value = "dense"
    stage.layers = {"conv": "conv"}
    widget.preset.value = "p1"
    assert widget.layer.value == "input"
    assert "no relevance at dense" in widget.message.value
    assert widget.explanation.layers == {}


def test_what_is_not_on_offer_is_said():
    widget = shown(Stage(layers={}), note="No <layers>.")
    assert "No &lt;layers&gt;." in widget.message.value
    assert widget.layer.options == (("input", "input"),)


def test_names_of_classes_are_no_markup():
    widget = shown(Stage(), labels=LABELS)
    widget.search.value = "<b>k</b>"
    assert "&lt;b&gt;k&lt;/b&gt;" in widget.title.value


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"labels": ["a", "b"]}, "2 names"),
        ({"photos": IMAGES[:2]}, "2 photos for 5 images"),
        ({"photos": np.ones((5, 4))}, "an image|a picture"),
        ({"photos": [*IMAGES[:4], np.ones(4)]}, "a picture"),
        ({"photos": [IMAGES[:1], *[IMAGES[:2]] * 4]}, r"photos\[1\] is a batch of 2"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments, told):
    with pytest.raises(InputError, match=told):
        shown(Stage(), **arguments)


def test_photos_stand_for_preprocessed_images():
    photos = [np.full((16, 16, 3), 51 * n, "uint8") for n in range(1, 6)]
    widget = shown(Stage(), photos=photos)
    widget.image.value = 2
    np.testing.assert_array_equal(picture(widget.photo), np.full((336, 336, 3), 153))
    np.testing.assert_array_equal(widget.explanation.relevance, IMAGES[2:3] * 10)


def test_neighbours_are_shown_in_small_with_the_chosen_one_in_a_frame():
    widget = shown(Stage())
    widget.image.value = 4
    strip = widget._strip.value
    assert [f'alt="image {n}"' in strip for n in range(5)] == [False, True, True, True, True]
    assert strip.index("solid #2f62e0") > strip.index('alt="image 3"')


@pytest.mark.parametrize(
    ("shape", "has_photo", "size"),
    [
        ((20,), False, (168, 320)),
        ((100, 4), False, (168, 300)),
        ((9, 12), True, (252, 336)),
        ((3, 9, 12), True, (252, 336)),
        ((4, 9, 12, 1), False, (252, 336)),
    ],
)
def test_inputs_of_any_shape_can_be_explored(shape, has_photo, size):
    def explain(x, target, layers, verbose):
        return lrpkeras.Explanation(x, np.ones((1, 2)), np.array([target]))

    images = np.random.default_rng(1).uniform(size=(2, *shape))
    offer = Offer("p", {"p": ""}, lambda p: Way(explain, {}), lambda x: np.ones((1, 2)), str)
    widget = explorer(images, None, None, offer)
    assert widget.message.value == ""
    assert picture(widget.picture).shape[:2] == size
    assert (widget.photo.value != b"") == has_photo


def test_without_ipywidgets_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "lrpkeras.explore.widget", raising=False)
    with pytest.raises(LrpError, match=r"pip install 'lrpkeras\[notebook\]'"):
        shown(Stage())


# --- with analyzers -------------------------------------------------------------------------------


SETTINGS = {"batch_norm": "identity", "bias": "ignore", "input_range": (0, 1)}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    network = [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.ReLU(name="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, name="head"),
    ]
    return keras.Sequential(network)


@pytest.fixture(scope="module")
def analyzer(model):
    rules = {"head": lrpkeras.rules.Epsilon(0.1)}
    return lrpkeras.Analyzer(model, "epsilon", rules=rules, **SETTINGS)


def assert_alike(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * np.abs(other).max())


def test_what_is_shown_is_what_an_analyzer_with_the_same_settings_explains(model, analyzer):
    widget = analyzer.explore(IMAGES)
    widget.image.value, widget.target.value = 2, 1
    widget.layer.value = "relu"
    for preset in ("epsilon_gamma_box", "epsilon"):
        widget.preset.value = preset
        rules = {"head": lrpkeras.rules.Epsilon(0.1)}
        other = lrpkeras.Analyzer(model, preset, rules=rules, **SETTINGS)
        expected = other.explain(IMAGES[2:3], 1, layers="relu", verbose=0)
        # Compiled with all layers, or with one: other fusions, in float32.
        assert_alike(widget.explanation.relevance, expected.relevance)
        assert_alike(widget.explanation.layers["relu"], expected.layers["relu"])
        assert_alike(widget.explanation.output, expected.output)
        assert widget.explanation.about.settings["batch_norm"] == "identity"
    plane = widget.explanation.layers["relu"][0].sum(axis=-1)
    below = IMAGES[2] @ [0.299, 0.587, 0.114]
    painted = pixels.enlarged(pixels.painted(plane, read_scale(plane), below), 336)
    np.testing.assert_array_equal(picture(widget.picture), painted)


def test_the_winner_is_that_of_the_analyzer(analyzer):
    widget = analyzer.explore(IMAGES)
    for number, target in enumerate(analyzer.explain(IMAGES, verbose=0).target):
        widget.image.value = number
        assert widget.choice.target == target


def test_layers_that_share_their_relevance_are_one_entry(model, analyzer):
    widget = lrpkeras.Analyzer(model).explore(IMAGES)
    assert widget.layer.options[:3] == (
        ("input", "input"),
        ("conv = norm", "conv"),
        ("relu", "relu"),
    )
    assert "norm" in dict(analyzer.explore(IMAGES).layer.options)  # not folded: of its own


def test_presets_without_a_meaning_for_the_settings_are_not_available(model, analyzer):
    widget = analyzer.explore(IMAGES)
    widget.preset.value = "gradient"
    assert "has no meaning for" in widget.message.value
    widget = lrpkeras.Analyzer(model).explore(IMAGES)
    widget.preset.value = "epsilon_gamma_box"
    assert "needs low and high" in widget.message.value
    assert "gradient" in dict(widget.preset.options)


def test_a_preset_of_ones_own_is_an_entry_of_its_own(model):
    mine = lrpkeras.presets.get("gamma", gamma=3.0)
    widget = lrpkeras.Analyzer(model, mine).explore(IMAGES)
    assert widget.preset.value == "gamma (as given)"
    first = widget.explanation.relevance
    assert_alike(first, lrpkeras.Analyzer(model, mine).explain(IMAGES[:1], verbose=0).relevance)
    widget.preset.value = "gamma"
    assert np.abs(widget.explanation.relevance - first).max() > 1e-3 * np.abs(first).max()


def test_the_model_is_left_as_it_was(model, analyzer):
    def state():
        weights = [weight.tobytes() for weight in model.get_weights()]
        return weights, [(layer.trainable, len(layer._inbound_nodes)) for layer in model.layers]

    before = state()
    widget = analyzer.explore(IMAGES)
    widget.preset.value = "z_plus"
    widget.layer.value = "conv"
    assert state() == before


def test_after_more_training_it_asks_for_a_refresh_and_then_shows_the_new_weights():
    dense = keras.layers.Dense(2, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((3,)), dense])
    analyzer = lrpkeras.Analyzer(model, "zero")
    x = np.ones((1, 3), "float32")
    widget = analyzer.explore(x)
    dense.set_weights([np.full((3, 2), 2.0, "float32"), np.zeros(2, "float32")])
    widget.preset.value = "epsilon"
    assert "call refresh()" in widget.message.value
    analyzer.refresh()
    widget.preset.value = "zero"
    np.testing.assert_array_equal(widget.explanation.relevance, [[2.0, 2.0, 2.0]])  # x w


def test_models_of_several_inputs_are_refused():
    inputs = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Add()(inputs)))
    analyzer = lrpkeras.Analyzer(model)
    with pytest.raises(InputError, match="models of one input; this one takes 2"):
        analyzer.explore([np.ones((1, 3)), np.ones((1, 3))])


def test_an_exported_analyzer_shows_its_one_preset(analyzer, tmp_path):
    analyzer.export(tmp_path / "exported")
    loaded = lrpkeras.load(tmp_path / "exported")
    widget = loaded.explore(IMAGES)
    assert "one preset, and no hidden layers" in widget.message.value
    assert widget.preset.options == (("epsilon", "epsilon"),)
    assert widget.layer.options == (("input", "input"),)
    widget.image.value, widget.target.value = 3, 1
    expected = analyzer.explain(IMAGES[3:4], 1, verbose=0).relevance
    assert_alike(widget.explanation.relevance, expected)


@pytest.mark.slow
def test_a_notebook_shows_the_widget(tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cell = (
        "import lrpkeras\n"
        "images = lrpkeras.datasets.shapes(3, seed=0).images\n"
        "analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())\n"
        "analyzer.explore(images, labels=lrpkeras.datasets.shapes_classes)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbclient.NotebookClient(notebook, timeout=300).execute()
    views = [output["data"] for output in notebook.cells[0].outputs if "data" in output]
    (view,) = (data["application/vnd.jupyter.widget-view+json"] for data in views)
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert states[view["model_id"]]["model_name"] == "VBoxModel"
    held = [state["state"] for state in states.values()]
    texts = [state["value"] for state in held if isinstance(state.get("value"), str)]
    assert any("cross: 10.56" in text for text in texts)
    images = [state for state in states.values() if state["model_name"] == "ImageModel"]
    assert len(images) == 2
    for image in images:
        (buffer,) = image["buffers"]
        assert buffer["data"].startswith("iVBORw0KGgo")  # a PNG file, in base64
